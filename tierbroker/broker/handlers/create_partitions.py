"""CreatePartitions (key 37), versions 0 to 3.

v2 flexible. Adds partitions to topics; there is no way to take some away. Answered when the new
partitions can be used.
"""

from tierbroker.base.errors import ApiError
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.partitions import (
    MorePartitions,
    PartitionsOutcome,
    create_partitions,
)
from tierbroker.wire.error_codes import code_and_message
from tierbroker.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
)


async def handle(
    request: CreatePartitionsRequest, context: RequestContext
) -> CreatePartitionsResponse:
    """Add partitions to each topic, or say why not."""
    broker = context.broker
    asked = [
        MorePartitions(
            topic.name,
            topic.count,
            None
            if topic.assignments is None
            else tuple(tuple(item.broker_ids) for item in topic.assignments),
        )
        for topic in request.topics
    ]
    try:
        outcomes = await broker.controller.submit(
            lambda image: create_partitions(
                image, asked, broker.environment, validate_only=request.validate_only
            )
        )
    except ApiError as error:
        outcomes = [PartitionsOutcome(topic.name, error) for topic in asked]
    return CreatePartitionsResponse(
        results=[
            CreatePartitionsTopicResult(outcome.name, *code_and_message(outcome.error))
            for outcome in outcomes
        ]
    )
