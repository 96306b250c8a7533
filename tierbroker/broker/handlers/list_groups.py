"""ListGroups (key 16), versions 0 to 5.

v1 throttle time. v3 flexible. v4 states, and a filter by them (KIP-518). v5 types, and a filter by
them (KIP-848).
"""

from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse


def handle(request: ListGroupsRequest, context: RequestContext) -> ListGroupsResponse:
    """The groups that this broker coordinates."""
    error, groups = context.broker.groups.list_groups(request.states_filter, request.types_filter)
    return ListGroupsResponse(error_code=error, groups=groups)
