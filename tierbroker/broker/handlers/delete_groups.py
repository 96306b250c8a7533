"""DeleteGroups (key 42), versions 0 to 2.

v1 throttle time. v2 flexible. Only a group without members goes, with its committed offsets.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)


def handle(request: DeleteGroupsRequest, context: RequestContext) -> Pending[DeleteGroupsResponse]:
    """Remove each group, once if it is named twice."""
    names = list(dict.fromkeys(request.groups_names))
    answer: Pending[DeleteGroupsResponse] = Pending()

    def finish(done: Pending[dict[str, ErrorCode]]) -> None:
        if done.error is not None:
            answer.fail(done.error)
            return
        results = [
            DeletableGroupResult(group_id=name, error_code=code)
            for name, code in done.result().items()
        ]
        answer.resolve(DeleteGroupsResponse(results=results))

    context.broker.groups.delete_groups(names).on_done(finish)
    return answer
