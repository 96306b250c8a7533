"""JoinGroup: who may become a member, who is one already, and what that means for the group.

Members that join are parked until the rebalance that they led to is complete; `Rebalancer`
answers them. The rules, and their order, are those of Kafka's GroupMetadataManager.
"""

import random
from dataclasses import dataclass
from functools import partial

from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.group import Group, GroupState
from tierbroker.groups.member import Member, Protocols
from tierbroker.groups.outbox import Outbox
from tierbroker.groups.rebalancer import Rebalancer, Written
from tierbroker.groups.record_codec import NAME_BYTES_MAX
from tierbroker.groups.sessions import Session, Sessions
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from tierbroker.wire.messages.sync_group import SyncGroupResponse

NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60_000
"""How long the first JoinGroup of a member may stay parked: Kafka's constant."""
_MEMBER_ID_SUFFIX_BYTES = 37
"""A dash and a UUID."""


@dataclass(frozen=True, slots=True)
class JoinAttempt:
    """A JoinGroup request with all that its answer depends on."""

    request: JoinGroupRequest
    client: Client
    protocols: Protocols
    member_id_required: bool
    """JoinGroup v4+: a new dynamic member is told its id first, and joins with it."""
    may_skip_assignment: bool
    """JoinGroup v9+: a leader may be told that the assignment in force stays."""
    pending: Pending[JoinGroupResponse]

    @property
    def rebalance_timeout_ms(self) -> int:
        """Version 0 has none: the session timeout is used for both."""
        timeout_ms = self.request.rebalance_timeout_ms
        return self.request.session_timeout_ms if timeout_ms == -1 else timeout_ms


class Joining:
    """Decides about JoinGroup for the groups of one shard; leaves its effects in the outbox."""

    def __init__(
        self,
        config: GroupConfig,
        rebalancer: Rebalancer,
        sessions: Sessions,
        outbox: Outbox,
        rng: random.Random,
    ) -> None:
        self._config = config
        self._rebalancer = rebalancer
        self._sessions = sessions
        self._outbox = outbox
        self._rng = rng

    def join(self, group: Group, attempt: JoinAttempt) -> None:
        """Let the sender in, send it away, or park it."""
        request = attempt.request
        member_id = request.member_id
        if not self._has_room(group, member_id):
            self._send_off(group, member_id)
            self.refuse(attempt, ErrorCode.GROUP_MAX_SIZE_REACHED, member_id="")
        elif not group.supports(request.protocol_type, attempt.protocols):
            self.refuse(attempt, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        elif not member_id:
            self._join_unknown(group, attempt)
        elif member_id in group.pending_joins:
            if request.group_instance_id is not None:
                # Ids that wait to be used were given to dynamic members.
                self.refuse(attempt, ErrorCode.UNKNOWN_SERVER_ERROR, member_id="")
            else:
                self._add(group, attempt, member_id)
        else:
            error = group.check_member(member_id, request.group_instance_id)
            if error is not ErrorCode.NONE:
                self.refuse(attempt, error, protocol_name=None)
            else:
                self._rejoin(group, attempt, group.members[member_id])

    def can_name(self, attempt: JoinAttempt) -> bool:
        """Whether there is room in an answer, and in a record, for the id of a new member."""
        prefix = _member_id_prefix(attempt)
        return len(prefix.encode()) + _MEMBER_ID_SUFFIX_BYTES <= NAME_BYTES_MAX

    def refuse(
        self,
        attempt: JoinAttempt,
        error: ErrorCode,
        *,
        member_id: str | None = None,
        protocol_name: str | None = "",
    ) -> None:
        """Answer with an error."""
        self._outbox.answer(
            attempt.pending,
            JoinGroupResponse(
                error_code=error,
                member_id=attempt.request.member_id if member_id is None else member_id,
                protocol_name=protocol_name,
            ),
        )

    # --- who may come in

    def _has_room(self, group: Group, member_id: str) -> bool:
        """Whether `group.max.size` allows it. While members join, those who came first stay."""
        if group.state is GroupState.EMPTY:
            return True
        member = group.members.get(member_id)
        if group.state is GroupState.PREPARING_REBALANCE:
            if member is not None and member.awaiting_join is not None:
                return True
            return group.awaiting_join_count < self._config.max_size
        return member is not None or len(group.members) < self._config.max_size

    def _send_off(self, group: Group, member_id: str) -> None:
        member = group.members.get(member_id)
        session = group.pending_joins.pop(member_id, None)
        if session is not None:
            session.cancel()
        if member is not None:
            self._rebalancer.drop(group, member)

    # --- without a member id

    def _join_unknown(self, group: Group, attempt: JoinAttempt) -> None:
        request = attempt.request
        instance_id = request.group_instance_id
        member_id = self._new_member_id(_member_id_prefix(attempt))
        if instance_id is not None:
            current = group.static_members.get(instance_id)
            if current is None:
                self._add(group, attempt, member_id)
            else:
                self._replace(group, attempt, group.members[current], member_id)
        elif attempt.member_id_required:
            session = Session(self._sessions, group, member_id)
            session.touch(request.session_timeout_ms)
            group.pending_joins[member_id] = session
            self.refuse(attempt, ErrorCode.MEMBER_ID_REQUIRED, member_id=member_id)
        else:
            self._add(group, attempt, member_id)

    def _new_member_id(self, prefix: str) -> str:
        raw = bytearray(self._rng.randbytes(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        digits = raw.hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return f"{prefix}-{'-'.join(parts)}"

    def _add(self, group: Group, attempt: JoinAttempt, member_id: str) -> None:
        session = group.pending_joins.pop(member_id, None)
        member = self._member(
            attempt, member_id, session or Session(self._sessions, group, member_id)
        )
        member.is_new = True
        if (
            group.state is GroupState.PREPARING_REBALANCE
            and group.previous_state is GroupState.EMPTY
        ):
            group.member_added = True
        if not group.members:
            group.protocol_type = attempt.request.protocol_type
        group.add(member, attempt.pending)
        member.session.touch(NEW_MEMBER_JOIN_TIMEOUT_MS)
        self._rebalancer.prepare_or_complete(group)

    def _member(self, attempt: JoinAttempt, member_id: str, session: Session) -> Member:
        return Member(
            member_id,
            attempt.request.group_instance_id,
            attempt.client,
            session,
            rebalance_timeout_ms=attempt.rebalance_timeout_ms,
            session_timeout_ms=attempt.request.session_timeout_ms,
            protocols=attempt.protocols,
        )

    # --- with the member id of a member

    def _rejoin(self, group: Group, attempt: JoinAttempt, member: Member) -> None:
        """A member that changes nothing is told the generation once more; else all rejoin.

        The leader of a stable group comes back because something outside of the members changed
        (the partitions of a topic, say): that is a reason as well.
        """
        leads_stable = group.state is GroupState.STABLE and group.leader_id == member.member_id
        unchanged = member.offers(attempt.protocols)
        if group.can_rebalance and unchanged and not leads_stable:
            self._outbox.answer(attempt.pending, self._rebalancer.joined(group, member))
            return
        superseded = JoinGroupResponse(
            error_code=ErrorCode.REBALANCE_IN_PROGRESS, member_id=member.member_id
        )
        self._rebalancer.answer_join(group, member, superseded)
        group.offer(member, attempt.protocols)
        member.rebalance_timeout_ms = attempt.rebalance_timeout_ms
        member.session_timeout_ms = attempt.request.session_timeout_ms
        group.await_join(member, attempt.pending)
        self._rebalancer.prepare_or_complete(group)

    # --- static members that come back

    def _replace(self, group: Group, attempt: JoinAttempt, old: Member, member_id: str) -> None:
        """The instance restarted: a new member id takes the old one's place and assignment."""
        leader_id = group.leader_id or ""
        self._fence(group, old)
        new = self._member(attempt, member_id, Session(self._sessions, group, member_id))
        new.client = old.client
        new.assignment = old.assignment
        old.session.cancel()
        group.replace_static(old, new)
        new.touch()
        group.await_join(new, attempt.pending)
        if group.state is GroupState.STABLE and group.select_protocol() == group.protocol_name:
            written = self._rebalancer.write(group, group.record())
            written.on_done(partial(self._replaced, group, attempt, old, new, leader_id))
        elif group.can_rebalance:
            # Its old id may be with the leader already, whose assignment would miss the new one.
            self._rebalancer.prepare(group)
        else:
            self._rebalancer.maybe_complete_join(group)

    def _fence(self, group: Group, old: Member) -> None:
        fenced = ErrorCode.FENCED_INSTANCE_ID
        self._rebalancer.answer_join(
            group,
            old,
            JoinGroupResponse(error_code=fenced, member_id=old.member_id, protocol_name=None),
        )
        self._rebalancer.answer_sync(old, SyncGroupResponse(error_code=fenced))

    def _replaced(
        self,
        group: Group,
        attempt: JoinAttempt,
        old: Member,
        new: Member,
        leader_id: str,
        written: Written,
    ) -> None:
        """The new member id is on disk, or it is not and the old one stays."""
        if new.awaiting_join is not attempt.pending:
            return  # A rebalance, or the next restart of the instance, has answered it.
        error = written.result()
        if error is not ErrorCode.NONE:
            response = JoinGroupResponse(
                error_code=error,
                generation_id=group.generation,
                protocol_type=group.protocol_type,
                protocol_name=group.protocol_name,
                leader=leader_id,
            )
            self._rebalancer.answer_join(group, new, response)
            if group.state is GroupState.STABLE:
                new.session.cancel()
                group.replace_static(new, old)
                old.touch()
        else:
            new.touch()  # Its session was not watched while the request was parked.
            response = self._rebalancer.joined(group, new)
            if attempt.may_skip_assignment:
                response.skip_assignment = group.leader_id == new.member_id
            else:
                # It must not assign anew, so it is not told that it leads.
                response.leader = leader_id
                response.members = []
            self._rebalancer.answer_join(group, new, response)
        self._outbox.deliver()


def _member_id_prefix(attempt: JoinAttempt) -> str:
    instance_id = attempt.request.group_instance_id
    return attempt.client.client_id if instance_id is None else instance_id
