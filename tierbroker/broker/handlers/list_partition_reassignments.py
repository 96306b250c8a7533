"""ListPartitionReassignments (key 46), version 0.

Flexible from the start. Replicas do not move between brokers, so none is ever under way: the
answer is an empty list, whatever was asked for.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)


def handle(
    request: ListPartitionReassignmentsRequest, context: RequestContext
) -> ListPartitionReassignmentsResponse:
    """None is under way."""
    return ListPartitionReassignmentsResponse(error_message=None, topics=[])
