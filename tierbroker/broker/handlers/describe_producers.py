"""DescribeProducers (key 61), version 0 (KIP-664).

Flexible from the start. The idempotent producers that a partition's log knows: their epochs, last
sequence numbers, and where their open transactions began. A partition that is named several times
is described once: its producers take far more room than its name. Much of it takes several turns.
"""

import asyncio

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

_ROWS_PER_TURN = 1_000
"""Partitions and producers that are told of before others get the loop."""


async def handle(
    request: DescribeProducersRequest, context: RequestContext
) -> DescribeProducersResponse:
    """Describe the producers of each partition."""
    topics: dict[str, TopicResponse] = {}
    told: set[tuple[str, int]] = set()
    rows = 0
    for topic in request.topics:
        result = topics.setdefault(topic.name, TopicResponse(name=topic.name, partitions=[]))
        for index in topic.partition_indexes:
            if (topic.name, index) not in told:
                told.add((topic.name, index))
                result.partitions.append(_describe(context, topic.name, index))
                rows += len(result.partitions[-1].active_producers)
            rows += 1
            if rows >= _ROWS_PER_TURN:
                rows = 0
                await asyncio.sleep(0)
    return DescribeProducersResponse(topics=list(topics.values()))


def _describe(context: RequestContext, topic: str, index: int) -> PartitionResponse:
    answer = PartitionResponse(partition_index=index, active_producers=[])
    try:
        answer.active_producers = _producers(context, topic, index)
    except ApiError as error:
        answer.error_code = code_of(error)
        answer.error_message = error.message
    return answer


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
