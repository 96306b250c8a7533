"""DescribeProducers (key 61), version 0 (KIP-664).

Flexible from the start. The idempotent producers that a partition's log knows: their epochs, last
sequence numbers, and where their open transactions began.
"""

from tierbroker.base.errors import ApiError, InvalidTopicError
from tierbroker.broker.api import RequestContext
from tierbroker.broker.topic_creation import is_legal_name
from tierbroker.wire.error_codes import code_of
from tierbroker.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)


def handle(request: DescribeProducersRequest, context: RequestContext) -> DescribeProducersResponse:
    """Describe the producers of each partition."""
    response = DescribeProducersResponse(topics=[])
    for topic in request.topics:
        result = TopicResponse(name=topic.name, partitions=[])
        response.topics.append(result)
        for index in topic.partition_indexes:
            answer = PartitionResponse(partition_index=index, active_producers=[])
            result.partitions.append(answer)
            try:
                answer.active_producers = _producers(context, topic.name, index)
            except ApiError as error:
                answer.error_code = code_of(error)
                answer.error_message = error.message
    return response


def _producers(context: RequestContext, topic: str, index: int) -> list[ProducerState]:
    if not is_legal_name(topic):
        raise InvalidTopicError(f"{topic!r} is not a legal topic name")
    partition = context.broker.partitions.get(topic, index)
    partition.check_leader()
    return [
        ProducerState(
            producer_id=producer_id,
            producer_epoch=producer.epoch,
            last_sequence=producer.last_sequence,
            last_timestamp=producer.last_timestamp_ms,
            coordinator_epoch=producer.coordinator_epoch,
            current_txn_start_offset=producer.txn_first_offset,
        )
        for producer_id, producer in partition.online_log().producer_state
    ]
