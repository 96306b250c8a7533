"""LeaveGroup (key 13), versions 0 to 5.

v1 throttle time. v3 several members at once, each with an error of its own (KIP-345); before, the
error of the only one is that of the answer. v4 flexible. v5 reason.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
)

_BATCH_FROM = 3


def handle(request: LeaveGroupRequest, context: RequestContext) -> Pending[LeaveGroupResponse]:
    """Members go, by their own word or an administrator's."""
    if context.api_version >= _BATCH_FROM:
        return context.broker.groups.leave_group(request)
    request.members = [MemberIdentity(member_id=request.member_id)]
    leaving = context.broker.groups.leave_group(request)
    leaving.on_done(_put_error_on_top)
    return leaving


def _put_error_on_top(done: Pending[LeaveGroupResponse]) -> None:
    if done.error is not None:
        return
    response = done.result()
    members, response.members = response.members, []
    if response.error_code == ErrorCode.NONE and members:
        response.error_code = members[0].error_code
