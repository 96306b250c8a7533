"""Brings the outcome of decided transactions into their partitions, then to its end.

The markers go out as soon as the decision is flushed, a few at a time; what fails is tried again
until it succeeds or another coordinator takes over. The last record of the transaction is written
when every partition has its marker, never before.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from tierbroker.base.background import Background
from tierbroker.base.clock import Clock
from tierbroker.base.ids import TopicPartition
from tierbroker.transactions.ledger import Ledger, Transaction
from tierbroker.transactions.ports import Marker, Markers, Timers
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues, completed
from tierbroker.wire.error_codes import ErrorCode

RETRY_S = 0.1
RETRY_MAX_S = 1.0
"""What fails again and again, as on a disk that is gone, is tried ever more seldom."""
MARKERS_AT_ONCE = 16
"""Markers that are written within one turn; transactions with more take the background."""

_IN_PLACE = (
    ErrorCode.NONE,
    # The topic was deleted: there is nothing to bring to an end.
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    # The partition saw this epoch's marker before we crashed, or a later one.
    ErrorCode.INVALID_PRODUCER_EPOCH,
)

logger = logging.getLogger(__name__)


class Completions:
    """The decided transactions of one shard. Loop thread only."""

    def __init__(
        self,
        ledger: Ledger,
        markers: Markers,
        timers: Timers,
        clock: Clock,
        background: Background,
        coordinator_epoch: int,
    ) -> None:
        self._ledger = ledger
        self._markers = markers
        self._timers = timers
        self._clock = clock
        self._background = background
        self._coordinator_epoch = coordinator_epoch
        self._running: set[_Completion] = set()

    def start(self, transaction: Transaction) -> TransactionValues:
        """Begin to complete a transaction in a Prepare state; answers what it will become."""
        values = transaction.values
        end = completed(values, self._clock.now_ms())
        marker = Marker(
            producer_id=values.producer_id,
            producer_epoch=values.producer_epoch,
            commit=values.state is TransactionState.PREPARE_COMMIT,
            coordinator_epoch=self._coordinator_epoch,
            transaction_version=values.client_version,
        )
        transaction.pending = end.state
        transaction.unmarked = set(values.partitions)
        completion = _Completion(
            transaction, end, marker, self._markers, self._timers, self._background, self._finish
        )
        self._running.add(completion)
        completion.start()
        return end

    def close(self) -> None:
        """Write nothing more; the next coordinator goes on from the log."""
        for completion in self._running:
            completion.cancel()
        self._running.clear()

    def _finish(self, completion: "_Completion") -> None:
        """All markers are there: the transaction is over once that is flushed."""
        self._ledger.change(
            completion.transaction,
            completion.end,
            partial(self._finished, completion),
            keep_pending=True,
        )

    def _finished(self, completion: "_Completion", error: ErrorCode) -> None:
        if completion.is_cancelled:
            return
        if error is ErrorCode.NONE:
            completion.transaction.unmarked = None
            self._running.discard(completion)
        else:
            completion.retry_end(error)


class _Completion:
    """The markers of one transaction."""

    __slots__ = (
        "_all_done",
        "_background",
        "_delay_s",
        "_has_warned",
        "_marker",
        "_markers",
        "_retries",
        "_tick",
        "_timers",
        "end",
        "is_cancelled",
        "transaction",
    )

    def __init__(
        self,
        transaction: Transaction,
        end: TransactionValues,
        marker: Marker,
        markers: Markers,
        timers: Timers,
        background: Background,
        all_done: "Callable[[_Completion], None]",
    ) -> None:
        self.transaction = transaction
        self.end = end
        self.is_cancelled = False
        self._marker = marker
        self._markers = markers
        self._timers = timers
        self._background = background
        self._all_done = all_done
        self._retries: list[TopicPartition] = []
        self._delay_s = RETRY_S
        self._has_warned = False
        self._tick: int | None = None

    def start(self) -> None:
        """Write all markers that are missing."""
        partitions = sorted(self._unmarked)
        if not partitions:
            self._all_done(self)
            return
        steps = self._write(partitions)
        if len(partitions) <= MARKERS_AT_ONCE:
            for _ in steps:
                pass
        else:
            self._background.begin(steps)

    def cancel(self) -> None:
        """Write no marker any more, and forget what is under way."""
        self.is_cancelled = True
        if self._tick is not None:
            self._timers.remove(self, self._tick)
            self._tick = None

    def expire(self) -> None:
        """Try again what failed."""
        self._tick = None
        retries, self._retries = self._retries, []
        if not self._unmarked:
            self._all_done(self)
        else:
            self._background.begin(self._write(retries))

    def retry_end(self, error: ErrorCode) -> None:
        """Report in a while that all is done, once more."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the end of the transaction of %r could not be written (%s); it is tried again",
                self.transaction.transactional_id,
                error.name,
            )
        self._arm()

    @property
    def _unmarked(self) -> set[TopicPartition]:
        unmarked = self.transaction.unmarked
        assert unmarked is not None
        return unmarked

    def _write(self, partitions: list[TopicPartition]) -> Iterator[None]:
        for number, partition in enumerate(partitions, start=1):
            if self.is_cancelled:
                return
            self._markers.write(partition, self._marker, partial(self._written, partition))
            if number % MARKERS_AT_ONCE == 0:
                yield

    def _written(self, partition: TopicPartition, error: ErrorCode) -> None:
        if self.is_cancelled:
            return
        if error in _IN_PLACE:
            self._unmarked.discard(partition)
            self._delay_s = RETRY_S
            if not self._unmarked:
                self._all_done(self)
        elif error is ErrorCode.TRANSACTION_COORDINATOR_FENCED:
            logger.warning(
                "%s has a marker of a later coordinator: the transaction of %r is left to that one",
                partition,
                self.transaction.transactional_id,
            )
            self.cancel()
        else:
            self._retries.append(partition)
            self._arm()

    def _arm(self) -> None:
        if self._tick is None:
            self._tick = self._timers.add(self, self._delay_s)
            self._delay_s = min(2 * self._delay_s, RETRY_MAX_S)
