"""FindCoordinator (key 10), versions 0 to 6.

v1 key types. v3 flexible. v4 several keys. v5 TRANSACTION_ABORTABLE. v6 share groups.
Absent: groups and transactions. A transactional id is refused with its authorization error, which
clients treat as fatal, so that none waits for a coordinator that will not come. A group is told
that its coordinator is not available: librdkafka asks for one even when partitions are assigned
by hand, and hands every other error to the application.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

_BATCH_FROM = 4
_REFUSALS = {
    0: (ErrorCode.COORDINATOR_NOT_AVAILABLE, "consumer groups are not available"),
    1: (ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactions are not available"),
}
_UNKNOWN_KIND = (ErrorCode.INVALID_REQUEST, "this kind of coordinator is not available")


def handle(request: FindCoordinatorRequest, context: RequestContext) -> FindCoordinatorResponse:
    """Say that nobody coordinates these keys here."""
    error, message = _REFUSALS.get(request.key_type, _UNKNOWN_KIND)
    if context.api_version < _BATCH_FROM:
        return FindCoordinatorResponse(
            error_code=error, error_message=message, node_id=-1, host="", port=-1
        )
    return FindCoordinatorResponse(
        coordinators=[
            Coordinator(
                key=key, node_id=-1, host="", port=-1, error_code=error, error_message=message
            )
            for key in request.coordinator_keys
        ]
    )
