"""What nobody asks for: transactions that are open too long, and ids that nobody uses any more."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from tierbroker.base.background import Background
from tierbroker.base.clock import Clock
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.ending import Ending
from tierbroker.transactions.ledger import Ledger, Transaction
from tierbroker.transactions.state import TransactionState
from tierbroker.wire.error_codes import ErrorCode

IDS_PER_STEP = 256
"""Transactional ids that are looked at before others get the loop."""
TOMBSTONES_PER_BATCH = 256
WITHOUT_TIMEOUT_MS = 0x7FFF_FFFF
"""The timeout of transactions that another system commits (KIP-939): they never time out."""

logger = logging.getLogger(__name__)


class Upkeep:
    """One shard's, over the next turns. Loop thread only."""

    def __init__(
        self,
        config: TransactionConfig,
        ledger: Ledger,
        ending: Ending,
        clock: Clock,
        background: Background,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._ending = ending
        self._clock = clock
        self._background = background
        self._works: dict[str, Iterator[None]] = {}

    def abort_timed_out(self) -> None:
        """Abort transactions that are open for longer than their timeout."""
        self._begin("timeouts", self._abort_timed_out)

    def expire_ids(self) -> None:
        """Forget ids whose last transaction ended `transactional.id.expiration.ms` ago."""
        self._begin("expiry", self._expire_ids)

    def close(self) -> None:
        """Do nothing more."""
        for work in self._works.values():
            self._background.cancel(work)
        self._works.clear()

    def _begin(self, name: str, work: Callable[[], Iterator[None]]) -> None:
        """Unless the one before still is at it."""
        if name not in self._works:
            steps = self._work(name, work)
            self._works[name] = steps
            self._background.begin(steps)

    def _work(self, name: str, work: Callable[[], Iterator[None]]) -> Iterator[None]:
        yield from work()
        del self._works[name]

    def _transactions(self) -> Iterator[Transaction | None]:
        """All that are there now; None where the loop's time may be given to others."""
        for number, transaction in enumerate(list(self._ledger.transactions.values()), start=1):
            yield transaction
            if number % IDS_PER_STEP == 0:
                yield None

    def _abort_timed_out(self) -> Iterator[None]:
        now_ms = self._clock.now_ms()
        for transaction in self._transactions():
            if transaction is None:
                yield
            elif _is_timed_out(transaction, now_ms):
                self._ending.fence(transaction, partial(_timed_out, transaction))
                yield

    def _expire_ids(self) -> Iterator[None]:
        oldest_ms = self._clock.now_ms() - self._config.id_expiration_ms
        expired: list[Transaction] = []
        for transaction in self._transactions():
            if transaction is None:
                yield
            elif _is_expired(transaction, oldest_ms):
                expired.append(transaction)
                if len(expired) == TOMBSTONES_PER_BATCH:
                    self._expire(expired, oldest_ms)
                    expired = []
                    yield
        self._expire(expired, oldest_ms)

    def _expire(self, found: list[Transaction], oldest_ms: int) -> None:
        """A producer may have come back since they were found."""
        expired = [one for one in found if _is_expired(one, oldest_ms)]
        if expired:
            self._ledger.expire(expired, partial(_expired, len(expired)))


def _is_timed_out(transaction: Transaction, now_ms: int) -> bool:
    values = transaction.values
    return (
        transaction.pending is None
        and values.state is TransactionState.ONGOING
        and values.timeout_ms != WITHOUT_TIMEOUT_MS
        and values.start_ms + values.timeout_ms < now_ms
    )


def _is_expired(transaction: Transaction, oldest_ms: int) -> bool:
    values = transaction.values
    return (
        transaction.pending is None
        and values.state.is_quiet
        and values.update_ms <= oldest_ms
        and not transaction.is_new
    )


def _timed_out(transaction: Transaction, error: ErrorCode) -> None:
    if error is ErrorCode.NONE:
        logger.info("the transaction of %r timed out: aborted", transaction.transactional_id)
    else:
        logger.warning(
            "the transaction of %r timed out but could not be aborted (%s); it will be tried again",
            transaction.transactional_id,
            error.name,
        )


def _expired(count: int, error: ErrorCode) -> None:
    if error is ErrorCode.NONE:
        logger.info("%d transactional ids expired", count)
    else:
        logger.warning(
            "%d transactional ids could not be expired (%s); it will be tried again",
            count,
            error.name,
        )
