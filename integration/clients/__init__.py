"""The clients that people use, behind one interface of two verbs.

Each module of this package wraps one client with its default settings and nothing else: what a
test says about a client must hold for somebody who just installed it.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

Line = tuple[bytes, bytes]
"""Key and value of one record."""


class Client(Protocol):
    """What every module of this package offers."""

    def write(self, bootstrap: str, topic: str, lines: Sequence[Line], codec: str) -> None:
        """Send all lines and return once each is acknowledged. Raises on the first that failed."""

    def read(self, bootstrap: str, topic: str, partition: int, count: int) -> list[Line]:
        """Assign the partition, read `count` records from its start. Raises when they stay away."""


def client(name: str) -> ModuleType:
    """The module of the client with this name, which satisfies `Client`."""
    from integration.clients import aio_kafka, confluent, java_console, kafka_python

    modules = (kafka_python, aio_kafka, confluent, java_console)
    return dict(zip(CLIENT_NAMES, modules, strict=True))[name]


CLIENT_NAMES = ("kafka-python", "aiokafka", "confluent-kafka", "java-console")
READ_TIMEOUT_S = 60.0
"""How long a reader waits for the next record before it gives up."""
