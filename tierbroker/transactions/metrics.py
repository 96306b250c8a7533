"""Metrics of transactions."""

from tierbroker.base.metrics import Samples, gauge
from tierbroker.transactions.coordinator import TransactionCoordinator

OPEN = gauge("open_transactions", "Transactions that are neither committed nor aborted.")
OLDEST_OPEN = gauge(
    "oldest_open_transaction_seconds", "For how long the oldest of them is open; 0 without one."
)
IDS = gauge("transactional_ids", "Transactional ids that this broker coordinates.")

METRICS = (OPEN, OLDEST_OPEN, IDS)


def samples(transactions: TransactionCoordinator) -> Samples:
    """Transactions as they are now."""
    count, open_count, oldest_ms = transactions.totals()
    yield OPEN.at(open_count)
    yield OLDEST_OPEN.at(oldest_ms / 1000)
    yield IDS.at(count)
