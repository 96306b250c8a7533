"""Row 5: acknowledged means on disk."""

import time
from collections.abc import Mapping

from bench import floor
from bench.latency import percentile
from bench.row import Bound, Figure
from bench.stock_client import ProducerLoad, create_topic, delete_topic
from bench.system import Durability, System
from bench.wire_client import WireClient, first_acknowledgement, produce_request, produced_offset


class ProduceDurable:
    """Row 5: acks=all with a flush before every answer, records of 1 KiB, 16 KiB batches.

    Resource: the disk's flush command. Physical limit: one flush at a time, each covering all
    that arrived during the one before. One record at a time cannot be faster than one flush of
    one file; the floor of the rate is one file that gets 1 MiB between flushes.

    One at a time by a raw client (see row 4).
    """

    name = "5"
    title = "produce, flushed before the answer"
    figures = (
        Figure("rate, 4 partitions", "MiB/s", ratio=Bound(3.0, at_least=True)),
        Figure("rate, 100 partitions", "MiB/s", ratio=Bound(3.0, at_least=True)),
        Figure("one at a time p50", "ms", ratio=Bound(1.0)),
    )
    repetitions = 3
    durability = Durability.FSYNC

    _RECORD = b"\x42" * 1024
    _COUNT = 40_000

    def prepare(self, system: System) -> None:
        """One whole run."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        return {
            "rate, 4 partitions": self._rate(system, 4, self._COUNT),
            "rate, 100 partitions": self._rate(system, 100, self._COUNT),
            "one at a time p50": self._one_at_a_time(system),
        }

    def floor(self) -> Mapping[str, float]:
        rate = floor.flushed_rate(1 << 20) / (1 << 20)
        return {
            "rate, 4 partitions": rate,
            "rate, 100 partitions": rate,
            "one at a time p50": percentile(floor.flushes(200), 50),
        }

    def _rate(self, system: System, partitions: int, count: int) -> float:
        topic = f"durable-{time.monotonic_ns()}"
        create_topic(system.bootstrap, topic, partitions)
        with ProducerLoad(system.bootstrap, 15, **{"linger.ms": 5}) as load:
            load.send(topic, self._RECORD, partitions, partitions)
            started = time.perf_counter()
            load.send(topic, self._RECORD, count, partitions)
            rate = count * len(self._RECORD) / (time.perf_counter() - started) / (1 << 20)
        delete_topic(system.bootstrap, topic)
        return rate

    def _one_at_a_time(self, system: System) -> float:
        topic = f"durable-one-{time.monotonic_ns()}"
        create_topic(system.bootstrap, topic)
        client = WireClient(system.bootstrap)
        request = produce_request(topic, b"\x42" * 100)
        first_acknowledgement(client, topic, request)
        times = []
        for _ in range(500):
            started = time.perf_counter()
            answer = client.call(request)
            times.append((time.perf_counter() - started) * 1e3)
            produced_offset(answer)
        client.close()
        return percentile(times, 50)
