"""Adds partitions to transactions, and tells whether they were added."""

from collections.abc import Collection

from tierbroker.base.clock import Clock
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.transactions.ledger import Ledger, Transaction
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import with_partitions
from tierbroker.wire.error_codes import ErrorCode


class Adding:
    """Loop thread only."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def add(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        *,
        version: int,
    ) -> Pending[ErrorCode]:
        """One code for all partitions; NONE when it is flushed that they belong."""
        answer: Pending[ErrorCode] = Pending()
        transaction = self._ledger.transactions.get(transactional_id)
        if transaction is not None and transaction.pending is not None:
            # First of all: the producer may have been told an id that is not in force yet.
            answer.resolve(ErrorCode.CONCURRENT_TRANSACTIONS)
            return answer
        error = _refusal(transaction, producer_id, producer_epoch)
        if transaction is None or error is not ErrorCode.NONE:
            answer.resolve(error)
            return answer
        values = transaction.values
        if values.state is TransactionState.ONGOING and values.partitions.issuperset(partitions):
            answer.resolve(ErrorCode.NONE)
            return answer
        added = with_partitions(values, partitions, self._clock.now_ms(), version)
        self._ledger.change(transaction, added, answer.resolve)
        return answer

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        """NONE for each partition that was added, TRANSACTION_ABORTABLE for the others.

        One code if nothing can be said. What is being added is not added yet.
        """
        transaction = self._ledger.transactions.get(transactional_id)
        error = _refusal(transaction, producer_id, producer_epoch)
        if transaction is None or error is not ErrorCode.NONE:
            return error
        known = transaction.values.partitions
        return {
            partition: ErrorCode.NONE if partition in known else ErrorCode.TRANSACTION_ABORTABLE
            for partition in partitions
        }


def _refusal(transaction: Transaction | None, producer_id: int, producer_epoch: int) -> ErrorCode:
    """Why the producer may not work in a transaction of this id, or NONE."""
    if transaction is None or transaction.is_new:
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING
    values = transaction.values
    if values.producer_id != producer_id:
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING
    if values.producer_epoch != producer_epoch:
        return ErrorCode.PRODUCER_FENCED
    if values.state.is_decided:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    return ErrorCode.NONE
