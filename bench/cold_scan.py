"""Row cold-scan: one reader goes through more cold records than the broker may have in memory."""

import os
import time
from collections.abc import Mapping

from bench.process_cost import cpu_seconds, resident_mb
from bench.row import Bound, Figure
from bench.system import System, Tierbroker
from bench.tiered import LATEST_TIERED, MIB, ColdBroker

GIB = 1 << 30
SIZE_VARIABLE = "BENCH_COLD_SCAN_GIB"
DEFAULT_GIB = 1.0
PARTITIONS = 4
SEGMENT_BYTES = 64 * MIB
FETCH_BYTES = 2 * MIB


class ColdScan:
    """4 partitions in MinIO, from their beginning to their end; 1 GiB, or BENCH_COLD_SCAN_GIB.

    Resource: memory, while the broker reads ahead as fast as it can. Physical limit: what is
    configured for reading (tier.read.cache.bytes, 96 MiB) on top of a broker.
    """

    name = "cold-scan"
    title = "memory of a cold scan"
    figures = (
        Figure("size", "GiB"),
        Figure("resident memory before", "MB"),
        Figure("resident memory, at its highest", "MB", budget=Bound(250.0)),
        Figure("rate", "MiB/s"),
        Figure("broker CPU per GiB", "CPU-s/GiB"),
        Figure("GET per GiB", ""),
    )
    repetitions = 1
    durability = None

    def prepare(self, system: System) -> None:
        """Every repetition starts a broker of its own: nothing is warm."""

    def measure(self, system: System) -> Mapping[str, float]:
        if not isinstance(system, Tierbroker):
            return {}
        gib = float(os.environ.get(SIZE_VARIABLE, DEFAULT_GIB))
        broker = ColdBroker(system)
        try:
            broker.create("scan", PARTITIONS, segment_bytes=str(SEGMENT_BYTES))
            for partition in range(PARTITIONS):
                broker.fill("scan", partition, int(gib * GIB / PARTITIONS) + MIB)
            broker.wait_offloaded("scan", PARTITIONS)
            broker.evict("scan", PARTITIONS)
            broker.restart()
            return self._measure(broker)
        finally:
            broker.stop()

    def floor(self) -> Mapping[str, float]:
        return {}

    def _measure(self, broker: ColdBroker) -> Mapping[str, float]:
        pid = broker.system.pid
        before, cpu, asked = resident_mb(pid), cpu_seconds(pid), broker.requests()
        size = 0
        started = time.perf_counter()
        for partition in range(PARTITIONS):
            end = broker.offset("scan", partition, LATEST_TIERED) + 1
            size += broker.read("scan", partition, 0, end, FETCH_BYTES)[0]
        seconds = time.perf_counter() - started
        return {
            "size": size / GIB,
            "resident memory before": before,
            "resident memory, at its highest": resident_mb(pid, highest=True),
            "rate": size / MIB / seconds,
            "broker CPU per GiB": (cpu_seconds(pid) - cpu) * GIB / size,
            "GET per GiB": (broker.requests() - asked)["GetObject"] * GIB / size,
        }
