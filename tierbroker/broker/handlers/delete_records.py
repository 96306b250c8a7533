"""DeleteRecords (key 21), versions 0 to 2.

v2 flexible. Moves the log start of a partition; -1 means the high watermark. The records are
gone for readers at once, segments that lie wholly below are removed later (KIP-107).
"""

from typing import TYPE_CHECKING

from tierbroker.base.errors import (
    ApiError,
    InvalidTopicError,
    OffsetOutOfRangeError,
    PolicyViolationError,
)
from tierbroker.base.pending import Pending
from tierbroker.base.story import until
from tierbroker.base.turns import all_over, at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.broker.topic_creation import is_internal
from tierbroker.hot import log_tiering
from tierbroker.wire.error_codes import code_of
from tierbroker.wire.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

if TYPE_CHECKING:
    from tierbroker.hot.log import Log
    from tierbroker.replication.partition import Partition

_HIGH_WATERMARK = -1


def handle(
    request: DeleteRecordsRequest, context: RequestContext
) -> DeleteRecordsResponse | Pending[DeleteRecordsResponse]:
    """Move each partition's log start and answer where it is now.

    Where records lie in the cold tier, the metadata log knows of it before anybody else does.
    """
    return at_once_or_later(_delete(request, context))


async def _delete(request: DeleteRecordsRequest, context: RequestContext) -> DeleteRecordsResponse:
    turns = context.broker.turns()
    response = DeleteRecordsResponse()
    deciding: list[Pending[None]] = []
    for topic in request.topics:
        result = DeleteRecordsTopicResult(name=topic.name)
        response.topics.append(result)
        for asked in topic.partitions:
            answer = DeleteRecordsPartitionResult(
                partition_index=asked.partition_index, low_watermark=-1
            )
            result.partitions.append(answer)
            try:
                decided = _delete_below(
                    context, topic.name, asked.partition_index, asked.offset, answer
                )
            except ApiError as error:
                answer.error_code = code_of(error)
            else:
                if decided is not None:
                    deciding.append(decided)
            await turns.after()
        await turns.after()
    await until(all_over(deciding))
    return response


def _delete_below(
    context: RequestContext,
    topic: str,
    index: int,
    offset: int,
    answer: DeleteRecordsPartitionResult,
) -> Pending[None] | None:
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
    cold = partition.cold
    # Also where the tier holds nothing yet: an upload may be under way of what is to go, and
    # would count after all if the metadata log did not know.
    tiered = cold is not None and (cold.begun or log.config.remote_storage_enable)
    if cold is not None and tiered and offset > partition.log_start_offset:
        retired = cold.retire(partition.leader_epoch, offset)
        retired.on_done(lambda done: _finish(partition, offset, answer, done))
        return retired
    _delete_local(log, offset)
    answer.low_watermark = partition.log_start_offset
    return None


def _delete_local(log: "Log", offset: int) -> None:
    if offset > log.log_start_offset:
        log.advance_log_start(offset)


def _finish(
    partition: "Partition",
    offset: int,
    answer: DeleteRecordsPartitionResult,
    decided: Pending[None],
) -> None:
    """The metadata log has it, or refused."""
    try:
        decided.result()
        log = partition.online_log()
        _delete_local(log, offset)
        log_tiering.cut_lineage(log, partition.log_start_offset)
        answer.low_watermark = partition.log_start_offset
    except ApiError as error:
        answer.error_code = code_of(error)
