"""JoinGroup in the corners that the transcripts do not reach."""

import pytest

from tests.group_world import GroupWorld
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.joining import NEW_MEMBER_JOIN_TIMEOUT_MS
from tierbroker.wire.error_codes import ErrorCode


@pytest.mark.parametrize("version", [4, 5, 8, 9])
def test_a_new_dynamic_member_is_told_its_id_first(version: int) -> None:
    response = GroupWorld().join(version=version).result()
    assert response.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert response.member_id
    assert (response.generation_id, response.leader, response.members) == (-1, "", [])


def test_static_members_skip_that() -> None:
    assert GroupWorld().join(instance="i").result().error_code == ErrorCode.NONE


@pytest.mark.parametrize(("version", "skips"), [(5, False), (8, False), (9, True)])
def test_a_static_leader_that_comes_back_does_not_assign_anew(version: int, skips: bool) -> None:
    world = GroupWorld()
    old = world.join(instance="i", version=version).result()
    world.sync(old.member_id, 1, {old.member_id: b"all"}, instance="i")
    new = world.join(instance="i", version=version).result()
    assert new.error_code == ErrorCode.NONE
    assert new.generation_id == old.generation_id
    assert new.member_id != old.member_id
    assert new.skip_assignment is skips
    assert (new.leader == new.member_id) is skips
    assert bool(new.members) is skips
    assert bytes(world.sync(new.member_id, 1, instance="i").result().assignment) == b"all"
    assert world.heartbeat(old.member_id, 1, instance="i") == ErrorCode.FENCED_INSTANCE_ID


def test_a_new_static_id_is_not_told_before_it_is_on_disk() -> None:
    world = GroupWorld()
    old = world.join(instance="i").result()
    world.sync(old.member_id, 1, {old.member_id: b"all"}, instance="i")
    world.journal.flush_at_once = False
    new = world.join(instance="i")
    assert not new.done
    world.journal.flush()
    assert new.result().error_code == ErrorCode.NONE
    world.restart()
    assert world.heartbeat(new.result().member_id, 1, instance="i") == ErrorCode.NONE


def test_a_static_member_whose_record_took_longer_than_its_session_is_watched() -> None:
    world = GroupWorld()
    old = world.join(instance="i", session_ms=10_000).result()
    world.sync(old.member_id, 1, {old.member_id: b"all"}, instance="i")
    world.journal.flush_at_once = False
    new = world.join(instance="i", session_ms=10_000)
    world.advance(20_000)
    world.journal.flush()
    assert new.result().error_code == ErrorCode.NONE
    world.advance(9_000)
    assert world.state() == "Stable"
    world.advance(1_101)
    assert world.state() == "Empty"


def test_an_id_that_no_answer_can_hold_is_not_given() -> None:
    """A record could not hold it either, and the whole group would wait for that record."""
    world = GroupWorld()
    refused = world.join(instance="ü" * 16_383).result()
    assert (refused.error_code, refused.member_id) == (ErrorCode.UNKNOWN_SERVER_ERROR, "")
    assert world.state() is None
    world.stable(1)
    refused = world.join(instance="i" * 32_731).result()
    assert refused.error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert world.state() == "Stable"
    assert world.join(instance="i" * 32_730, group="h").result().error_code == ErrorCode.NONE


def test_errors_say_what_the_client_needs() -> None:
    world = GroupWorld()
    (leader,) = world.stable(1)
    refused = world.join(protocols=(("other", b""),)).result()
    assert (refused.member_id, refused.protocol_name) == ("", "")
    unknown = world.join("stranger").result()
    assert unknown.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert (unknown.member_id, unknown.protocol_name) == ("stranger", None)
    assert world.heartbeat(leader, world.generation()) == ErrorCode.NONE


def test_a_new_member_is_not_parked_for_ever() -> None:
    world = GroupWorld()
    (leader,) = world.stable(1, rebalance_ms=1_800_000, session_ms=1_800_000)
    _, parked = world.join_dynamic(rebalance_ms=1_800_000, session_ms=1_800_000)
    world.advance(NEW_MEMBER_JOIN_TIMEOUT_MS - 1)
    assert not parked.done
    world.advance(101)
    assert parked.result().error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert world.join(leader).result().generation_id == 2


def test_a_member_that_is_known_may_wait_longer() -> None:
    world = GroupWorld()
    options = {"rebalance_ms": 1_800_000, "session_ms": 1_800_000}
    leader, _ = world.stable(2, **options)
    parked = world.join(leader, **options)  # type: ignore[arg-type]
    world.advance(NEW_MEMBER_JOIN_TIMEOUT_MS + 1_000)
    assert not parked.done


def test_room_is_kept_for_those_who_came_first() -> None:
    world = GroupWorld(GroupConfig(initial_rebalance_delay_ms=0, max_size=2))
    one, two = world.stable(2)
    assert world.join().result().error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert world.join(version=3).result().error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    world.join(one)
    assert world.join(two).result().error_code == ErrorCode.NONE
