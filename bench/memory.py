"""Row 7, and what stands beside it: a broker that has little to do."""

import time
from collections.abc import Mapping

from bench import floor
from bench.process_cost import cpu_seconds, resident_mb
from bench.row import Bound, Figure
from bench.stock_client import create_topic
from bench.system import Durability, System

PARTITIONS = 1_000
SETTLE_S = 4.0
WATCH_S = 5.0


class Resident:
    """Row 7: resident memory after the start, and with 1,000 partitions of one topic; and what
    the idle broker then needs of a core, watched for five seconds.

    Resource: memory. Physical limit: an interpreter with its loop; one open file and a few
    objects for a partition.
    """

    name = "7"
    title = "resident memory, and CPU of an idle broker"
    figures = (
        Figure("idle", "MB", budget=Bound(60.0)),
        Figure("1,000 partitions", "MB", budget=Bound(120.0)),
        Figure("CPU with 1,000 idle partitions", "% of a core", budget=Bound(1.0)),
    )
    repetitions = 2
    durability = None

    def prepare(self, system: System) -> None:
        """Every repetition starts a broker of its own: nothing is warm."""

    def measure(self, system: System) -> Mapping[str, float]:
        system.start(Durability.REPLICATED)
        try:
            time.sleep(1.0)
            idle = resident_mb(system.pid)
            create_topic(system.bootstrap, "wide", PARTITIONS)
            time.sleep(SETTLE_S)
            resident = resident_mb(system.pid)
            cpu = cpu_seconds(system.pid)
            time.sleep(WATCH_S)
            cpu = cpu_seconds(system.pid) - cpu
        finally:
            system.stop()
        return {
            "idle": idle,
            "1,000 partitions": resident,
            "CPU with 1,000 idle partitions": cpu / WATCH_S * 100,
        }

    def floor(self) -> Mapping[str, float]:
        return {"idle": floor.bare_memory()}
