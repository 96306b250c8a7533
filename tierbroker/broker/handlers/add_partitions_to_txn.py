"""AddPartitionsToTxn (key 24), versions 0 to 5.

v2 PRODUCER_FENCED. v3 flexible. v4 several transactions in one request, and `verify_only`, which
adds nothing: brokers ask so. v5 TRANSACTION_ABORTABLE. Clients, who use versions 0 to 3, may not
add internal topics themselves. One partition that cannot be added fails its whole transaction: the
others of it are OPERATION_NOT_ATTEMPTED. All rules are those of Kafka's KafkaApis. What is long is
worked through in several turns; each transaction gets its partitions in one.
"""

from collections.abc import Callable

from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell, until
from tierbroker.base.turns import Turns
from tierbroker.broker.api import RequestContext
from tierbroker.broker.topic_creation import is_internal
from tierbroker.broker.transaction_errors import (
    TRANSACTION_KNOWS_FENCED_SINCE,
    in_older_words,
)
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)

_BATCHES_SINCE = 4
_EPOCH_BUMP_VERSION = 2
"""The transaction version of whoever asks in batches."""

_Places = dict[TopicPartition, None]
_Errors = Callable[[TopicPartition], ErrorCode]
"""The error of each partition of a transaction."""


def handle(
    request: AddPartitionsToTxnRequest, context: RequestContext
) -> Pending[AddPartitionsToTxnResponse]:
    """Add or verify the partitions of each transaction; answered when all are."""
    return tell(_carry_out_all(request, context))


async def _carry_out_all(
    request: AddPartitionsToTxnRequest, context: RequestContext
) -> AddPartitionsToTxnResponse:
    turns = context.broker.turns()
    batches = context.api_version >= _BATCHES_SINCE
    transactions = request.transactions if batches else [_only_transaction(request)]
    begun = [await _carry_out(transaction, context, turns) for transaction in transactions]
    rows = []
    for transaction, (places, pending) in zip(transactions, begun, strict=True):
        topics = await _by_topic(places, await until(pending), turns)
        rows.append(AddPartitionsToTxnResult(transaction.transactional_id, topics))
    if batches:
        return AddPartitionsToTxnResponse(results_by_transaction=rows)
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=rows[0].topic_results)


def _only_transaction(request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnTransaction:
    return AddPartitionsToTxnTransaction(
        request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
        verify_only=False,
        topics=request.v3_and_below_topics,
    )


async def _carry_out(
    transaction: AddPartitionsToTxnTransaction, context: RequestContext, turns: Turns
) -> tuple[_Places, Pending[_Errors]]:
    """All partitions of a transaction, in the order of the request, are added in one turn."""
    places: _Places = {}
    refused: dict[TopicPartition, ErrorCode] = {}
    for topic in transaction.topics:
        for index in topic.partitions:
            place = TopicPartition(topic.name, index)
            places[place] = None
            error = _why_not(place, context)
            if error is not ErrorCode.NONE:
                refused[place] = error
            await turns.after()
    await turns.after()
    pending: Pending[_Errors] = Pending()
    producer = (
        transaction.transactional_id,
        transaction.producer_id,
        transaction.producer_epoch,
    )
    if refused:
        pending.resolve(lambda place: refused.get(place, ErrorCode.OPERATION_NOT_ATTEMPTED))
    elif transaction.verify_only:
        found = context.broker.transactions.verify(*producer, places)
        pending.resolve(_always(found) if isinstance(found, ErrorCode) else found.__getitem__)
    else:
        _add(producer, places, context, pending)
    return places, pending


def _add(
    producer: tuple[str, int, int],
    places: _Places,
    context: RequestContext,
    pending: Pending[_Errors],
) -> None:
    def added(done: Pending[ErrorCode]) -> None:
        error = done.result()
        if context.api_version < TRANSACTION_KNOWS_FENCED_SINCE:
            error = in_older_words(error)
        pending.resolve(_always(error))

    version = _EPOCH_BUMP_VERSION if context.api_version >= _BATCHES_SINCE else 0
    context.broker.transactions.add_partitions(
        *producer, places, transaction_version=version
    ).on_done(added)


def _always(error: ErrorCode) -> _Errors:
    return lambda _: error


def _why_not(place: TopicPartition, context: RequestContext) -> ErrorCode:
    if context.api_version < _BATCHES_SINCE and is_internal(place.topic):
        return ErrorCode.TOPIC_AUTHORIZATION_FAILED
    topic = context.broker.image.topic(place.topic)
    if topic is None or not 0 <= place.partition < len(topic.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return ErrorCode.NONE


async def _by_topic(
    places: _Places, errors: _Errors, turns: Turns
) -> list[AddPartitionsToTxnTopicResult]:
    topics: dict[str, AddPartitionsToTxnTopicResult] = {}
    for place in places:
        topic = topics.setdefault(place.topic, AddPartitionsToTxnTopicResult(place.topic))
        result = AddPartitionsToTxnPartitionResult(place.partition, errors(place))
        topic.results_by_partition.append(result)
        await turns.after()
    return list(topics.values())
