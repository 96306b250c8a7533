"""One partition's log on disk: append, read, roll, flush bookkeeping (D-1, D-3, D-6).

Batches are opaque: only their headers are read, base offset and leader epoch are patched. Plain
synchronous code for the loop thread; opened and recovered by `log_loader`, cut by `log_cutting`,
searched by time in `log_search`. Never waits for the disk to be durable, but for `flush`.
"""

import errno
import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tierbroker.base.clock import Clock
from tierbroker.base.errors import (
    ApiError,
    CorruptMessageError,
    KafkaStorageError,
    OffsetOutOfRangeError,
    RecordListTooLargeError,
)
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.parts import FileSlice
from tierbroker.hot import log_cutting, log_search
from tierbroker.hot.active_segment import MAX_RELATIVE_OFFSET
from tierbroker.hot.config import LogConfig
from tierbroker.hot.flush import FlushTarget
from tierbroker.hot.flush_ledger import FlushLedger
from tierbroker.hot.leader_epochs import LeaderEpochs
from tierbroker.hot.log_search import TimestampOffset
from tierbroker.hot.producer_snapshots import ProducerSnapshots
from tierbroker.hot.producer_state import ProducerState, StagedProducers
from tierbroker.hot.segment import SealedSegment
from tierbroker.hot.segment_list import SegmentList
from tierbroker.hot.txn_index_file import append_aborted
from tierbroker.records.batch import (
    CONTROL_BIT,
    LOG_APPEND_TIME_BIT,
    NO_TIMESTAMP,
    SIZE_OVERHEAD,
    BatchHeader,
    Buffer,
    WritableBuffer,
    crc_valid,
    patch_offsets,
    walk,
)
from tierbroker.records.control import read_marker

if TYPE_CHECKING:
    from tierbroker.base.fs import FileSystem

logger = logging.getLogger(__name__)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_MAX_BUFFERS = 1024
"""IOV_MAX of Linux: buffers of one pwritev."""


class AppendResult(NamedTuple):
    """Where a batch went; for a repeat, where the original went."""

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    """-1 unless the topic stamps records, or the batch is a repeat (Kafka answers its time)."""
    log_start_offset: int
    duplicate: bool


class ReadResult(NamedTuple):
    """Bytes to send, whole batches but for a last one that `max_bytes` may cut."""

    slice: FileSlice | None
    size_bytes: int
    last_offset_hint: int
    """The last offset of the slice where it was cheap to know, else -1."""


EMPTY_READ = ReadResult(None, 0, -1)

# (base offset, last offset, size, max timestamp, leader epoch) of a batch about to be written.
_Note = tuple[int, int, int, int, int]


class Log:
    """A partition's records. Made by `log_loader.open_log`."""

    __slots__ = (
        "_clock",
        "_config",
        "_fs",
        "_ledger",
        "_on_offline",
        "_rng",
        "_roll_after_timestamp",
        "_segment_limits",
        "closed",
        "dir",
        "epochs",
        "log_end_offset",
        "log_start_offset",
        "offline",
        "producer_state",
        "recovery_point",
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
        self.epochs = epochs
        self.producer_state = producer_state
        self.size_bytes = segments.size_bytes
        self.snapshots = snapshots
        self._fs: FileSystem = segments.cache.fs
        self._clock = clock
        self._rng = rng
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
        # Sizes at which no further entry fits: the time index keeps a slot for the last one.
        self._segment_limits = (
            config.segment_bytes,
            config.segment_index_bytes // 8 * 8,
            config.segment_index_bytes // 12 * 12 - 12,
        )
        self._plan_roll_by_time()

    def _plan_roll_by_time(self) -> None:
        first = self.segments.active.first_timestamp
        if first < 0:
            self._roll_after_timestamp = math.inf
            return
        config = self._config
        jitter = self._rng.randrange(config.segment_jitter_ms) if config.segment_jitter_ms else 0
        self._roll_after_timestamp = first + config.segment_ms - jitter

    # -- append --------------------------------------------------------------------------------

    def append(
        self, batches: Sequence[tuple[WritableBuffer, BatchHeader]], leader_epoch: int
    ) -> list[AppendResult | ApiError]:
        """Append validated batches in order, each patched with its offset and the leader epoch.

        One result a batch: an error of one (sequence, epoch, size) does not stop the others. When
        the disk refuses, nothing of the refused batches is remembered and they all answer
        KafkaStorageError; the log goes on if it merely was full.
        """
        results: list[AppendResult | ApiError] = []
        if self.offline or self.closed:
            return [self._offline_error() for _ in batches]
        next_offset = self.log_end_offset
        buffers: list[Buffer] = []
        notes: list[_Note] = []
        staged: StagedProducers | None = None
        active = self.segments.active
        position = active.size_bytes
        segment_limit = self._segment_limits[0]
        for batch, header in batches:
            size = header.batch_length + SIZE_OVERHEAD
            if size > segment_limit:
                results.append(
                    RecordListTooLargeError(f"a batch of {size} bytes exceeds segment.bytes")
                )
                continue
            max_timestamp = header.max_timestamp
            last_offset = next_offset + header.last_offset_delta
            if self._must_roll(position, size, max_timestamp, last_offset):
                # What came before belongs to the old segment.
                error = self._write(buffers, notes, staged) or self._roll(next_offset)
                if error is not None:
                    return self._refused(results, len(batches), error)
                buffers, notes, staged = [], [], None
                active = self.segments.active
                position = 0
            if header.producer_id >= 0:
                if staged is None:
                    staged = self.producer_state.stage()
                try:
                    repeated = self._stage_producer(staged, batch, header, next_offset)
                except ApiError as refusal:
                    results.append(refusal)
                    continue
                if repeated is not None:
                    results.append(repeated)
                    continue
            patch_offsets(batch, 0, next_offset, leader_epoch)
            buffers.append(batch)
            notes.append((next_offset, last_offset, size, max_timestamp, leader_epoch))
            stamped = header.attributes & LOG_APPEND_TIME_BIT
            results.append(
                AppendResult(
                    next_offset,
                    last_offset,
                    max_timestamp if stamped else NO_TIMESTAMP,
                    self.log_start_offset,
                    False,
                )
            )
            position += size
            next_offset = last_offset + 1
        if buffers:
            error = self._write(buffers, notes, staged)
            if error is not None:
                return self._refused(results, len(batches), error)
        return results

    def append_as_follower(self, data: Buffer) -> AppendResult:
        """Append whole batches as they are: their offsets and epochs were assigned elsewhere.

        Raises CorruptMessageError for bytes that are no batches, for a wrong CRC and for an offset
        below the log end, and KafkaStorageError when the disk refuses; the batches before the bad
        one, or before the roll at which the disk refused, are then appended.
        """
        if self.offline or self.closed:
            raise self._offline_error()
        view = memoryview(data)
        buffers: list[Buffer] = []
        notes: list[_Note] = []
        staged = self.producer_state.stage()
        next_offset = self.log_end_offset
        first_offset = -1
        position = self.segments.active.size_bytes
        fault: CorruptMessageError | None = None
        for at, header in walk(view):
            batch = view[at : at + header.size_bytes]
            base_offset, last_offset = header.base_offset, header.last_offset
            if base_offset < next_offset or not crc_valid(view, at, header):
                fault = CorruptMessageError(
                    f"batch at offset {base_offset} is damaged or below the log end {next_offset}"
                )
                break
            first_offset = base_offset if first_offset < 0 else first_offset
            if self._must_roll(position, len(batch), header.max_timestamp, last_offset):
                error = self._write(buffers, notes, staged) or self._roll(base_offset)
                if error is not None:
                    raise error
                buffers, notes, staged = [], [], self.producer_state.stage()
                position = 0
            if header.producer_id >= 0:
                self._stage_known(staged, batch, header)
            buffers.append(batch)
            epoch = header.partition_leader_epoch
            notes.append((base_offset, last_offset, len(batch), header.max_timestamp, epoch))
            position += len(batch)
            next_offset = last_offset + 1
        if buffers:
            error = self._write(buffers, notes, staged)
            if error is not None:
                raise error
        if fault is not None:
            raise fault
        return AppendResult(first_offset, next_offset - 1, -1, self.log_start_offset, False)

    def _must_roll(self, position: int, size: int, max_timestamp: int, last_offset: int) -> bool:
        if position == 0:
            # Only an offset too far away makes an empty segment useless.
            return last_offset - self.segments.active.base_offset > MAX_RELATIVE_OFFSET
        active = self.segments.active
        segment_bytes, index_bytes, time_index_bytes = self._segment_limits
        return (
            position + size > segment_bytes
            or max_timestamp > self._roll_after_timestamp
            or len(active.index) >= index_bytes
            or len(active.time_index) >= time_index_bytes
            or last_offset - active.base_offset > MAX_RELATIVE_OFFSET
            or (active.first_timestamp < 0 and self._aged_without_timestamps())
        )

    def _aged_without_timestamps(self) -> bool:
        active = self.segments.active
        if not active.size_bytes:
            return False
        return self._clock.now_ms() - active.created_ms > self._config.segment_ms

    def _stage_producer(
        self, staged: StagedProducers, batch: Buffer, header: BatchHeader, offset: int
    ) -> AppendResult | None:
        if header.attributes & CONTROL_BIT:
            marker = read_marker(batch)
            if marker is not None:
                staged.end_transaction(header, marker, offset)
            return None
        repeated = staged.admit(header, offset)
        if repeated is None:
            return None
        return AppendResult(
            repeated.first_offset,
            repeated.last_offset,
            repeated.timestamp_ms,
            self.log_start_offset,
            True,
        )

    def _stage_known(self, staged: StagedProducers, batch: Buffer, header: BatchHeader) -> None:
        if header.attributes & CONTROL_BIT:
            marker = read_marker(batch)
            if marker is not None:
                staged.end_transaction(header, marker, header.base_offset)
        else:
            staged.accept(header, header.base_offset)

    def _write(
        self, buffers: list[Buffer], notes: list[_Note], staged: StagedProducers | None
    ) -> KafkaStorageError | None:
        """Write the batches behind each other and only then account for them."""
        if not buffers:
            return None
        active = self.segments.active
        start = active.size_bytes
        size = notes[0][2] if len(notes) == 1 else sum(note[2] for note in notes)
        try:
            written = self._fs.pwritev(active.fd, buffers[:_MAX_BUFFERS], start)
            if written != size:
                self._write_rest(active.fd, buffers, start, written, size)
        except OSError as error:
            return self._write_failed(error, start)
        was_empty = start == 0
        note_batch = active.note_batch
        for _, last_offset, batch_size, max_timestamp, _ in notes:
            note_batch(last_offset, batch_size, max_timestamp)
        self.log_end_offset = last_offset + 1
        self.size_bytes += size
        if was_empty:
            self._plan_roll_by_time()
        if notes[-1][4] > self.epochs.latest:
            self._assign_epochs(notes)
        if staged is not None:
            aborted = self.producer_state.commit(staged)
            if aborted:
                append_aborted(self._fs, active, aborted)
        self.producer_state.end_offset = last_offset + 1
        return None

    def _write_rest(
        self, fd: int, buffers: list[Buffer], start: int, written: int, size: int
    ) -> None:
        """Go on after a short write, until everything is there or the disk says why not."""
        rest = memoryview(b"".join(buffers))[written:]
        position = start + written
        while rest:
            written = self._fs.pwritev(fd, [rest], position)
            if written == 0:
                raise OSError(errno.ENOSPC, "the file system takes no more bytes")
            rest = rest[written:]
            position += written

    def _write_failed(self, error: OSError, size_before: int) -> KafkaStorageError:
        """Back to the end before the write if the disk is merely full, else offline."""
        if error.errno not in _NO_ROOM:
            return self.go_offline(error)
        try:
            self._fs.ftruncate(self.segments.active.fd, size_before)
        except OSError as second:
            return self.go_offline(second)
        return KafkaStorageError(f"{self.topic_partition}: no space left in {self.dir}")

    def _assign_epochs(self, notes: list[_Note]) -> None:
        latest = self.epochs.latest
        for base_offset, _, _, _, epoch in notes:
            if epoch > latest:
                self.assign_epoch_start(epoch, base_offset)
                latest = epoch

    def _refused(
        self, results: list[AppendResult | ApiError], count: int, error: KafkaStorageError
    ) -> list[AppendResult | ApiError]:
        """All that is not in the log gets the error, also repeats of what is not."""
        end = self.log_end_offset
        for slot, result in enumerate(results):
            if isinstance(result, AppendResult) and result.last_offset >= end:
                results[slot] = error
        results.extend([error] * (count - len(results)))
        return results

    def go_offline(self, error: OSError) -> KafkaStorageError:
        """Take no more appends or reads: the disk failed, what it holds is uncertain."""
        if not self.offline:
            self.offline = True
            logger.error("log %s in %s goes offline: %s", self.topic_partition, self.dir, error)
            if self._on_offline is not None:
                self._on_offline(self, error)
        return self._offline_error()

    def _offline_error(self) -> KafkaStorageError:
        return KafkaStorageError(f"the log of {self.topic_partition} is offline")

    # -- rolling -------------------------------------------------------------------------------

    def roll(self) -> None:
        """Begin a new segment at the log end, unless the active one is empty.

        Raises KafkaStorageError when the disk refuses; the log is unchanged then.
        """
        if self.segments.active.size_bytes == 0:
            return
        error = self._roll(self.log_end_offset)
        if error is not None:
            raise error

    def _roll(self, base_offset: int) -> KafkaStorageError | None:
        """Snapshot the producers, seal the active segment, begin one at `base_offset`."""
        active = self.segments.active
        try:
            if active.size_bytes == 0:
                self.segments.restart(base_offset, self._config.index_interval_bytes)
            else:
                self.snapshots.write(self.log_end_offset, self.producer_state.entries())
                if self._config.preallocate:
                    self._fs.ftruncate(active.fd, active.size_bytes)
                self.segments.roll(base_offset, self._config.index_interval_bytes)
                self._ledger.add_files(active.handles())
            self.preallocate()
        except OSError as error:
            if error.errno in _NO_ROOM:
                return KafkaStorageError(f"{self.topic_partition}: no space left in {self.dir}")
            return self.go_offline(error)
        self._ledger.add_directory(self.dir)
        self._plan_roll_by_time()
        return None

    def preallocate(self) -> None:
        """Reserve blocks beyond the end of the active file, never changing its size."""
        if not self._config.preallocate:
            return
        try:
            fd = self.segments.active.fd
            self._fs.fallocate_keep_size(fd, 0, self._config.segment_bytes)
        except OSError as error:
            # Not every file system can: it is a matter of speed alone.
            if error.errno not in (errno.EOPNOTSUPP, *_NO_ROOM):
                raise

    # -- read ----------------------------------------------------------------------------------

    def read(
        self, offset: int, max_bytes: int, max_offset: int, min_one_batch: bool = True
    ) -> ReadResult:
        """The batches from the one that holds `offset` on, below `max_offset`, of one segment.

        At most `max_bytes`, the last batch may be cut there; `min_one_batch` lets the first one
        exceed it. Empty at or above `max_offset`. Raises OffsetOutOfRangeError below the log start
        or above the log end, CorruptMessageError on damage, KafkaStorageError when offline.
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
            return self._plan_read(offset, max_bytes, max_offset, min_one_batch)
        except OSError as error:
            raise KafkaStorageError(f"{self.topic_partition} cannot be read: {error}") from error

    def _plan_read(
        self, offset: int, max_bytes: int, max_offset: int, min_one_batch: bool
    ) -> ReadResult:
        segments = self.segments
        segment = active = segments.active
        if offset >= active.base_offset:
            found = active.find(offset)
            segment_end = self.log_end_offset
        else:
            slot = segments.slot_of(offset)
            found = segments[slot].find(offset)
            # Compaction leaves holes at the end of a segment: the next one holds the offset then.
            while found is None and slot < len(segments.sealed):
                slot += 1
                found = segments[slot].find(offset)
            segment = segments[slot]  # type: ignore[assignment]
            segment_end = segments.end_of(slot) or self.log_end_offset
        if found is None:
            return EMPTY_READ
        position, first_size = found
        last_offset = segment_end - 1
        end = segment.size_bytes
        if max_offset < segment_end:
            end = segment.cut_position(max_offset)
            last_offset = max_offset - 1
        length = end - position
        if length > max_bytes:
            last_offset = -1
            length = max_bytes
            if first_size > max_bytes:
                length = first_size if min_one_batch else 0
        if length <= 0:
            return EMPTY_READ
        handle = segment.handle
        return ReadResult(
            FileSlice(handle.acquire(), position, length, handle), length, last_offset
        )

    def read_bytes(self, offset: int, max_bytes: int, max_offset: int) -> bytes:
        """The same as bytes: for tools and the metadata log. Raises as `read` does."""
        part = self.read(offset, max_bytes, max_offset).slice
        if part is None:
            return b""
        try:
            return self._fs.pread(part.fd, part.length, part.position)
        except OSError as error:
            raise KafkaStorageError(f"{self.topic_partition} cannot be read: {error}") from error
        finally:
            part.lease.release()

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
            if error.errno not in _NO_ROOM:
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

    def dirty_files(self) -> FlushTarget:
        """What a flush must sync to cover the log end of now. `mark_flushed` must follow."""
        if self.epochs.unflushed:
            self.expect_flush(self.dir, self.epochs.path)
            self.epochs.unflushed = False
        end_offset = self.log_end_offset
        files, directories = self._ledger.begin(end_offset, self.segments.active.handle)
        fds = tuple([handle.fd for handle in files])
        return FlushTarget(self, fds, directories, end_offset, files)

    def mark_flushed(self, offset: int) -> None:
        """The flush that `dirty_files` with this end offset began has succeeded."""
        self._ledger.finish(offset)
        self.recovery_point = self._ledger.flushed_offset

    def flush(self) -> None:
        """Make everything durable, waiting for the disk; a failure takes the log offline.

        For tools, tests and closing. Raises KafkaStorageError.
        """
        if self.offline:
            raise self._offline_error()
        target = self.dirty_files()
        try:
            for directory in target.new_dirs:
                self._fs.fsync_dir(directory)
            for fd in target.fds:
                self._fs.fdatasync(fd)
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
        self._plan_roll_by_time()

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
            self.snapshots.write(self.log_end_offset, self.producer_state.entries())
            if self._config.preallocate:
                self._fs.ftruncate(active.fd, active.size_bytes)
        except OSError as error:
            raise self.go_offline(error) from error
        _, index, times = active.handles()
        for handle in (index, times):
            handle.acquire()
        self._ledger.add_files((index, times))

    def delete(self) -> None:
        """Close and remove the directory with all that is in it; raises OSError."""
        self.close(clean=False)
        self._fs.rmtree(self.dir)

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
