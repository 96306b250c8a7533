"""The transactional ids of one shard, and the log that says how they change.

A change becomes visible when its record is flushed, and not at all when the write fails. While
its record is under way a transactional id has a pending state, and nothing else may change it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition
from tierbroker.transactions.errors import transaction_write_error
from tierbroker.transactions.open_transactions import OpenTransactions
from tierbroker.transactions.ports import PartitionWriter
from tierbroker.transactions.record_codec import transaction_key, transaction_value
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import NO_PRODUCER_EPOCH, TransactionValues
from tierbroker.wire.error_codes import ErrorCode

Changed = Callable[[ErrorCode], None]


@dataclass(slots=True, eq=False)
class Transaction:
    """A transactional id, as its last flushed record left it."""

    transactional_id: str
    values: TransactionValues
    pending: TransactionState | None = None
    """What it is about to become: until then others are told CONCURRENT_TRANSACTIONS."""
    unmarked: set[TopicPartition] | None = None
    """While markers are written: the partitions that do not have theirs yet."""

    @property
    def is_new(self) -> bool:
        """Whether no record of it has been flushed: nobody may know of it."""
        return self.values.producer_epoch == NO_PRODUCER_EPOCH


class Ledger:
    """Loop thread only. `feature_level` is the cluster's `transaction.version`."""

    def __init__(
        self, partition: int, writer: PartitionWriter, feature_level: Callable[[], int]
    ) -> None:
        self.transactions: dict[str, Transaction] = {}
        self.open = OpenTransactions()
        """Those of them that are ONGOING."""
        self.feature_level = feature_level
        self.closed: ErrorCode | None = None
        """Why nothing may be changed any more."""
        self._partition = partition
        self._writer = writer

    def add(self, transactional_id: str, values: TransactionValues) -> Transaction:
        """A transactional id that was not there; gone again if its first change fails."""
        transaction = Transaction(transactional_id, values)
        self.transactions[transactional_id] = transaction
        self.open.update(transactional_id, values)
        return transaction

    def change(
        self,
        transaction: Transaction,
        values: TransactionValues,
        done: Changed,
        *,
        keep_pending: bool = False,
    ) -> None:
        """Write the values. `done` gets NONE when they are in force, or why they are not.

        After an error the transactional id is as it was; with `keep_pending` it still has its
        pending state, for a change that must be tried again.
        """
        if self.closed is not None:
            done(self.closed)
            return
        transaction.pending = values.state
        record = (
            transaction_key(transaction.transactional_id),
            transaction_value(values, self.feature_level()),
        )

        def written(error: ApiError | None) -> None:
            if self.closed is not None:
                done(self.closed)
            elif error is None:
                transaction.values = values
                transaction.pending = None
                self.open.update(transaction.transactional_id, values)
                done(ErrorCode.NONE)
            else:
                if not keep_pending:
                    self._take_back(transaction)
                done(transaction_write_error(error))

        self._writer.append(self._partition, [record], written)

    def expire(self, transactions: Collection[Transaction], done: Changed) -> None:
        """Write their tombstones as one batch; then they are gone."""
        for transaction in transactions:
            transaction.pending = TransactionState.DEAD
        tombstones = [(transaction_key(one.transactional_id), None) for one in transactions]
        self._writer.append(self._partition, tombstones, partial(self._expired, transactions, done))

    def _expired(
        self, transactions: Collection[Transaction], done: Changed, error: ApiError | None
    ) -> None:
        if self.closed is not None:
            done(self.closed)
            return
        for transaction in transactions:
            if error is None:
                self._forget(transaction)
            else:
                transaction.pending = None
        done(ErrorCode.NONE if error is None else transaction_write_error(error))

    def _take_back(self, transaction: Transaction) -> None:
        transaction.pending = None
        if transaction.is_new:
            self._forget(transaction)

    def _forget(self, transaction: Transaction) -> None:
        del self.transactions[transaction.transactional_id]
        self.open.update(transaction.transactional_id, None)
