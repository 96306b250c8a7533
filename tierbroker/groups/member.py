"""One member of a classic group: who it is, what it speaks, and what it is waiting for.

It knows nothing of the other members and sends nothing.
"""

from typing import TYPE_CHECKING

from tierbroker.groups.client import Client
from tierbroker.groups.records.group_metadata_value import MemberMetadata
from tierbroker.groups.sessions import Session
from tierbroker.wire.messages.describe_groups import DescribedGroupMember
from tierbroker.wire.messages.join_group import (
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)

if TYPE_CHECKING:
    from tierbroker.base.pending import Pending
    from tierbroker.wire.messages.sync_group import SyncGroupResponse

Protocols = dict[str, bytes]
"""Names of protocols, the best liked first, with the member's metadata for each."""


def protocols_of(request: JoinGroupRequest) -> Protocols:
    """What the request offers, copied out of its frame. A name given twice counts once."""
    protocols: Protocols = {}
    for protocol in request.protocols:
        if protocol.name not in protocols:
            protocols[protocol.name] = bytes(protocol.metadata)
    return protocols


class Member:
    """Mutable; only `Group` and those who drive it change it."""

    __slots__ = (
        "assignment",
        "awaiting_join",
        "awaiting_sync",
        "client",
        "instance_id",
        "is_new",
        "member_id",
        "owes_sync",
        "protocols",
        "rebalance_timeout_ms",
        "session",
        "session_timeout_ms",
    )

    def __init__(
        self,
        member_id: str,
        instance_id: str | None,
        client: Client,
        session: Session,
        *,
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
        protocols: Protocols,
        assignment: bytes = b"",
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.client = client
        self.session = session
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.session_timeout_ms = session_timeout_ms
        self.protocols = protocols
        self.assignment = assignment
        self.awaiting_join: Pending[JoinGroupResponse] | None = None
        self.awaiting_sync: Pending[SyncGroupResponse] | None = None
        self.is_new = False
        """Its first JoinGroup has not been answered yet."""
        self.owes_sync = False
        """It knows the generation, but has not asked for its assignment yet."""

    def touch(self) -> None:
        """A sign of life."""
        self.session.touch(self.session_timeout_ms)

    @property
    def is_parked(self) -> bool:
        """A parked request stands for heartbeats, but a new member's join does not do so for ever.

        Nothing tells the coordinator that a client went away with its join parked; those who
        retry get a new member id each time. So new members have a deadline all the same.
        """
        if self.is_new:
            return False
        return self.awaiting_join is not None or self.awaiting_sync is not None

    def offers(self, protocols: Protocols) -> bool:
        """Whether it said the same, in the same order, when it joined last."""
        return list(self.protocols.items()) == list(protocols.items())

    def metadata(self, protocol_name: str | None) -> bytes:
        """Its metadata for a protocol; empty if it does not speak it."""
        return self.protocols.get(protocol_name, b"") if protocol_name is not None else b""

    def vote(self, candidates: set[str]) -> str:
        """The candidate that it likes best; at least one must be among its protocols."""
        return next(name for name in self.protocols if name in candidates)

    def as_joined(self, protocol_name: str | None) -> JoinGroupResponseMember:
        """How the leader sees it."""
        return JoinGroupResponseMember(
            self.member_id, self.instance_id, self.metadata(protocol_name)
        )

    def as_record(self, protocol_name: str | None, assignment: bytes) -> MemberMetadata:
        """How the group's record keeps it."""
        return MemberMetadata(
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            client_id=self.client.client_id,
            client_host=self.client.host,
            rebalance_timeout=self.rebalance_timeout_ms,
            session_timeout=self.session_timeout_ms,
            subscription=self.metadata(protocol_name),
            assignment=assignment,
        )

    def as_described(self, protocol_name: str | None) -> DescribedGroupMember:
        """How DescribeGroups shows it; without a protocol, without metadata."""
        return DescribedGroupMember(
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            client_id=self.client.client_id,
            client_host=self.client.host,
            member_metadata=self.metadata(protocol_name),
            member_assignment=self.assignment,
        )
