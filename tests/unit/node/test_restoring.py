"""A cluster comes back from its bucket: on a real directory, from a store in memory."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.metadata_cluster import replayed, with_topic
from tests.tier_world import INCARNATION, STORE_ID, TierWorld
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import DataDirError
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.base.java_hash import partition_of
from tierbroker.base.story import tell
from tierbroker.cold.checkpointer import Checkpointer
from tierbroker.cold.errors import StoreError, StoreMismatchError, StoreUnavailableError
from tierbroker.cold.head import Head, read_head, write_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.producer_ids_record import ProducerIdsRecord
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.groups.record_codec import CommittedOffset, offset_key, offset_value
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log
from tierbroker.hot.offset_checkpoint import LOG_START_FILE
from tierbroker.node.cluster_state import ClusterSnapshots
from tierbroker.node.metadata_on_disk import read_metadata
from tierbroker.node.restoring import (
    LEADER_EPOCHS_SKIPPED,
    PRODUCER_IDS_SKIPPED,
    Restored,
    restore,
)
from tierbroker.records.record import iterate
from tierbroker.records.text_checkpoint import decode as decode_offsets

DAY_MS = 86_400_000
OFFSETS_PARTITIONS = 4


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

    def restore(self) -> Restored:
        return tell(
            restore(
                self.store,
                {"log.dirs": str(self.directory), "node.id": "1"},
                fs=OsFileSystem(),
                clock=self.clock,
                rng=self.rng,
            )
        ).result()

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


CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"


@pytest.fixture
def world(tmp_path: Path) -> LostCluster:
    world = LostCluster(tmp_path / "data")
    world.uploader._cluster_id = CLUSTER_ID
    return world


def by_place(restored: Restored) -> dict[TopicPartition, Any]:
    return {partition.place: partition for partition in restored.partitions}


def test_all_that_the_bucket_knows_comes_back(world: LostCluster) -> None:
    world.fill(3)
    world.ends = {
        TopicPartition("t", 0): 35,
        TopicPartition("t", 1): 30,
        TopicPartition("hot", 0): 500,
    }
    world.checkpoint()
    old = world.driver.image
    restored = world.restore()
    found = by_place(restored)
    first = found[TopicPartition("t", 0)]
    assert (first.start_offset, first.end_offset, first.missing) == (0, 30, 5)
    assert (first.newest_ms, first.tiered) == (1000, True)
    assert found[TopicPartition("t", 1)].missing == 0
    hot = found[TopicPartition("hot", 0)]
    assert (hot.start_offset, hot.end_offset, hot.missing, hot.tiered) == (500, 500, 500, False)

    image = world.image()
    assert {topic.name for topic in image.topics} == {"t", "hot", OFFSETS_TOPIC}
    assert image.topic("t").topic_id == old.topic("t").topic_id  # type: ignore[union-attr]
    assert image.configs.topic("hot") == {"retention.ms": "12345"}
    for number in range(2):
        assert image.tier.partition(old.topic("t").topic_id, number).segments == (  # type: ignore[union-attr]
            world.tier(number).segments
        )
    # An offset that was given once is not given again, of a topic that had nothing in the bucket.
    log = world.log(TopicPartition("hot", 0))
    assert (log.log_start_offset, log.log_end_offset) == (500, 500)
    assert not (world.directory / "t-0").exists()  # made at the first start, behind the tier


def test_everything_moves_past_what_the_old_host_may_have_done(world: LostCluster) -> None:
    world.fill(1)
    world.checkpoint()
    old = world.driver.image
    restored = world.restore()
    image = world.image()
    assert image.producer_ids.next_producer_id == 7000 + PRODUCER_IDS_SKIPPED
    for topic in image.topics:
        before = old.topic(topic.name)
        assert before is not None
        for now, then in zip(topic.partitions, before.partitions, strict=True):
            assert now.leader_epoch == then.leader_epoch + LEADER_EPOCHS_SKIPPED
            assert now.partition_epoch > then.partition_epoch
            assert (now.leader, now.replicas, now.isr) == (1, (1,), (1,))
    assert image.tier.store_id == STORE_ID
    assert image.tier.incarnations[:-1] == (INCARNATION,)
    assert image.tier.incarnations[-1] == restored.head.incarnation != INCARNATION
    found = tell(read_head(world.store)).result()
    assert found is not None
    assert found[0].incarnation == restored.head.incarnation
    assert found[0].checkpoints == restored.head.checkpoints
    # The metadata goes on behind all that the old host wrote down.
    assert image.offset >= restored.checkpoint.metadata_offset


def test_group_offsets_are_clamped_to_what_came_back(world: LostCluster) -> None:
    world.fill(3)
    world.ledger.retire(world.partition.topic_id, 0, 0, 20).result()
    t0, t1 = TopicPartition("t", 0), TopicPartition("t", 1)
    hot, gone = TopicPartition("hot", 0), TopicPartition("gone", 0)
    world.ends = {hot: 500}
    world.groups.offsets = {
        "inside": {t0: 25, t1: 30},
        "ahead": {t0: 35, hot: 501},
        "behind": {t0: 3},
        "elsewhere": {gone: 7},
    }
    world.checkpoint()
    restored = world.restore()
    assert (restored.group_offsets, restored.clamped_offsets) == (5, 3)
    records = world.group_records()
    now_ms = world.clock.now_ms()

    def value(offset: int, epoch: int) -> bytes:
        # The time is that of the restore: nobody was idle while the cluster was lost.
        return offset_value(CommittedOffset(offset, epoch, "note", now_ms))

    assert records == {
        offset_key("inside", "t", 0): value(25, 3),
        offset_key("inside", "t", 1): value(30, 3),
        offset_key("ahead", "t", 0): value(30, -1),
        offset_key("ahead", "hot", 0): value(500, -1),
        offset_key("behind", "t", 0): value(20, -1),
    }
    shard = partition_of("ahead", OFFSETS_PARTITIONS)
    log = world.log(TopicPartition(OFFSETS_TOPIC, shard))
    assert log.log_end_offset > 0
    assert log.latest_epoch == LEADER_EPOCHS_SKIPPED


def test_uploads_that_were_under_way_are_inherited_as_such(world: LostCluster) -> None:
    world.fill(1)
    world.partition.close_segment()
    world.store.hold("put")
    world.uploader.tick()
    world.store.hold_no_more()
    (left,) = world.tier().intents
    world.checkpoint()
    world.restore()
    tier = world.image().tier.partition(world.partition.topic_id, 0)
    assert tier is not None
    assert tier.intents == (left,)


def test_a_directory_that_is_not_empty_changes_nothing(world: LostCluster) -> None:
    world.fill(1)
    world.checkpoint()
    before = dict(world.store.contents)
    world.directory.mkdir()
    (world.directory / "something").touch()
    with pytest.raises(DataDirError, match="not empty"):
        world.restore()
    assert world.store.contents == before


def test_a_store_without_a_cluster_or_a_checkpoint(world: LostCluster) -> None:
    with pytest.raises(StoreMismatchError, match="no checkpoint"):
        world.restore()
    world.store.inner.delete(HEAD_KEY)
    with pytest.raises(StoreMismatchError, match="holds no cluster"):
        world.restore()
    assert not world.directory.exists()


@pytest.mark.parametrize("damage", ["changed", "short", "gone"])
def test_a_checkpoint_that_is_not_what_was_written(world: LostCluster, damage: str) -> None:
    world.fill(1)
    world.checkpoint()
    (key,) = (key for key in world.store.contents if key.endswith(".ckpt"))
    content = bytearray(world.store.contents[key])
    content[len(content) // 2] ^= 1
    if damage == "gone":
        world.store.inner.delete(key)
    else:
        world.store.contents[key] = bytes(content if damage == "changed" else content[:-1])
    with pytest.raises(StoreError, match=key):
        world.restore()
    found = tell(read_head(world.store)).result()
    assert found is not None
    assert found[0].incarnation == INCARNATION  # the old host is not cut off for nothing


def test_of_two_restores_at_once_one_gets_the_cluster(world: LostCluster, tmp_path: Path) -> None:
    world.fill(1)
    world.checkpoint()
    world.store.fail("put", StoreUnavailableError("no answer"), suffix=HEAD_KEY)
    with pytest.raises(StoreUnavailableError):
        world.restore()
    assert not world.directory.exists()
    other = LostCluster(tmp_path / "other")
    other.store = world.store
    held = world.store
    held.hold("put")
    flags = {"log.dirs": str(other.directory)}
    rest = {"fs": OsFileSystem(), "clock": world.clock}
    first = tell(restore(held, flags, rng=random.Random(1), **rest))  # type: ignore[arg-type]
    second = tell(restore(held, flags, rng=random.Random(2), **rest))  # type: ignore[arg-type]
    held.release(1)
    assert first.result().head.cluster_id == CLUSTER_ID
    held.release()
    with pytest.raises(StoreMismatchError):
        second.result()


def test_it_is_restored_again_and_again(world: LostCluster, tmp_path: Path) -> None:
    world.fill(2)
    world.checkpoint()
    seen = set()
    for number in range(3):
        world.directory = tmp_path / str(number)
        seen.add(world.restore().head.incarnation)
        image = world.image()
        assert image.tier.partition(world.partition.topic_id, 1).end_offset == 19  # type: ignore[union-attr]
    assert len(seen) == 3
