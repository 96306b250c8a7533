"""What the transaction coordinator needs from outside; `node` binds it.

The coordinator itself knows no log, no loop and no clock of its own: it is driven by calls, and
everything it waits for comes back through these ports, on the loop thread. A callback may be
called inside the call that it was given to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tierbroker.base.deadlines import Expiring
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.wire.error_codes import ErrorCode

KeyValue = tuple[bytes, bytes | None]
"""A record of `__transaction_state`: its key, and its value or None for a tombstone."""

WriteDone = Callable[[ApiError | None], None]

MarkerDone = Callable[[ErrorCode], None]


class PartitionWriter(Protocol):
    """Appends to the partitions of `__transaction_state`."""

    def append(self, partition: int, records: Sequence[KeyValue], done: WriteDone) -> None:
        """Write the records as one batch with acks=all.

        `done` gets None once the batch is visible to consumers (flushed, in flush.mode=fsync), or
        the error why it is not and will not be. The calls of one partition come in log order.
        """


class PartitionReader(Protocol):
    """Reads a partition of `__transaction_state` from its start, to load what it says."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """(log start offset, offset behind the last visible record); raises ApiError."""

    def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
        """Whole batches from the one that holds `offset` on, at least one; raises ApiError."""


class ProducerIds(Protocol):
    """Producer ids that nobody had before."""

    def next(self) -> Pending[int]:
        """The next one; fails with an ApiError when the controller grants none."""


@dataclass(frozen=True, slots=True)
class Marker:
    """How the transaction of a producer ended, as its partitions are told."""

    producer_id: int
    producer_epoch: int
    commit: bool
    coordinator_epoch: int
    """The leader epoch of the coordinator's partition: a partition refuses an older one."""
    transaction_version: int
    """2 if the epoch was bumped for this marker, so that no record of the old one may follow."""


class Markers(Protocol):
    """Writes control records to the partitions of a transaction."""

    def write(self, partition: TopicPartition, marker: Marker, done: MarkerDone) -> None:
        """Append the marker; `done` gets NONE once it is visible.

        UNKNOWN_TOPIC_OR_PARTITION says that the partition is gone, INVALID_PRODUCER_EPOCH that it
        has the marker already or is beyond it, TRANSACTION_COORDINATOR_FENCED that another
        coordinator took over. All others: the write is worth a retry.
        """


class Timers(Protocol):
    """Deadlines, cheap to set and to take back; `base.deadlines.Deadlines` fits."""

    def add(self, waiter: Expiring, delay_s: float) -> int:
        """Call `waiter.expire()` once `delay_s` has passed; the tick returned is for `remove`."""

    def remove(self, waiter: Expiring, tick: int) -> None:
        """The deadline will not fire."""
