"""One shard: the transactional ids of one partition of `__transaction_state`, while we lead it.

It has a life (loading, active, closed; or failed, when the log cannot be read) and answers nothing
but while it is active. When it becomes active, it goes on with what was decided before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from tierbroker.base.background import Background
from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.transactions.adding import Adding
from tierbroker.transactions.completion import Completions
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.ending import Ending
from tierbroker.transactions.initializing import Initializing
from tierbroker.transactions.ledger import Ledger
from tierbroker.transactions.loader import Loader
from tierbroker.transactions.ports import (
    Markers,
    PartitionReader,
    PartitionWriter,
    ProducerIds,
    Timers,
)
from tierbroker.transactions.upkeep import Upkeep
from tierbroker.wire.error_codes import ErrorCode

IDS_PER_STEP = 256
"""Transactional ids that are looked at before others get the loop."""


class ShardState(Enum):
    """A shard answers only while it is ACTIVE."""

    LOADING = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    ACTIVE = ErrorCode.NONE
    FAILED = ErrorCode.COORDINATOR_NOT_AVAILABLE
    CLOSED = ErrorCode.NOT_COORDINATOR


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all shards share. `feature_level` is the cluster's `transaction.version`."""

    writer: PartitionWriter
    reader: PartitionReader
    producer_ids: ProducerIds
    markers: Markers
    timers: Timers
    clock: Clock
    background: Background
    feature_level: Callable[[], int]


class Shard:
    """Loop thread only; begins to load at once."""

    def __init__(
        self,
        partition: int,
        coordinator_epoch: int,
        config: TransactionConfig,
        around: Surroundings,
    ) -> None:
        clock, background = around.clock, around.background
        self.partition = partition
        self.coordinator_epoch = coordinator_epoch
        self.state = ShardState.LOADING
        self.ledger = Ledger(partition, around.writer, around.feature_level)
        self._completions = Completions(
            self.ledger, around.markers, around.timers, clock, background, coordinator_epoch
        )
        self.ending = Ending(self.ledger, self._completions, around.producer_ids, clock)
        self.initializing = Initializing(self.ledger, self.ending, around.producer_ids, clock)
        self.adding = Adding(self.ledger, clock)
        self._upkeep = Upkeep(config, self.ledger, self.ending, clock, background)
        self._background = background
        self._loader = Loader(partition, around.reader, self.ledger, background, self._loaded)
        self._loader.start()

    @property
    def error(self) -> ErrorCode:
        """NONE while it may be asked, else what requests are answered."""
        return self.state.value

    def abort_timed_out(self) -> None:
        """Look for transactions that are open for too long, over the next turns."""
        if self.state is ShardState.ACTIVE:
            self._upkeep.abort_timed_out()

    def expire_ids(self) -> None:
        """Look for expired transactional ids, over the next turns."""
        if self.state is ShardState.ACTIVE:
            self._upkeep.expire_ids()

    def close(self, error: ErrorCode) -> None:
        """Leadership went elsewhere, or the broker stops: who waits is answered with `error`.

        Those who wait for a write are answered when its fate is known; nothing is changed then.
        """
        if self.state is ShardState.CLOSED:
            return
        self.state = ShardState.CLOSED
        self.ledger.closed = error
        self._loader.cancel()
        self._upkeep.close()
        self._completions.close()

    def _loaded(self, error: ApiError | None) -> None:
        if error is not None:
            self.state = ShardState.FAILED
            return
        # Until `_complete` comes to it, a decided transaction is as good as pending for everybody.
        self.state = ShardState.ACTIVE
        self._background.begin(self._complete())

    def _complete(self) -> Iterator[None]:
        """Go on with the transactions that were decided before."""
        for number, transaction in enumerate(list(self.ledger.transactions.values()), start=1):
            if self.state is not ShardState.ACTIVE:
                return
            if transaction.values.state.is_decided and transaction.pending is None:
                self._completions.start(transaction)
                yield
            elif number % IDS_PER_STEP == 0:
                yield
