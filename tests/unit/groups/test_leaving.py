"""LeaveGroup: one answer for each, one rebalance for all."""

from tests.group_world import GroupWorld
from tierbroker.base.errors import KafkaStorageError
from tierbroker.wire.error_codes import ErrorCode


def test_the_group_rebalances_once_for_all_who_leave() -> None:
    world = GroupWorld()
    leader, *others = world.stable(5)
    generation = world.generation()
    response = world.leave(*others).result()
    assert [member.member_id for member in response.members] == others
    assert world.state() == "PreparingRebalance"
    assert world.join(leader).result().generation_id == generation + 1


def test_the_last_one_is_answered_when_the_empty_group_is_on_disk() -> None:
    world = GroupWorld()
    members = world.stable(2)
    world.journal.flush_at_once = False
    leaving = world.leave(*members)
    assert not leaving.done
    world.journal.flush()
    assert leaving.result().error_code == ErrorCode.NONE
    assert world.journal.groups()["g"].members == []


def test_what_could_not_be_written_is_told() -> None:
    world = GroupWorld()
    members = world.stable(1)
    world.journal.flush_at_once = False
    leaving = world.leave(*members)
    world.journal.fail(KafkaStorageError())
    assert leaving.result().error_code == ErrorCode.NOT_COORDINATOR
    assert leaving.result().members == []


def test_an_instance_is_enough_but_must_not_be_wrong() -> None:
    world = GroupWorld()
    member_id = world.join(instance="i").result().member_id
    fenced = world.leave(("another", "i")).result()
    assert fenced.members[0].error_code == ErrorCode.FENCED_INSTANCE_ID
    left = world.leave(("", "i")).result()
    assert left.members[0].error_code == ErrorCode.NONE
    assert left.members[0].member_id == ""
    again = world.leave((member_id, "i")).result()
    assert again.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_an_id_that_was_never_used_is_given_back() -> None:
    world = GroupWorld()
    member_id = world.join().result().member_id
    assert world.leave(member_id).result().members[0].error_code == ErrorCode.NONE
    assert len(world.timers) == 0
    assert world.join(member_id).result().error_code == ErrorCode.UNKNOWN_MEMBER_ID
