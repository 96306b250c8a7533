"""One partition's log on disk: its state, and the door to all that is done with it (D-3, D-6).

Plain synchronous code for the loop thread. Opened by `log_loader`; the longer stories are in
`log_append`, `log_read`, `log_search` and `log_cutting`. Never waits for the disk to be durable,
but in `flush` and `close`, and never opens a record but in a search by time (D-1).
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError, KafkaStorageError, OffsetOutOfRangeError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.hot import log_append, log_cutting, log_search
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.config import LogConfig
from tierbroker.hot.damage import Damage, Notice
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.file_cache import FileHandle
from tierbroker.hot.file_names import INDEX_SUFFIXES, TXN_INDEX_SUFFIX, parse_offset_file
from tierbroker.hot.flush import FlushTarget
from tierbroker.hot.flush_ledger import FlushLedger
from tierbroker.hot.leader_epochs import LeaderEpochs
from tierbroker.hot.log_append import AppendResult
from tierbroker.hot.log_read import EMPTY_READ, ReadResult, plan_read
from tierbroker.hot.log_search import TimestampOffset
from tierbroker.hot.producer_snapshots import ProducerSnapshots
from tierbroker.hot.producer_state import AppendOrigin, ProducerState
from tierbroker.hot.roll_policy import RollPolicy
from tierbroker.hot.segment import SealedSegment
from tierbroker.hot.segment_list import SegmentList
from tierbroker.hot.txn_index_file import AbortedIndexes
from tierbroker.records.batch import BatchHeader, Buffer, WritableBuffer
from tierbroker.records.txn_index import AbortedTxn

__all__ = ["EMPTY_READ", "AppendResult", "Log", "ReadResult", "TimestampOffset"]

logger = logging.getLogger(__name__)


class Log:
    """A partition's records. Made by `log_loader.open_log`."""

    __slots__ = (
        "_clock",
        "_config",
        "_ledger",
        "_on_offline",
        "aborted",
        "appended_bytes",
        "closed",
        "damage",
        "damage_notices",
        "dir",
        "epochs",
        "fs",
        "log_end_offset",
        "log_start_offset",
        "offline",
        "producer_state",
        "recovery_point",
        "rolling",
        "segments",
        "size_bytes",
        "snapshots",
        "topic_id",
        "topic_partition",
    )

    def __init__(
        self,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        directory: str,
        config: LogConfig,
        *,
        clock: Clock,
        rng: random.Random,
        segments: SegmentList,
        epochs: LeaderEpochs,
        producer_state: ProducerState,
        snapshots: ProducerSnapshots,
        log_start_offset: int,
        log_end_offset: int,
        damage: Mapping[Damage, Notice],
        on_offline: Callable[["Log", OSError], None] | None = None,
    ) -> None:
        self.topic_partition = topic_partition
        self.topic_id = topic_id
        self.dir = directory
        self.log_start_offset = log_start_offset
        self.log_end_offset = log_end_offset
        self.recovery_point = log_end_offset
        self.offline = False
        self.closed = False
        self.segments = segments
        self.damage = segments.damage
        """Regions that cannot be read; those of all segments, of which each knows its own."""
        self.damage_notices = dict(damage)
        self.epochs = epochs
        self.producer_state = producer_state
        self.size_bytes = segments.size_bytes
        self.appended_bytes = 0
        """Since it was opened."""
        self.snapshots = snapshots
        self.fs = segments.cache.fs
        self.aborted = AbortedIndexes(segments.cache)
        self._clock = clock
        self.rolling = RollPolicy(clock, rng)
        self._on_offline = on_offline
        self._ledger = FlushLedger(log_end_offset)
        self.config = config

    # -- configuration -------------------------------------------------------------------------

    @property
    def config(self) -> LogConfig:
        """The effective configuration; may be replaced at any time."""
        return self._config

    @config.setter
    def config(self, config: LogConfig) -> None:
        self._config = config
        self.segments.active.index_interval_bytes = config.index_interval_bytes
        self.rolling.plan(config, self.segments.active)

    # -- append --------------------------------------------------------------------------------

    def append(
        self,
        batches: Sequence[tuple[WritableBuffer, BatchHeader]],
        leader_epoch: int,
        origins: Sequence[AppendOrigin] | None = None,
    ) -> list[AppendResult | ApiError]:
        """Append validated batches in order, each patched with its offset and the leader epoch.

        `origins` says of each whose it is; without, they are all clients'.

        One result a batch: an error of one (sequence, epoch, size) does not stop the others. When
        the disk refuses, nothing of the refused batches is remembered and they all answer
        KafkaStorageError; the log goes on if the disk merely was full.
        """
        if self.offline or self.closed:
            return [self._offline_error() for _ in batches]
        return log_append.append(self, batches, leader_epoch, origins)

    def append_as_follower(self, data: Buffer) -> AppendResult:
        """Append whole batches as they are: their offsets and epochs were assigned elsewhere.

        A batch cut off at the end is ignored. Raises CorruptMessageError for bytes that are no
        batches, a wrong CRC, or an offset below the log end, and then appends none of them; raises
        KafkaStorageError when the disk refuses (what came before a roll may be appended then).
        """
        if self.offline or self.closed:
            raise self._offline_error()
        return log_append.append_as_follower(self, data)

    def go_offline(self, error: OSError) -> KafkaStorageError:
        """Take no more appends or reads: the disk failed, what it holds is uncertain."""
        if not self.offline:
            self.offline = True
            logger.error("log %s in %s goes offline: %s", self.topic_partition, self.dir, error)
            if self._on_offline is not None:
                self._on_offline(self, error)
        return self._offline_error()

    def refusal(self, error: OSError) -> KafkaStorageError:
        """A full disk or no descriptor left is an error of the moment, others take it offline."""
        if is_disk_failure(error):
            return self.go_offline(error)
        return KafkaStorageError(f"{self.topic_partition} in {self.dir}: {error}")

    def _offline_error(self) -> KafkaStorageError:
        return KafkaStorageError(f"the log of {self.topic_partition} is offline")

    # -- rolling -------------------------------------------------------------------------------

    def roll(self) -> None:
        """Begin a new segment at the log end, unless the active one is empty.

        Raises KafkaStorageError when the disk refuses; the log is unchanged then.
        """
        if self.segments.active.size_bytes == 0:
            return
        error = self.roll_at(self.log_end_offset)
        if error is not None:
            raise error

    def roll_at(self, base_offset: int) -> KafkaStorageError | None:
        """Snapshot the producers, seal the active segment, begin one at `base_offset`.

        Answers the error, with everything as it was, when the disk refuses. For `log_append`.
        """
        active = self.segments.active
        try:
            if active.size_bytes == 0:
                self.segments.restart(base_offset, self._config.index_interval_bytes)
            else:
                self._write_snapshot()
                self._release_reserve()
                self.segments.roll(base_offset, self._config.index_interval_bytes)
                self._ledger.add_files(active.handles())
                self._expect_flush_of_aborted(active)
            self.preallocate()
        except OSError as error:
            return self.refusal(error)
        self._ledger.add_directory(self.dir)
        self.rolling.plan(self._config, self.segments.active)
        return None

    def _write_snapshot(self) -> None:
        # The cold tier takes along with each segment what is known of producers at its end.
        tiered = self._config.remote_storage_enable
        needed_from = self.segments.first.base_offset if tiered else None
        path = self.snapshots.write(self.log_end_offset, self.producer_state.entries(), needed_from)
        self.expect_flush(self.dir, path)

    def preallocate(self) -> None:
        """Reserve the active segment's blocks if the configuration says so; raises OSError."""
        if self._config.preallocate:
            self.segments.active.preallocate(self._config.segment_bytes)

    def _release_reserve(self) -> None:
        if self._config.preallocate:
            active = self.segments.active
            self.fs.ftruncate(active.fd, active.size_bytes)

    # -- read ----------------------------------------------------------------------------------

    def read(
        self, offset: int, max_bytes: int, max_offset: int, min_one_batch: bool = True
    ) -> ReadResult:
        """The batches from the one that holds `offset` on, below `max_offset`, of one segment.

        At most `max_bytes`, the last batch may be cut there; `min_one_batch` lets the first one
        exceed it. Empty at or above `max_offset`. Raises OffsetOutOfRangeError below the log start
        or above the log end, CorruptMessageError on damage that was not known, KafkaStorageError
        inside a damaged region and when offline. What is read ends before such a region.
        The slice's lease must be released.
        """
        if offset >= max_offset and self.log_start_offset <= offset <= self.log_end_offset:
            return EMPTY_READ
        if not self.log_start_offset <= offset <= self.log_end_offset:
            raise OffsetOutOfRangeError(
                f"offset {offset} of {self.topic_partition} is not within "
                f"{self.log_start_offset} and {self.log_end_offset}"
            )
        if self.offline or self.closed:
            raise self._offline_error()
        try:
            return plan_read(self, offset, max_bytes, max_offset, min_one_batch)
        except OSError as error:
            raise KafkaStorageError(f"{self.topic_partition} cannot be read: {error}") from error

    def read_bytes(self, offset: int, max_bytes: int, max_offset: int) -> bytes:
        """The same as bytes: for tools and the metadata log. Raises as `read` does."""
        part = self.read(offset, max_bytes, max_offset).slice
        if part is None:
            return b""
        try:
            return self.fs.pread(part.fd, part.length, part.position)
        except OSError as error:
            part.lease.cannot_read(part.position, error)
            raise KafkaStorageError(f"{self.topic_partition} cannot be read: {error}") from error
        finally:
            part.lease.release()

    def aborted_transactions(self, start: int, end: int) -> list[AbortedTxn]:
        """The aborted transactions that touch [start, end), by first offset; KafkaStorageError."""
        return self.aborted.overlapping(self.segments, start, end)

    def offset_for_timestamp(self, timestamp_ms: int, max_offset: int) -> TimestampOffset | None:
        """The first record at or after the time, below `max_offset`; None without one."""
        return log_search.offset_for_timestamp(self, timestamp_ms, max_offset)

    def offset_of_max_timestamp(self, max_offset: int) -> TimestampOffset | None:
        """The first record with the highest timestamp below `max_offset`; None in an empty log."""
        return log_search.offset_of_max_timestamp(self, max_offset)

    # -- leader epochs -------------------------------------------------------------------------

    @property
    def latest_epoch(self) -> int:
        """The latest leader epoch known, -1 without one."""
        return self.epochs.latest

    def assign_epoch_start(self, epoch: int, offset: int) -> None:
        """Leader epoch `epoch` begins at `offset`. A disk that refuses takes the log offline."""
        try:
            self.epochs.assign(epoch, offset)
        except OSError as error:
            # A full disk: the batches carry the epoch too, and a later change writes the file.
            if is_disk_failure(error):
                self.go_offline(error)

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below `epoch`; (-1, -1) if unknown."""
        return self.epochs.end_offset_for(epoch, self.log_end_offset)

    # -- durability ----------------------------------------------------------------------------

    @property
    def flushed_offset(self) -> int:
        """Everything below is on the disk."""
        return self._ledger.flushed_offset

    @property
    def has_unflushed(self) -> bool:
        """Whether a flush has something to do."""
        return self._ledger.has_work(self.log_end_offset) or self.epochs.unflushed

    @property
    def unflushed_files(self) -> tuple[FileHandle, ...]:
        """Files that no finished flush has covered."""
        return self._ledger.unflushed_files

    def dirty_files(self) -> FlushTarget:
        """What a flush must sync to cover the log end of now. `mark_flushed` must follow.

        Nothing of a closed log: whoever closed it saw to that.
        """
        if self.closed:
            return FlushTarget(self, (), (), self.flushed_offset)
        if self.epochs.unflushed:
            try:
                self.expect_flush(self.dir, self.epochs.path)
                self.epochs.unflushed = False
            except OSError as error:
                # The next flush tries again; a start meanwhile finds the epochs in the batches.
                logger.warning("%s: %s", self.topic_partition, error)
        end_offset = self.log_end_offset
        files, directories = self._ledger.begin(end_offset, self.segments.active.handle)
        fds = tuple([handle.fd for handle in files])
        return FlushTarget(self, fds, directories, end_offset, files)

    def mark_flushed(self, offset: int) -> None:
        """The flush that `dirty_files` with this end offset began has succeeded."""
        self._ledger.finish(offset)
        point = self._ledger.flushed_offset
        for handle in self._ledger.unflushed_files:
            # Sealed while the flush was under way: its indexes may be lost, so a start after a
            # crash must not trust them, though all its records are durable.
            file = parse_offset_file(handle.path.rpartition("/")[2])
            if file is not None and file.suffix in INDEX_SUFFIXES:
                point = min(point, file.offset)
        self.recovery_point = max(self.recovery_point, point)

    def flush(self) -> None:
        """Make everything durable, waiting for the disk; a failure takes the log offline.

        For tools, tests and closing. Raises KafkaStorageError.
        """
        if self.offline:
            raise self._offline_error()
        target = self.dirty_files()
        try:
            for directory in target.new_dirs:
                self.fs.fsync_dir(directory)
            for fd in target.fds:
                self.fs.fdatasync(fd)
        except OSError as error:
            raise self.go_offline(error) from error
        finally:
            for lease in target.leases:
                lease.release()
        self.mark_flushed(target.end_offset)

    def write_indexes(self) -> None:
        """Write buffered index entries, before a recovery point that covers them is persisted.

        Raises KafkaStorageError; then the recovery point must not be persisted.
        """
        try:
            self.segments.active.write_indexes()
        except OSError as error:
            raise KafkaStorageError(f"{self.topic_partition}: {error}") from error

    # -- cutting and ending --------------------------------------------------------------------

    def now_ms(self) -> int:
        """The broker's wall clock."""
        return self._clock.now_ms()

    def truncate_to(self, offset: int) -> bool:
        """Remove every batch that reaches `offset` or beyond; False if there is none.

        The caller persists the recovery point. Raises KafkaStorageError.
        """
        return log_cutting.truncate_to(self, offset)

    def truncate_fully_and_start_at(self, offset: int) -> None:
        """Remove everything; the log goes on at `offset`. Raises KafkaStorageError."""
        log_cutting.restart_at(self, offset)

    def advance_log_start(self, offset: int) -> list[SealedSegment]:
        """Records below `offset` are gone (DeleteRecords); answers the segments that went.

        Raises OffsetOutOfRangeError above the log end, KafkaStorageError when the disk refuses.
        """
        return log_cutting.advance_log_start(self, offset)

    def delete_old_segments(
        self, now_ms: int, max_offset: int | None = None
    ) -> list[SealedSegment]:
        """Let retention remove whole segments below `max_offset` (the high watermark)."""
        limit = self.log_end_offset if max_offset is None else max_offset
        return log_cutting.delete_old_segments(self, now_ms, limit)

    def replace_segments(
        self, replaced: Sequence[SealedSegment], new: SealedSegment, suffixes: Sequence[str]
    ) -> list[str]:
        """Compaction: one segment for others; answers the files set aside, `SegmentList.replace`.

        Raises KafkaStorageError: the log is offline then, and a start finishes what was begun.
        """
        try:
            aside = self.segments.replace(replaced, new, suffixes)
            self.snapshots.remove_of([segment.base_offset for segment in replaced[1:]])
        except OSError as error:
            raise self.go_offline(error) from error
        self.size_bytes += new.size_bytes - sum(segment.size_bytes for segment in replaced)
        self.aborted.forget()
        return aside

    def take_deleted_files(self, now_ms: int) -> list[str]:
        """Files whose file.delete.delay.ms is over, each answered once: unlink them anywhere."""
        return self.segments.take_deleted_files(now_ms)

    def note_cut(self, end_offset: int) -> None:
        """The files now end at `end_offset`: take the numbers back too. For `log_cutting`."""
        self.log_end_offset = end_offset
        self.size_bytes = self.segments.size_bytes
        self._ledger.cut(end_offset)
        self._ledger.add_directory(self.dir)
        self.recovery_point = min(self.recovery_point, end_offset)
        self.rolling.plan(self._config, self.segments.active)
        self.aborted.forget()

    def close(self, clean: bool = True, sync: bool = True) -> None:
        """End: with `clean`, indexes and producer state are written and everything is durable.

        `sync=False` leaves the waiting to a caller that syncs the file system for many logs at
        once. Raises KafkaStorageError when a clean close fails; the files are closed all the same.
        """
        if self.closed:
            return
        try:
            if clean and not self.offline:
                self._write_last_state()
                if sync:
                    self.flush()
        finally:
            self.closed = True
            self._ledger.abandon()
            self.segments.retire()

    def _write_last_state(self) -> None:
        active = self.segments.active
        try:
            active.write_last_entries()
            self.epochs.write_if_behind()
            self._write_snapshot()
            self._release_reserve()
            active.acquire_indexes()
        except OSError as error:
            raise self.refusal(error) from error
        self._ledger.add_files(active.handles()[1:])
        self._expect_flush_of_aborted(active)

    def _expect_flush_of_aborted(self, segment: ActiveSegment) -> None:
        """The same of the index of a segment that ends."""
        if self.aborted.size_of(segment):
            self.expect_flush_of_aborted(segment)

    def expect_flush_of_aborted(self, segment: ActiveSegment) -> None:
        """The next flush must cover the segment's transaction index; raises OSError.

        With the markers and not later: once a recovery point lies behind the segment, nothing
        builds its index again, and what was aborted would be shown as committed.
        """
        self._ledger.add_directory(self.dir)
        self._ledger.add_written(self.segments.cache.handle(segment.path(TXN_INDEX_SUFFIX)))

    def delete(self) -> None:
        """Close and remove the directory with all that is in it; raises OSError."""
        self.close(clean=False)
        self.fs.rmtree(self.dir)

    def moved_to(self, directory: str) -> None:
        """The directory was renamed, to be removed: open files stay readable."""
        self.dir = directory

    def expect_flush(self, directory: str, *paths: str) -> None:
        """The next flush must cover the names in the directory and these files."""
        self._ledger.add_directory(directory)
        for path in paths:
            handle = self.segments.cache.handle(path)
            handle.acquire()
            self._ledger.add_files((handle,))
