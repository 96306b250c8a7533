"""What the group coordinator needs from outside; `node` binds it.

The coordinator itself knows no log, no loop and no clock of its own: it is driven by calls, and
everything it waits for comes back through these ports, on the loop thread.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from tierbroker.base.deadlines import Expiring
from tierbroker.base.errors import ApiError

KeyValue = tuple[bytes, bytes | None]
"""A record of `__consumer_offsets`: its key, and its value or None for a tombstone."""

WriteDone = Callable[[ApiError | None], None]


class PartitionWriter(Protocol):
    """Appends to the partitions of `__consumer_offsets`."""

    def append(self, partition: int, records: Sequence[KeyValue], done: WriteDone) -> None:
        """Write the records as one batch with acks=all.

        `done` gets None once the batch is visible to consumers (flushed, in flush.mode=fsync), or
        the error why it is not and will not be. The calls of one partition come in log order.
        """

    def append_transactional(
        self,
        partition: int,
        records: Sequence[KeyValue],
        producer_id: int,
        producer_epoch: int,
        done: WriteDone,
    ) -> None:
        """As `append`, within the transaction that the producer has open on the partition.

        An epoch that is older than the producer's newest is InvalidProducerEpochError.
        """


class PartitionReader(Protocol):
    """Reads a partition of `__consumer_offsets` from its start, to load what it says."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """(log start offset, offset behind the last visible record); raises ApiError."""

    def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
        """Whole batches from the one that holds `offset` on, at least one; raises ApiError."""


class Timers(Protocol):
    """Deadlines, cheap to set and to take back; `base.deadlines.Deadlines` fits."""

    def add(self, waiter: Expiring, delay_s: float) -> int:
        """Call `waiter.expire()` once `delay_s` has passed; the tick returned is for `remove`."""

    def remove(self, waiter: Expiring, tick: int) -> None:
        """The deadline will not fire."""
