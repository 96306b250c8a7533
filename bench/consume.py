"""Row 3: what it costs the broker to hand out what is in the page cache."""

import time
from collections.abc import Mapping

from bench import floor
from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.stock_client import ProducerLoad, consume, create_topic
from bench.system import Durability, System

GIB = 1 << 30


class ConsumeHot:
    """Row 3: one consumer reads a partition from its start, fetches of up to 1 MiB.

    Resource: the consumer's core, rather than the broker's: a client that parses records in
    Python is slower than any broker, so CPU per byte is what is compared. Physical limit:
    sendfile of 1 MiB at a time from the page cache to a loopback socket.
    """

    name = "3"
    title = "consume, hot"
    figures = (
        Figure("broker CPU per GiB", "CPU-s/GiB", ratio=Bound(0.5)),
        Figure("client's rate", "MiB/s"),
    )
    repetitions = 5
    durability = Durability.REPLICATED

    _TOPIC = "consume"
    _RECORD = b"\x42" * 1024
    _COUNT = 400_000

    def prepare(self, system: System) -> None:
        """Fill the topic, and one whole run."""
        create_topic(system.bootstrap, self._TOPIC)
        with ProducerLoad(system.bootstrap, 15) as load:
            load.send(self._TOPIC, self._RECORD, self._COUNT)
        consume(system.bootstrap, self._TOPIC, self._COUNT)

    def measure(self, system: System) -> Mapping[str, float]:
        cpu = cpu_seconds(system.pid)
        started = time.perf_counter()
        size = consume(system.bootstrap, self._TOPIC, self._COUNT)
        seconds = time.perf_counter() - started
        cpu = cpu_seconds(system.pid) - cpu
        return {
            "broker CPU per GiB": cpu / size * GIB,
            "client's rate": size / seconds / (1 << 20),
        }

    def floor(self) -> Mapping[str, float]:
        return {"broker CPU per GiB": floor.send()}
