"""What administrators see of transactions: DescribeTransactions and ListTransactions."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from tierbroker.transactions.ledger import Ledger, Transaction
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import by_topic
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages import describe_transactions, list_transactions

IDS_PER_STEP = 256
"""Transactional ids that are looked at before others get the loop."""


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which transactional ids are listed. What is empty, or None, lets everything pass."""

    states: Collection[TransactionState] | None = None
    producer_ids: Collection[int] = ()
    longer_than_ms: int = -1
    """Begun more than so many milliseconds ago; negative: whenever."""
    matches: Callable[[str], bool] | None = None
    """Whether the transactional id is one of those asked for."""

    def passes(self, transaction: Transaction, now_ms: int) -> bool:
        """Whether it is listed."""
        values = transaction.values
        return (
            not transaction.is_new
            and (not self.producer_ids or values.producer_id in self.producer_ids)
            and (self.states is None or values.state in self.states)
            and (self.longer_than_ms < 0 or now_ms - values.start_ms > self.longer_than_ms)
            and (self.matches is None or self.matches(transaction.transactional_id))
        )


def described(ledger: Ledger, transactional_id: str) -> describe_transactions.TransactionState:
    """TRANSACTIONAL_ID_NOT_FOUND for an id that is not there.

    While markers are written the partitions are those that wait for theirs.
    """
    transaction = ledger.transactions.get(transactional_id)
    if transaction is None or transaction.is_new:
        return describe_transactions.TransactionState(
            error_code=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, transactional_id=transactional_id
        )
    values = transaction.values
    unmarked = transaction.unmarked
    topics = by_topic(values.partitions if unmarked is None else unmarked)
    return describe_transactions.TransactionState(
        transactional_id=transactional_id,
        transaction_state=values.state.label,
        transaction_timeout_ms=values.timeout_ms,
        transaction_start_time_ms=values.start_ms,
        producer_id=values.producer_id,
        producer_epoch=values.producer_epoch,
        topics=[
            describe_transactions.TopicData(topic, partitions)
            for topic, partitions in topics.items()
        ],
    )


def list_all(
    ledgers: Sequence[Ledger],
    wanted: ListFilter,
    now_ms: int,
    done: Callable[[list[list_transactions.TransactionState]], object],
) -> Iterator[None]:
    """A row for each transactional id that passes the filter, in steps; `done` gets the rows."""
    rows: list[list_transactions.TransactionState] = []
    for ledger in ledgers:
        for number, transaction in enumerate(list(ledger.transactions.values()), start=1):
            if wanted.passes(transaction, now_ms):
                values = transaction.values
                rows.append(
                    list_transactions.TransactionState(
                        transaction.transactional_id, values.producer_id, values.state.label
                    )
                )
            if number % IDS_PER_STEP == 0:
                yield
    done(rows)
