"""An in-memory RaftStorage: what the metadata log of tests and of the simulation lies on.

Durability is explicit: `crash()` answers the storage as a power cut would leave it, with every
unflushed batch gone. Failures are asked for by name.
"""

from collections.abc import Callable, Sequence

from tierbroker.base.errors import OffsetOutOfRangeError
from tierbroker.base.executor import Executor, InlineExecutor, Outcome
from tierbroker.controller.raft.messages import Envelope
from tierbroker.controller.raft.types import OffsetAndEpoch, QuorumState
from tierbroker.records.batch import walk


class MemorySnapshotWriter:
    def __init__(self, storage: "MemoryRaftStorage", snapshot: OffsetAndEpoch) -> None:
        self._storage = storage
        self._snapshot = snapshot
        self._data = bytearray()

    def append(self, data: bytes) -> None:
        self._storage.maybe_fail("snapshot")
        self._data += data

    def finish(self) -> None:
        self._storage.maybe_fail("snapshot")
        self._storage.finished[self._snapshot] = bytes(self._data)

    def abandon(self) -> None:
        self._storage.abandoned += 1


class MemoryRaftStorage:
    def __init__(self, executor: Executor | None = None) -> None:
        self.executor: Executor = InlineExecutor() if executor is None else executor
        self.batches: list[tuple[int, int, int, bytes]] = []  # base, next, epoch, data
        self.finished: dict[OffsetAndEpoch, bytes] = {}
        self.quorum_state: QuorumState | None = None
        self.start = 0
        self.flushed = 0
        self.flushes = 0
        self.state_saves = 0
        self.abandoned = 0
        self.closed = False
        self.failures: dict[str, OSError] = {}

    def fail_next(self, operation: str, error: OSError) -> None:
        self.failures[operation] = error

    def maybe_fail(self, operation: str) -> None:
        error = self.failures.pop(operation, None)
        if error is not None:
            raise error

    def crash(self, executor: Executor | None = None) -> "MemoryRaftStorage":
        """What is left after a power cut."""
        after = MemoryRaftStorage(executor)
        after.batches = [batch for batch in self.batches if batch[1] <= self.flushed]
        after.finished = dict(self.finished)
        after.quorum_state = self.quorum_state
        after.start = self.start
        after.flushed = self.flushed
        return after

    def restart(self, executor: Executor | None = None) -> "MemoryRaftStorage":
        """What is left after a clean stop."""
        after = self.crash(executor)
        after.batches = list(self.batches)
        after.flushed = self.log_end_offset
        return after

    @property
    def log_start_offset(self) -> int:
        return self.start

    @property
    def log_end_offset(self) -> int:
        return self.batches[-1][1] if self.batches else self.start

    @property
    def flushed_offset(self) -> int:
        return self.flushed

    def epoch_starts(self) -> Sequence[tuple[int, int]]:
        starts: list[tuple[int, int]] = []
        for base, _, epoch, _ in self.batches:
            if not starts or starts[-1][0] != epoch:
                starts.append((epoch, max(base, self.start)))
        return starts

    def append(self, batches: Sequence[bytes]) -> None:
        self.maybe_fail("append")
        for data in batches:
            ((_, header),) = list(walk(data))
            assert header.base_offset == self.log_end_offset
            self.batches.append(
                (
                    header.base_offset,
                    header.next_offset,
                    header.partition_leader_epoch,
                    bytes(data),
                )
            )

    def flush(self, done: Callable[[Outcome[int]], None]) -> None:
        end = self.log_end_offset

        def work() -> int:
            self.maybe_fail("flush")
            self.flushes += 1
            return end

        def finish(outcome: Outcome[int]) -> None:
            if outcome.error is None:
                self.flushed = max(self.flushed, min(end, self.log_end_offset))
            done(outcome)

        self.executor.run(work, finish)

    def read(self, offset: int, max_bytes: int, max_offset: int) -> bytes:
        if offset < self.start:
            raise OffsetOutOfRangeError(f"{offset} is below the log start {self.start}")
        found = bytearray()
        for _, following, _, data in self.batches:
            if offset < following <= max_offset:
                if found and len(found) + len(data) > max_bytes:
                    break
                found += data
        return bytes(found)

    def truncate_to(self, offset: int) -> None:
        self.batches = [batch for batch in self.batches if batch[1] <= offset]
        assert self.log_end_offset == offset
        self.flushed = min(self.flushed, offset)

    def load_quorum_state(self) -> QuorumState | None:
        return self.quorum_state

    def save_quorum_state(self, state: QuorumState) -> None:
        self.maybe_fail("quorum-state")
        self.state_saves += 1
        self.quorum_state = state

    def snapshots(self) -> Sequence[OffsetAndEpoch]:
        return sorted(self.finished)

    def read_snapshot(self, snapshot: OffsetAndEpoch) -> bytes:
        return self.finished[snapshot]

    def create_snapshot(self, snapshot: OffsetAndEpoch) -> MemorySnapshotWriter:
        return MemorySnapshotWriter(self, snapshot)

    def delete_before(self, snapshot: OffsetAndEpoch) -> None:
        self.finished = {known: data for known, data in self.finished.items() if known >= snapshot}
        self.start = max(self.start, snapshot.offset)
        self.batches = [batch for batch in self.batches if batch[1] > self.start]

    def close(self) -> None:
        self.closed = True


class RecordingTransport:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []

    def send(self, envelope: Envelope) -> None:
        self.sent.append(envelope)
