"""ListOffsets (key 2), versions 1 to 11.

v2 isolation level. v4 leader epochs. v6 flexible. v7 -3: the record with the largest timestamp.
v8 -4: first local offset. v9 -5: last tiered offset. v10 timeout for remote reads. v11 -6: first
offset not yet uploaded. Without a cold tier every offset is local: -4 answers the log start, -5
and -6 answer "none" (-1).
"""

from collections import Counter
from typing import TYPE_CHECKING

from tierbroker.base.errors import ApiError
from tierbroker.broker.api import RequestContext
from tierbroker.replication.partition import Partition
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

if TYPE_CHECKING:
    from tierbroker.broker.services import BrokerServices

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL = -4
LATEST_TIERED = -5
EARLIEST_PENDING_UPLOAD = -6

_READ_COMMITTED = 1
_EPOCH_SINCE = 4
_SINCE = {MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}


def handle(request: ListOffsetsRequest, context: RequestContext) -> ListOffsetsResponse:
    """Answer one offset for each partition asked."""
    times = Counter(
        (topic.name, asked.partition_index)
        for topic in request.topics
        for asked in topic.partitions
    )
    refused: set[tuple[str, int]] = set()
    response = ListOffsetsResponse()
    for topic in request.topics:
        answers = ListOffsetsTopicResponse(name=topic.name)
        response.topics.append(answers)
        for asked in topic.partitions:
            place = (topic.name, asked.partition_index)
            if place in refused:
                continue
            answer = ListOffsetsPartitionResponse(partition_index=asked.partition_index)
            answers.partitions.append(answer)
            if times[place] > 1:
                refused.add(place)
                answer.error_code = ErrorCode.INVALID_REQUEST
                answer.offset = answer.timestamp = answer.leader_epoch = -1
                continue
            try:
                _search(context, topic.name, asked, answer, request.isolation_level)
            except ApiError as error:
                answer.error_code = code_of(error)
                answer.offset = answer.timestamp = answer.leader_epoch = -1
            if context.api_version < _EPOCH_SINCE:
                answer.leader_epoch = -1
    return response


def _search(
    context: RequestContext,
    topic: str,
    asked: ListOffsetsPartition,
    answer: ListOffsetsPartitionResponse,
    isolation_level: int,
) -> None:
    broker: BrokerServices = context.broker
    partition = broker.partitions.get(topic, asked.partition_index)
    partition.check_leader(asked.current_leader_epoch)
    log = partition.online_log()  # an offline one knows no end: offset 0 would be taken for it
    if context.api_version < _SINCE.get(asked.timestamp, 0):
        answer.error_code = ErrorCode.UNSUPPORTED_VERSION
        return
    limit = (
        partition.last_stable_offset
        if isolation_level == _READ_COMMITTED
        else partition.high_watermark
    )
    if asked.timestamp == LATEST:
        answer.offset = limit
        answer.leader_epoch = partition.leader_epoch
    elif asked.timestamp in (EARLIEST, EARLIEST_LOCAL):
        answer.offset = partition.log_start_offset
        answer.leader_epoch = log.epochs.epoch_at(answer.offset)
    elif asked.timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        answer.offset = -1
    else:
        _search_by_time(partition, asked.timestamp, answer, limit)


def _search_by_time(
    partition: Partition, timestamp_ms: int, answer: ListOffsetsPartitionResponse, limit: int
) -> None:
    log = partition.online_log()
    if timestamp_ms == MAX_TIMESTAMP:
        found = log.offset_of_max_timestamp(limit)
    elif timestamp_ms < 0:
        answer.error_code = ErrorCode.UNSUPPORTED_VERSION
        return
    else:
        found = log.offset_for_timestamp(timestamp_ms, limit)
    if found is not None:
        answer.offset = found.offset
        answer.timestamp = found.timestamp_ms
        answer.leader_epoch = found.leader_epoch
