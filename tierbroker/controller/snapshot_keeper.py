"""When a snapshot is due, and what older ones and old log are still for.

Counts the log since the last snapshot, has one written at a time, and afterwards lets go of what
is two snapshots old. A snapshot that fails is not missed: the log still has everything.
"""

from collections.abc import Callable

from tierbroker.base.clock import Clock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import Executor
from tierbroker.controller.config import ControllerConfig
from tierbroker.controller.raft.core import RaftCore
from tierbroker.controller.raft.ports import RaftStorage
from tierbroker.controller.raft.types import OffsetAndEpoch
from tierbroker.controller.snapshotter import SnapshotJob, image_batches, snapshot_id
from tierbroker.controller.state.image import MetadataImage


class SnapshotKeeper:
    """The snapshots of one replica. `idle_again` is called when one has ended, however."""

    def __init__(
        self,
        storage: RaftStorage,
        executor: Executor,
        clock: Clock,
        config: ControllerConfig,
        idle_again: Callable[[], None],
    ) -> None:
        self.failures = 0
        """Snapshots that could not be written or old ones not removed; tried again later."""
        self._storage = storage
        self._executor = executor
        self._clock = clock
        self._config = config
        self._idle_again = idle_again
        self._job: SnapshotJob | None = None
        self._bytes = 0
        self._records = 0

    @property
    def busy(self) -> bool:
        """A snapshot is being written."""
        return self._job is not None

    def note_log(self, size_bytes: int, records: int) -> None:
        """The log grew by so much that no snapshot contains."""
        self._bytes += size_bytes
        self._records += records

    def abandon(self) -> None:
        """Give up the snapshot that is being written."""
        if self._job is not None:
            self._job.abandon()

    def maybe_start(self, image: MetadataImage, core: RaftCore, last_contained_ms: int) -> None:
        """Begin a snapshot of the committed image if one is due and none is being written."""
        config = self._config
        due = (
            self._bytes >= config.snapshot_interval_bytes
            or self._records >= config.snapshot_interval_records
        )
        if not due or self.busy:
            return
        self._bytes = 0
        self._records = 0
        snapshot = snapshot_id(image)
        batches = image_batches(
            image,
            voter_set=core.voters,
            last_contained_ms=last_contained_ms,
            timestamp_ms=self._clock.now_ms(),
            batch_records=config.snapshot_batch_records,
        )
        writer = self._storage.create_snapshot(snapshot)
        self._job = SnapshotJob(
            batches, writer, self._executor, lambda error: self._ended(snapshot, core, error)
        )
        self._job.start()

    def _ended(self, snapshot: OffsetAndEpoch, core: RaftCore, error: BaseException | None) -> None:
        job, self._job = self._job, None
        if error is not None:
            self.failures += 1
        elif job is not None and not job.abandoned:
            previous = core.latest_snapshot
            core.latest_snapshot = snapshot
            if previous is not None and previous.offset > core.log.start.offset:
                self._let_go(previous, core)
        self._idle_again()

    def _let_go(self, covered: OffsetAndEpoch, core: RaftCore) -> None:
        """Drop what lies before the last snapshot but one: a follower may lag a little."""
        try:
            self._storage.delete_before(covered)
        except (OSError, KafkaStorageError):
            # What is left costs room and nothing else; the next snapshot tries again.
            self.failures += 1
        if self._storage.log_start_offset == covered.offset:
            core.log.advance_start(covered)
