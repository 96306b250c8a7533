"""Both phases of a rebalance, and what becomes of it when its record does not."""

import pytest

from tests.group_world import GroupWorld
from tierbroker.base.errors import (
    ApiError,
    KafkaStorageError,
    MessageTooLargeError,
    NotEnoughReplicasError,
)
from tierbroker.groups.config import GroupConfig
from tierbroker.wire.error_codes import ErrorCode


def completing(size: int, **options: object) -> tuple[GroupWorld, list[str], int]:
    """A group of that many members, all joined, none synced, records not flushed."""
    world = GroupWorld(GroupConfig(initial_rebalance_delay_ms=1_000), flush_at_once=False)
    joins = [world.join(version=3, **options) for _ in range(size)]  # type: ignore[arg-type]
    while not joins[0].done:
        world.advance(1_000)
    world.journal.flush()
    return world, [join.result().member_id for join in joins], joins[0].result().generation_id


def test_nobody_sees_an_assignment_before_it_is_on_disk() -> None:
    world, (leader, follower), generation = completing(2)
    waiting = [
        world.sync(follower, generation),
        world.sync(leader, generation, {leader: b"1", follower: b"2"}),
    ]
    assert not any(pending.done for pending in waiting)
    assert world.state() == "CompletingRebalance"
    world.journal.flush()
    assert [bytes(pending.result().assignment) for pending in waiting] == [b"2", b"1"]
    assert world.state() == "Stable"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NotEnoughReplicasError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (KafkaStorageError(), ErrorCode.NOT_COORDINATOR),
        (MessageTooLargeError(), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_an_assignment_that_was_not_written_never_was(error: ApiError, told: ErrorCode) -> None:
    world, (leader, follower), generation = completing(2)
    parked = world.sync(follower, generation)
    own = world.sync(leader, generation, {leader: b"1", follower: b"2"})
    world.journal.fail(error)
    assert {parked.result().error_code, own.result().error_code} == {told}
    assert world.heartbeat(follower, generation) == ErrorCode.REBALANCE_IN_PROGRESS
    assert all(not m.assignment for m in world.groups._groups["g"].members.values())


def test_a_record_that_comes_too_late_changes_nothing() -> None:
    world, (leader,), generation = completing(1)
    own = world.sync(leader, generation, {leader: b"1"})
    world.join(version=3)
    assert own.result().error_code == ErrorCode.REBALANCE_IN_PROGRESS
    world.journal.flush()
    assert world.state() == "PreparingRebalance"
    assert world.join(leader).result().generation_id == generation + 1


def test_a_leader_that_repeats_its_request_does_not_change_its_mind() -> None:
    world, (leader,), generation = completing(1)
    first = world.sync(leader, generation, {leader: b"first"})
    second = world.sync(leader, generation, {leader: b"second"})
    assert first.result().error_code == ErrorCode.REBALANCE_IN_PROGRESS
    world.journal.flush()
    assert bytes(second.result().assignment) == b"first"
    assert len(world.journal.flushed) == 2


def test_who_does_not_sync_in_time_is_out() -> None:
    world, (leader, follower), generation = completing(2, session_ms=100_000, rebalance_ms=20_000)
    own = world.sync(leader, generation, {leader: b"1", follower: b"2"})
    world.journal.flush()
    assert own.done
    world.advance(19_999)
    assert world.heartbeat(follower, generation) == ErrorCode.NONE
    world.advance(1)
    assert world.heartbeat(follower, generation) == ErrorCode.UNKNOWN_MEMBER_ID
    assert world.heartbeat(leader, generation) == ErrorCode.REBALANCE_IN_PROGRESS


def test_all_synced_in_time_stay() -> None:
    world, (leader, follower), generation = completing(2, session_ms=100_000, rebalance_ms=20_000)
    world.sync(leader, generation, {leader: b"1", follower: b"2"})
    world.sync(follower, generation)
    world.journal.flush()
    world.advance(50_000)
    assert world.heartbeat(follower, generation) == ErrorCode.NONE
    assert world.state() == "Stable"


def test_who_does_not_join_in_time_is_out_but_a_static_member_is_not() -> None:
    world = GroupWorld()
    options = {"session_ms": 1_000_000, "rebalance_ms": 20_000}
    leader, dynamic = world.stable(2, **options)
    parked = world.join(instance="i", **options)  # type: ignore[arg-type]
    world.join(dynamic, **options)  # type: ignore[arg-type]
    world.join(leader, **options)  # type: ignore[arg-type]
    assert parked.done
    again = world.join(leader, **options)  # type: ignore[arg-type]
    assert again.done  # a leader with nothing new, while it should assign
    world.settle([leader, dynamic, parked.result().member_id])
    again = world.join(leader, **options)  # type: ignore[arg-type]
    world.advance(20_000)
    ids = {member.member_id for member in again.result().members}
    assert ids == {leader, parked.result().member_id}


def test_absent_static_members_alone_are_waited_for() -> None:
    world = GroupWorld()
    options = {"session_ms": 50_000, "rebalance_ms": 20_000}
    member_id = world.join(instance="i", **options).result().member_id  # type: ignore[arg-type]
    world.sync(member_id, 1, {member_id: b"1"}, instance="i")
    other, parked = world.join_dynamic(**options)
    assert not parked.done
    world.leave(other)
    world.advance(45_000)
    assert world.state() == "PreparingRebalance"
    joined = world.join(member_id, instance="i", **options).result()  # type: ignore[arg-type]
    assert joined.generation_id == 2


def test_the_initial_delay_is_prolonged_by_those_who_come() -> None:
    world = GroupWorld(GroupConfig(initial_rebalance_delay_ms=3_000))
    first = world.join(version=3, rebalance_ms=7_000)
    for _ in range(3):
        world.advance(2_000)
        world.join(version=3, rebalance_ms=7_000)
        assert not first.done
    world.advance(999)
    assert not first.done
    world.advance(1)
    assert len(first.result().members) == 4
