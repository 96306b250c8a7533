"""Uploads: intent, object, commit; what fails leaves at most an object to be cleared away."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from tests.tier_world import CLUSTER, TOPIC_ID, FakePartition, TierWorld
from tierbroker.base.errors import ApiError, KafkaStorageError
from tierbroker.base.pending import Pending
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectDamagedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tierbroker.cold.ports import UploadPlan
from tierbroker.cold.uploader import IN_A_ROW, LONGEST_PAUSE_S, PARTITIONS_A_TURN
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.records.tier.events import TierIntent
from tierbroker.records.tier.segment import ObjectKind

DOWN = StoreUnavailableError("the store is down")
REFUSED = StoreRefusedError("access denied")


def close(world: TierWorld, count: int, number: int = 0) -> FakePartition:
    partition = world.partitions[number]
    for _ in range(count):
        partition.close_segment()
    return partition


def test_closed_segments_go_one_after_the_other_and_are_what_was_committed() -> None:
    world = TierWorld()
    close(world, 3)
    world.upload_all()
    assert world.ends() == [9, 19, 29]
    assert world.store.puts == sorted(world.store.contents)
    for segment, (key, content) in zip(
        world.tier().segments, sorted(world.store.contents.items()), strict=True
    ):
        assert key.startswith(f"{CLUSTER}/")
        assert key.endswith(
            f"/0/{segment.base_offset:020}-{segment.end_offset:020}.0.{segment.intent_offset}.seg"
        )
        assert segment.object_bytes == len(content)
        assert segment.checksum == crc64nvme(content)
        assert content[: segment.log_bytes] == bytes([segment.base_offset]) * 100
    assert world.tier().intents == ()
    assert world.uploader.counts.segments == 3
    assert world.store.calls["list"] == world.store.calls["delete"] == 0


def test_nothing_at_or_above_the_upload_limit_goes() -> None:
    world = TierWorld()
    partition = close(world, 2)
    partition.upload_limit = 19
    world.upload_all()
    assert world.ends() == [9]
    partition.upload_limit = 20
    world.upload_all()
    assert world.ends() == [9, 19]


def test_records_that_were_deleted_before_the_tier_began_do_not_come_back() -> None:
    world = TierWorld()
    partition = close(world, 2)
    partition.log_start_offset = 3
    world.driver.refuse("retire", KafkaStorageError("the disk fails"))
    world.uploader.tick()
    assert not world.store.puts  # not before it is known where the log starts
    world.advance(5)
    assert world.ends() == [9, 19]
    assert world.tier().start_offset == 0
    assert world.tier().log_start_offset == 3
    assert world.tier().intents == ()


def test_a_segment_that_was_deleted_while_its_upload_was_announced_does_not_count() -> None:
    world = TierWorld()
    partition = close(world, 2)
    decide = world.ledger.begin_uploads

    def deleting(plans: Sequence[UploadPlan]) -> Pending[list[TierIntent | ApiError]]:
        partition.log_start_offset = 12
        return decide(plans)

    world.ledger.begin_uploads = deleting  # type: ignore[method-assign]
    world.advance(5)
    assert world.ends() == [19]
    assert (world.tier().start_offset, world.tier().log_start_offset) == (10, 12)


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("decision", ["begin_uploads", "commit_upload"])
def test_a_metadata_log_that_fails_is_asked_again(decision: str, *, decided: bool) -> None:
    world = TierWorld()
    close(world, 2)
    world.driver.refuse(decision, KafkaStorageError("the disk fails"), decided=decided)
    world.uploader.tick()
    assert not world.uploader.counts.segments
    world.advance(5)
    assert world.ends() == [9, 19]
    assert world.tier().intents == ()
    # Each key was used once, and what does not count is garbage.
    assert len(set(world.store.puts)) == len(world.store.puts)
    live = {segment.intent_offset for segment in world.tier().segments}
    garbage = set(world.tier().garbage.intent_offsets())
    assert not live & garbage
    assert len(world.store.contents) <= len(live | garbage)


def test_what_an_earlier_run_began_is_given_up_first() -> None:
    world = TierWorld()
    close(world, 1)
    world.store.hold("put")
    world.uploader.tick()
    (left,) = world.tier().intents
    world.stories.stop()  # the broker is killed
    again = TierWorld()
    again.driver.image = world.driver.image
    close(again, 1)
    again.upload_all()
    assert again.ends() == [9]
    assert list(again.tier().garbage.intent_offsets()) == [left.intent_offset]
    (segment,) = again.tier().segments
    assert segment.intent_offset != left.intent_offset


def test_a_manifest_under_way_is_not_the_uploaders_to_give_up() -> None:
    world = TierWorld()
    close(world, 2)
    world.upload_all()
    plan = UploadPlan(TOPIC_ID, 0, 0, 0, 19, ObjectKind.MANIFEST)
    world.ledger.begin_uploads([plan]).result()
    close(world, 1)
    world.upload_all()
    assert world.ends() == [9, 19, 29]
    assert len(world.tier().intents) == 1


def test_an_attempt_is_repeated_under_the_same_key_with_the_same_bytes() -> None:
    world = TierWorld()
    close(world, 1)
    world.store.fail("put", DOWN, times=2)
    world.store.fail("put", DOWN, done=True)  # the store did it, and nobody heard
    world.uploader.tick()
    assert "down" in world.uploader.troubles[world.partition.topic_partition].reason
    world.advance(20)
    assert world.ends() == [9]
    assert len(world.store.puts) == 4
    assert len(set(world.store.puts)) == 1
    assert not world.tier().garbage
    assert world.uploader.troubles == {}


def test_pauses_grow_and_end() -> None:
    world = TierWorld(deadline_s=100_000.0)
    close(world, 1)
    world.store.fail("put", DOWN, times=float("inf"))
    world.uploader.tick()
    counts = []
    for _ in range(10):
        world.advance(60)
        counts.append(len(world.store.puts))
    assert counts[0] <= 8
    assert all(after - before in (1, 2) for before, after in pairwise(counts[2:]))
    world.store.heal()
    world.advance(LONGEST_PAUSE_S + 1)
    assert world.ends() == [9]


def test_after_the_deadline_the_upload_begins_anew_under_another_key() -> None:
    world = TierWorld(deadline_s=10.0)
    close(world, 1)
    world.store.fail("put", DOWN, times=float("inf"))
    world.uploader.tick()
    world.advance(30)
    assert len(set(world.store.puts)) == 2
    assert len(world.tier().garbage) == 1
    world.store.heal()
    world.advance(120)
    assert world.ends() == [9]


def test_a_long_outage_leaves_few_attempts_to_clear_away() -> None:
    world = TierWorld(partitions=50)
    for number in range(50):
        close(world, 3, number)
    world.store.fail("put", REFUSED, times=float("inf"))
    world.uploader.tick()
    world.advance(3600, step=0.5)
    garbage = sum(len(tier.garbage) for tier in world.state.partitions.values())
    assert garbage < 80  # one a minute
    world.store.heal()
    world.advance(90)
    assert all(world.ends(number) == [9, 19, 29] for number in range(50))


def test_a_broken_answer_does_not_count() -> None:
    world = TierWorld()
    close(world, 1)
    world.store.fail("put", ObjectDamagedError("half of it arrived"))
    world.uploader.tick()
    assert world.ends() == []
    assert len(world.tier().garbage) == 1
    world.advance(5)
    assert world.ends() == [9]


@pytest.mark.parametrize("error", [KafkaStorageError("damaged"), LookupError("gone")])
def test_a_segment_that_cannot_be_read_leaves_no_intent(error: Exception) -> None:
    world = TierWorld()
    partition = close(world, 1)
    before = world.driver.image.offset
    opened = partition.open_segment

    def refuse(_: int) -> object:
        raise error

    partition.open_segment = refuse  # type: ignore[method-assign, assignment]
    world.uploader.tick()
    world.advance(30)
    assert world.driver.image.offset == before
    assert world.uploader.troubles
    partition.open_segment = opened  # type: ignore[method-assign]
    world.advance(61)
    assert world.ends() == [9]


def test_a_disk_that_fails_in_one_partition_does_not_slow_the_others_down() -> None:
    world = TierWorld(partitions=2)
    close(world, 1, 0)
    close(world, 20, 1)
    world.store.fail("put", BodyUnreadableError("EIO"), suffix="", times=3)
    world.uploader.tick()
    world.advance(10)
    assert len(world.ends(1)) == 20


def test_who_was_deposed_uploads_nothing_that_counts() -> None:
    world = TierWorld()
    partition = close(world, 2)
    world.store.hold("put")
    world.uploader.tick()
    world.driver.apply(PartitionChangeRecord(0, TOPIC_ID, leader=1))  # a new leader epoch
    assert world.driver.image.topic("t").partitions[0].leader_epoch == 1  # type: ignore[union-attr]
    world.store.release()
    assert world.ends() == []
    assert len(world.tier().garbage) == 1
    # It leads again, in the new epoch.
    partition.leader_epoch = 1
    world.advance(5)
    assert world.ends() == [9, 19]
    assert {segment.leader_epoch for segment in world.tier().segments} == {1}


def test_who_leads_no_more_stops_trying() -> None:
    world = TierWorld()
    partition = close(world, 1)
    world.store.fail("put", DOWN, times=float("inf"))
    world.uploader.tick()
    partition.is_leader = False
    world.advance(120)
    assert world.uploader.idle
    attempts = len(world.store.puts)
    world.advance(120)
    assert len(world.store.puts) == attempts
    assert world.uploader.troubles == {}


def test_a_topic_that_is_deleted_meanwhile() -> None:
    world = TierWorld()
    partition = close(world, 3)
    world.store.hold("put")
    world.uploader.tick()
    world.delete_topic()
    partition.is_leader = False
    world.store.release()
    world.advance(5)
    assert world.uploader.idle
    assert world.state.partition(TOPIC_ID, 0) is None
    (purge,) = world.state.purges.values()
    assert [len(tier.garbage) for tier in purge.partitions] == [1]
    assert world.uploader.troubles == {}


def test_so_many_at_once_and_who_waits_longest_first() -> None:
    world = TierWorld(partitions=6, concurrency=2)
    for number in range(6):
        world.partitions[number].close_segment(time_ms=1000 - number)
    world.store.hold("put")
    world.uploader.tick()
    assert world.store.held == 2
    assert [key.split("/")[3] for key in world.store.puts] == ["5", "4"]
    world.store.release(1)
    world.scheduler.end_turn()
    assert [key.split("/")[3] for key in world.store.puts] == ["5", "4", "3"]
    world.store.release()
    world.upload_all()
    assert all(world.ends(number) == [9] for number in range(6))


def test_a_long_row_of_one_partition_lets_others_go_between() -> None:
    world = TierWorld(partitions=2, concurrency=1)
    close(world, 3 * IN_A_ROW, 0)
    world.partitions[1].close_segment(time_ms=1)
    world.upload_all()
    first = [key.split("/")[3] for key in world.store.puts].index("1")
    assert first >= IN_A_ROW
    assert len(world.ends(0)) == 3 * IN_A_ROW
    assert world.ends(1) == [9]


def test_a_turn_that_was_lost_changes_nothing() -> None:
    world = TierWorld()
    close(world, 2)
    for _ in range(5):
        world.uploader.tick()
    world.upload_all()
    assert world.ends() == [9, 19]
    assert len(world.store.puts) == 2


def test_copying_is_limited_and_each_attempt_counts() -> None:
    world = TierWorld()
    world.rate.bytes_per_second = 100
    close(world, 5)
    world.store.fail("put", DOWN)
    world.uploader.tick()
    world.advance(2.5)
    assert len(world.store.puts) == 3
    world.advance(10)
    assert len(world.ends()) == 5


def test_segments_that_do_not_follow_the_cold_part_are_told() -> None:
    world = TierWorld()
    partition = close(world, 2)
    world.upload_all()
    partition.segments[:] = [partition.segments[0]._replace(base_offset=15, end_offset=39)]
    world.uploader.tick()
    (trouble,) = world.uploader.troubles.values()
    assert "begins at offset 15, and none at 20" in trouble.reason
    assert world.ends() == [9, 19]


def test_many_partitions_are_looked_at_over_several_turns() -> None:
    world = TierWorld()
    seen: list[int] = []

    class Many:
        def __iter__(self) -> Iterator[FakePartition]:
            for number in range(2 * PARTITIONS_A_TURN + 1):
                seen.append(number)
                yield FakePartition(number, topic="u")
            yield world.partition

    world.uploader._logs = Many()
    close(world, 1)
    world.uploader.tick()
    assert len(seen) == PARTITIONS_A_TURN
    world.uploader.tick()  # one look at a time
    assert len(seen) == PARTITIONS_A_TURN
    assert world.ends() == []
    world.scheduler.end_turn()
    assert world.ends() == [9]


def test_a_disk_that_fails_while_a_partition_waits_for_its_place() -> None:
    class Failing(FakePartition):
        @property
        def log_start_offset(self) -> int:
            if self.unreadable is not None:
                raise self.unreadable
            return 0

        @log_start_offset.setter
        def log_start_offset(self, offset: int) -> None:
            assert offset == 0

    world = TierWorld(partitions=2, concurrency=1)
    close(world, 1)
    world.partitions[1] = Failing(1)
    close(world, 1, 1)
    world.store.hold("put")
    world.uploader.tick()
    world.partitions[1].unreadable = KafkaStorageError("the log is offline")
    world.store.release()
    world.scheduler.end_turn()
    assert world.ends(0) == [9]
    assert "offline" in world.uploader.troubles[world.partitions[1].topic_partition].reason


def test_after_a_stop_nothing_begins() -> None:
    world = TierWorld()
    close(world, 3)
    world.store.hold("put")
    world.uploader.tick()
    world.uploader.stop()
    world.store.release()
    world.advance(60)
    assert world.ends() == [9]
    assert len(world.store.puts) == 1


def test_nothing_is_copied_where_that_is_turned_off() -> None:
    world = TierWorld()
    close(world, 1)
    world.configure(copies=False)
    world.upload_all()
    assert world.ends() == []
    world.configure(copies=True)
    world.upload_all()
    assert world.ends() == [9]
