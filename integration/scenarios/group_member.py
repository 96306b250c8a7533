"""A member of a group, as the scripts play it: joins, syncs, beats, commits and leaves."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integration.differential.script import Connection, Run, Sent
from tierbroker.wire.api_keys import ApiKey as Api
from tierbroker.wire.error_codes import ErrorCode

NO_GENERATION = -1
SHORT_MS = 6_000
"""A timeout that scripts wait for, and until which a machine that stalls must not keep them."""
LAST = {Api.JOIN_GROUP: 9, Api.SYNC_GROUP: 5, Api.HEARTBEAT: 4, Api.LEAVE_GROUP: 5}
INSTANCES_SINCE = {Api.JOIN_GROUP: 5, Api.SYNC_GROUP: 3, Api.HEARTBEAT: 3, Api.LEAVE_GROUP: 3}


def subscription(*topics: str, user_data: bytes = b"") -> bytes:
    """The metadata of a consumer (version 0): Kafka's coordinator reads the topics in it."""
    names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in topics)
    return (
        struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", len(user_data)) + user_data
    )


PROTOCOLS = (("range", subscription("orders")),)


@dataclass
class Member:
    """One member on a connection of its own. Ids and generations come from the answers."""

    run: Run
    group: str
    name: str
    version: int = 9
    """Of JoinGroup; the other APIs follow as far as they go."""
    instance: str | None = None
    session_ms: int = 30_000
    rebalance_ms: int = 30_000
    protocols: Sequence[tuple[str, bytes]] = PROTOCOLS
    protocol_type: str = "consumer"
    id: str = ""
    generation: int = NO_GENERATION

    def __post_init__(self) -> None:
        self.client: Connection = self.run.connect(self.name)

    def version_of(self, key: Api) -> int:
        """The version that goes with the one of JoinGroup."""
        return min(self.version, LAST[key])

    def send_join(self, **other: Any) -> Sent:
        """Join, and take the answer later with `joined`."""
        fields = {
            "group_id": self.group,
            "session_timeout_ms": self.session_ms,
            "member_id": self.id,
            "protocol_type": self.protocol_type,
            "protocols": [{"name": name, "metadata": data} for name, data in self.protocols],
        }
        if self.version >= 1:
            fields["rebalance_timeout_ms"] = self.rebalance_ms
        version = self.version_of(Api.JOIN_GROUP)
        return self.client.send(
            Api.JOIN_GROUP, version, **{**fields, **self._instance(Api.JOIN_GROUP), **other}
        )

    def joined(self, sent: Sent) -> Any:
        """The answer to `send_join`; its member id and generation are kept."""
        answer = sent.answer()
        if answer.member_id:
            self.id = answer.member_id
        if answer.error_code == ErrorCode.NONE:
            self.generation = answer.generation_id
        return answer

    def join(self, **other: Any) -> Any:
        """Join, a second time where the broker wants the member id that it gave."""
        answer = self.joined(self.send_join(**other))
        if answer.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            answer = self.joined(self.send_join(**other))
        return answer

    def ask_for_id(self) -> None:
        """The first half of a join of version 4 or later."""
        assert self.joined(self.send_join()).error_code == ErrorCode.MEMBER_ID_REQUIRED

    def send_sync(self, parts: Mapping[str, bytes] | None = None, **other: Any) -> Sent:
        """Sync; `parts` is member id -> assignment."""
        given = [{"member_id": m, "assignment": a} for m, a in (parts or {}).items()]
        fields = {**self._who(Api.SYNC_GROUP), "assignments": given}
        if self.version_of(Api.SYNC_GROUP) >= 5:
            fields |= {"protocol_type": self.protocol_type, "protocol_name": self.protocols[0][0]}
        return self.client.send(
            Api.SYNC_GROUP, self.version_of(Api.SYNC_GROUP), **{**fields, **other}
        )

    def sync(self, parts: Mapping[str, bytes] | None = None, **other: Any) -> Any:
        """`send_sync`, and its answer."""
        return self.send_sync(parts, **other).answer()

    def beat(self, **other: Any) -> Any:
        """Heartbeat."""
        return self.client.call(
            Api.HEARTBEAT,
            self.version_of(Api.HEARTBEAT),
            **{**self._who(Api.HEARTBEAT), **other},
        )

    def leave(self) -> Any:
        """Leave, in the form of the version."""
        version = self.version_of(Api.LEAVE_GROUP)
        if version < 3:
            fields: dict[str, Any] = {"member_id": self.id}
        else:
            fields = {"members": [{"member_id": self.id, **self._instance(Api.LEAVE_GROUP)}]}
        return self.client.call(Api.LEAVE_GROUP, version, group_id=self.group, **fields)

    def commit(self, topic: str, offset: int, version: int = 8, **other: Any) -> Any:
        """Commit an offset of partition 0 of the topic."""
        partition = {"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}
        fields = {
            "group_id": self.group,
            "member_id": self.id,
            "generation_id_or_member_epoch": self.generation,
            "topics": [{"name": topic, "partitions": [partition]}],
        }
        if version >= 7:
            fields["group_instance_id"] = self.instance
        return self.client.call(Api.OFFSET_COMMIT, version, **{**fields, **other})

    def _who(self, key: Api) -> dict[str, Any]:
        return {
            "group_id": self.group,
            "member_id": self.id,
            "generation_id": self.generation,
            **self._instance(key),
        }

    def _instance(self, key: Api) -> dict[str, Any]:
        if self.version_of(key) < INSTANCES_SINCE[key]:
            return {}
        return {"group_instance_id": self.instance}


def coordinated(run: Run, name: str) -> str:
    """The name of a group whose coordinator is ready. Leaves no step behind."""
    group = run.name(name)
    client = run.setup_connection()
    client.settled(Api.FIND_COORDINATOR, 4, coordinator_keys=[group])
    client.settled(Api.OFFSET_FETCH, 7, group_id=group, topics=None)
    return group


def until_state(run: Run, group: str, state: str) -> None:
    """Wait until the group comes to a state on its own. Leaves no step behind."""
    client = run.setup_connection()

    def there() -> bool:
        answer, _ = client.send(Api.DESCRIBE_GROUPS, 5, groups=[group]).receive()
        return bool(answer.groups[0].group_state == state)

    run.wait_until(f"group in {state}", there)


def stable(run: Run, name: str, version: int = 9, **how: Any) -> Member:
    """A group with one member that has its assignment."""
    member = Member(run, coordinated(run, name), "a", version, **how)
    member.join()
    member.sync({member.id: b"all"})
    return member
