"""WriteTxnMarkers (key 27), versions 1 and 2: a coordinator ends transactions in partitions.

Flexible from the start. v2 the version of the transaction, which tells what epoch a marker must
have (KIP-890). Answered when every marker is visible or refused; one result for each producer.
Many markers take several turns.
"""

from typing import NamedTuple

from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell, until
from tierbroker.base.turns import Turns
from tierbroker.broker.api import RequestContext
from tierbroker.transactions.ports import Marker
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

_Topics = dict[str, WritableTxnMarkerTopicResult]


class _Written(NamedTuple):
    producer_id: int
    place: TopicPartition
    code: Pending[ErrorCode]


def handle(
    request: WriteTxnMarkersRequest, context: RequestContext
) -> Pending[WriteTxnMarkersResponse]:
    """Write each marker to each of its partitions."""
    return tell(_write_all(request, context))


async def _write_all(
    request: WriteTxnMarkersRequest, context: RequestContext
) -> WriteTxnMarkersResponse:
    turns = context.broker.turns()
    written: list[_Written] = []
    for asked in request.markers:
        await _write(asked, written, context, turns)
    codes: dict[tuple[int, TopicPartition], ErrorCode] = {}
    for producer_id, place, code in written:
        codes[producer_id, place] = await until(code)
        await turns.after()
    producers: dict[int, _Topics] = {}
    for (producer_id, place), error in codes.items():
        topics = producers.setdefault(producer_id, {})
        topic = topics.setdefault(place.topic, WritableTxnMarkerTopicResult(place.topic, []))
        topic.partitions.append(WritableTxnMarkerPartitionResult(place.partition, error))
        await turns.after()
    return WriteTxnMarkersResponse(
        [
            WritableTxnMarkerResult(producer_id, list(topics.values()))
            for producer_id, topics in producers.items()
        ]
    )


async def _write(
    asked: WritableTxnMarker, written: list[_Written], context: RequestContext, turns: Turns
) -> None:
    """Each place once, however often it is named, as in Kafka: a marker is longer than its name."""
    marker = Marker(
        asked.producer_id,
        asked.producer_epoch,
        asked.transaction_result,
        asked.coordinator_epoch,
        asked.transaction_version,
    )
    places: set[TopicPartition] = set()
    for topic in asked.topics:
        for index in topic.partition_indexes:
            place = TopicPartition(topic.name, index)
            if place not in places:
                places.add(place)
                code: Pending[ErrorCode] = Pending()
                written.append(_Written(asked.producer_id, place, code))
                context.broker.txn_markers.write(place, marker, code.resolve)
            await turns.after()
    await turns.after()
