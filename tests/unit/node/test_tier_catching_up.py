"""Logs that begin anew behind the cold tier's end (D-8), with a real log and a real tail."""

import errno
from pathlib import Path

import pytest

from tests.log_setup import TOPIC_PARTITION, make_batch
from tests.tier_state import segment
from tests.tier_world import TOPIC_ID
from tests.tiered_log import TieredLog
from tierbroker.cold.errors import StoreUnavailableError
from tierbroker.node.tier_catching_up import CatchingUp, contradicts, must_catch_up
from tierbroker.records.tier.segment import SegmentArray
from tierbroker.records.tier.state import PartitionTier
from tierbroker.replication.partition import Appender, Partition

DOWN = StoreUnavailableError("the store is down")


class LostDisk(TieredLog):
    """Three segments are in the store, and what the disk had is gone."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path / "before"))
        self.log.assign_epoch_start(0, 0)
        values = [b"%d" % n for n in range(10)]
        self.log.append([make_batch(values, producer_id=7, sequence=0)], 0)
        self.log.roll()
        self.fill(2)
        self.upload_all()
        self.setup.directory = str(path / "after")
        self.lost = self.log
        self.log = self.open()
        self.led = Partition(
            TOPIC_PARTITION, TOPIC_ID, None, Appender(self.scheduler), self.led._flusher
        )
        self.led.is_leader, self.led.leader_epoch = True, 5
        self.catching_up = CatchingUp(self.ledger, self.reader, self.stories, self.scheduler)

    @property
    def is_behind(self) -> bool:
        return must_catch_up(self.state.partition(TOPIC_ID, 0), self.log)

    def begin(self) -> None:
        self.catching_up.begin(self.led, self.log)

    def wait(self, seconds: float) -> None:
        self.advance(seconds, tick=False)


@pytest.fixture
def world(tmp_path: Path) -> LostDisk:
    return LostDisk(tmp_path)


def test_the_log_goes_on_behind_the_tier(world: LostDisk) -> None:
    assert world.is_behind
    world.begin()
    assert world.led.log is world.log
    assert (world.log.log_start_offset, world.log.log_end_offset) == (30, 30)
    assert world.led.high_watermark == 30
    assert [(e.epoch, e.start_offset) for e in world.log.epochs.lineage] == [(0, 0), (5, 30)]
    # A producer goes on where it was: what it sends twice is a duplicate.
    (result,) = world.log.append([make_batch([b"x"] * 10, producer_id=7, sequence=0)], 5)
    assert getattr(result, "duplicate", False), result
    assert not world.is_behind
    assert world.catching_up.waiting == 0


def test_one_line_tells_of_all_logs(world: LostDisk, caplog: pytest.LogCaptureFixture) -> None:
    world.store.fail("get_range", DOWN)
    world.begin()
    world.wait(5)
    assert caplog.messages == [
        "t-0 waits for the store, as others may: the store is down",
        "logs that ended before the cold tier does, and go on behind it: 1",
    ]


def test_a_log_that_is_whole_is_left_alone(world: LostDisk) -> None:
    assert not must_catch_up(None, world.log)
    assert not must_catch_up(world.tier(), world.lost)


def test_the_store_is_waited_for_and_the_waiting_told_once(
    world: LostDisk, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.fail("get_range", DOWN, times=float("inf"))
    world.begin()
    world.wait(600)
    assert world.led.log is None
    assert world.catching_up.waiting == 1
    assert len([m for m in caplog.messages if "waits for the store" in m]) == 1
    assert world.store.calls["get_range"] < 40
    world.store.heal()
    world.wait(31)
    assert world.led.log is world.log
    assert world.catching_up.waiting == 0


def test_settings_that_change_meanwhile_count(world: LostDisk) -> None:
    world.store.fail("get_range", DOWN)
    world.begin()
    world.set(segment_ms=12_345)  # `Partitions` hands it to the log, which is nobody's yet
    world.wait(2)
    assert world.led.log is not None
    assert world.led.log.config.segment_ms == 12_345


@pytest.mark.parametrize("closed", [False, True])
def test_a_topic_that_is_deleted_meanwhile(world: LostDisk, *, closed: bool) -> None:
    world.store.fail("get_range", DOWN, times=2)
    world.begin()
    world.delete_topic()
    if closed:
        world.log.close()
    world.wait(10)
    assert world.led.log is None
    assert world.catching_up.waiting == 0
    assert not world.failures


def test_a_topic_that_is_deleted_while_the_tail_is_on_its_way(world: LostDisk) -> None:
    world.store.hold("get_range")
    world.begin()
    world.delete_topic()
    world.log.close()
    world.store.release()
    assert world.led.log is None
    assert not world.failures


def test_a_disk_that_fails_now_leaves_the_partition_without_a_log(world: LostDisk) -> None:
    world.setup.fs.fail_next("open", errno.EIO, times=5)
    world.begin()
    assert world.log.offline
    assert world.led.log is None
    assert not world.failures


def test_a_tier_that_is_empty_still_knows_where_the_log_goes_on(world: LostDisk) -> None:
    world.ledger.retire(TOPIC_ID, 0, 0, 30).result()
    assert world.tier().empty
    assert world.is_behind
    world.begin()
    assert world.led.log is world.log
    assert world.log.log_end_offset == 30
    assert world.store.calls["get_range"] == 0


def tier_by(epoch: int) -> PartitionTier:
    """Offsets 0 to 9, uploaded by a leader of that epoch."""
    return PartitionTier(TOPIC_ID, 0, 0, SegmentArray.of([segment(0, 9, leader_epoch=epoch)]))


def test_a_log_of_a_later_epoch_at_the_same_offsets_is_cut(world: LostDisk) -> None:
    """An old copy of the disk, cut and written anew: what is committed in the tier counts."""
    log = world.log
    log.assign_epoch_start(1, 0)
    log.append([make_batch([b"v"] * 5)], 1)
    log.assign_epoch_start(4, 5)
    log.append([make_batch([b"other"] * 40)], 4)
    assert contradicts(tier_by(3), log)
    assert not contradicts(tier_by(4), log)
    assert not contradicts(tier_by(9), log)
    assert world.tier().segments[-1].leader_epoch == 0
    assert world.log.log_end_offset == 45 > world.tier().end_offset
    assert world.is_behind
    world.begin()
    assert (world.log.log_start_offset, world.log.log_end_offset) == (30, 30)
    assert [e.epoch for e in world.log.epochs.lineage] == [0, 5]


def test_what_was_let_go_locally_cannot_contradict(world: LostDisk) -> None:
    world.begin()
    assert not contradicts(world.tier(), world.log)
