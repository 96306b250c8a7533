"""Markers go to every partition, and the end is written when all are there."""

import time

import pytest

from tests.transaction_world import ID, A, B, TransactionWorld
from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.transactions.completion import MARKERS_AT_ONCE
from tierbroker.wire.error_codes import ErrorCode


def test_a_marker_says_what_partitions_must_know() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A)
    world.end(producer)
    ((partition, marker),) = world.markers.written
    assert partition == A
    assert (marker.producer_id, marker.producer_epoch, marker.commit) == (1_000, 1, True)
    assert (marker.coordinator_epoch, marker.transaction_version) == (0, 2)


def test_no_marker_before_the_decision_is_flushed() -> None:
    world = TransactionWorld(flush_at_once=False)
    pending = world.init()
    world.log.flush()
    producer = (pending.result().producer_id, 0)
    world.add(producer, A)
    world.log.flush()
    answer = world.end(producer)
    assert world.markers.asked == 0
    assert not answer.done
    world.log.flush()
    assert world.markers.asked == 1
    assert answer.done


def test_many_markers_take_turns() -> None:
    """No callback above 20 ms: ten thousand partitions are not marked in one go."""
    world = TransactionWorld()
    world.clock = SystemClock()  # type: ignore[assignment]
    world.coordinator = world._coordinator()
    world.load()
    producer = world.producer()
    world.add(producer, *[TopicPartition("t", number) for number in range(10_000)])
    answer = world.end(producer)
    assert answer.result().error_code == ErrorCode.NONE
    assert world.markers.asked == 0
    slowest = world.slowest_turn()
    assert len(world.markers.written) == 10_000
    assert world.state() == "CompleteCommit"
    assert slowest < 0.05  # 20 ms on a machine with nothing else to do


def test_few_markers_are_written_at_once() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, *[TopicPartition("t", number) for number in range(MARKERS_AT_ONCE)])
    world.end(producer)
    assert world.state() == "CompleteCommit"


def test_retries_wait_together() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A, B)
    for partition in (A, B):
        world.markers.answers[partition] = [ErrorCode.NOT_LEADER_OR_FOLLOWER]
    world.end(producer)
    assert len(world.timers) == 1
    world.advance(100)
    assert len(world.timers) == 0
    assert world.state() == "CompleteCommit"


def test_a_partition_on_a_lost_disk_is_asked_ever_more_seldom() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A)
    world.markers.answers[A] = [ErrorCode.KAFKA_STORAGE_ERROR] * 1000
    world.end(producer)
    for _ in range(600):
        world.advance(100)
    assert 55 < world.markers.asked < 75
    world.markers.answers[A].clear()
    for _ in range(11):
        world.advance(100)
    assert world.state() == "CompleteCommit"


def test_an_end_that_cannot_be_written_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = TransactionWorld(flush_at_once=False)
    pending = world.init()
    world.log.flush()
    producer = (pending.result().producer_id, 0)
    world.add(producer, A)
    world.log.flush()
    world.end(producer)
    world.log.flush()
    for _ in range(50):
        world.log.fail(KafkaStorageError("no disk"))
        world.advance(100)
    assert len([r for r in caplog.records if "could not be written" in r.message]) == 1
    world.advance(1000)
    world.log.flush()
    assert world.state() == "CompleteCommit"


def test_an_answer_after_the_partition_went_elsewhere_changes_nothing() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A)
    world.markers.hold = True
    world.end(producer)
    written = len(world.log.records(0))
    world.coordinator.unload(0)
    world.markers.release()
    world.advance(1_000)
    assert len(world.log.records(0)) == written
    assert len(world.timers) == 0


def test_unloading_takes_the_timer_of_a_retry_back() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A)
    world.markers.answers[A] = [ErrorCode.NOT_LEADER_OR_FOLLOWER]
    world.end(producer)
    assert len(world.timers) == 1
    world.coordinator.unload(0)
    assert len(world.timers) == 0


def test_a_large_decision_is_quick() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, *[TopicPartition("t", number) for number in range(1_000)])
    begun = time.thread_time()
    world.end(producer, transactional_id=ID)
    assert time.thread_time() - begun < 0.1
