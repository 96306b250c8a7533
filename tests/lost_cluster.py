"""A cluster whose disk is lost: on a real directory, with a store in memory."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.metadata_cluster import replayed, with_topic
from tests.tier_world import INCARNATION, STORE_ID, TierWorld
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import FileSystem, OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import tell
from tierbroker.cold.checkpointer import Checkpointer
from tierbroker.cold.head import Head, read_head, write_head
from tierbroker.cold.spool import Spool
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.producer_ids_record import ProducerIdsRecord
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.groups.record_codec import CommittedOffset
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log
from tierbroker.hot.offset_checkpoint import LOG_START_FILE
from tierbroker.node.cluster_state import ClusterSnapshots
from tierbroker.node.metadata_on_disk import read_metadata
from tierbroker.node.restoring import (
    Restored,
    restore,
)
from tierbroker.records.record import iterate
from tierbroker.records.text_checkpoint import decode as decode_offsets

DAY_MS = 86_400_000
OFFSETS_PARTITIONS = 4
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"


@dataclass
class FakeGroups:
    """Committed offsets of groups, on one shard."""

    offsets: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)
    committed_ms: int = 0

    def active_shards(self) -> list[Any]:
        return [SimpleNamespace(offsets=SimpleNamespace(store=self))]

    def groups(self) -> list[str]:
        return list(self.offsets)

    def topics(self, group: str) -> list[str]:
        return sorted({place.topic for place in self.offsets[group]})

    def committed(self, group: str, topic: str) -> list[tuple[int, CommittedOffset]]:
        return [
            (place.partition, CommittedOffset(offset, 3, "note", self.committed_ms))
            for place, offset in self.offsets[group].items()
            if place.topic == topic
        ]


class LostCluster(TierWorld):
    """Topic t is tiered, topic hot is not; then the disk is gone."""

    def __init__(self, directory: Path, partitions: int = 2) -> None:
        super().__init__(partitions)
        self.uploader._cluster_id = CLUSTER_ID
        self.directory = directory
        self.groups = FakeGroups(committed_ms=self.clock.now_ms() - 30 * DAY_MS)
        self.ends: dict[TopicPartition, int] = {}
        image = with_topic(self.driver.image, "hot", (1,))
        image = with_topic(image, OFFSETS_TOPIC, *([(1,)] * OFFSETS_PARTITIONS))
        self.driver.image = replayed(
            image,
            [
                ConfigRecord(2, "t", "remote.storage.enable", "true"),
                ConfigRecord(2, "hot", "retention.ms", "12345"),
                ProducerIdsRecord(1, 1, 7000),
            ],
        )
        self.etag = tell(
            write_head(self.store, Head(CLUSTER_ID, STORE_ID, INCARNATION), None)
        ).result()

    def checkpoint(self) -> None:
        """As the broker does it."""
        log = SimpleNamespace(offline=False, log_start_offset=0)
        held = [
            SimpleNamespace(topic_partition=place, log=log, high_watermark=end, leader_epoch=0)
            for place, end in self.ends.items()
        ]
        cluster: Any = ClusterSnapshots(
            self.driver,  # type: ignore[arg-type]
            self.groups,  # type: ignore[arg-type]
            held,  # type: ignore[arg-type]
            self.clock,
            self.scheduler,
            lambda: Spool(OsFileSystem(), InlineExecutor(), str(self.directory / "spool"), 0),
        )
        found = tell(read_head(self.store)).result()
        assert found is not None
        taker = Checkpointer(self.store, self.ledger, cluster, *found, self.clock)
        taking = tell(taker.take())
        while not taking.done:
            self.scheduler.advance(0.001)
        taking.result()
        assert taker.failure is None

    def fill(self, segments: int) -> None:
        for number, partition in enumerate(self.partitions):
            for _ in range(segments):
                partition.close_segment(time_ms=1000 + number)
        self.upload_all()

    def restore(self, checkpoint: int | None = None, fs: FileSystem | None = None) -> Restored:
        return tell(
            restore(
                self.store,
                {"log.dirs": str(self.directory), "node.id": "1"},
                fs=fs or OsFileSystem(),
                clock=self.clock,
                rng=self.rng,
                checkpoint=checkpoint,
            )
        ).result()

    def damage(self, number: int) -> str:
        """One of the checkpoints, the newest is 0; answers its key."""
        found = tell(read_head(self.store)).result()
        assert found is not None
        key = found[0].checkpoints[number].key
        self.store.contents[key] = self.store.contents[key][::-1]
        return key

    def image(self) -> MetadataImage:
        """What the new directory says."""
        return read_metadata(OsFileSystem(), str(self.directory))

    def log(self, place: TopicPartition) -> Log:
        """A log of the new directory."""
        starts = decode_offsets((self.directory / LOG_START_FILE).read_bytes())
        start = {(topic, number): offset for topic, number, offset in starts}
        return open_log(
            FileCache(OsFileSystem(), capacity=4),
            str(self.directory / str(place)),
            place,
            LogConfig.from_values({}),
            clock=ManualClock(),
            rng=random.Random(0),
            topic_id=self.driver.image.topic(place.topic).topic_id,  # type: ignore[union-attr]
            clean=True,
            recovery_point=0,
            log_start_offset=start.get((place.topic, place.partition), 0),
        )

    def group_records(self) -> dict[bytes, bytes | None]:
        """What the logs of the offsets topic hold."""
        found: dict[bytes, bytes | None] = {}
        for number in range(OFFSETS_PARTITIONS):
            log = self.log(TopicPartition(OFFSETS_TOPIC, number))
            if log.log_end_offset:
                data = log.read_bytes(0, 1 << 20, log.log_end_offset)
                for record in iterate(memoryview(data)):
                    assert record.key is not None
                    found[record.key] = record.value
        return found


def by_place(restored: Restored) -> dict[TopicPartition, Any]:
    return {partition.place: partition for partition in restored.partitions}
