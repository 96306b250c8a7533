"""DeleteGroups (key 42), versions 0 to 2.

v1 throttle time. v2 flexible. Only a group without members goes, with its committed offsets.
"""

from itertools import islice

from tierbroker.base.pending import Pending
from tierbroker.base.story import tell, until
from tierbroker.base.turns import ELEMENTS_A_TURN
from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)


def handle(request: DeleteGroupsRequest, context: RequestContext) -> Pending[DeleteGroupsResponse]:
    """Remove each group, once if it is named twice; many of them in several turns."""
    return tell(_delete(request, context))


async def _delete(request: DeleteGroupsRequest, context: RequestContext) -> DeleteGroupsResponse:
    turns = context.broker.turns()
    names = iter(dict.fromkeys(request.groups_names))
    deleting = []
    while some := list(islice(names, ELEMENTS_A_TURN)):
        deleting.append(context.broker.groups.delete_groups(some))
        await turns.after(len(some))
    results = []
    for pending in deleting:
        for name, code in (await until(pending)).items():
            results.append(DeletableGroupResult(group_id=name, error_code=code))
            await turns.after()
    return DeleteGroupsResponse(results=results)
