"""OffsetForLeaderEpoch (key 23), versions 2 to 4.

v3 replica id. v4 flexible. Answers where the log of an epoch ends: the largest epoch that is not
above the one asked, with its end offset; (-1, -1) when that is not known (KIP-101, KIP-320).
"""

from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.base.turns import at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import code_of
from tierbroker.wire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)


def handle(
    request: OffsetForLeaderEpochRequest, context: RequestContext
) -> OffsetForLeaderEpochResponse | Pending[OffsetForLeaderEpochResponse]:
    """Answer the end offset of one epoch for each partition asked; many take several turns."""
    return at_once_or_later(_answer(request, context))


async def _answer(
    request: OffsetForLeaderEpochRequest, context: RequestContext
) -> OffsetForLeaderEpochResponse:
    turns = context.broker.turns()
    response = OffsetForLeaderEpochResponse()
    for topic in request.topics:
        result = OffsetForLeaderTopicResult(topic=topic.topic)
        response.topics.append(result)
        for asked in topic.partitions:
            answer = EpochEndOffset(partition=asked.partition)
            result.partitions.append(answer)
            try:
                partition = context.broker.partitions.get(topic.topic, asked.partition)
                partition.check_leader(asked.current_leader_epoch)
                epoch, end_offset = partition.online_log().end_offset_for_epoch(asked.leader_epoch)
            except ApiError as error:
                answer.error_code = code_of(error)
            else:
                answer.leader_epoch = epoch
                # A consumer may not learn of offsets that it cannot read yet.
                answer.end_offset = min(end_offset, partition.high_watermark)
            await turns.after()
        await turns.after()
    return response
