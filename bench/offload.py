"""Row 9: closed segments to the object store."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.system import System, Tierbroker
from bench.tiered import MIB, ColdBroker, wait_until

PARTITIONS = 4
SEGMENT_BYTES = 64 * MIB
SEGMENTS = 3
GIB = 1 << 30


class Offload:
    """Row 9: 4 partitions with 3 closed segments of 64 MiB each, whose copying is switched on.

    Resource: both cores, most of them in MinIO. Physical limit: a loop that reads the same files
    and puts them, as many at once as the broker (4). The clock runs from the first request that
    MinIO counts until the last segment is committed. MinIO also counts what was asked of it.
    """

    name = "9"
    title = "offload to MinIO on the same machine"
    figures = (
        Figure("rate", "MiB/s"),
        Figure("rate of a plain PUT loop", "MiB/s"),
        Figure("to the plain PUT loop", "×", budget=Bound(0.8, at_least=True)),
        Figure("broker CPU per GiB", "CPU-s/GiB"),
        Figure("requests that write, per GiB", ""),
        Figure("requests that read, per GiB", ""),
        Figure("LIST", "", budget=Bound(0)),
    )
    repetitions = 3
    durability = None

    def prepare(self, system: System) -> None:
        """One whole run."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        if not isinstance(system, Tierbroker):
            return {}
        broker = ColdBroker(system)
        try:
            return self._measure(broker)
        finally:
            broker.stop()

    def floor(self) -> Mapping[str, float]:
        return {}

    def _measure(self, broker: ColdBroker) -> Mapping[str, float]:
        # The first upload loads what only uploads need.
        broker.create("first", 1, segment_bytes=str(MIB))
        broker.fill("first", 0, 4 * MIB)
        broker.wait_offloaded("first", 1)
        broker.create(
            "offload",
            PARTITIONS,
            segment_bytes=str(SEGMENT_BYTES),
            remote_log_copy_disable="true",
        )
        for partition in range(PARTITIONS):
            broker.fill("offload", partition, SEGMENTS * SEGMENT_BYTES + MIB)
        files = broker.segments("offload", PARTITIONS)
        size = sum(file.stat().st_size for file in files)
        plain_s = plain_puts(broker, files)
        before = broker.requests()
        cpu = cpu_seconds(broker.system.pid)
        broker.configure("offload", "remote.log.copy.disable", "false")
        wait_until(lambda: broker.requests() != before)
        started = time.perf_counter()
        broker.wait_offloaded("offload", PARTITIONS)
        offload_s = time.perf_counter() - started
        cpu = cpu_seconds(broker.system.pid) - cpu
        made = broker.requests() - before
        listed = sum(count for name, count in made.items() if name.startswith("List"))
        read = sum(count for name, count in made.items() if name.startswith(("Get", "Head")))
        return {
            "rate": size / MIB / offload_s,
            "rate of a plain PUT loop": size / MIB / plain_s,
            "to the plain PUT loop": plain_s / offload_s,
            "broker CPU per GiB": cpu * GIB / size,
            "requests that write, per GiB": (made.total() - listed - read) * GIB / size,
            "requests that read, per GiB": read * GIB / size,
            "LIST": listed,
        }


def plain_puts(broker: ColdBroker, files: list[Path]) -> float:
    """Seconds to read and put the files, a partition's one after the other."""

    def put(partition: int) -> None:
        for file in files[partition::PARTITIONS]:
            broker.store.put(f"plain/{file.parent.name}/{file.name}", file.read_bytes())

    started = time.perf_counter()
    with ThreadPoolExecutor(PARTITIONS) as threads:
        list(threads.map(put, range(PARTITIONS)))
    return time.perf_counter() - started
