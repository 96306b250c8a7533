"""DeleteRecords (key 21), versions 0 to 2.

v2 flexible. Moves the log start of a partition; -1 means the high watermark. The records are
gone for readers at once, segments that lie wholly below are removed later (KIP-107).
"""

from tierbroker.base.errors import (
    ApiError,
    InvalidTopicError,
    OffsetOutOfRangeError,
    PolicyViolationError,
)
from tierbroker.broker.api import RequestContext
from tierbroker.broker.topic_creation import is_internal
from tierbroker.wire.error_codes import code_of
from tierbroker.wire.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

_HIGH_WATERMARK = -1


def handle(request: DeleteRecordsRequest, context: RequestContext) -> DeleteRecordsResponse:
    """Move each partition's log start and answer where it is now."""
    response = DeleteRecordsResponse()
    for topic in request.topics:
        result = DeleteRecordsTopicResult(name=topic.name)
        response.topics.append(result)
        for asked in topic.partitions:
            answer = DeleteRecordsPartitionResult(
                partition_index=asked.partition_index, low_watermark=-1
            )
            result.partitions.append(answer)
            try:
                answer.low_watermark = _delete_below(
                    context, topic.name, asked.partition_index, asked.offset
                )
            except ApiError as error:
                answer.error_code = code_of(error)
    return response


def _delete_below(context: RequestContext, topic: str, index: int, offset: int) -> int:
    partition = context.broker.partitions.get(topic, index)
    if is_internal(topic):
        raise InvalidTopicError(f"the broker alone deletes records of {topic}")
    partition.check_leader()
    log = partition.online_log()
    if log.config.compacted and not log.config.deletes_by_retention:
        raise PolicyViolationError(f"{topic} is compacted: its records cannot be deleted by offset")
    if offset == _HIGH_WATERMARK:
        offset = partition.high_watermark
    if offset < 0 or offset > partition.high_watermark:
        raise OffsetOutOfRangeError(f"the high watermark is {partition.high_watermark}")
    if offset > log.log_start_offset:
        log.advance_log_start(offset)
    return log.log_start_offset
