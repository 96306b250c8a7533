"""SyncGroup (key 14), versions 0 to 5.

v1 throttle time. v3 static members (KIP-345). v4 flexible. v5 the protocol's type and name, which
the client must give and which must be those of the group.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

_PROTOCOL_SINCE = 5


def handle(
    request: SyncGroupRequest, context: RequestContext
) -> SyncGroupResponse | Pending[SyncGroupResponse]:
    """Hand in the leader's assignment, or wait for it; the answer is the member's own part."""
    unnamed = request.protocol_type is None or request.protocol_name is None
    if context.api_version >= _PROTOCOL_SINCE and unnamed:
        return SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    return context.broker.groups.sync_group(request)
