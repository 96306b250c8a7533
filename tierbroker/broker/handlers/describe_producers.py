"""DescribeProducers (key 61), version 0 (KIP-664).

Flexible from the start. The idempotent producers that a partition's log knows: their epochs, last
sequence numbers, and where their open transactions began. A partition that is named several times
is described once: its producers take far more room than its name. Much of it takes several turns.
"""

from typing import TYPE_CHECKING

from tierbroker.base.errors import ApiError, InvalidTopicError
from tierbroker.base.pending import Pending
from tierbroker.base.turns import Turns, at_once_or_later
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

if TYPE_CHECKING:
    from tierbroker.hot.producer_state import Producer


def handle(
    request: DescribeProducersRequest, context: RequestContext
) -> DescribeProducersResponse | Pending[DescribeProducersResponse]:
    """Describe the producers of each partition."""
    return at_once_or_later(_describe_all(request, context))


async def _describe_all(
    request: DescribeProducersRequest, context: RequestContext
) -> DescribeProducersResponse:
    turns = context.broker.turns()
    topics: dict[str, TopicResponse] = {}
    told: set[tuple[str, int]] = set()
    for topic in request.topics:
        result = topics.setdefault(topic.name, TopicResponse(name=topic.name, partitions=[]))
        for index in topic.partition_indexes:
            if (topic.name, index) not in told:
                told.add((topic.name, index))
                result.partitions.append(await _describe(context, topic.name, index, turns))
            await turns.after()
    return DescribeProducersResponse(topics=list(topics.values()))


async def _describe(
    context: RequestContext, topic: str, index: int, turns: Turns
) -> PartitionResponse:
    answer = PartitionResponse(partition_index=index, active_producers=[])
    try:
        producers = _producers(context, topic, index)
    except ApiError as error:
        answer.error_code = code_of(error)
        answer.error_message = error.message
        return answer
    for producer_id, producer in producers:
        answer.active_producers.append(
            ProducerState(
                producer_id=producer_id,
                producer_epoch=producer.epoch,
                last_sequence=producer.last_sequence,
                last_timestamp=producer.last_timestamp_ms,
                coordinator_epoch=producer.coordinator_epoch,
                current_txn_start_offset=producer.txn_first_offset,
            )
        )
        await turns.after()
    return answer


def _producers(context: RequestContext, topic: str, index: int) -> "list[tuple[int, Producer]]":
    if not is_legal_name(topic):
        raise InvalidTopicError(f"{topic!r} is not a legal topic name")
    partition = context.broker.partitions.get(topic, index)
    partition.check_leader()
    return list(partition.online_log().producer_state)
