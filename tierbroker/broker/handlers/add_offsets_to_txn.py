"""AddOffsetsToTxn (key 25), versions 0 to 4.

v2 PRODUCER_FENCED. v3 flexible. v4 TRANSACTION_ABORTABLE. Adds the partition of
`__consumer_offsets` that keeps the group; whether there is one yet is not looked at, as in Kafka.
Clients of transactions of version 2 do not ask: TxnOffsetCommit does it for them.
"""

from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.broker.transaction_errors import (
    TRANSACTION_KNOWS_FENCED_SINCE,
    in_older_words,
)
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.add_offsets_to_txn import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
)


def handle(
    request: AddOffsetsToTxnRequest, context: RequestContext
) -> Pending[AddOffsetsToTxnResponse]:
    """Add the group's partition; answered when the transaction's record is flushed."""
    broker = context.broker
    answer: Pending[AddOffsetsToTxnResponse] = Pending()

    def added(done: Pending[ErrorCode]) -> None:
        error = done.result()
        if context.api_version < TRANSACTION_KNOWS_FENCED_SINCE:
            error = in_older_words(error)
        answer.resolve(AddOffsetsToTxnResponse(error_code=error))

    place = TopicPartition(OFFSETS_TOPIC, broker.groups.partition_for(request.group_id))
    broker.transactions.add_partitions(
        request.transactional_id,
        request.producer_id,
        request.producer_epoch,
        [place],
        transaction_version=0,
    ).on_done(added)
    return answer
