"""What the controller needs from the world: a durable log, and a way to reach other voters."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tierbroker.base.executor import Outcome
from tierbroker.controller.raft.messages import Envelope
from tierbroker.controller.raft.types import OffsetAndEpoch, QuorumState


class SnapshotWriter(Protocol):
    """A snapshot under construction; nobody sees it until `finish`.

    The three methods run on a worker thread, one at a time.
    """

    def append(self, data: bytes) -> None:
        """Add whole batches. Raises OSError."""

    def finish(self) -> None:
        """Make it durable and visible, in that order. Raises OSError."""

    def abandon(self) -> None:
        """Leave nothing behind."""


class RaftStorage(Protocol):
    """The metadata log, its snapshots and the quorum state, on something durable.

    Loop thread only, except where stated. Offsets are those of records; the caller assigns them.
    """

    @property
    def log_start_offset(self) -> int:
        """The first offset that the log still holds; older state is in a snapshot."""

    @property
    def log_end_offset(self) -> int:
        """The offset after the last appended record."""

    @property
    def flushed_offset(self) -> int:
        """Everything below it survives a power cut."""

    def epoch_starts(self) -> Sequence[tuple[int, int]]:
        """(epoch, first offset of that epoch), ascending."""

    def append(self, batches: Sequence[bytes]) -> None:
        """Append whole v2 batches, offsets and epochs set, the first at the log end.

        Not durable yet. Raises OSError or KafkaStorageError; then whole batches alone were
        appended, and `log_end_offset` says which.
        """

    def flush(self, done: Callable[[Outcome[int]], None]) -> None:
        """Make all that was appended so far durable; `done` gets the offset, on the loop thread.

        An error is final: the storage must not be used any more.
        """

    def read(self, offset: int, max_bytes: int, max_offset: int) -> bytes:
        """Batches from the one that holds `offset` up to `max_offset`; at least one, if any.

        The last one may be cut at `max_bytes`. Empty at `max_offset`. Raises
        OffsetOutOfRangeError below the log start.
        """

    def truncate_to(self, offset: int) -> None:
        """Drop everything from `offset` on (a follower whose log parts from the leader's)."""

    def load_quorum_state(self) -> QuorumState | None:
        """The last saved state, None for a new replica."""

    def save_quorum_state(self, state: QuorumState) -> None:
        """Store it; durable on return. Raises OSError."""

    def snapshots(self) -> Sequence[OffsetAndEpoch]:
        """Finished snapshots, ascending."""

    def read_snapshot(self, snapshot: OffsetAndEpoch) -> bytes:
        """All of a finished snapshot."""

    def create_snapshot(self, snapshot: OffsetAndEpoch) -> SnapshotWriter:
        """Start a new one; its offset may not be above the committed offset."""

    def delete_before(self, snapshot: OffsetAndEpoch) -> None:
        """Snapshots older than this one, and log that it covers, may go."""

    def close(self) -> None:
        """Release files. Nothing may be in flight."""


class Transport(Protocol):
    """Sends messages to other voters. It may lose, delay and reorder them; it never raises."""

    def send(self, envelope: Envelope) -> None:
        """Send to `envelope.peer`."""
