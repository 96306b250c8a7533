"""The requests of a group member, sent by hand, and how a group looks from outside."""

import itertools
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.broker.wire_client import DEADLINE_S, WireClient
from tierbroker.base.ids import Uuid
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_groups import DescribeGroupsRequest
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.heartbeat import HeartbeatRequest
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tierbroker.wire.messages.list_groups import ListGroupsRequest
from tierbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

SHORTEST_SESSION_MS = 6000
"""What Kafka's group.min.session.timeout.ms allows."""

_numbers = itertools.count()


def new_group() -> str:
    """A name that no other test uses, on whatever broker."""
    return f"group-{os.getpid()}-{next(_numbers)}-{time.time_ns()}"


def await_coordinator(client: WireClient, group: str = "any") -> None:
    """Ask until somebody coordinates groups: the first question makes the internal topic."""
    request = FindCoordinatorRequest(key=group, key_type=0)
    wait_until(lambda: client.call(request, 2).error_code == 0, "somebody coordinates groups")


def subscription(*topics: str, user_data: bytes = b"") -> bytes:
    """What a consumer sends with a protocol: ConsumerProtocolSubscription, version 0."""
    names = b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in topics)
    return (
        struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", len(user_data)) + user_data
    )


def join_request(group: str, member_id: str = "", **how: Any) -> JoinGroupRequest:
    """A consumer's; `protocols` are names, or names with metadata."""
    protocols = how.pop("protocols", ["range"])
    if not isinstance(protocols, Mapping):
        protocols = dict.fromkeys(protocols, subscription())
    settings: dict[str, Any] = {
        "session_timeout_ms": 30_000,
        "rebalance_timeout_ms": 30_000,
        "protocol_type": "consumer",
        **how,
    }
    asked = [JoinGroupRequestProtocol(name, data) for name, data in protocols.items()]
    return JoinGroupRequest(group_id=group, member_id=member_id, protocols=asked, **settings)


class Member:
    """One member on a connection of its own, as a client library would keep it."""

    def __init__(self, client: WireClient, group: str, **how: Any) -> None:
        self.client = client
        self.group = group
        self.how = how
        self.id = ""
        self.generation = -1
        self.instance: str | None = how.get("group_instance_id")

    def join(self, version: int = 5) -> Any:
        """Join, a second time with the id if one is required; the last answer."""
        answer = self.client.call(join_request(self.group, self.id, **self.how), version)
        if answer.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            self.id = answer.member_id
            answer = self.client.call(join_request(self.group, self.id, **self.how), version)
        return self._took(answer)

    def start_join(self, version: int = 5) -> None:
        """Join without waiting; `joined` takes the answer."""
        if version >= 4 and not self.id and self.instance is None:
            answer = self.client.call(join_request(self.group, **self.how), version)
            assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED
            self.id = answer.member_id
        self.client.send(join_request(self.group, self.id, **self.how), version)

    def joined(self, version: int = 5) -> Any:
        return self._took(self.client.answer(JoinGroupRequest(), version))

    def sync_request(self, assignments: Mapping[str, bytes], **how: Any) -> SyncGroupRequest:
        fields: dict[str, Any] = {
            "generation_id": self.generation,
            "member_id": self.id,
            "group_instance_id": self.instance,
            **how,
        }
        asked = [SyncGroupRequestAssignment(member, data) for member, data in assignments.items()]
        return SyncGroupRequest(group_id=self.group, assignments=asked, **fields)

    def sync(
        self, assignments: Mapping[str, bytes] | None = None, version: int = 3, **how: Any
    ) -> Any:
        return self.client.call(self.sync_request(assignments or {}, **how), version)

    def start_sync(self, assignments: Mapping[str, bytes] | None = None, version: int = 3) -> None:
        self.client.send(self.sync_request(assignments or {}), version)

    def synced(self, version: int = 3) -> Any:
        return self.client.answer(SyncGroupRequest(), version)

    def heartbeat(self, version: int = 3, **how: Any) -> ErrorCode:
        fields: dict[str, Any] = {
            "generation_id": self.generation,
            "member_id": self.id,
            "group_instance_id": self.instance,
            **how,
        }
        request = HeartbeatRequest(group_id=self.group, **fields)
        return ErrorCode(self.client.call(request, version).error_code)

    def leave(self, version: int = 3) -> ErrorCode:
        """The error of the answer, or of its only member."""
        answer = self.client.call(leave_request(self.group, self.id, version), version)
        (member,) = answer.members or (answer,)
        return ErrorCode(answer.error_code or member.error_code)

    def commit(self, topic: str, offset: int, version: int = 7, **how: Any) -> ErrorCode:
        fields: dict[str, Any] = {
            "generation_id_or_member_epoch": self.generation,
            "member_id": self.id,
            "group_instance_id": self.instance,
            **how,
        }
        return commit(self.client, self.group, topic, offset, version=version, **fields)

    def _took(self, answer: Any) -> Any:
        if answer.error_code == ErrorCode.NONE:
            self.id = answer.member_id
            self.generation = answer.generation_id
        return answer


def make_joined(*members: Member) -> None:
    """Let them form one generation, of which the first is the leader; nobody has synced yet."""
    leader, *others = members
    answer = leader.join()
    assert answer.error_code == ErrorCode.NONE
    if not others:
        return
    for member in others:
        member.start_join()
    with leader.client.another() as observer:
        await_members(observer, leader.group, len(members))
    leader.start_join()
    answers = [member.joined() for member in members]
    assert [answer.error_code for answer in answers] == [ErrorCode.NONE] * len(members)
    assert {answer.leader for answer in answers} == {leader.id}
    assert len({answer.generation_id for answer in answers}) == 1


def make_stable(*members: Member) -> None:
    """Let them form one generation, the first as its leader; each is assigned its own id."""
    make_joined(*members)
    assignments = {member.id: member.id.encode() for member in members}
    members[0].start_sync(assignments)
    for member in members[1:]:
        member.start_sync()
    for member in members:
        answer = member.synced()
        assert (answer.error_code, bytes(answer.assignment)) == (0, member.id.encode())


def await_members(client: WireClient, group: str, count: int) -> None:
    """Wait until the group has so many members, whatever its state."""
    wait_until(lambda: len(member_ids(client, group)) == count, f"{count} members of {group}")


def wait_until(check: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def leave_request(group: str, member_id: str, version: int) -> LeaveGroupRequest:
    if version < 3:
        return LeaveGroupRequest(group_id=group, member_id=member_id)
    return LeaveGroupRequest(group_id=group, members=[MemberIdentity(member_id)])


def commit_request(
    group: str,
    offsets: Mapping[str | Uuid, Mapping[int, int]],
    *,
    metadata: str | None = "",
    leader_epoch: int = -1,
    **rest: Any,
) -> OffsetCommitRequest:
    """Topics by name, or by id for version 10."""
    topics = []
    for key, places in offsets.items():
        asked = [
            OffsetCommitRequestPartition(index, offset, leader_epoch, metadata)
            for index, offset in places.items()
        ]
        topic = OffsetCommitRequestTopic(partitions=asked)
        if isinstance(key, str):
            topic.name = key
        else:
            topic.topic_id = key
        topics.append(topic)
    return OffsetCommitRequest(group_id=group, topics=topics, **rest)


def commit(
    client: WireClient,
    group: str,
    topic: str | Uuid,
    offset: int,
    *,
    partition: int = 0,
    version: int = 7,
    **rest: Any,
) -> ErrorCode:
    """The error of the one partition."""
    answer = client.call(commit_request(group, {topic: {partition: offset}}, **rest), version)
    ((result,),) = (entry.partitions for entry in answer.topics)
    assert result.partition_index == partition
    return ErrorCode(result.error_code)


def offsets_request(
    group: str, asked: Mapping[str | Uuid, Sequence[int]] | None, version: int, **rest: Any
) -> OffsetFetchRequest:
    """None asks for everything (from version 2 on)."""
    if version < 8:
        old = None
        if asked is not None:
            old = [OffsetFetchRequestTopic(str(key), list(at)) for key, at in asked.items()]
        return OffsetFetchRequest(group_id=group, topics=old, **rest)
    topics = None
    if asked is not None:
        topics = [
            OffsetFetchRequestTopics(name=key, partition_indexes=list(at))
            if isinstance(key, str)
            else OffsetFetchRequestTopics(topic_id=key, partition_indexes=list(at))
            for key, at in asked.items()
        ]
    return OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=topics)], **rest)


def committed(
    client: WireClient,
    group: str,
    asked: Mapping[str | Uuid, Sequence[int]] | None = None,
    *,
    version: int = 9,
    **rest: Any,
) -> dict[tuple[str | Uuid, int], int]:
    """Offsets by topic (name or id, as asked) and partition; -1 where there is none."""
    answer = client.call(offsets_request(group, asked, version, **rest), version)
    if version >= 8:
        (answer,) = answer.groups
        assert answer.group_id == group
    assert answer.error_code == ErrorCode.NONE
    return {
        (
            topic.name if version < 10 else Uuid(bytes(topic.topic_id)),
            entry.partition_index,
        ): entry.committed_offset
        for topic in answer.topics
        for entry in topic.partitions
    }


def described(client: WireClient, group: str, version: int = 6) -> Any:
    """The group as DescribeGroups shows it."""
    (found,) = client.call(DescribeGroupsRequest(groups=[group]), version).groups
    assert found.group_id == group
    return found


def state_of(client: WireClient, group: str) -> str:
    """The group's state; "Dead" for one that does not exist."""
    return str(described(client, group).group_state)


def member_ids(client: WireClient, group: str) -> list[str]:
    return sorted(member.member_id for member in described(client, group).members)


def listed(client: WireClient) -> dict[str, str]:
    """State by name of every group."""
    answer = client.call(ListGroupsRequest(), 5)
    assert answer.error_code == ErrorCode.NONE
    return {group.group_id: group.group_state for group in answer.groups}


def check_unharmed(client: WireClient, member: Member) -> None:
    """The group is stable, with this one member."""
    assert state_of(client, member.group) == "Stable"
    assert member_ids(client, member.group) == [member.id]
    assert member.heartbeat() == ErrorCode.NONE


def is_absent(client: WireClient, group: str) -> bool:
    """Neither DescribeGroups nor ListGroups knows it."""
    return state_of(client, group) == "Dead" and group not in listed(client)
