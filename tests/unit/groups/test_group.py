"""A group's own rules: who leads, what is spoken, who is meant."""

from typing import Any

import pytest

from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.group import Group, GroupState
from tierbroker.groups.member import Member
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.wire.error_codes import ErrorCode

NOTHING: Any = None


def member(
    member_id: str, *protocols: str, instance: str | None = None, rebalance_ms: int = 1
) -> Member:
    return Member(
        member_id,
        instance,
        Client("c", "/h"),
        NOTHING,
        rebalance_timeout_ms=rebalance_ms,
        session_timeout_ms=1,
        protocols={name: f"{member_id}-{name}".encode() for name in protocols or ("range",)},
    )


def group(*members: Member, joined: bool = True) -> Group:
    made = Group("g", 0, NOTHING, NOTHING)
    made.protocol_type = "consumer"
    for each in members:
        made.add(each, Pending() if joined else None)
    return made


def test_the_protocol_with_the_most_votes_that_all_speak_wins() -> None:
    made = group(member("a", "x", "y", "z"), member("b", "y", "z"), member("c", "z", "y", "x"))
    assert made.select_protocol() == "y"
    made.offer(made.members["b"], {"z": b"", "y": b""})
    assert made.select_protocol() == "z"


def test_the_first_member_leads_until_it_goes() -> None:
    one, two = member("a"), member("b")
    made = group(one, two, joined=False)
    assert made.leader_id == "a"
    made.remove(one)
    assert made.leader_id == "b"
    made.remove(two)
    assert made.leader_id is None


def test_a_leader_that_does_not_join_is_replaced_by_one_who_does() -> None:
    one, two = member("a"), member("b")
    made = group(one, two, joined=False)
    assert not made.elect_joined_leader()
    assert made.leader_id == "a"
    made.await_join(two, Pending())
    assert made.elect_joined_leader()
    assert made.leader_id == "b"


def test_all_joined_counts_ids_that_were_only_handed_out() -> None:
    made = group(member("a"))
    assert made.all_joined
    made.pending_joins["b"] = NOTHING
    assert not made.all_joined
    made.add(member("b"), None)
    assert made.pending_joins == {}
    assert not made.all_joined


def test_a_rebalance_waits_as_long_as_the_most_patient_member() -> None:
    assert group().rebalance_timeout_ms == 0
    assert group(member("a", rebalance_ms=5), member("b", rebalance_ms=3)).rebalance_timeout_ms == 5


def test_what_may_join_depends_on_those_who_are_there() -> None:
    made = group()
    assert made.supports("anything", {"x": b""})
    assert not made.supports("", {"x": b""})
    assert not made.supports("consumer", {})
    made = group(member("a", "x", "y"), member("b", "y", "z"))
    made.transition(GroupState.PREPARING_REBALANCE, 0)
    assert made.supports("consumer", {"q": b"", "y": b""})
    assert not made.supports("consumer", {"x": b"", "z": b""})
    assert not made.supports("connect", {"y": b""})


def test_a_static_member_is_known_by_instance_and_id() -> None:
    made = group(member("a", instance="i"), member("b"))
    assert made.check_member("a", "i") is ErrorCode.NONE
    assert made.check_member("a", None) is ErrorCode.NONE
    assert made.check_member("b", "i") is ErrorCode.FENCED_INSTANCE_ID
    assert made.check_member("a", "j") is ErrorCode.UNKNOWN_MEMBER_ID
    assert made.check_member("c", None) is ErrorCode.UNKNOWN_MEMBER_ID


def test_who_takes_a_static_place_takes_what_it_owed() -> None:
    old, new = member("a", instance="i"), member("a2", "range", "other", instance="i")
    made = group(old, member("b"), joined=False)
    made.owe_sync(old)
    made.replace_static(old, new)
    assert made.leader_id == "a2"
    assert made.static_members == {"i": "a2"}
    assert made.syncs_owed == 1
    assert new.owes_sync
    made.pay_sync(new)
    made.pay_sync(new)
    assert made.syncs_owed == 0
    assert made.select_protocol() == "range"


def test_a_generation_begins_with_a_clean_slate() -> None:
    made = group(member("a", "range"))
    made.transition(GroupState.PREPARING_REBALANCE, 5)
    made.owe_sync(made.members["a"])
    made.begin_generation(7)
    assert made.state is GroupState.COMPLETING_REBALANCE
    assert (made.generation, made.protocol_name, made.state_since_ms) == (1, "range", 7)
    assert made.syncs_owed == 0


def test_states_follow_each_other_as_they_may() -> None:
    made = group()
    for state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE, GroupState.EMPTY):
        with pytest.raises(AssertionError):
            made.transition(state, 0)
    made.transition(GroupState.DEAD, 0)


def test_a_leader_that_its_record_does_not_know_is_another_member() -> None:
    made = Group("g", 0, NOTHING, NOTHING)
    value = GroupMetadataValue("consumer", 3, "range", "gone", 9)
    made.restore(value, [member("a"), member("b")])
    assert made.leader_id == "a"
    assert made.state is GroupState.STABLE
    assert (made.generation, made.state_since_ms) == (3, 9)


def test_its_record_says_what_it_is() -> None:
    made = group(member("a", "x"), member("b", "x"), joined=False)
    made.protocol_name = "x"
    made.members["a"].assignment = b"in force"
    record = made.record()
    assert [m.assignment for m in record.members] == [b"in force", b""]
    assert [m.subscription for m in record.members] == [b"a-x", b"b-x"]
    assert record.leader == "a"
    assert [m.assignment for m in made.record({"b": b"next"}).members] == [b"", b"next"]
