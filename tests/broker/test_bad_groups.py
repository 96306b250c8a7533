"""Members and strangers that send what they must not: Kafka's error, and no state left behind.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable

import pytest

from tests.broker.group_calls import (
    SHORTEST_SESSION_MS,
    Member,
    await_members,
    check_unharmed,
    commit,
    committed,
    described,
    is_absent,
    join_request,
    leave_request,
    make_joined,
    make_stable,
    member_ids,
    state_of,
    subscription,
)
from tests.broker.wire_client import WireClient
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_groups import DeleteGroupsRequest
from tierbroker.wire.messages.heartbeat import HeartbeatRequest
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestTopic,
)
from tierbroker.wire.messages.sync_group import SyncGroupRequest

OK = ErrorCode.NONE
STRANGER = ErrorCode.UNKNOWN_MEMBER_ID
OLD = ErrorCode.ILLEGAL_GENERATION
MISMATCH = ErrorCode.INCONSISTENT_GROUP_PROTOCOL
UNKNOWN_TOPIC = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


# Strangers


def heartbeat(client: WireClient, group: str, version: int) -> int:
    request = HeartbeatRequest(group_id=group, generation_id=1, member_id="stranger")
    return int(client.call(request, version).error_code)


def sync(client: WireClient, group: str, version: int) -> int:
    names = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
    request = SyncGroupRequest(group_id=group, generation_id=1, member_id="stranger", **names)
    return int(client.call(request, version).error_code)


@pytest.mark.parametrize("version", range(5))
def test_the_heartbeat_of_a_stranger(client: WireClient, group: str, version: int) -> None:
    assert heartbeat(client, group, version) == STRANGER
    assert is_absent(client, group)


@pytest.mark.parametrize("version", range(6))
def test_the_sync_of_a_stranger(client: WireClient, group: str, version: int) -> None:
    assert sync(client, group, version) == STRANGER
    assert is_absent(client, group)


@pytest.mark.parametrize("version", range(10))
def test_a_stranger_that_says_it_had_joined(client: WireClient, group: str, version: int) -> None:
    answer = client.call(join_request(group, "stranger"), version)
    assert (answer.error_code, answer.member_id) == (STRANGER, "stranger")
    assert (answer.generation_id, answer.leader, answer.members) == (-1, "", [])
    assert is_absent(client, group)


@pytest.mark.parametrize("version", range(6))
def test_a_stranger_leaves(client: WireClient, group: str, version: int) -> None:
    answer = client.call(leave_request(group, "stranger", version), version)
    if version < 3:
        assert answer.error_code == STRANGER
    else:
        assert answer.error_code == OK
        assert [left.error_code for left in answer.members] == [STRANGER]
    assert is_absent(client, group)


def test_nobody_leaves(client: WireClient, group: str) -> None:
    answer = client.call(LeaveGroupRequest(group_id=group, members=[]), 5)
    assert (answer.error_code, answer.members) == (OK, [])
    assert is_absent(client, group)


def test_strangers_to_a_group_that_exists(client: WireClient, member: Member, topic: str) -> None:
    for member_id in ("stranger", ""):
        assert member.heartbeat(member_id=member_id) == STRANGER
        assert member.sync(member_id=member_id).error_code == STRANGER
        assert member.commit(topic, 1, member_id=member_id) == STRANGER
    assert client.call(join_request(member.group, "stranger"), 5).error_code == STRANGER
    assert client.call(leave_request(member.group, "x", 2), 2).error_code == STRANGER
    # Without a member id and generation it is a commit of nobody: only for an empty group.
    assert commit(client, member.group, topic, 1) == STRANGER
    assert committed(client, member.group) == {}
    check_unharmed(client, member)


# Old generations


@pytest.mark.parametrize("ahead", [-1, 1, 98])
def test_another_generation(client: WireClient, member: Member, topic: str, ahead: int) -> None:
    generation = member.generation + ahead
    assert member.heartbeat(generation_id=generation) == OLD
    assert member.sync(generation_id=generation).error_code == OLD
    for version in range(2, 10):
        refused = member.commit(topic, 1, version, generation_id_or_member_epoch=generation)
        assert refused == OLD
    assert committed(client, member.group) == {}
    check_unharmed(client, member)


def test_the_generation_before_a_rebalance(
    client: WireClient, new_member: Callable[..., Member], topic: str
) -> None:
    first, second = new_member(), new_member()
    make_stable(first)
    old = first.generation
    make_stable(first, second)
    assert first.generation > old
    assert first.heartbeat(generation_id=old) == OLD
    assert first.sync(generation_id=old).error_code == OLD
    assert first.commit(topic, 1, generation_id_or_member_epoch=old) == OLD
    assert first.commit(topic, 2) == OK
    assert committed(client, first.group) == {(topic, 0): 2}


def test_requests_to_a_group_whose_members_left(
    client: WireClient, member: Member, topic: str
) -> None:
    assert member.commit(topic, 5) == OK
    assert member.leave() == OK
    assert state_of(client, member.group) == "Empty"
    assert member.heartbeat() == STRANGER
    assert member.sync().error_code == STRANGER
    assert member.leave() == STRANGER
    assert member.commit(topic, 6) == STRANGER
    assert client.call(join_request(member.group, member.id), 5).error_code == STRANGER
    assert committed(client, member.group) == {(topic, 0): 5}
    assert member_ids(client, member.group) == []


# Names


@pytest.mark.parametrize("version", range(10))
def test_the_empty_name_has_no_members(client: WireClient, group: str, version: int) -> None:
    illegal = ErrorCode.INVALID_GROUP_ID
    answer = client.call(join_request(""), version)
    assert (answer.error_code, answer.member_id) == (illegal, "")
    if version <= 5:
        assert sync(client, "", version) == illegal
        assert client.call(leave_request("", "m", version), version).error_code == illegal
    if version <= 4:
        assert heartbeat(client, "", version) == illegal
    assert member_ids(client, "") == []


def test_the_empty_name_has_offsets(client: WireClient, group: str, topic: str) -> None:
    """As in Kafka, for consumers that never named a group."""
    assert commit(client, "", topic, 4) == OK
    assert committed(client, "", {topic: [0]}) == {(topic, 0): 4}
    request = OffsetDeleteRequest("", [OffsetDeleteRequestTopic(topic)])
    assert client.call(request, 0).error_code == ErrorCode.INVALID_GROUP_ID
    (result,) = client.call(DeleteGroupsRequest([""]), 2).results
    assert result.error_code == OK
    assert committed(client, "", {topic: [0]}) == {(topic, 0): -1}


@pytest.mark.parametrize(
    "name", [" ", "a/b\x00\n", "\U0001f600", "x" * 249, "y" * 32_000], ids=range(5)
)
def test_every_other_name_is_a_name(client: WireClient, group: str, topic: str, name: str) -> None:
    """Kafka has no rule for the names of groups."""
    with client.another() as own:
        odd = Member(own, name + group)
        make_stable(odd)
        assert odd.commit(topic, 3) == OK
        assert committed(client, odd.group) == {(topic, 0): 3}
        assert odd.leave() == OK
    (result,) = client.call(DeleteGroupsRequest([odd.group]), 2).results
    assert result.error_code == OK
    assert is_absent(client, odd.group)


@pytest.mark.parametrize("version", [6, 9])
def test_a_name_that_is_too_long_for_a_text(client: WireClient, group: str, version: int) -> None:
    with client.another() as doomed:
        doomed.send(join_request("x" * 32_768), version)
        doomed.wait_closed()


# Joining


@pytest.mark.parametrize("version", range(10))
@pytest.mark.parametrize("session_ms", [0, -1, SHORTEST_SESSION_MS - 1, 1_800_001])
def test_a_session_that_is_too_short_or_too_long(
    client: WireClient, group: str, version: int, session_ms: int
) -> None:
    answer = client.call(join_request(group, session_timeout_ms=session_ms), version)
    assert answer.error_code == ErrorCode.INVALID_SESSION_TIMEOUT
    assert is_absent(client, group)


@pytest.mark.parametrize("version", [5, 9])
def test_an_instance_that_leaves_no_room_for_a_member_id(
    client: WireClient, group: str, version: int
) -> None:
    """The id begins with the instance's; a text of Kafka ends at 32767 bytes."""
    answer = client.call(join_request(group, group_instance_id="i" * 32_767), version)
    assert (answer.error_code, answer.member_id) == (ErrorCode.UNKNOWN_SERVER_ERROR, "")
    # Kafka has let the member in before it finds that out: the next one has a group of its own.
    answer = client.call(join_request("b" + group, group_instance_id="i" * 32_730), version)
    assert (answer.error_code, len(answer.member_id)) == (OK, 32_767)


@pytest.mark.parametrize("version", range(10))
def test_a_member_must_support_a_protocol(client: WireClient, group: str, version: int) -> None:
    for how in ({"protocols": []}, {"protocol_type": ""}):
        answer = client.call(join_request(group, **how), version)
        assert (answer.error_code, answer.generation_id) == (MISMATCH, -1)
    assert member_ids(client, group) == []


@pytest.mark.parametrize("version", range(10))
def test_no_protocol_in_common(client: WireClient, member: Member, version: int) -> None:
    for how in ({"protocols": ["other"]}, {"protocols": []}, {"protocol_type": "connect"}):
        answer = client.call(join_request(member.group, **how), version)
        assert answer.error_code == MISMATCH
        assert answer.member_id == ""
    check_unharmed(client, member)


def test_a_sync_with_another_protocol(client: WireClient, member: Member) -> None:
    pairs = [("connect", "range"), ("consumer", "other"), ("", ""), (None, "range"), (None, None)]
    for kind, name in pairs:
        answer = member.sync(version=5, protocol_type=kind, protocol_name=name)
        assert (answer.error_code, bytes(answer.assignment)) == (MISMATCH, b"")
    right = member.sync(version=5, protocol_type="consumer", protocol_name="range")
    assert (right.error_code, bytes(right.assignment)) == (OK, member.id.encode())
    check_unharmed(client, member)


def test_a_subscription_that_cannot_be_read(
    client: WireClient, new_member: Callable[..., Member], kafka_broker: BrokerTarget
) -> None:
    """What protocols carry is between clients."""
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka 4.3 tries to read it, fails, and never answers the JoinGroup")
    odd = new_member(protocols={"range": b"subscription of nothing"})
    make_stable(odd)
    check_unharmed(client, odd)


# A leader's mistakes


def test_an_assignment_for_somebody_unknown(
    client: WireClient, new_member: Callable[..., Member]
) -> None:
    leader, follower = new_member(), new_member()
    make_joined(leader, follower)
    follower.start_sync()
    answer = leader.sync({"ghost": b"boo", leader.id: b"mine"})
    assert (answer.error_code, bytes(answer.assignment)) == (OK, b"mine")
    # Whom the leader forgot has nothing; it is not left waiting.
    left_out = follower.synced()
    assert (left_out.error_code, bytes(left_out.assignment)) == (OK, b"")
    shown = described(client, leader.group)
    assert {each.member_id: bytes(each.member_assignment) for each in shown.members} == {
        leader.id: b"mine",
        follower.id: b"",
    }


def test_a_follower_that_assigns(client: WireClient, new_member: Callable[..., Member]) -> None:
    leader, follower = new_member(), new_member()
    make_joined(leader, follower)
    follower.start_sync({leader.id: b"evil", follower.id: b"evil"})
    assert follower.client.is_silent(0.2)
    assert bytes(leader.sync({follower.id: b"good", leader.id: b"good"}).assignment) == b"good"
    assert bytes(follower.synced().assignment) == b"good"
    # Later it gets what it had.
    assert bytes(follower.sync({follower.id: b"evil"}).assignment) == b"good"


def test_an_assignment_that_no_record_can_hold(client: WireClient, member: Member) -> None:
    """Nobody is given anything; the members are told to begin again."""
    make_joined(member)
    answer = member.sync({member.id: bytes(2_000_000)})
    assert (answer.error_code, bytes(answer.assignment)) == (ErrorCode.UNKNOWN_SERVER_ERROR, b"")
    assert state_of(client, member.group) == "PreparingRebalance"
    assert member.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    make_stable(member)
    check_unharmed(client, member)


def test_a_subscription_that_no_record_can_hold(
    client: WireClient, new_member: Callable[..., Member]
) -> None:
    """It can join; but no generation with it is ever kept."""
    huge = new_member(protocols={"range": subscription("t", user_data=bytes(2_000_000))})
    make_joined(huge)
    assert huge.sync({huge.id: b"all"}).error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert state_of(client, huge.group) == "PreparingRebalance"
    assert huge.leave() == OK
    assert member_ids(client, huge.group) == []


# The wrong moment


def test_between_join_and_assignment(
    client: WireClient, new_member: Callable[..., Member], topic: str
) -> None:
    leader, follower = new_member(), new_member()
    make_joined(leader, follower)
    assert state_of(client, leader.group) == "CompletingRebalance"
    for each in (leader, follower):
        assert each.heartbeat() == OK
        assert each.heartbeat(generation_id=each.generation - 1) == OLD
        assert each.commit(topic, 1) == ErrorCode.REBALANCE_IN_PROGRESS
    assert committed(client, leader.group) == {}


def test_while_a_rebalance_is_being_prepared(
    client: WireClient, new_member: Callable[..., Member], topic: str
) -> None:
    first, newcomer = new_member(), new_member()
    make_stable(first)
    newcomer.start_join()
    await_members(client, first.group, 2)
    assert state_of(client, first.group) == "PreparingRebalance"
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    assert first.sync().error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert first.heartbeat(generation_id=first.generation - 1) == OLD
    assert first.heartbeat(member_id="stranger") == STRANGER
    # What was read in the generation that ends may still be committed.
    assert first.commit(topic, 4) == OK
    assert commit(client, first.group, topic, 9) == STRANGER
    assert committed(client, first.group) == {(topic, 0): 4}


def test_a_member_id_that_was_never_used(client: WireClient, member: Member, topic: str) -> None:
    """JoinGroup 4 and later hand out ids; until it has joined, its owner is no member."""
    given = client.call(join_request(member.group), 5)
    assert given.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert given.member_id.startswith("wire-test-")
    as_new = {"member_id": given.member_id}
    assert member.heartbeat(**as_new) == STRANGER
    assert member.sync(**as_new).error_code == STRANGER
    assert member.commit(topic, 1, **as_new) == STRANGER
    check_unharmed(client, member)
    left = client.call(leave_request(member.group, given.member_id, 3), 3)
    assert left.members[0].error_code == OK
    assert client.call(join_request(member.group, given.member_id), 5).error_code == STRANGER
    # As when a member leaves.
    assert member.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    make_stable(member)
    check_unharmed(client, member)


# Static members


def test_the_old_incarnation_of_a_static_member_is_fenced(
    client: WireClient, new_member: Callable[..., Member], topic: str
) -> None:
    fenced = ErrorCode.FENCED_INSTANCE_ID
    old, new = (new_member(group_instance_id="here") for _ in range(2))
    make_stable(old)
    answer = new.join()
    assert (answer.error_code, answer.generation_id) == (OK, old.generation)
    assert new.id != old.id
    assert old.heartbeat() == fenced
    assert old.sync().error_code == fenced
    assert old.commit(topic, 1) == fenced
    assert client.call(join_request(old.group, old.id, **old.how), 5).error_code == fenced
    leaving = [MemberIdentity(old.id, "here"), MemberIdentity("", "nowhere")]
    left = client.call(LeaveGroupRequest(group_id=old.group, members=leaving), 5)
    assert [each.error_code for each in left.members] == [fenced, STRANGER]
    assert new.heartbeat() == OK
    assert member_ids(client, new.group) == [new.id]
    assert committed(client, new.group) == {}


def test_a_member_under_another_instance(
    client: WireClient, new_member: Callable[..., Member]
) -> None:
    static = new_member(group_instance_id="here")
    make_stable(static)
    assert static.heartbeat(group_instance_id="nowhere") == STRANGER
    assert static.sync(group_instance_id="nowhere").error_code == STRANGER
    moved = join_request(static.group, static.id, group_instance_id="nowhere")
    assert client.call(moved, 5).error_code == STRANGER
    check_unharmed(client, static)
