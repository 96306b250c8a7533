"""LeaveGroup: members that say goodbye, and static members that an administrator removes.

Every member of the request gets its own answer. The group rebalances once for all of them.
"""

from functools import partial

from tierbroker.base.pending import Pending
from tierbroker.groups.group import Group, GroupState
from tierbroker.groups.outbox import Outbox
from tierbroker.groups.rebalancer import Rebalancer, Written
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
    MemberResponse,
)


class Leaving:
    """Decides about LeaveGroup for the groups of one shard; leaves its effects in the outbox."""

    def __init__(self, rebalancer: Rebalancer, outbox: Outbox) -> None:
        self._rebalancer = rebalancer
        self._outbox = outbox

    def leave(
        self,
        group: Group | None,
        request: LeaveGroupRequest,
        pending: Pending[LeaveGroupResponse],
    ) -> None:
        """Remove whom it may remove; the answer waits for the record of a group that is empty."""
        errors = [self._remove(group, identity) for identity in request.members]
        response = LeaveGroupResponse(
            members=[
                MemberResponse(identity.member_id, identity.group_instance_id, error)
                for identity, error in zip(request.members, errors, strict=True)
            ]
        )
        written: Written | None = None
        if group is not None and group.state is not GroupState.EMPTY and ErrorCode.NONE in errors:
            written = self._rebalancer.prepare_or_complete(group)
        if written is None:
            self._outbox.answer(pending, response)
        else:
            written.on_done(partial(self._left, pending, response))

    def _remove(self, group: Group | None, identity: MemberIdentity) -> ErrorCode:
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        member_id = identity.member_id
        if not member_id:
            # An administrator knows the instance, not the id that the member has today.
            current = group.static_members.get(identity.group_instance_id or "")
            if current is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            member_id = current
        elif (session := group.pending_joins.pop(member_id, None)) is not None:
            session.cancel()
            return ErrorCode.NONE
        else:
            error = group.check_member(member_id, identity.group_instance_id)
            if error is not ErrorCode.NONE:
                return error
        self._rebalancer.drop(group, group.members[member_id])
        return ErrorCode.NONE

    def _left(
        self, pending: Pending[LeaveGroupResponse], response: LeaveGroupResponse, written: Written
    ) -> None:
        error = written.result()
        if error is not ErrorCode.NONE:
            response = LeaveGroupResponse(error_code=error)
        self._outbox.answer(pending, response)
        self._outbox.deliver()
