"""DescribeGroups (key 15), versions 0 to 6.

v1 throttle time. v3 authorized operations. v4 static members (KIP-345). v5 flexible. v6 a group
that does not exist is an error with a message; before, it is a group that is "Dead".
"""

from tierbroker.base.errors import CloseConnection
from tierbroker.base.pending import Pending
from tierbroker.base.turns import at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.broker.operations import GROUP_OPERATIONS
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_groups import (
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)

_NOT_FOUND_SINCE = 6
_MEMBERS_MAX = 100_000
"""Most members in one answer: a few bytes can name a group a thousand times."""


def handle(
    request: DescribeGroupsRequest, context: RequestContext
) -> DescribeGroupsResponse | Pending[DescribeGroupsResponse]:
    """State, protocol and members of each group; many of them in several turns."""
    return at_once_or_later(_describe_all(request, context))


async def _describe_all(
    request: DescribeGroupsRequest, context: RequestContext
) -> DescribeGroupsResponse:
    turns = context.broker.turns()
    described: dict[str, DescribedGroup] = {}
    answer = []
    members = 0
    for group_id in request.groups:
        group = described.get(group_id)
        if group is None:
            group = _describe(group_id, request.include_authorized_operations, context)
            described[group_id] = group
            await turns.after(len(group.members))
        answer.append(group)
        members += len(group.members)
        if members > _MEMBERS_MAX:
            raise CloseConnection(f"the groups asked for have more than {_MEMBERS_MAX} members")
        await turns.after()
    return DescribeGroupsResponse(groups=answer)


def _describe(group_id: str, with_operations: bool, context: RequestContext) -> DescribedGroup:
    described = context.broker.groups.describe_group(group_id)
    if context.api_version < _NOT_FOUND_SINCE:
        if described.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
            described.error_code = ErrorCode.NONE
        described.error_message = None
    if with_operations and described.error_code == ErrorCode.NONE:
        described.authorized_operations = GROUP_OPERATIONS
    return described
