"""A cluster comes back from its bucket: on a real directory, from a store in memory."""

import errno
import random
import shutil
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tests.lost_cluster import CLUSTER_ID, OFFSETS_PARTITIONS, LostCluster, by_place
from tests.tier_world import INCARNATION, STORE_ID
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import DataDirError
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.base.java_hash import partition_of
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import tell
from tierbroker.cold.errors import StoreError, StoreMismatchError, StoreUnavailableError
from tierbroker.cold.head import read_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.groups.record_codec import CommittedOffset, offset_key, offset_value
from tierbroker.hot.offset_checkpoint import LOG_START_FILE
from tierbroker.node.metadata import open_metadata
from tierbroker.node.restoring import (
    LEADER_EPOCHS_SKIPPED,
    PRODUCER_IDS_SKIPPED,
    restore,
)
from tierbroker.node.settings import Settings
from tierbroker.node.storage import open_storage


@pytest.fixture
def world(tmp_path: Path) -> LostCluster:
    return LostCluster(tmp_path / "data")


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
    world.store.may_be_listed = True
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
    assert not any(world.directory.iterdir())
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


def test_a_directory_that_cannot_be_written_leaves_the_cluster_to_the_old_host(
    world: LostCluster,
) -> None:
    world.fill(1)
    world.checkpoint()
    before = dict(world.store.contents)
    disk = FaultyFileSystem()
    disk.fail_next("open", errno.EACCES, times=100)
    with pytest.raises(DataDirError, match=f"{world.directory} cannot be written.*was changed"):
        world.restore(fs=disk)
    assert world.store.contents == before
    world.restore()


@pytest.mark.parametrize(
    ("op", "path_part"),
    [
        ("mkdir", "hot-0"),
        ("write", f"{OFFSETS_TOPIC}-"),
        ("rename", LOG_START_FILE),
        ("rename", "quorum-state"),
        ("rename", ".checkpoint"),
    ],
)
def test_what_a_failed_disk_leaves_does_not_start(
    world: LostCluster, tmp_path: Path, op: str, path_part: str
) -> None:
    world.fill(1)
    world.ends = {TopicPartition("hot", 0): 500}
    world.groups.offsets = {"readers": {TopicPartition("t", 0): 5}}
    world.checkpoint()
    disk = FaultyFileSystem()
    disk.fail_next(op, errno.EIO, times=100, path_part=path_part)
    with pytest.raises(DataDirError, match=f"{world.directory} by now is not whole: remove it"):
        world.restore(fs=disk)
    assert not list(world.directory.glob("__cluster_metadata-0/*.checkpoint"))
    directory = shutil.copytree(world.directory, tmp_path / "as after a crash")
    with pytest.raises(DataDirError, match=r"metadata log is empty, but .* holds \d+ partitions"):
        start_metadata_in(directory)
    shutil.rmtree(world.directory)
    world.restore()
    assert world.log(TopicPartition("hot", 0)).log_end_offset == 500


def start_metadata_in(directory: Path) -> None:
    """As far as a broker gets that cannot explain the logs in its directory."""
    settings = Settings.load({"log.dirs": str(directory), "node.id": "1"})
    clock, rng, executor = ManualClock(), random.Random(0), InlineExecutor()
    storage = open_storage(
        settings.values, OsFileSystem(), executor, clock, rng, ManualScheduler(), _never
    )
    try:
        open_metadata(settings, storage, executor, clock, rng, _never)
    finally:
        storage.close()


def _never(*_: object) -> None:
    raise AssertionError("the disk is well")


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


def test_each_restore_goes_past_the_one_before_although_no_checkpoint_knows_it(
    world: LostCluster, tmp_path: Path
) -> None:
    world.fill(1)
    world.checkpoint()
    epochs, producer_ids = [], []
    for number in range(3):
        world.directory = tmp_path / str(number)
        world.restore()
        image = world.image()
        epochs.append({p.leader_epoch for topic in image.topics for p in topic.partitions})
        producer_ids.append(image.producer_ids.next_producer_id)
    assert epochs == [{step * LEADER_EPOCHS_SKIPPED} for step in (1, 2, 3)]
    assert producer_ids == [7000 + step * PRODUCER_IDS_SKIPPED for step in (1, 2, 3)]
