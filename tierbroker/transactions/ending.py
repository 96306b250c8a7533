"""Ends transactions: for a producer that commits or aborts, and for one that has to be fenced.

The decision is durable before anybody hears of it; the markers follow. With transaction version 2
(KIP-890) every decision bumps the epoch, a repeated EndTxn is known by the epoch before, and an
abort is allowed where there is nothing to abort. The rules are those of Kafka 4.3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.transactions.completion import Completions
from tierbroker.transactions.errors import transaction_write_error
from tierbroker.transactions.ledger import Changed, Ledger, Transaction
from tierbroker.transactions.ports import ProducerIds
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import (
    EPOCH_BUMP_VERSION,
    MAX_EPOCH,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    TransactionValues,
    decided,
    fenced,
)
from tierbroker.wire.error_codes import ErrorCode

_DECIDE = None
"""The verdict that the transaction is to be decided as asked."""


@dataclass(frozen=True, slots=True)
class EndRequest:
    """A producer's EndTxn."""

    transactional_id: str
    producer_id: int
    producer_epoch: int
    commit: bool
    version: int
    """The transaction version that the producer speaks."""


@dataclass(frozen=True, slots=True)
class EndResult:
    """What the producer is told: with version 2, who it is from now on."""

    error: ErrorCode
    producer_id: int = NO_PRODUCER_ID
    producer_epoch: int = NO_PRODUCER_EPOCH


class Ending:
    """Loop thread only."""

    def __init__(
        self, ledger: Ledger, completions: Completions, producer_ids: ProducerIds, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._completions = completions
        self._producer_ids = producer_ids
        self._clock = clock

    def end(self, request: EndRequest) -> Pending[EndResult]:
        """Commit or abort for a producer; answered when the decision is flushed."""
        answer: Pending[EndResult] = Pending()
        self._end(request, answer, NO_PRODUCER_ID)
        return answer

    def fence(self, transaction: Transaction, done: Changed) -> None:
        """Abort an ongoing transaction so that its producer can do nothing more.

        `done` gets NONE once the abort is decided; the markers follow. The transaction must be
        ongoing and nothing pending.
        """
        values = transaction.values
        assert values.state is TransactionState.ONGOING
        assert transaction.pending is None
        version = self._ledger.feature_level()
        if version < EPOCH_BUMP_VERSION:
            self._decide(transaction, fenced(values), False, 0, NO_PRODUCER_ID, _ignored(done))
        elif not values.is_exhausted:
            self._decide(transaction, values, False, version, NO_PRODUCER_ID, _ignored(done))
        else:
            transaction.pending = TransactionState.PREPARE_EPOCH_FENCE
            self._producer_ids.next().on_done(
                partial(self._fence_with_next_id, transaction, version, done)
            )

    def _fence_with_next_id(
        self, transaction: Transaction, version: int, done: Changed, granted: Pending[int]
    ) -> None:
        if self._ledger.closed is not None:
            done(self._ledger.closed)
            return
        transaction.pending = None
        if granted.error is not None:
            done(producer_id_error(granted.error))
            return
        self._decide(
            transaction, transaction.values, False, version, granted.result(), _ignored(done)
        )

    def _end(self, request: EndRequest, answer: Pending[EndResult], next_id: int) -> None:
        ledger = self._ledger
        if ledger.closed is not None:
            answer.resolve(EndResult(ledger.closed))
            return
        transaction = ledger.transactions.get(request.transactional_id)
        if transaction is None or transaction.is_new:
            answer.resolve(EndResult(ErrorCode.INVALID_PRODUCER_ID_MAPPING))
            return
        bumps = request.version >= EPOCH_BUMP_VERSION
        verdict = (_verdict_with_bump if bumps else _verdict)(transaction, request)
        values = transaction.values
        if verdict is ErrorCode.NONE and bumps:
            answer.resolve(EndResult(verdict, values.producer_id, values.producer_epoch))
        elif verdict is not _DECIDE:
            answer.resolve(EndResult(verdict))
        elif bumps and values.is_exhausted and next_id == NO_PRODUCER_ID:
            self._producer_ids.next().on_done(partial(self._end_with_next_id, request, answer))
        else:
            version = request.version if bumps else 0
            self._decide(transaction, values, request.commit, version, next_id, answer.resolve)

    def _end_with_next_id(
        self, request: EndRequest, answer: Pending[EndResult], granted: Pending[int]
    ) -> None:
        """Look at the request once more: much may have happened while the id was awaited."""
        if granted.error is not None:
            answer.resolve(EndResult(producer_id_error(granted.error)))
        else:
            self._end(request, answer, granted.result())

    def _decide(
        self,
        transaction: Transaction,
        values: TransactionValues,
        commit: bool,
        version: int,
        next_id: int,
        told: Callable[[EndResult], object],
    ) -> None:
        now_ms = self._clock.now_ms()
        decision = decided(values, now_ms, commit=commit, version=version, next_producer_id=next_id)

        def flushed(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                told(EndResult(error))
                return
            end = self._completions.start(transaction)
            if version >= EPOCH_BUMP_VERSION:
                told(EndResult(error, end.producer_id, end.producer_epoch))
            else:
                told(EndResult(error))

        self._ledger.change(transaction, decision, flushed)


def _verdict(transaction: Transaction, request: EndRequest) -> ErrorCode | None:
    """The old protocol: the epoch must be the current one, a repeated request is known by state."""
    values = transaction.values
    if values.producer_id != request.producer_id:
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING
    if values.producer_epoch != request.producer_epoch:
        return ErrorCode.PRODUCER_FENCED
    if transaction.pending is not None:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    match values.state, request.commit:
        case TransactionState.ONGOING, _:
            return _DECIDE
        case (TransactionState.COMPLETE_COMMIT, True) | (TransactionState.COMPLETE_ABORT, False):
            return ErrorCode.NONE
        case _:
            return _verdict_while_decided(values.state, commit=request.commit)


def _verdict_with_bump(transaction: Transaction, request: EndRequest) -> ErrorCode | None:
    """Version 2: who repeats a request still has the epoch from before the bump."""
    # First of all: the producer may have been told an id that is not in force yet.
    if transaction.pending is not None:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    values = transaction.values
    state = values.state
    repeats_over_new_id = (
        values.previous_producer_id == request.producer_id
        and request.producer_epoch == MAX_EPOCH - 1
        and values.producer_epoch == 0
    )
    repeats = repeats_over_new_id or values.producer_epoch == request.producer_epoch + 1
    if values.producer_id != request.producer_id and not repeats_over_new_id:
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING
    is_current = values.producer_epoch == request.producer_epoch
    if state.is_decided:
        valid = values.producer_epoch == request.producer_epoch + 1
    elif state in (TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT):
        valid = is_current or repeats
    else:
        valid = is_current
    if not valid:
        return ErrorCode.PRODUCER_FENCED
    match state, request.commit, repeats:
        case TransactionState.ONGOING, _, _:
            return _DECIDE
        case TransactionState.COMPLETE_COMMIT, True, True:
            return ErrorCode.NONE
        case TransactionState.COMPLETE_ABORT, False, True:
            return ErrorCode.NONE
        case _, False, False if state.is_quiet:
            return _DECIDE
        case _:
            return _verdict_while_decided(state, commit=request.commit)


def _verdict_while_decided(state: TransactionState, *, commit: bool) -> ErrorCode:
    """CONCURRENT_TRANSACTIONS for the outcome that is being written, an error for the other."""
    outcome = TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT
    if state is outcome:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    return ErrorCode.INVALID_TXN_STATE


def producer_id_error(error: BaseException) -> ErrorCode:
    """The code for a producer that needs a new id when there is none; other faults are ours."""
    if not isinstance(error, ApiError):
        raise error
    return transaction_write_error(error)


def _ignored(done: Changed) -> Callable[[EndResult], object]:
    """Whoever is fenced gets no epoch; who fences wants the error alone."""
    return lambda result: done(result.error)
