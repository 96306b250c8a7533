"""All classic groups of one shard of `__consumer_offsets`: who is a member of what, and since when.

The face of the group protocol towards the coordinator. Requests come in, answers go out through
`Pending`; what must survive a restart goes through the journal first. It knows nothing of offsets
but whether a group has any, and it must never ask the operating system for time or randomness.
"""

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from tierbroker.base.clock import Clock
from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.group import Group, GroupState
from tierbroker.groups.joining import JoinAttempt, Joining
from tierbroker.groups.journal import Journal
from tierbroker.groups.leaving import Leaving
from tierbroker.groups.member import Member, protocols_of
from tierbroker.groups.outbox import Outbox
from tierbroker.groups.ports import KeyValue, Timers
from tierbroker.groups.rebalancer import Rebalancer, Written, synced
from tierbroker.groups.record_codec import group_metadata_key
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.groups.sessions import Alarm, Session, Sessions
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_groups import DescribedGroup
from tierbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from tierbroker.wire.messages.list_groups import ListedGroup
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

logger = logging.getLogger(__name__)


class Memberships:
    """Loop thread only. `restore`/`forget` replay the log, `start` opens for requests."""

    def __init__(
        self,
        config: GroupConfig,
        journal: Journal,
        timers: Timers,
        clock: Clock,
        rng: random.Random,
        *,
        has_offsets: Callable[[str], bool],
    ) -> None:
        self._config = config
        self._timers = timers
        self._clock = clock
        self._has_offsets = has_offsets
        self._groups: dict[str, Group] = {}
        self._started = False
        self._outbox = Outbox()
        self._sessions = Sessions(timers, clock, self._session_expired)
        self._rebalancer = Rebalancer(config, journal, clock, self._outbox)
        self._joining = Joining(config, self._rebalancer, self._sessions, self._outbox, rng)
        self._leaving = Leaving(self._rebalancer, self._outbox)

    # --- requests

    def join(
        self,
        request: JoinGroupRequest,
        client: Client,
        *,
        member_id_required: bool,
        may_skip_assignment: bool = False,
    ) -> Pending[JoinGroupResponse]:
        """JoinGroup: answered when the next generation begins, or at once.

        `member_id_required` from version 4 on, `may_skip_assignment` from version 9 on. If the
        connection goes away the member stays until its session ends: it may only have retried.
        """
        pending: Pending[JoinGroupResponse] = Pending()
        attempt = JoinAttempt(
            request,
            client,
            protocols_of(request),
            member_id_required,
            may_skip_assignment,
            pending,
        )
        config = self._config
        timeout_ms = request.session_timeout_ms
        group = self._groups.get(request.group_id)
        if not config.min_session_timeout_ms <= timeout_ms <= config.max_session_timeout_ms:
            self._joining.refuse(attempt, ErrorCode.INVALID_SESSION_TIMEOUT)
        elif not request.member_id and not self._joining.can_name(attempt):
            self._joining.refuse(attempt, ErrorCode.UNKNOWN_SERVER_ERROR)
        elif group is not None:
            self._joining.join(group, attempt)
        elif request.member_id:
            self._joining.refuse(attempt, ErrorCode.UNKNOWN_MEMBER_ID)
        elif not request.protocol_type or not attempt.protocols:
            self._joining.refuse(attempt, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        else:
            group = self._create(request.group_id)
            self._joining.join(group, attempt)
        self._outbox.deliver()
        return pending

    def sync(self, request: SyncGroupRequest) -> Pending[SyncGroupResponse]:
        """SyncGroup: answered when the leader's assignment is on disk, or at once."""
        pending: Pending[SyncGroupResponse] = Pending()
        group = self._groups.get(request.group_id)
        error = ErrorCode.UNKNOWN_MEMBER_ID if group is None else _check_sync(group, request)
        if group is None or error is not ErrorCode.NONE:
            self._outbox.answer(pending, SyncGroupResponse(error_code=error))
        else:
            self._sync(group, group.members[request.member_id], request, pending)
        self._outbox.deliver()
        return pending

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        """Heartbeat: a sign of life, and what the member should do."""
        group = self._groups.get(request.group_id)
        if group is None:
            return HeartbeatResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID)
        error = group.check_member(request.member_id, request.group_instance_id)
        if error is not ErrorCode.NONE:
            return HeartbeatResponse(error_code=error)
        if request.generation_id != group.generation:
            return HeartbeatResponse(error_code=ErrorCode.ILLEGAL_GENERATION)
        group.members[request.member_id].touch()
        if group.state is GroupState.PREPARING_REBALANCE:
            return HeartbeatResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS)
        return HeartbeatResponse()

    def leave(self, request: LeaveGroupRequest) -> Pending[LeaveGroupResponse]:
        """LeaveGroup: every member gets its own answer; the last one leaves once that is on disk.

        Only `request.members` is read, whatever the version.
        """
        pending: Pending[LeaveGroupResponse] = Pending()
        self._leaving.leave(self._groups.get(request.group_id), request, pending)
        self._outbox.deliver()
        return pending

    def check_commit(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        *,
        transactional: bool = False,
    ) -> ErrorCode:
        """Whether this commit may be made now; a sign of life of the member that makes it.

        GROUP_ID_NOT_FOUND for a member of a group that does not exist: OffsetCommit below
        version 9 says ILLEGAL_GENERATION instead. Kafka's ClassicGroup.validateOffsetCommit.
        """
        group = self._groups.get(group_id)
        if group is None:
            if generation < 0:
                return ErrorCode.NONE
            if self._has_offsets(group_id):
                return ErrorCode.UNKNOWN_MEMBER_ID
            return ErrorCode.GROUP_ID_NOT_FOUND
        if generation < 0 and group.state is GroupState.EMPTY:
            return ErrorCode.NONE
        if generation >= 0 or member_id or instance_id is not None:
            error = group.check_member(member_id, instance_id)
            if error is not ErrorCode.NONE:
                return error
            if generation != group.generation:
                return ErrorCode.ILLEGAL_GENERATION
        elif not transactional:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if transactional:
            return ErrorCode.NONE
        if group.state is GroupState.COMPLETING_REBALANCE:
            return ErrorCode.REBALANCE_IN_PROGRESS
        group.members[member_id].touch()
        return ErrorCode.NONE

    # --- views

    def describe(self, group_id: str) -> DescribedGroup | None:
        """What DescribeGroups shows: members' metadata only while the group is Stable."""
        group = self._groups.get(group_id)
        if group is None:
            if not self._has_offsets(group_id):
                return None
            return DescribedGroup(group_id=group_id, group_state=GroupState.EMPTY.value)
        name = group.protocol_name if group.state is GroupState.STABLE else None
        return DescribedGroup(
            group_id=group_id,
            group_state=group.state.value,
            protocol_type=group.protocol_type or "",
            protocol_data=name or "",
            members=[member.as_described(name) for member in group.members.values()],
        )

    def listed(self) -> Iterable[ListedGroup]:
        """A row for every group with a record; those that have only offsets are not known here."""
        for group in self._groups.values():
            yield ListedGroup(
                group.group_id, group.protocol_type or "", group.state.value, "classic"
            )

    def states(self) -> Iterator[GroupState]:
        """That of every group with a record."""
        return (group.state for group in self._groups.values())

    def state(self, group_id: str) -> GroupState | None:
        """Its state; EMPTY as well for a group that is known only by its offsets."""
        group = self._groups.get(group_id)
        if group is not None:
            return group.state
        return GroupState.EMPTY if self._has_offsets(group_id) else None

    def subscribed_topics(self, group_id: str) -> frozenset[str] | None:
        """The topics that its members subscribe to; None if that cannot be told.

        None means that any topic may be in use if `uses_consumer_protocol`.
        """
        group = self._groups.get(group_id)
        return frozenset() if group is None else group.subscribed

    def uses_consumer_protocol(self, group_id: str) -> bool:
        """Whether its members are, or were, consumers."""
        group = self._groups.get(group_id)
        return group is not None and group.uses_consumer_protocol

    def empty_since_ms(self, group_id: str) -> int | None:
        """When the last member left, wall clock; None if there are members, or never were any."""
        group = self._groups.get(group_id)
        if group is None or group.state is not GroupState.EMPTY or group.protocol_type is None:
            return None
        return group.state_since_ms if group.state_since_ms >= 0 else None

    def delete(self, group_id: str) -> tuple[ErrorCode, KeyValue | None]:
        """Whether the group may be deleted, and the tombstone that does it, for `forget` after."""
        state = self.state(group_id)
        if state is None:
            return ErrorCode.GROUP_ID_NOT_FOUND, None
        if state is not GroupState.EMPTY:
            return ErrorCode.NON_EMPTY_GROUP, None
        group = self._groups.get(group_id)
        if group is not None:
            group.doomed_generation = group.generation
        return ErrorCode.NONE, (group_metadata_key(group_id), None)

    # --- life of the shard

    def restore(self, value: GroupMetadataValue, group_id: str) -> None:
        """Replay a record: the group is as it says. Only before `start`."""
        assert not self._started
        group = self._new_group(group_id)
        members = []
        for kept in value.members:
            timeout_ms = kept.rebalance_timeout
            members.append(
                Member(
                    kept.member_id,
                    kept.group_instance_id,
                    Client(kept.client_id, kept.client_host),
                    Session(self._sessions, group, kept.member_id),
                    rebalance_timeout_ms=kept.session_timeout if timeout_ms == -1 else timeout_ms,
                    session_timeout_ms=kept.session_timeout,
                    protocols={value.protocol or "": bytes(kept.subscription)},
                    assignment=bytes(kept.assignment),
                )
            )
        group.restore(value, members)
        self._groups[group_id] = group

    def forget(self, group_id: str) -> None:
        """The group's tombstone was replayed, or written.

        Whoever became a member while it was written stays, and so does a group that was made
        meanwhile, or has had members since: its record comes after the tombstone. An id that was
        only handed out does not count, and is unknown from now on.
        """
        group = self._groups.get(group_id)
        if group is None:
            return
        unchanged = group.state is GroupState.EMPTY and group.generation == group.doomed_generation
        if self._started and not unchanged:
            return
        for session in group.pending_joins.values():
            session.cancel()
        del self._groups[group_id]

    def start(self) -> None:
        """All is replayed: sessions of restored members begin now, and requests may come."""
        self._started = True
        for group in self._groups.values():
            for member in group.members.values():
                member.touch()
            if len(group.members) > self._config.max_size:
                self._rebalancer.prepare(group)
        self._outbox.deliver()

    def stop(self, error: ErrorCode) -> None:
        """The shard goes elsewhere or down: whoever waits is answered, no timer fires any more."""
        groups, self._groups = self._groups, {}
        for group in groups.values():
            self._end(group, error)
        self._outbox.deliver()

    # --- inside

    def _new_group(self, group_id: str) -> Group:
        return Group(group_id, self._clock.now_ms(), Alarm(self._timers), Alarm(self._timers))

    def _create(self, group_id: str) -> Group:
        """A new group; its record says that it exists, and without the record it does not."""
        group = self._groups[group_id] = self._new_group(group_id)
        self._rebalancer.write(group, group.record()).on_done(partial(self._created, group))
        return group

    def _created(self, group: Group, written: Written) -> None:
        error = written.result()
        if error is not ErrorCode.NONE and self._groups.get(group.group_id) is group:
            del self._groups[group.group_id]
            self._end(group, error)
            self._outbox.deliver()

    def _end(self, group: Group, error: ErrorCode) -> None:
        group.transition(GroupState.DEAD, self._clock.now_ms())
        group.join_alarm.cancel()
        group.sync_alarm.cancel()
        for session in group.pending_joins.values():
            session.cancel()
        for member in group.members.values():
            member.session.cancel()
            response = JoinGroupResponse(error_code=error, member_id=member.member_id)
            self._rebalancer.answer_join(group, member, response)
            self._rebalancer.answer_sync(member, SyncGroupResponse(error_code=error))

    def _sync(
        self,
        group: Group,
        member: Member,
        request: SyncGroupRequest,
        pending: Pending[SyncGroupResponse],
    ) -> None:
        if group.state is GroupState.PREPARING_REBALANCE:
            response = SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS)
            self._outbox.answer(pending, response)
            return
        group.pay_sync(member)
        if group.syncs_owed == 0:
            group.sync_alarm.cancel()
        if group.state is GroupState.STABLE:
            self._outbox.answer(pending, synced(group, member))
            return
        superseded = SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS)
        self._rebalancer.answer_sync(member, superseded)
        member.awaiting_sync = pending
        if group.leader_id == member.member_id and group.writing_generation != group.generation:
            assignments = {
                assignment.member_id: bytes(assignment.assignment)
                for assignment in request.assignments
                if assignment.member_id in group.members
            }
            self._rebalancer.assign(group, assignments)

    def _session_expired(self, group: Group, member_id: str) -> None:
        if group.pending_joins.pop(member_id, None) is None:
            member = group.members.get(member_id)
            if member is None or member.is_parked:
                return
            logger.info("group %r: the session of member %r is over", group.group_id, member_id)
            self._rebalancer.drop(group, member)
            if group.can_rebalance:
                self._rebalancer.prepare(group)
        if group.state is GroupState.PREPARING_REBALANCE and group.all_joined:
            self._rebalancer.complete_join(group)
        self._outbox.deliver()


def _check_sync(group: Group, request: SyncGroupRequest) -> ErrorCode:
    error = group.check_member(request.member_id, request.group_instance_id)
    if error is not ErrorCode.NONE:
        return error
    if request.generation_id != group.generation:
        return ErrorCode.ILLEGAL_GENERATION
    for said, fact in (
        (request.protocol_type, group.protocol_type),
        (request.protocol_name, group.protocol_name),
    ):
        if said is not None and fact is not None and said != fact:
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    return ErrorCode.NONE
