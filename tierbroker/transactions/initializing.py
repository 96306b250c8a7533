"""InitProducerId: gives a transactional id to a producer and takes it from the one before.

Whoever initializes gets an epoch (or, when those are used up, a producer id) that fences all
earlier holders. Over an open transaction that is aborted first, and the producer asks again.
"""

from dataclasses import dataclass
from functools import partial

from tierbroker.base.clock import Clock
from tierbroker.base.pending import Pending
from tierbroker.transactions.ending import Ending, producer_id_error
from tierbroker.transactions.ledger import Ledger
from tierbroker.transactions.ports import ProducerIds
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import (
    NO_PRODUCER_EPOCH,
    TransactionValues,
    bumped,
    is_exhausted,
    new_values,
    rotated,
)
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.init_producer_id import InitProducerIdResponse


@dataclass(frozen=True, slots=True)
class InitRequest:
    """A producer's InitProducerId; the timeout in milliseconds."""

    transactional_id: str
    timeout_ms: int
    expected: tuple[int, int] | None = None
    """(producer id, epoch) of a producer that goes on after an error (KIP-360)."""


class Initializing:
    """Loop thread only."""

    def __init__(
        self, ledger: Ledger, ending: Ending, producer_ids: ProducerIds, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._ending = ending
        self._producer_ids = producer_ids
        self._clock = clock

    def init(self, request: InitRequest) -> Pending[InitProducerIdResponse]:
        """Answered when the producer's epoch is flushed."""
        answer: Pending[InitProducerIdResponse] = Pending()
        self._init(request, answer, None)
        return answer

    def _init(
        self,
        request: InitRequest,
        answer: Pending[InitProducerIdResponse],
        fresh_id: int | None,
    ) -> None:
        """One look at the request; `fresh_id` is there once one was found to be needed."""
        ledger = self._ledger
        if ledger.closed is not None:
            answer.resolve(refused_init(ledger.closed))
            return
        now_ms = self._clock.now_ms()
        transaction = ledger.transactions.get(request.transactional_id)
        if transaction is None:
            if fresh_id is None:
                self._ask_for_id(request, answer)
                return
            values = new_values(fresh_id, request.timeout_ms, now_ms)
            transaction = ledger.add(request.transactional_id, values)
        values = transaction.values
        error = _refusal(values, request, is_pending=transaction.pending is not None)
        if error is not ErrorCode.NONE:
            answer.resolve(refused_init(error))
            return
        if values.state is TransactionState.ONGOING:
            self._ending.fence(transaction, partial(_fenced, answer))
            return
        expected_epoch = None if request.expected is None else request.expected[1]
        if values.is_exhausted and expected_epoch in (None, values.producer_epoch):
            if fresh_id is None:
                self._ask_for_id(request, answer)
                return
            keep_last = expected_epoch is not None
            changed = rotated(values, fresh_id, request.timeout_ms, now_ms, keep_last=keep_last)
        else:
            known = bumped(values, request.timeout_ms, expected_epoch, now_ms)
            if known is None:
                answer.resolve(refused_init(ErrorCode.PRODUCER_FENCED))
                return
            changed = known
        ledger.change(transaction, changed, partial(_initialized, answer, changed))

    def _ask_for_id(self, request: InitRequest, answer: Pending[InitProducerIdResponse]) -> None:
        self._producer_ids.next().on_done(partial(self._init_with_id, request, answer))

    def _init_with_id(
        self,
        request: InitRequest,
        answer: Pending[InitProducerIdResponse],
        granted: Pending[int],
    ) -> None:
        """Look at the request once more: much may have happened while the id was awaited."""
        if granted.error is not None:
            answer.resolve(refused_init(producer_id_error(granted.error)))
        else:
            self._init(request, answer, granted.result())


def refused_init(error: ErrorCode) -> InitProducerIdResponse:
    """The answer without a producer id."""
    return InitProducerIdResponse(error_code=error, producer_id=-1, producer_epoch=-1)


def _refusal(values: TransactionValues, request: InitRequest, *, is_pending: bool) -> ErrorCode:
    if is_pending:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    if request.expected is not None and not _may_go_on(values, *request.expected):
        return ErrorCode.PRODUCER_FENCED
    if values.state.is_decided:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    return ErrorCode.NONE


def _may_go_on(values: TransactionValues, producer_id: int, epoch: int) -> bool:
    """Whether the producer may be the one that holds the id; `bumped` looks at its epoch."""
    return (
        # The id was forgotten, and this is its new life.
        values.producer_epoch == NO_PRODUCER_EPOCH
        or producer_id == values.producer_id
        # It did not hear that it was given a new producer id.
        or (producer_id == values.previous_producer_id and is_exhausted(epoch))
    )


def _fenced(answer: Pending[InitProducerIdResponse], error: ErrorCode) -> None:
    """The transaction before is being aborted: the producer must ask again."""
    told = ErrorCode.CONCURRENT_TRANSACTIONS if error is ErrorCode.NONE else error
    answer.resolve(refused_init(told))


def _initialized(
    answer: Pending[InitProducerIdResponse], values: TransactionValues, error: ErrorCode
) -> None:
    if error is not ErrorCode.NONE:
        answer.resolve(refused_init(error))
        return
    answer.resolve(
        InitProducerIdResponse(producer_id=values.producer_id, producer_epoch=values.producer_epoch)
    )
