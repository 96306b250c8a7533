"""Where a tiered log starts, and what of it may leave the disk, with a real log."""

import logging
from pathlib import Path

import pytest

from tests.log_setup import make_batch
from tests.tier_world import TOPIC_ID
from tests.tiered_log import TieredLog
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.node.tier_overdue import AGAIN_S, PATIENCE_S

HOUR_MS = 3_600_000


@pytest.fixture
def world(tmp_path: Path) -> TieredLog:
    return TieredLog(str(tmp_path / "t-0"))


def test_a_segment_leaves_once_a_checkpoint_names_it(world: TieredLog) -> None:
    world.set(local_retention_ms=1, retention_ms=-1)
    world.fill(3)
    world.clock.advance(10)
    world.retain()
    assert world.local_bases == [0, 10, 20, 30]
    world.upload_all()
    assert world.ends() == [9, 19, 29]
    world.retain()
    assert world.local_bases == [0, 10, 20, 30]
    world.checkpoint()
    world.fill(1)
    world.upload_all()  # committed, and in no checkpoint
    world.clock.advance(10)
    world.retain()
    assert world.local_bases == [30, 40]
    assert world.led.log_start_offset == 0
    world.checkpoint()
    world.retain()
    assert world.local_bases == [40]


def test_local_retention_keeps_what_it_shall_keep(world: TieredLog) -> None:
    world.fill(5)
    size_bytes = world.log.segments.sealed[0].size_bytes
    world.set(local_retention_bytes=2 * size_bytes, retention_bytes=-1)
    world.upload_all()
    world.checkpoint()
    world.retain()
    assert world.local_bases == [30, 40, 50]


def test_total_retention_moves_the_start_wherever_the_records_lie(world: TieredLog) -> None:
    world.set(local_retention_ms=1, retention_ms=HOUR_MS)
    world.fill(2)
    world.clock.advance(HOUR_MS // 2)
    world.fill(2)
    world.upload_all()
    world.checkpoint()
    world.retain()
    world.clock.advance(HOUR_MS // 2)
    world.retain()
    assert world.led.log_start_offset == 0
    world.clock.advance(1)
    world.retain()
    assert (world.led.log_start_offset, world.tier().start_offset) == (20, 20)
    assert len(world.tier().garbage) == 2
    world.clock.advance(HOUR_MS)
    world.retain()
    assert world.tier().empty
    assert world.led.log_start_offset == world.log.log_end_offset == 40


def test_what_cannot_be_uploaded_goes_by_total_retention_alone(world: TieredLog) -> None:
    world.set(local_retention_ms=1, retention_ms=HOUR_MS)
    world.fill(2)
    world.clock.advance(HOUR_MS)
    world.retain()
    assert world.local_bases == [0, 10, 20]
    world.clock.advance(1)
    world.fill(1)
    world.retain()
    assert world.local_bases == [20, 30]
    assert world.led.log_start_offset == 20
    world.upload_all()  # and the tier begins there
    assert (world.tier().start_offset, world.ends()) == (20, [29])


def test_the_active_segment_goes_as_well_when_it_is_over(world: TieredLog) -> None:
    world.set(retention_ms=HOUR_MS, local_retention_ms=-2)
    world.fill(1)
    batch_end = world.log.log_end_offset
    world.log.roll()
    world.log.append([make_batch(times=world.clock.now_ms())], 0)
    world.led.advance_high_watermark(world.log.log_end_offset)
    world.clock.advance(HOUR_MS + 1)
    for _ in range(3):
        world.retain()
    assert world.led.log_start_offset == batch_end + 1
    assert world.local_bases == [11]


def test_nothing_above_the_high_watermark_goes(world: TieredLog) -> None:
    world.set(retention_ms=1)
    world.fill(2)
    world.led.high_watermark = 15
    world.clock.advance(10)
    world.retain()
    assert world.led.log_start_offset == 10


def test_the_epochs_below_the_start_go_with_the_records(world: TieredLog) -> None:
    world.set(local_retention_ms=1, retention_ms=HOUR_MS)
    world.log.assign_epoch_start(0, 0)
    world.fill(2)
    world.log.assign_epoch_start(1, 20)
    world.clock.advance(HOUR_MS // 2)
    world.fill(1)
    world.upload_all()
    world.checkpoint()
    world.retain()
    assert [entry.epoch for entry in world.log.epochs.lineage] == [0, 1]
    world.clock.advance(HOUR_MS // 2 + 1)
    world.retain()
    world.retain()
    assert [entry.epoch for entry in world.log.epochs.lineage] == [1]


def test_records_deleted_before_the_tier_began_do_not_come_back(world: TieredLog) -> None:
    world.set(local_retention_ms=1, retention_ms=-1)
    world.fill(3)
    world.upload_all()
    world.checkpoint()
    world.log.log_start_offset = 25
    world.retain()
    assert world.tier().log_start_offset == 25
    world.clock.advance(10)
    world.retain()
    assert world.led.log_start_offset == 25


def test_a_retire_that_fails_is_asked_for_again(world: TieredLog) -> None:
    world.set(retention_ms=HOUR_MS)
    world.fill(2)
    world.upload_all()
    world.clock.advance(HOUR_MS + 1)
    world.driver.refuse("retire", KafkaStorageError("the disk fails"))
    world.retain()
    assert world.led.log_start_offset == 0
    world.retain()
    assert world.led.log_start_offset == 20


def test_a_topic_that_is_tiered_no_more_gives_its_cold_part_up(world: TieredLog) -> None:
    world.fill(5)
    size_bytes = world.log.segments.sealed[0].size_bytes
    world.set(local_retention_bytes=size_bytes, retention_bytes=-1)
    world.upload_all()
    world.checkpoint()
    world.retain()
    assert world.local_bases == [40, 50]
    world.set(remote_storage_enable=False)
    world.retention.drop_unwanted()
    assert not world.tier().empty  # the topic does not say that it shall go
    world.set(remote_log_delete_on_disable=True)
    world.retention.drop_unwanted()
    assert world.tier().empty
    assert len(world.tier().garbage) == 5
    assert world.led.log_start_offset == 40
    offset = world.driver.image.offset
    world.retention.drop_unwanted()
    assert world.driver.image.offset == offset  # nothing is left to be said
    assert world.retention.evict_limit(world.log) is None
    # Tiered again: from what is left on.
    world.set(remote_storage_enable=True)
    world.upload_all()
    assert (world.tier().start_offset, world.ends()) == (40, [49])


def test_a_settings_change_overtakes_the_drop(world: TieredLog) -> None:
    world.set(remote_log_delete_on_disable=True)
    world.fill(1)
    world.upload_all()
    world.setup.values["remote.storage.enable"] = False
    world.log.config = world.setup.config  # the log has not heard that it is tiered again
    world.set(remote_storage_enable=True)
    world.setup.values["remote.storage.enable"] = False
    world.log.config = world.setup.config
    world.retention.drop_unwanted()
    assert not world.tier().empty


def test_what_stays_beyond_local_retention_is_counted_and_told_seldom(
    world: TieredLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.set(local_retention_ms=1000, retention_ms=-1)
    world.fill(3)
    world.retain()
    assert world.overdue.size_bytes == 0
    world.clock.advance(1001)
    world.retain()
    local_bytes = world.log.size_bytes
    assert (world.overdue.size_bytes, world.overdue.partitions) == (local_bytes, 1)
    assert caplog.messages == []
    world.clock.advance(int(PATIENCE_S * 1000))
    for _ in range(5):
        world.retain()
        world.clock.advance(60_000)
    (message,) = caplog.messages
    assert message.startswith(f"{local_bytes} bytes of 1 partitions stay on this disk")
    assert message.endswith("t-0 for 2 minutes: the store is down")
    world.clock.advance(int(AGAIN_S * 1000))
    world.retain()
    assert len(caplog.messages) == 2
    # The store is back: local retention holds by itself.
    world.upload_all()
    world.checkpoint()
    world.retain()
    world.retain()
    assert world.overdue.size_bytes == 0
    assert world.local_bases == [30]
    assert caplog.messages[2:] == [
        "local retention holds again: the cold tier has what it should have"
    ]


def test_what_is_on_its_way_is_nothing_to_speak_of(
    world: TieredLog, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy topic always has a closed segment or two that are not in a checkpoint yet."""
    world.set(local_retention_ms=1, retention_ms=-1)
    for _ in range(20):
        world.fill(2)
        world.clock.advance(60_000)
        world.retain()
        assert world.overdue.size_bytes > 0
        world.upload_all()
        world.checkpoint()
        world.retain()
    assert caplog.messages == []


def test_a_partition_that_is_gone_is_not_overdue(world: TieredLog) -> None:
    place = TopicPartition("gone", 0)
    world.overdue.note(place, 100, 0)
    world.overdue.end_round()
    assert world.overdue.size_bytes == 100
    world.overdue.end_round()
    assert world.overdue.size_bytes == 0


def test_a_disk_that_fails_keeps_no_other_partition_from_its_retention(world: TieredLog) -> None:
    world.set(retention_ms=1)
    world.fill(1)
    world.clock.advance(10)
    world.led.log.offline = True  # type: ignore[union-attr]
    world.retain()
    assert world.state.partition(TOPIC_ID, 0) is None
