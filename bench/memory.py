"""Row 7: what a broker that has little to do keeps in memory."""

import time
from collections.abc import Mapping

from bench.process_cost import resident_mb
from bench.row import Figure
from bench.stock_client import create_topic
from bench.system import Durability, System


class Resident:
    """Row 7: resident memory after the start, and with 1,000 partitions of one topic.

    Resource: memory. Physical limit: an interpreter with its loop, about 20 MB; one open file
    and a few objects for a partition.
    """

    number = 7
    title = "resident memory"
    figures = (Figure("idle", "MB", 60.0), Figure("1,000 partitions", "MB", 120.0))
    repetitions = 2
    durability = None

    def prepare(self, system: System) -> None:
        """Nothing."""

    def measure(self, system: System) -> Mapping[str, float]:
        system.start(Durability.REPLICATED)
        try:
            time.sleep(0.5)
            idle = resident_mb(system.pid)
            create_topic(system.bootstrap, "wide", 1000)
            time.sleep(1.5)
            return {"idle": idle, "1,000 partitions": resident_mb(system.pid)}
        finally:
            system.stop()
