"""Row 8: records that are in the object store alone."""

import time
from collections.abc import Mapping

from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.system import System, Tierbroker
from bench.tiered import LATEST_TIERED, MIB, ColdBroker

PARTITIONS = 4
SEGMENT_BYTES = 64 * MIB
SEGMENTS = 2
RANGE_BYTES = 8 * MIB
FETCH_BYTES = 2 * MIB
GIB = 1 << 30


class ColdRead:
    """Row 8: 4 partitions with 2 cold segments of 64 MiB each, from their beginning, one by one.

    Resource: both cores, shared by MinIO, broker and reader. Physical limit: a loop of ranged GETs
    (8 MiB, one after the other) over the same objects. The reader is a raw client with one
    request of 2 MiB under way, as librdkafka has one at a time.
    """

    name = "8"
    title = "cold read from MinIO on the same machine"
    figures = (
        Figure("rate", "MiB/s"),
        Figure("rate of a plain ranged-GET loop", "MiB/s"),
        Figure("to the plain ranged-GET loop", "×", budget=Bound(0.7, at_least=True)),
        Figure("first record of a partition", "ms"),
        Figure("plain GET of 128 KiB", "ms"),
        Figure("broker CPU per GiB", "CPU-s/GiB"),
        Figure("GET per GiB", ""),
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
            broker.create("cold", PARTITIONS, segment_bytes=str(SEGMENT_BYTES))
            for partition in range(PARTITIONS):
                broker.fill("cold", partition, SEGMENTS * SEGMENT_BYTES + MIB)
            broker.wait_offloaded("cold", PARTITIONS)
            broker.evict("cold", PARTITIONS)
            return self._measure(broker)
        finally:
            broker.stop()

    def floor(self) -> Mapping[str, float]:
        return {}

    def _measure(self, broker: ColdBroker) -> Mapping[str, float]:
        objects = broker.segment_objects()
        plain_bytes, plain_s = plain_gets(broker, objects)
        ends = [
            broker.offset("cold", partition, LATEST_TIERED) + 1 for partition in range(PARTITIONS)
        ]
        firsts, first_gets = [], []
        before, cpu = broker.requests(), cpu_seconds(broker.system.pid)
        started = time.perf_counter()
        size = 0
        for partition, end in enumerate(ends):
            begun = time.perf_counter()
            first, offset = broker.read("cold", partition, 0, 1, MIB // 16)
            firsts.append(time.perf_counter() - begun)
            size += first + broker.read("cold", partition, offset, end, FETCH_BYTES)[0]
        cold_s = time.perf_counter() - started
        cpu = cpu_seconds(broker.system.pid) - cpu
        made = broker.requests() - before
        for key, _ in objects:
            begun = time.perf_counter()
            broker.store.get_range(key, start=MIB, length=128 * 1024)
            first_gets.append(time.perf_counter() - begun)
        rate, plain_rate = size / MIB / cold_s, plain_bytes / MIB / plain_s
        return {
            "rate": rate,
            "rate of a plain ranged-GET loop": plain_rate,
            "to the plain ranged-GET loop": rate / plain_rate,
            "first record of a partition": sorted(firsts)[len(firsts) // 2] * 1e3,
            "plain GET of 128 KiB": sorted(first_gets)[len(first_gets) // 2] * 1e3,
            "broker CPU per GiB": cpu * GIB / size,
            "GET per GiB": made["GetObject"] * GIB / size,
            "LIST": sum(count for name, count in made.items() if name.startswith("List")),
        }


def plain_gets(broker: ColdBroker, objects: list[tuple[str, int]]) -> tuple[int, float]:
    """(bytes, seconds) of reading the objects in ranges."""
    size = 0
    started = time.perf_counter()
    for key, object_bytes in objects:
        for position in range(0, object_bytes, RANGE_BYTES):
            length = min(RANGE_BYTES, object_bytes - position)
            size += len(broker.store.get_range(key, start=position, length=length))
    return size, time.perf_counter() - started
