"""WriteTxnMarkers (key 27), versions 1 and 2: a coordinator ends transactions in partitions.

Flexible from the start. v2 the version of the transaction, which tells what epoch a marker must
have (KIP-890). Answered when every marker is visible or refused; one result for each producer.
"""

from functools import partial

from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.transactions.ports import Marker
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.write_txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

_Codes = dict[tuple[int, TopicPartition], ErrorCode]


def handle(
    request: WriteTxnMarkersRequest, context: RequestContext
) -> Pending[WriteTxnMarkersResponse]:
    """Write each marker to each of its partitions."""
    answer: Pending[WriteTxnMarkersResponse] = Pending()
    markers = context.broker.txn_markers
    codes: _Codes = {}
    left = 1

    def finish(place: tuple[int, TopicPartition] | None, code: ErrorCode) -> None:
        nonlocal left
        left -= 1
        if place is not None:
            codes[place] = code
        if not left and not answer.done:
            answer.resolve(_response(codes))

    for asked in request.markers:
        marker = Marker(
            asked.producer_id,
            asked.producer_epoch,
            asked.transaction_result,
            asked.coordinator_epoch,
            asked.transaction_version,
        )
        # Each once, however often it is named, as in Kafka: a marker is longer than its name.
        places = dict.fromkeys(
            TopicPartition(topic.name, index)
            for topic in asked.topics
            for index in topic.partition_indexes
        )
        for place in places:
            left += 1
            markers.write(place, marker, partial(finish, (asked.producer_id, place)))
    finish(None, ErrorCode.NONE)
    return answer


def _response(codes: _Codes) -> WriteTxnMarkersResponse:
    topics: dict[int, dict[str, WritableTxnMarkerTopicResult]] = {}
    for (producer_id, place), code in codes.items():
        of_producer = topics.setdefault(producer_id, {})
        topic = of_producer.setdefault(place.topic, WritableTxnMarkerTopicResult(place.topic, []))
        topic.partitions.append(WritableTxnMarkerPartitionResult(place.partition, code))
    return WriteTxnMarkersResponse(
        [
            WritableTxnMarkerResult(producer_id, list(of_producer.values()))
            for producer_id, of_producer in topics.items()
        ]
    )
