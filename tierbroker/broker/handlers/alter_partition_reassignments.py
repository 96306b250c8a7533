"""AlterPartitionReassignments (key 45), versions 0 to 1.

Flexible from the start. v1 the client may forbid another number of replicas (KIP-860). The
assignment that a partition has already succeeds; nothing can be taken back, because nothing is
ever under way. Absent: moving replicas between brokers.
"""

from tierbroker.base.errors import ApiError, RequestTimedOutError
from tierbroker.base.ids import TopicPartition
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.reassignments import (
    Reassignment,
    ReassignmentOutcome,
    reassign_partitions,
)
from tierbroker.wire.error_codes import code_and_message
from tierbroker.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)


async def handle(
    request: AlterPartitionReassignmentsRequest, context: RequestContext
) -> AlterPartitionReassignmentsResponse:
    """Give each partition other replicas, or say why not."""
    asked = [
        Reassignment(
            TopicPartition(topic.name, partition.partition_index),
            None if partition.replicas is None else tuple(partition.replicas),
        )
        for topic in request.topics
        for partition in topic.partitions
    ]
    error: ApiError | None = None
    try:
        if request.timeout_ms <= 0:
            raise RequestTimedOutError("the request leaves no time for a reassignment")
        outcomes = await context.broker.controller.submit(
            lambda image: reassign_partitions(
                image, asked, keep_replication_factor=not request.allow_replication_factor_change
            )
        )
    except ApiError as failure:
        error = failure
        outcomes = [ReassignmentOutcome(one.place, error) for one in asked]
    code, message = code_and_message(error)
    each = iter(outcomes)
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=request.allow_replication_factor_change,
        error_code=code,
        error_message=message,
        responses=[
            ReassignableTopicResponse(
                name=topic.name, partitions=[_answer(next(each)) for _ in topic.partitions]
            )
            for topic in request.topics
        ],
    )


def _answer(outcome: ReassignmentOutcome) -> ReassignablePartitionResponse:
    return ReassignablePartitionResponse(outcome.place.partition, *code_and_message(outcome.error))
