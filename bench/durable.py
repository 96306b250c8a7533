"""Row 5: acknowledged means on disk."""

import time
from collections.abc import Mapping

from bench.latency import percentile
from bench.row import Figure
from bench.stock_client import ProducerLoad, create_topic, delete_topic
from bench.system import Durability, System
from bench.wire_client import WireClient, produce_request, produced_offset


class ProduceDurable:
    """Row 5: acks=all with a flush before every answer, records of 1 KiB, 16 KiB batches.

    Resource: the disk's flush command. Physical limit: one flush at a time, each covering all
    that arrived during the one before: 0.3 ms for one file here (`bench/flush_strategies.py`),
    so one record at a time cannot be faster than that, and throughput has no such limit.
    """

    number = 5
    title = "produce, flushed before the answer"
    figures = (
        Figure("rate, 4 partitions", "MiB/s"),
        Figure("rate, 100 partitions", "MiB/s"),
        Figure("one at a time p50", "ms"),
    )
    repetitions = 3
    durability = Durability.FSYNC

    _RECORD = b"\x42" * 1024
    _COUNT = 100_000

    def prepare(self, system: System) -> None:
        """Warm up."""
        self._rate(system, 4, 5_000)

    def measure(self, system: System) -> Mapping[str, float]:
        return {
            "rate, 4 partitions": self._rate(system, 4, self._COUNT),
            "rate, 100 partitions": self._rate(system, 100, self._COUNT),
            "one at a time p50": self._one_at_a_time(system),
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
        times = []
        for _ in range(500):
            started = time.perf_counter()
            answer = client.call(request)
            times.append((time.perf_counter() - started) * 1e3)
            produced_offset(answer)
        client.close()
        return percentile(times, 50)
