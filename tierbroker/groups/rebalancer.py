"""Rebalances: from the moment when a group must change to the moment when its new assignment holds.

PreparingRebalance waits for the members to join, CompletingRebalance for the leader's assignment
and its record, Stable for the next reason to change. The deadlines of both phases live here, and
so do the only two records of a group that a rebalance writes: the assignment, and the empty group.
Nothing here reads a request.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.errors import group_write_error
from tierbroker.groups.group import Group, GroupState
from tierbroker.groups.journal import Journal
from tierbroker.groups.member import Member
from tierbroker.groups.outbox import Outbox
from tierbroker.groups.record_codec import group_metadata_key, group_metadata_value
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.join_group import JoinGroupResponse
from tierbroker.wire.messages.sync_group import SyncGroupResponse

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

Written = Pending[ErrorCode]
"""NONE once the record is flushed, or what a member is told when it could not be written."""


class Rebalancer:
    """Drives the groups of one shard. Each public method leaves its effects in the outbox."""

    def __init__(self, config: GroupConfig, journal: Journal, clock: Clock, outbox: Outbox) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock
        self._outbox = outbox

    # --- begin

    def prepare_or_complete(self, group: Group) -> Written | None:
        """Something changed: a rebalance begins, or the one under way may have all it waits for.

        Answers the write that the change led to, if there is one; so do the methods below.
        """
        if group.can_rebalance:
            return self.prepare(group)
        return self.maybe_complete_join(group)

    def prepare(self, group: Group) -> Written | None:
        """Begin a rebalance: everybody has to join again."""
        if group.state is GroupState.COMPLETING_REBALANCE:
            self._reset_assignments(group, ErrorCode.REBALANCE_IN_PROGRESS)
        for member in group.members.values():
            group.pay_sync(member)
        group.sync_alarm.cancel()
        initial = group.state is GroupState.EMPTY
        group.transition(GroupState.PREPARING_REBALANCE, self._clock.now_ms())
        logger.debug("group %r: generation %d rebalances", group.group_id, group.generation)
        delay_ms = self._config.initial_rebalance_delay_ms
        if initial and delay_ms > 0:
            left_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
            group.join_alarm.set(delay_ms, partial(self._initial_delay, group, delay_ms, left_ms))
            return None
        if initial or group.all_joined:
            return self.complete_join(group)
        group.join_alarm.set(group.rebalance_timeout_ms, partial(self._join_timeout, group))
        return None

    def _initial_delay(self, group: Group, delay_ms: int, left_ms: int) -> None:
        """The first members have waited; if others came meanwhile, more may be on the way."""
        if group.member_added and left_ms > 0:
            group.member_added = False
            next_ms = min(self._config.initial_rebalance_delay_ms, left_ms)
            left_ms = max(left_ms - delay_ms, 0)
            group.join_alarm.set(next_ms, partial(self._initial_delay, group, next_ms, left_ms))
        else:
            self.complete_join(group)
        self._outbox.deliver()

    # --- join phase

    def maybe_complete_join(self, group: Group) -> Written | None:
        """End the join phase if nobody is missing; the first one of a group ends by time alone."""
        if (
            group.state is GroupState.PREPARING_REBALANCE
            and group.previous_state is not GroupState.EMPTY
            and group.all_joined
        ):
            return self.complete_join(group)
        return None

    def complete_join(self, group: Group) -> Written | None:
        """End the join phase without those who are missing; static members keep their place."""
        group.join_alarm.cancel()
        missing = [member for member in group.members.values() if member.awaiting_join is None]
        for member in missing:
            if member.instance_id is None:
                self.drop(group, member)
        if not group.elect_joined_leader() and group.members:
            # Only absent static members: their sessions end this, or one of them comes back.
            group.join_alarm.set(group.rebalance_timeout_ms, partial(self._join_timeout, group))
            return None
        group.member_added = False
        group.begin_generation(self._clock.now_ms())
        if group.state is GroupState.EMPTY:
            return self.write(group, group.record())
        for member in group.members.values():
            self.answer_join(group, member, self.joined(group, member))
            member.touch()
            member.is_new = False
            group.owe_sync(member)
        group.sync_alarm.set(
            group.rebalance_timeout_ms, partial(self._sync_timeout, group, group.generation)
        )
        return None

    def joined(self, group: Group, member: Member) -> JoinGroupResponse:
        """The current generation, as this member is told about it."""
        return JoinGroupResponse(
            generation_id=group.generation,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol_name,
            leader=group.leader_id or "",
            member_id=member.member_id,
            members=group.joined_members() if group.leader_id == member.member_id else [],
        )

    def _join_timeout(self, group: Group) -> None:
        if group.state is GroupState.PREPARING_REBALANCE:
            self.complete_join(group)
            self._outbox.deliver()

    # --- sync phase

    def assign(self, group: Group, assignments: dict[str, bytes]) -> None:
        """The leader has decided: it holds once it is written, unless the group moved on."""
        group.writing_generation = group.generation
        written = self.write(group, group.record(assignments))
        written.on_done(partial(self._assigned, group, group.generation, assignments))

    def _assigned(
        self, group: Group, generation: int, assignments: dict[str, bytes], written: Written
    ) -> None:
        if group.writing_generation == generation:
            group.writing_generation = -1
        if group.state is not GroupState.COMPLETING_REBALANCE or group.generation != generation:
            return
        error = written.result()
        if error is not ErrorCode.NONE:
            self._reset_assignments(group, error)
            self.prepare_or_complete(group)
        else:
            for member in group.members.values():
                member.assignment = assignments.get(member.member_id, b"")
                self._answer_parked_sync(group, member, ErrorCode.NONE)
            group.transition(GroupState.STABLE, self._clock.now_ms())
        self._outbox.deliver()

    def _reset_assignments(self, group: Group, error: ErrorCode) -> None:
        for member in group.members.values():
            member.assignment = b""
            self._answer_parked_sync(group, member, error)

    def _answer_parked_sync(self, group: Group, member: Member, error: ErrorCode) -> None:
        if member.awaiting_sync is None:
            return
        response = synced(group, member)
        if error is not ErrorCode.NONE:
            response = SyncGroupResponse(error_code=error)
        self.answer_sync(member, response)
        # Its session was not watched while the request was parked.
        member.touch()

    def _sync_timeout(self, group: Group, generation: int) -> None:
        """Who knows of the generation and never asked for its assignment is gone."""
        if group.generation != generation or group.syncs_owed == 0 or not group.can_rebalance:
            return
        for member in [member for member in group.members.values() if member.owes_sync]:
            self.drop(group, member)
        self.prepare(group)
        self._outbox.deliver()

    # --- what every phase needs

    def drop(self, group: Group, member: Member) -> None:
        """Remove a member; what it has parked is answered, so that it can join again."""
        unknown = ErrorCode.UNKNOWN_MEMBER_ID
        self.answer_join(group, member, JoinGroupResponse(error_code=unknown))
        self.answer_sync(member, SyncGroupResponse(error_code=unknown))
        member.session.cancel()
        group.remove(member)

    def answer_join(self, group: Group, member: Member, response: JoinGroupResponse) -> None:
        """Answer its JoinGroup if one is parked."""
        if member.awaiting_join is not None:
            self._outbox.answer(member.awaiting_join, response)
            group.await_join(member, None)

    def answer_sync(self, member: Member, response: SyncGroupResponse) -> None:
        """Answer its SyncGroup if one is parked."""
        if member.awaiting_sync is not None:
            self._outbox.answer(member.awaiting_sync, response)
            member.awaiting_sync = None

    def write(self, group: Group, value: GroupMetadataValue) -> Written:
        """Write the group's record once the change that it belongs to is complete."""
        written: Written = Pending()

        def done(error: ApiError | None) -> None:
            if error is not None:
                logger.warning("group %r: its record was not written: %s", group.group_id, error)
            self._outbox.add(
                lambda: written.resolve(
                    ErrorCode.NONE if error is None else group_write_error(error)
                )
            )
            self._outbox.deliver()

        record = (group_metadata_key(group.group_id), group_metadata_value(value))
        append: Callable[[], None] = partial(self._journal.append, [record], done)
        self._outbox.add(append)
        return written


def synced(group: Group, member: Member) -> SyncGroupResponse:
    """The assignment in force, as this member is told about it."""
    return SyncGroupResponse(
        protocol_type=group.protocol_type,
        protocol_name=group.protocol_name,
        assignment=member.assignment,
    )
