"""Row cold-state: what a broker that has been tiering for years knows, and what that costs it."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from bench.process_cost import resident_mb
from bench.restart import log_at
from bench.row import Bound, Figure
from bench.system import Durability, System, Tierbroker, new_directory
from tierbroker.base.ids import Uuid
from tierbroker.cli.broker_flags import COLD_SUFFIX
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import MetadataRecord, Result
from tierbroker.controller.state.tier_record import tier_record
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings
from tierbroker.records.tier.partition import PartitionTier
from tierbroker.records.tier.segment import SegmentArray, TierSegment

TOPIC = "old"
SEGMENTS = 1000
"""Of each partition; above 1,250 the oldest ones would be spilled into a manifest."""
SEGMENT_RECORDS = 100_000
PARTITIONS = 1000
MANY_PARTITIONS = 10_000
PARTITIONS_AT_ONCE = 25
"""The pieces of a partition take effect together."""
LOOKUPS = 20_000
SETTLE_S = 4.0


class ColdState:
    """1,000 partitions with 1,000 cold segments each, then 10,000 partitions; nothing is spilled.

    Resource: memory, and one core at start. Physical limit: 56 bytes a segment, which is what the
    metadata log carries; reading those bytes. The segments are made up and their objects do not
    exist: no broker asks for one before somebody reads it.
    """

    name = "cold-state"
    title = "a million cold segments"
    figures = (
        Figure("resident memory, 1,000 partitions without them", "MB"),
        Figure("resident memory", "MB", budget=Bound(150.0)),
        Figure("resident memory, at its highest", "MB", budget=Bound(150.0)),
        Figure("started", "s"),
        Figure("ten million: loaded", "s", budget=Bound(10.0)),
        Figure("lookup", "µs", budget=Bound(10.0)),
    )
    repetitions = 1
    durability = None

    def prepare(self, system: System) -> None:
        """Every repetition starts brokers of its own: nothing is warm."""

    def measure(self, system: System) -> Mapping[str, float]:
        if not isinstance(system, Tierbroker):
            return {}
        # A checkpoint holds all of it once more: it is to be in the figures.
        broker = system.variant("--set", "tier.checkpoint.interval.ms=1000")
        broker.start(Durability.REPLICATED)
        _create(broker.bootstrap)
        time.sleep(SETTLE_S)
        without = resident_mb(broker.pid)
        data = broker.data
        _, started = broker.restart(lambda: asyncio.run(_make_cold(data)))
        time.sleep(2 * SETTLE_S)
        resident, highest = resident_mb(broker.pid), resident_mb(broker.pid, highest=True)
        broker.stop()
        return {
            "resident memory, 1,000 partitions without them": without,
            "resident memory": resident,
            "resident memory, at its highest": highest,
            "started": started,
            "ten million: loaded": asyncio.run(_load_many()),
            "lookup": _lookup_us(),
        }

    def floor(self) -> Mapping[str, float]:
        return {}


def cold_segments() -> SegmentArray:
    """The segments of one partition, each behind the other."""
    return SegmentArray.of(
        TierSegment(
            base_offset=number * SEGMENT_RECORDS,
            end_offset=(number + 1) * SEGMENT_RECORDS - 1,
            leader_epoch=0,
            intent_offset=number,
            incarnation=0,
            log_bytes=1 << 30,
            object_bytes=(1 << 30) + 100_000,
            max_timestamp_ms=1_600_000_000_000 + number * 3_600_000,
            checksum=number * 0x9E3779B97F4A7C15 & (1 << 64) - 1,
            has_aborted=False,
        )
        for number in range(SEGMENTS)
    )


def _create(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topic = NewTopic(TOPIC, PARTITIONS, 1, config={"remote.storage.enable": "true"})
    admin.create_topics([topic], operation_timeout=60)[TOPIC].result(60)


def _node(data: Path) -> Node:
    flags = {
        "log.dirs": str(data),
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "cold.url": f"file://{data}{COLD_SUFFIX}",  # where `tierbroker dev` has it
        "metadata.log.max.record.bytes.between.snapshots": str(1 << 40),
    }
    return Node(Settings.load(flags))


async def _make_cold(data: Path) -> None:
    """Write the segments into the metadata log, and let the local logs begin behind them."""
    node = _node(data)
    await node.start()
    topic = node.metadata.topic(TOPIC)
    assert topic is not None
    await _note(node, topic.topic_id, PARTITIONS)
    await node.stop()
    for index in range(PARTITIONS):
        log = log_at(data / f"{TOPIC}-{index}", clean=True)
        log.truncate_fully_and_start_at(SEGMENTS * SEGMENT_RECORDS)
        log.close()


async def _note(node: Node, topic_id: Uuid, partitions: int) -> None:
    segments = cold_segments()
    for first in range(0, partitions, PARTITIONS_AT_ONCE):
        records = tuple(
            tier_record(piece)
            for partition in range(first, min(first + PARTITIONS_AT_ONCE, partitions))
            for piece in PartitionTier(topic_id, partition, 0, segments).pieces()
        )
        await _submit(node, records)


async def _submit(node: Node, records: tuple[MetadataRecord, ...]) -> None:
    def decide(_: MetadataImage) -> Result[None]:
        return Result(records, None)

    await node._controller.submit(decide)


async def _load_many() -> float:
    """Seconds that a broker needs longer to start, with the segments of 10,000 partitions."""
    directory = new_directory()
    data = directory / "data"
    node = _node(data)
    await node.start()
    await node.stop()
    began = time.perf_counter()
    node = _node(data)
    await node.start()
    without = time.perf_counter() - began
    await _note(node, Uuid(b"many".ljust(16, b".")), MANY_PARTITIONS)
    await node.stop()
    began = time.perf_counter()
    node = _node(data)
    await node.start()
    seconds = time.perf_counter() - began
    assert len(node.metadata.tier.partitions) == MANY_PARTITIONS
    await node.stop()
    shutil.rmtree(directory)
    return seconds - without


def _lookup_us() -> float:
    tier = PartitionTier(Uuid(bytes(16)), 0, 0, cold_segments())
    offsets = [number * 7919 % (SEGMENTS * SEGMENT_RECORDS) for number in range(LOOKUPS)]
    began = time.process_time()
    for offset in offsets:
        tier.find(offset)
    return (time.process_time() - began) / LOOKUPS * 1e6
