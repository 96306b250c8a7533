"""What the plugin's fixtures hand out: the broker to test against, and topics on it.

Imported when a test asks for a broker, never before.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierbroker.testing.client_config import ClientFamily, client_config

if TYPE_CHECKING:
    from concurrent.futures import Future

READY_TIMEOUT_S = 10.0
TOPIC_TIMEOUT_S = 30.0
NAME_PART_LENGTH = 80

_ILLEGAL = re.compile(r"[^a-zA-Z0-9-]+")


@dataclass(frozen=True, slots=True)
class BrokerTarget:
    """A broker that tests talk to, embedded or not."""

    bootstrap: str
    """ "host:port" """

    embedded: bool
    """It was started for this session and keeps nothing."""

    def config(self, client: ClientFamily) -> dict[str, str]:
        """Settings that connect a client of that family: confluent, kafka-python or aiokafka."""
        return client_config(self.bootstrap, client)


@contextlib.contextmanager
def open_target(bootstrap: str | None) -> Iterator[BrokerTarget]:
    """The broker at `bootstrap`, or an embedded one for as long as the context lasts."""
    if bootstrap is not None:
        _check_reachable(bootstrap)
        yield BrokerTarget(bootstrap, embedded=False)
        return
    from tierbroker.testing.embedded import Broker

    with Broker() as broker:
        yield BrokerTarget(broker.bootstrap, embedded=True)


def _check_reachable(bootstrap: str) -> None:
    """Raises ConnectionError unless one of the addresses takes a connection."""
    refusals = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), READY_TIMEOUT_S).close()
        except (OSError, ValueError) as error:
            refusals.append(f"{address} ({error})")
        else:
            return
    raise ConnectionError(
        f"--kafka-bootstrap: no broker can be reached at {', '.join(refusals)}; "
        "leave the option away to test against an embedded one"
    )


class TopicMaker:
    """Makes topics with names of their own, and removes them without waiting."""

    def __init__(self, target: BrokerTarget) -> None:
        from confluent_kafka.admin import AdminClient

        config: dict[str, str | int | float | bool] = {**target.config("confluent"), "log_level": 0}
        self._admin = AdminClient(config)
        self._target = target
        self._session = os.urandom(4).hex()
        self._count = 0
        self._removals: list[Future[None]] = []

    def create(self, purpose: str) -> str:
        """Make a topic that is named after its purpose; returns the name.

        Raises RuntimeError with the broker's reason.
        """
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # a silent export

        self._count += 1
        name = topic_name(purpose, f"{self._session}-{self._count}")
        request = NewTopic(name, num_partitions=1)
        try:
            self._admin.create_topics([request], request_timeout=READY_TIMEOUT_S)[name].result(
                TOPIC_TIMEOUT_S
            )
        except (KafkaException, TimeoutError) as error:
            raise RuntimeError(
                f"cannot make the topic {name} on {self._target.bootstrap}: {error}"
            ) from error
        return name

    def remove(self, name: str) -> None:
        """Ask for the removal; `close` waits for it."""
        self._removals.append(self._admin.delete_topics([name])[name])

    def close(self) -> None:
        """Wait for the removals. An embedded broker is thrown away instead."""
        if self._target.embedded:
            return
        from confluent_kafka import KafkaException

        for removal in self._removals:
            # A test may have removed the topic itself; and nothing is left to fail here.
            with contextlib.suppress(KafkaException, TimeoutError):
                removal.result(TOPIC_TIMEOUT_S)


def topic_name(purpose: str, unique: str) -> str:
    """A legal topic name: letters, digits and '-', since '.' and '_' collide in metric names."""
    readable = _ILLEGAL.sub("-", purpose)[:NAME_PART_LENGTH].strip("-")
    return f"{readable}-{unique}" if readable else unique
