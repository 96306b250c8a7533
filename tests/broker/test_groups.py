"""Groups by the protocol itself, at every version that the broker answers.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.broker.group_calls import (
    Member,
    await_members,
    commit,
    commit_request,
    committed,
    described,
    is_absent,
    join_request,
    leave_request,
    make_joined,
    make_stable,
    member_ids,
    offsets_request,
    state_of,
    subscription,
    wait_until,
)
from tests.broker.wire_calls import create_topic, delete_topic, topic_id_of
from tests.broker.wire_client import WireClient, encode_header, framed
from tierbroker.base.ids import Uuid
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_groups import DeleteGroupsRequest
from tierbroker.wire.messages.describe_groups import DescribeGroupsRequest
from tierbroker.wire.messages.join_group import JoinGroupRequest
from tierbroker.wire.messages.join_group import encode_request as encode_join
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tierbroker.wire.messages.list_groups import ListGroupsRequest
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)

OK = ErrorCode.NONE
NewMember = Callable[..., Member]


@dataclass(frozen=True, slots=True)
class Versions:
    """What a client of one age speaks."""

    join: int
    sync: int
    heartbeat: int
    leave: int
    commit: int
    fetch: int


OLDEST = Versions(join=0, sync=0, heartbeat=0, leave=0, commit=2, fetch=1)
MIDDLE = Versions(join=5, sync=3, heartbeat=3, leave=1, commit=7, fetch=5)  # librdkafka's
NEWEST = Versions(join=9, sync=5, heartbeat=4, leave=5, commit=10, fetch=10)


@pytest.mark.parametrize("versions", [OLDEST, MIDDLE, NEWEST], ids=["oldest", "middle", "newest"])
def test_the_life_of_a_group(
    client: WireClient, topic: str, new_member: NewMember, versions: Versions
) -> None:
    leader, follower = new_member(), new_member()
    names: dict[str, Any] = {}
    if versions.sync >= 5:
        names = {"protocol_type": "consumer", "protocol_name": "range"}
    key: str | Uuid = topic if versions.commit < 10 else topic_id_of(client, topic)
    alone = leader.join(versions.join)
    assert (alone.error_code, alone.generation_id, alone.leader) == (OK, 1, leader.id)
    assert alone.protocol_name == "range"
    follower.start_join(versions.join)
    await_members(client, leader.group, 2)
    assert leader.heartbeat(versions.heartbeat) == ErrorCode.REBALANCE_IN_PROGRESS
    leader.start_join(versions.join)
    for_leader, for_follower = leader.joined(versions.join), follower.joined(versions.join)
    assert for_leader.generation_id == for_follower.generation_id == 2
    assert for_leader.leader == for_follower.leader == leader.id
    assert {(each.member_id, bytes(each.metadata)) for each in for_leader.members} == {
        (leader.id, subscription()),
        (follower.id, subscription()),
    }
    assert for_follower.members == []
    follower.client.send(follower.sync_request({}, **names), versions.sync)
    answer = leader.sync({leader.id: b"a", follower.id: b"b"}, versions.sync, **names)
    assert bytes(answer.assignment) == b"a"
    assert bytes(follower.synced(versions.sync).assignment) == b"b"
    if versions.sync >= 5:
        assert (answer.protocol_type, answer.protocol_name) == ("consumer", "range")
    assert leader.heartbeat(versions.heartbeat) == OK
    assert leader.commit(key, 3, versions.commit) == OK
    assert committed(client, leader.group, {key: [0]}, version=versions.fetch) == {(key, 0): 3}
    assert follower.leave(versions.leave) == OK
    assert leader.heartbeat(versions.heartbeat) == ErrorCode.REBALANCE_IN_PROGRESS
    assert leader.join(versions.join).generation_id == 3
    assert leader.leave(versions.leave) == OK
    assert state_of(client, leader.group) == "Empty"
    assert committed(client, leader.group, {key: [0]}, version=versions.fetch) == {(key, 0): 3}


@pytest.mark.parametrize("version", range(10))
def test_join_at_every_version(client: WireClient, new_member: NewMember, version: int) -> None:
    alone = new_member()
    answer = alone.join(version)
    assert (answer.error_code, answer.generation_id, answer.protocol_name) == (OK, 1, "range")
    assert answer.leader == answer.member_id == alone.id
    assert answer.protocol_type == ("consumer" if version >= 7 else None)
    assert [bytes(each.metadata) for each in answer.members] == [subscription()]
    assert answer.skip_assignment is False
    assert alone.id.startswith("wire-test-")


@pytest.mark.parametrize("version", range(10))
def test_new_members_are_sent_round_from_version_4_on(
    client: WireClient, group: str, version: int
) -> None:
    """Clients of before would take the error for a failure (KIP-394)."""
    answer = client.call(join_request(group), version)
    assert (answer.error_code == ErrorCode.MEMBER_ID_REQUIRED) is (version >= 4)
    assert answer.error_code in (OK, ErrorCode.MEMBER_ID_REQUIRED)
    assert answer.member_id


@pytest.mark.parametrize("version", range(6))
def test_sync_at_every_version(client: WireClient, new_member: NewMember, version: int) -> None:
    alone = new_member()
    make_joined(alone)
    names = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
    if version < 3:
        names["group_instance_id"] = None
    answer = alone.sync({alone.id: b""}, version, **names)
    assert (answer.error_code, bytes(answer.assignment)) == (OK, b"")
    assert answer.protocol_name == ("range" if version >= 5 else None)


@pytest.mark.parametrize("version", range(6))
def test_leave_at_every_version(client: WireClient, new_member: NewMember, version: int) -> None:
    alone = new_member()
    make_stable(alone)
    answer = client.call(leave_request(alone.group, alone.id, version), version)
    assert answer.error_code == OK
    assert [(left.member_id, left.error_code) for left in answer.members] == (
        [(alone.id, OK)] if version >= 3 else []
    )
    assert member_ids(client, alone.group) == []


@pytest.mark.parametrize("version", range(5))
def test_heartbeat_at_every_version(member: Member, version: int) -> None:
    assert member.heartbeat(version) == OK


@pytest.mark.parametrize("commit_version", range(2, 11))
def test_commit_at_every_version(
    client: WireClient, group: str, make_topic: Callable[..., str], commit_version: int
) -> None:
    topic = make_topic(3)
    key: str | Uuid = topic if commit_version < 10 else topic_id_of(client, topic)
    epoch = 5 if commit_version >= 6 else -1
    request = commit_request(
        group, {key: {0: 11, 2: 22, 7: 1}}, metadata="note", leader_epoch=epoch
    )
    answer = client.call(request, commit_version)
    ((first, *rest),) = (entry.partitions for entry in answer.topics)
    assert (first.partition_index, first.error_code) == (7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    assert [(each.partition_index, each.error_code) for each in rest] == [(0, OK), (2, OK)]
    assert committed(client, group) == {(topic, 0): 11, (topic, 2): 22}


@pytest.mark.parametrize("version", range(1, 11))
def test_fetch_at_every_version(
    client: WireClient, group: str, make_topic: Callable[..., str], version: int
) -> None:
    topic = make_topic(2)
    client.call(commit_request(group, {topic: {0: 11}}, metadata="note", leader_epoch=5), 9)
    key: str | Uuid = topic if version < 10 else topic_id_of(client, topic)
    answer = client.call(offsets_request(group, {key: [1, 0]}, version), version)
    if version >= 8:
        (answer,) = answer.groups
    (entry,) = answer.topics
    assert answer.error_code == OK
    epoch = 5 if version >= 5 else -1
    assert [
        (each.partition_index, each.committed_offset, each.committed_leader_epoch, each.metadata)
        for each in entry.partitions
    ] == [(1, -1, -1, ""), (0, 11, epoch, "note")]
    if version >= 2:
        assert committed(client, group, None, version=version) == {(key, 0): 11}
    missing: str | Uuid = "no-such-topic" if version < 10 else Uuid(b"\x07" * 16)
    answer = client.call(offsets_request(group, {missing: [0]}, version), version)
    if version >= 8:
        (answer,) = answer.groups
    ((place,),) = (entry.partitions for entry in answer.topics)
    # A name that no topic has is not an error; an id is.
    assert place.committed_offset == -1
    assert place.error_code == (OK if version < 10 else ErrorCode.UNKNOWN_TOPIC_ID)


@pytest.mark.parametrize("version", [8, 9, 10])
def test_several_groups_in_one_fetch(
    client: WireClient, group: str, topic: str, version: int
) -> None:
    key: str | Uuid = topic if version < 10 else topic_id_of(client, topic)
    names = [f"{group}-{number}" for number in range(3)]
    for number, name in enumerate(names[:2]):
        assert commit(client, name, topic, number) == OK
    request = offsets_request(names[0], {key: [0]}, version, require_stable=True)
    for name in names[1:]:
        request.groups += offsets_request(name, None, version).groups
    answers = client.call(request, version).groups
    assert [answer.group_id for answer in answers] == names
    assert [
        [place.committed_offset for entry in answer.topics for place in entry.partitions]
        for answer in answers
    ] == [[0], [1], []]


def test_a_partition_named_twice_is_answered_twice(
    client: WireClient, group: str, topic: str
) -> None:
    assert commit(client, group, topic, 4) == OK
    answer = client.call(offsets_request(group, {topic: [0, 0]}, 9), 9)
    ((first, second),) = (entry.partitions for entry in answer.groups[0].topics)
    assert first == second


@pytest.mark.parametrize("version", range(7))
def test_describe_at_every_version(client: WireClient, new_member: NewMember, version: int) -> None:
    static = new_member(group_instance_id="here")
    make_stable(static)
    request = DescribeGroupsRequest([static.group], version >= 3)
    (group,) = client.call(request, version).groups
    assert (group.error_code, group.error_message) == (OK, None)
    assert (group.group_id, group.group_state) == (static.group, "Stable")
    assert (group.protocol_type, group.protocol_data) == ("consumer", "range")
    operations = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
    assert group.authorized_operations == (operations if version >= 3 else -(2**31))
    (shown,) = group.members
    assert (shown.member_id, shown.client_id) == (static.id, "wire-test")
    assert shown.client_host == "/127.0.0.1"
    assert shown.group_instance_id == ("here" if version >= 4 else None)
    assert bytes(shown.member_metadata) == subscription()
    assert bytes(shown.member_assignment) == static.id.encode()


@pytest.mark.parametrize("version", range(7))
def test_a_group_that_does_not_exist(client: WireClient, group: str, version: int) -> None:
    shown = described(client, group, version)
    assert shown.group_state == "Dead"
    missing = (ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group} not found.")
    assert (shown.error_code, shown.error_message) == (missing if version >= 6 else (OK, None))


@pytest.mark.parametrize("version", range(6))
def test_list_at_every_version(
    client: WireClient, member: Member, topic: str, version: int
) -> None:
    simple = f"simple-{member.group}"
    assert commit(client, simple, topic, 1) == OK
    answer = client.call(ListGroupsRequest(), version)
    rows = {
        row.group_id: (row.protocol_type, row.group_state, row.group_type) for row in answer.groups
    }
    state = ("Stable", "Empty") if version >= 4 else ("", "")
    kind = "classic" if version >= 5 else ""
    assert rows[member.group] == ("consumer", state[0], kind)
    assert rows[simple] == ("", state[1], kind)


@pytest.mark.parametrize(
    ("states", "types", "shown"),
    [
        (["Stable"], [], True),
        (["stable"], ["Classic"], True),
        (["Empty", "Stable"], ["consumer", "classic"], True),
        (["Empty"], [], False),
        ([], ["consumer"], False),
        (["NoSuchState"], [], False),
        ([], ["no-such-type"], False),
    ],
)
def test_filters(
    client: WireClient, member: Member, states: list[str], types: list[str], shown: bool
) -> None:
    answer = client.call(ListGroupsRequest(states, types), 5)
    assert answer.error_code == OK
    assert (member.group in [row.group_id for row in answer.groups]) is shown


@pytest.mark.parametrize("version", range(3))
def test_delete_at_every_version(client: WireClient, group: str, topic: str, version: int) -> None:
    assert commit(client, group, topic, 1) == OK
    assert state_of(client, group) == "Empty"
    answer = client.call(DeleteGroupsRequest([group, group]), version)
    assert [(each.group_id, each.error_code) for each in answer.results] == [(group, OK)]
    assert is_absent(client, group)
    assert committed(client, group, {topic: [0]}) == {(topic, 0): -1}


def test_offsets_are_deleted_one_by_one(
    client: WireClient, group: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(2)
    client.call(commit_request(group, {topic: {0: 1, 1: 2}}), 9)
    asked = OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(0)])
    answer = client.call(OffsetDeleteRequest(group, [asked]), 0)
    assert answer.error_code == OK
    assert [place.error_code for place in answer.topics[0].partitions] == [OK]
    assert committed(client, group) == {(topic, 1): 2}


def test_offsets_go_with_their_topic_and_those_of_the_next_stay(
    client: WireClient, group: str, make_topic: Callable[..., str]
) -> None:
    topic, other = make_topic(2), make_topic()
    client.call(commit_request(group, {topic: {0: 1, 1: 2}, other: {0: 3}}), 9)
    delete_topic(client, topic)
    wait_until(lambda: committed(client, group) == {(other, 0): 3}, "the offsets are gone")
    create_topic(client, topic, 2)
    assert commit(client, group, topic, 7) == OK
    assert committed(client, group) == {(topic, 0): 7, (other, 0): 3}


@pytest.mark.parametrize("version", range(5, 10))
def test_a_static_member_comes_back(
    client: WireClient, new_member: NewMember, version: int
) -> None:
    """Without a rebalance (KIP-345); from version 9 on a leader may lead again (KIP-814)."""
    old, new = (new_member(group_instance_id="here") for _ in range(2))
    make_stable(old)
    answer = new.join(version)
    assert (answer.error_code, answer.generation_id) == (OK, old.generation)
    assert new.id != old.id
    assert answer.skip_assignment is (version >= 9)
    assert answer.leader == (new.id if version >= 9 else old.id)
    assert len(answer.members) == (1 if version >= 9 else 0)
    assert bytes(new.sync().assignment) == old.id.encode()
    assert new.heartbeat() == OK


def test_several_leave_at_once(client: WireClient, new_member: NewMember) -> None:
    static, other = new_member(group_instance_id="here"), new_member()
    make_stable(static, other)
    asked = [MemberIdentity("", "here"), MemberIdentity(other.id), MemberIdentity("nobody")]
    answer = client.call(LeaveGroupRequest(group_id=static.group, members=asked), 5)
    assert [
        (each.member_id, each.group_instance_id, each.error_code) for each in answer.members
    ] == [
        ("", "here", OK),
        (other.id, None, OK),
        ("nobody", None, ErrorCode.UNKNOWN_MEMBER_ID),
    ]
    assert state_of(client, static.group) == "Empty"


def test_nothing_overtakes_a_join_that_waits(client: WireClient, new_member: NewMember) -> None:
    """Answers come in the order of the requests: the heartbeat behind it waits as well."""
    first, second = new_member(), new_member()
    make_stable(first)
    second.start_join()
    second.client.send(JoinGroupRequest(), 5)  # refused at once, if it were its turn
    await_members(client, first.group, 2)
    assert second.client.is_silent(0.3)
    first.start_join()
    assert first.joined().error_code == OK
    number = second.client.send(JoinGroupRequest(), 5) - 2
    assert second.client.answer_of(11, 5, number).error_code == OK
    for later in (number + 1, number + 2):
        refused = second.client.answer_of(11, 5, later)
        assert refused.error_code == ErrorCode.INVALID_GROUP_ID


def test_a_client_without_a_name(client: WireClient, group: str) -> None:

    with client.another() as own:
        body = bytes(encode_join(join_request(group), 3))
        own.send_bytes(framed(encode_header(11, 3, 1, None) + body))
        answer = own.answer_of(11, 3, 1)
    assert (answer.error_code, answer.member_id[:1]) == (OK, "-")
    (shown,) = described(client, group).members
    assert shown.client_id == ""
