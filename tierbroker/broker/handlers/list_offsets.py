"""ListOffsets (key 2), versions 1 to 11.

v2 isolation level. v4 leader epochs. v6 flexible. v7 -3: the record with the largest timestamp.
v8 -4: first local offset. v9 -5: last tiered offset. v10 timeout for remote reads. v11 -6: first
offset not yet uploaded. Without a cold tier every offset is local: -4 answers the log start, -5
and -6 answer "none" (-1). A search by time in the cold tier is answered when it is done; how long
it may take is up to the store's own deadlines.
"""

from collections import Counter
from typing import TYPE_CHECKING

from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.base.story import until
from tierbroker.base.turns import all_over, at_once_or_later
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
    from tierbroker.cold.time_search import ColdOffset
    from tierbroker.hot.log import TimestampOffset

    Search = Pending[ColdOffset | None]

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL = -4
LATEST_TIERED = -5
EARLIEST_PENDING_UPLOAD = -6

_READ_COMMITTED = 1
_SEARCHED = 16
"""What a search by time counts for among the elements of a turn: it reads an index and a batch."""
_EPOCH_SINCE = 4
_SINCE = {MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}


def handle(
    request: ListOffsetsRequest, context: RequestContext
) -> ListOffsetsResponse | Pending[ListOffsetsResponse]:
    """Answer one offset for each partition asked; many of them take several turns."""
    return at_once_or_later(_answer(request, context))


async def _answer(request: ListOffsetsRequest, context: RequestContext) -> ListOffsetsResponse:
    turns = context.broker.turns()
    times: Counter[tuple[str, int]] = Counter()
    for topic in request.topics:
        for asked in topic.partitions:
            times[topic.name, asked.partition_index] += 1
            await turns.after()
        await turns.after()
    refused: set[tuple[str, int]] = set()
    response = ListOffsetsResponse()
    searching: list[Search] = []
    for topic in request.topics:
        answers = ListOffsetsTopicResponse(name=topic.name)
        response.topics.append(answers)
        for asked in topic.partitions:
            place = (topic.name, asked.partition_index)
            searches = asked.timestamp >= 0 or asked.timestamp == MAX_TIMESTAMP
            await turns.after(_SEARCHED if searches else 1)
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
                search = _search(context, topic.name, asked, answer, request.isolation_level)
                if search is not None:
                    searching.append(search)
            except ApiError as error:
                _refuse(answer, error)
    await until(all_over(searching))
    if context.api_version < _EPOCH_SINCE:
        for answers in response.topics:
            for answer in answers.partitions:
                answer.leader_epoch = -1
                await turns.after()
    return response


def _refuse(answer: ListOffsetsPartitionResponse, error: ApiError) -> None:
    answer.error_code = code_of(error)
    answer.offset = answer.timestamp = answer.leader_epoch = -1


def _search(
    context: RequestContext,
    topic: str,
    asked: ListOffsetsPartition,
    answer: ListOffsetsPartitionResponse,
    isolation_level: int,
) -> "Search | None":
    """Fill in the answer; or the search that will."""
    broker: BrokerServices = context.broker
    partition = broker.partitions.get(topic, asked.partition_index)
    partition.check_leader(asked.current_leader_epoch)
    log = partition.online_log()  # an offline one knows no end: offset 0 would be taken for it
    if context.api_version < _SINCE.get(asked.timestamp, 0):
        answer.error_code = ErrorCode.UNSUPPORTED_VERSION
        return None
    limit = (
        partition.last_stable_offset
        if isolation_level == _READ_COMMITTED
        else partition.high_watermark
    )
    if asked.timestamp == LATEST:
        answer.offset = limit
        answer.leader_epoch = partition.leader_epoch
    elif asked.timestamp in (EARLIEST, EARLIEST_LOCAL):
        start = partition.log_start_offset
        answer.offset = start if asked.timestamp == EARLIEST else max(start, log.log_start_offset)
        answer.leader_epoch = log.epochs.epoch_at(answer.offset)
    elif asked.timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        answer.offset = _tiered_end(partition, pending=asked.timestamp == EARLIEST_PENDING_UPLOAD)
        if answer.offset >= 0:
            answer.leader_epoch = log.epochs.epoch_at(answer.offset)
    elif asked.timestamp < MAX_TIMESTAMP:
        answer.error_code = ErrorCode.UNSUPPORTED_VERSION
    else:
        return _search_by_time(partition, asked.timestamp, answer, limit)
    return None


def _tiered_end(partition: Partition, *, pending: bool) -> int:
    """The last offset in the cold tier, or the first one that is not there yet; -1 for none."""
    tier = None if partition.cold is None else partition.cold.tier
    if tier is not None:
        return tier.end_offset + pending
    if pending and partition.online_log().config.remote_storage_enable:
        return partition.log_start_offset
    return -1


def _search_by_time(
    partition: Partition, timestamp_ms: int, answer: ListOffsetsPartitionResponse, limit: int
) -> "Search | None":
    """The older part first, if records of it are not here."""
    log = partition.online_log()
    local = None
    if timestamp_ms == MAX_TIMESTAMP:
        local = log.offset_of_max_timestamp(limit)
    cold, start = partition.cold, partition.log_start_offset
    if cold is None or start >= log.log_start_offset:
        if timestamp_ms != MAX_TIMESTAMP:
            local = log.offset_for_timestamp(timestamp_ms, limit)
        _fill(answer, local)
        return None
    if (
        timestamp_ms == MAX_TIMESTAMP
        and local is not None
        and local.timestamp_ms > cold.newest_timestamp(start)
    ):
        _fill(answer, local)
        return None
    search = cold.offset_for_timestamp(timestamp_ms, start)

    def found(done: "Search") -> None:
        try:
            record: TimestampOffset | ColdOffset | None = done.result()
            if timestamp_ms == MAX_TIMESTAMP:
                # Of equal ones the older. What was deleted may have been newer than both.
                if local is not None and (
                    record is None or local.timestamp_ms > record.timestamp_ms
                ):
                    record = local
            elif record is None:  # it is in the newer part
                record = log.offset_for_timestamp(timestamp_ms, limit)
            _fill(answer, record)
        except ApiError as error:
            _refuse(answer, error)

    search.on_done(found)
    return search


def _fill(
    answer: ListOffsetsPartitionResponse, found: "TimestampOffset | ColdOffset | None"
) -> None:
    if found is not None:
        answer.offset = found.offset
        answer.timestamp = found.timestamp_ms
        answer.leader_epoch = found.leader_epoch
