"""JoinGroup (key 11), versions 0 to 9.

v1 rebalance timeout of its own; before, it is the session timeout. v4 a new member is told its id
and sent round again (KIP-394); older clients would take that for a failure. v5 static members
(KIP-345). v6 flexible. v7 the protocol's type in the answer, null where there is none. v8 reason.
v9 a static leader that comes back may skip the assignment.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.group_client import client_of
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse

_REBALANCE_TIMEOUT_SINCE = 1
_MEMBER_ID_REQUIRED_SINCE = 4
_NULL_PROTOCOL_SINCE = 7
_SKIP_ASSIGNMENT_SINCE = 9


def handle(request: JoinGroupRequest, context: RequestContext) -> Pending[JoinGroupResponse]:
    """Take part in the next generation of the group; the answer waits for its other members."""
    version = context.api_version
    if version < _REBALANCE_TIMEOUT_SINCE:
        request.rebalance_timeout_ms = request.session_timeout_ms
    required = version >= _MEMBER_ID_REQUIRED_SINCE and request.group_instance_id is None
    joining = context.broker.groups.join_group(
        request,
        client_of(context),
        member_id_required=required,
        may_skip_assignment=version >= _SKIP_ASSIGNMENT_SINCE,
    )
    none = None if version >= _NULL_PROTOCOL_SINCE else ""
    joining.on_done(lambda done: _name_no_protocol(done, none))
    return joining


def _name_no_protocol(done: Pending[JoinGroupResponse], none: str | None) -> None:
    if done.error is None and not done.result().protocol_name:
        done.result().protocol_name = none
