"""AddPartitionsToTxn (key 24), versions 0 to 5.

v2 PRODUCER_FENCED. v3 flexible. v4 several transactions in one request, and `verify_only`, which
adds nothing: brokers ask so. v5 TRANSACTION_ABORTABLE. Clients, who use versions 0 to 3, may not
add internal topics themselves. One partition that cannot be added fails its whole transaction: the
others of it are OPERATION_NOT_ATTEMPTED. All rules are those of Kafka's KafkaApis.
"""

from collections.abc import Mapping

from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending, when_all_done
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

_Errors = Mapping[TopicPartition, ErrorCode]


def handle(
    request: AddPartitionsToTxnRequest, context: RequestContext
) -> Pending[AddPartitionsToTxnResponse]:
    """Add or verify the partitions of each transaction; answered when all are."""
    answer: Pending[AddPartitionsToTxnResponse] = Pending()
    batches = context.api_version >= _BATCHES_SINCE
    transactions = request.transactions if batches else [_only_transaction(request)]
    results = [_carry_out(transaction, context) for transaction in transactions]

    def respond() -> None:
        rows = [
            AddPartitionsToTxnResult(transaction.transactional_id, _by_topic(done.result()))
            for transaction, done in zip(transactions, results, strict=True)
        ]
        answer.resolve(
            AddPartitionsToTxnResponse(results_by_transaction=rows)
            if batches
            else AddPartitionsToTxnResponse(results_by_topic_v3_and_below=rows[0].topic_results)
        )

    when_all_done(results, respond)
    return answer


def _only_transaction(request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnTransaction:
    return AddPartitionsToTxnTransaction(
        request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
        verify_only=False,
        topics=request.v3_and_below_topics,
    )


def _carry_out(
    transaction: AddPartitionsToTxnTransaction, context: RequestContext
) -> Pending[_Errors]:
    """The error of each partition, in the order of the request."""
    places = dict.fromkeys(
        TopicPartition(topic.name, index)
        for topic in transaction.topics
        for index in topic.partitions
    )
    pending: Pending[_Errors] = Pending()
    refused = {
        place: error
        for place in places
        if (error := _why_not(place, context)) is not ErrorCode.NONE
    }
    producer = (
        transaction.transactional_id,
        transaction.producer_id,
        transaction.producer_epoch,
    )
    if refused:
        not_attempted = dict.fromkeys(places, ErrorCode.OPERATION_NOT_ATTEMPTED)
        pending.resolve(not_attempted | refused)
    elif transaction.verify_only:
        found = context.broker.transactions.verify(*producer, places)
        pending.resolve(dict.fromkeys(places, found) if isinstance(found, ErrorCode) else found)
    else:
        _add(producer, places, context, pending)
    return pending


def _add(
    producer: tuple[str, int, int],
    places: Mapping[TopicPartition, None],
    context: RequestContext,
    pending: Pending[_Errors],
) -> None:
    def added(done: Pending[ErrorCode]) -> None:
        error = done.result()
        if context.api_version < TRANSACTION_KNOWS_FENCED_SINCE:
            error = in_older_words(error)
        pending.resolve(dict.fromkeys(places, error))

    version = _EPOCH_BUMP_VERSION if context.api_version >= _BATCHES_SINCE else 0
    context.broker.transactions.add_partitions(
        *producer, places, transaction_version=version
    ).on_done(added)


def _why_not(place: TopicPartition, context: RequestContext) -> ErrorCode:
    if context.api_version < _BATCHES_SINCE and is_internal(place.topic):
        return ErrorCode.TOPIC_AUTHORIZATION_FAILED
    topic = context.broker.image.topic(place.topic)
    if topic is None or not 0 <= place.partition < len(topic.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return ErrorCode.NONE


def _by_topic(errors: _Errors) -> list[AddPartitionsToTxnTopicResult]:
    topics: dict[str, AddPartitionsToTxnTopicResult] = {}
    for place, error in errors.items():
        topic = topics.setdefault(place.topic, AddPartitionsToTxnTopicResult(place.topic))
        topic.results_by_partition.append(AddPartitionsToTxnPartitionResult(place.partition, error))
    return list(topics.values())
