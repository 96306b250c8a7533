"""The segment that is appended to: its sparse indexes and recent batch positions are in memory.

Index entries follow Kafka's rule (LogSegment.append): before a batch, if more than
`index.interval.bytes` were appended since the last entry, one entry with the batch's last offset
and its position, and with it a time entry if the highest timestamp has risen. The files get the
entries by `write_indexes`; a start after a crash rebuilds those of this segment anyway.
"""

import errno
from bisect import bisect_left

from tierbroker.base.disk_faults import is_unreadable
from tierbroker.base.fs import write_fully
from tierbroker.hot.damage import Regions, end_before
from tierbroker.hot.file_cache import FileCache, FileHandle
from tierbroker.hot.file_names import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    offset_file_name,
)
from tierbroker.hot.segment import SealedSegment, find_ending_at
from tierbroker.records import offset_index, time_index
from tierbroker.records.batch import NO_TIMESTAMP

MAX_RELATIVE_OFFSET = offset_index.MAX_RELATIVE_OFFSET
_RECENT_BATCHES = 4096


class ActiveSegment:
    """The last segment of a log. `size_bytes` is what of the file counts."""

    __slots__ = (
        "_cache",
        "_directory",
        "_fs",
        "_index_handle",
        "_index_written",
        "_last_time_entry",
        "_time_index_handle",
        "_time_index_written",
        "base_offset",
        "bytes_since_index_entry",
        "created_ms",
        "damage",
        "fd",
        "first_timestamp",
        "handle",
        "highest_timestamp",
        "highest_timestamp_offset",
        "index",
        "index_interval_bytes",
        "recent_floor",
        "recent_last_offsets",
        "recent_positions",
        "size_bytes",
        "time_index",
    )

    def __init__(
        self,
        cache: FileCache,
        directory: str,
        base_offset: int,
        *,
        index_interval_bytes: int,
        created_ms: int,
        create: bool,
    ) -> None:
        """Open the files, or make them anew; raises OSError."""
        self._cache = cache
        self._fs = cache.fs
        self._directory = directory
        self.base_offset = base_offset
        self.index_interval_bytes = index_interval_bytes
        self.created_ms = created_ms
        self.damage: Regions = ()
        opened: list[FileHandle] = []
        try:
            for suffix in (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX):
                path = self.path(suffix)
                handle = cache.create(path) if create else cache.open_or_create(path)
                opened.append(handle)
        except OSError:
            for handle in opened:
                handle.retire()
            raise
        self.handle, self._index_handle, self._time_index_handle = opened
        self.fd = self.handle.acquire()
        # Index files are written seldom: the cache may close them in between.
        cache.keep_idle(self._index_handle)
        cache.keep_idle(self._time_index_handle)
        self.size_bytes = 0
        self.clear_indexes()

    def clear_indexes(self) -> None:
        """Forget all that is known of the batches: before they are read anew."""
        self.index = bytearray()
        self.time_index = bytearray()
        self._index_written = 0
        self._time_index_written = 0
        self._last_time_entry = (NO_TIMESTAMP, self.base_offset)
        self.bytes_since_index_entry = 0
        self.first_timestamp = NO_TIMESTAMP
        self.highest_timestamp = NO_TIMESTAMP
        self.highest_timestamp_offset = self.base_offset
        self.recent_last_offsets: list[int] = []
        self.recent_positions: list[int] = []
        self.recent_floor = self.base_offset - 1

    def restore_indexes(self, index: bytes, times: bytes) -> int:
        """Take over checked index files; answers the position from which to note batches.

        That is the batch of the last entry: what comes after it is not in the index yet.
        """
        self.clear_indexes()
        self.index += index
        self.time_index += times
        self._index_written, self._time_index_written = len(index), len(times)
        if times:
            last = time_index.entry(times, self.base_offset, len(times) // 12 - 1)
            self._last_time_entry = last
            self.highest_timestamp, self.highest_timestamp_offset = last
        if not index:
            return 0
        slot = offset_index.entry_count(index) - 1
        last_offset, position = offset_index.entry(index, self.base_offset, slot)
        # The batch at `position` is noted again by the caller; nothing below it is remembered.
        self.recent_floor = last_offset - 1
        return position

    def note_batch(self, last_offset: int, size_bytes: int, max_timestamp: int) -> None:
        """Account for a batch that has been written at `size_bytes` of this segment."""
        position = self.size_bytes
        if max_timestamp > self.highest_timestamp:
            self.highest_timestamp = max_timestamp
            self.highest_timestamp_offset = last_offset
        if position == 0:
            self.first_timestamp = max_timestamp
        if self.bytes_since_index_entry > self.index_interval_bytes:
            self._add_index_entry(last_offset, position)
        self.bytes_since_index_entry += size_bytes
        recent = self.recent_last_offsets
        recent.append(last_offset)
        self.recent_positions.append(position)
        if len(recent) > _RECENT_BATCHES:
            self._forget_oldest()
        self.size_bytes = position + size_bytes

    def _add_index_entry(self, last_offset: int, position: int) -> None:
        self.index += offset_index.pack_entry(self.base_offset, last_offset, position)
        self._maybe_add_time_entry()
        self.bytes_since_index_entry = 0

    def _maybe_add_time_entry(self) -> None:
        if self.highest_timestamp > self._last_time_entry[0]:
            self._last_time_entry = self.highest_timestamp, self.highest_timestamp_offset
            self.time_index += time_index.pack_entry(self.base_offset, *self._last_time_entry)

    def _forget_oldest(self) -> None:
        half = _RECENT_BATCHES // 2
        self.recent_floor = self.recent_last_offsets[half - 1]
        del self.recent_last_offsets[:half]
        del self.recent_positions[:half]

    def preallocate(self, size_bytes: int) -> None:
        """Reserve blocks beyond the end of the file, never changing its size; raises OSError."""
        try:
            self._fs.fallocate_keep_size(self.fd, 0, size_bytes)
        except OSError as error:
            # Not every file system can, and a full one need not: it is a matter of speed alone.
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSPC, errno.EDQUOT):
                raise

    def path(self, suffix: str) -> str:
        """The segment's file of that suffix."""
        return f"{self._directory}/{offset_file_name(self.base_offset, suffix)}"

    def find(self, offset: int) -> tuple[int, int] | None:
        """(position, size) of the first batch that ends at or after `offset`, None if none does."""
        if offset > self.recent_floor:
            recent, positions = self.recent_last_offsets, self.recent_positions
            slot = bisect_left(recent, offset)
            if slot == len(recent):
                return None
            position = positions[slot]
            following = positions[slot + 1] if slot + 1 < len(recent) else self.size_bytes
            return position, following - position
        return find_ending_at(self._fs, self, self.start_position(offset), offset)

    def start_position(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`, always the start of a batch."""
        return offset_index.lookup(self.index, self.base_offset, offset)[1]

    def cut_position(self, max_offset: int) -> int:
        """Where the batches end that lie wholly below `max_offset`."""
        found = self.find(max_offset)
        position = self.size_bytes if found is None else found[0]
        return end_before(self.damage, max_offset, position) if self.damage else position

    def max_timestamp(self) -> tuple[int, int]:
        """(highest timestamp, last offset of its batch); -1 and the base offset without one."""
        return self.highest_timestamp, self.highest_timestamp_offset

    def time_lookup(self, timestamp_ms: int) -> int:
        """The offset from which on a record at or after the time can be; none is before it."""
        return time_index.lookup(self.time_index, self.base_offset, timestamp_ms - 1)[1]

    def write_indexes(self) -> None:
        """Bring the index files up to date; raises OSError."""
        if len(self.index) > self._index_written:
            tail = self.index[self._index_written :]
            write_fully(self._fs, self._index_handle.acquire(), tail, self._index_written)
            self._index_handle.release()
            self._index_written = len(self.index)
        if len(self.time_index) > self._time_index_written:
            times = self.time_index[self._time_index_written :]
            fd = self._time_index_handle.acquire()
            write_fully(self._fs, fd, times, self._time_index_written)
            self._time_index_handle.release()
            self._time_index_written = len(self.time_index)

    def rewrite_indexes(self) -> None:
        """Replace whatever the index files hold by the entries in memory; raises OSError."""
        self._index_written = self._keep_prefix(self._index_handle, self.index)
        self._time_index_written = self._keep_prefix(self._time_index_handle, self.time_index)
        self.write_indexes()

    def _keep_prefix(self, handle: FileHandle, entries: bytearray) -> int:
        """Bytes of an index file that may stay: all of them or, cut away now, none.

        After a crash they mostly are right, and cutting a thousand files waits for the disk.
        """
        fd = handle.acquire()
        try:
            size = self._fs.file_size(fd)
            if size <= len(entries) and self._holds(fd, entries[:size]):
                return size
            self._fs.ftruncate(fd, 0)
            return 0
        finally:
            handle.release()

    def _holds(self, fd: int, entries: bytearray) -> bool:
        try:
            return self._fs.pread(fd, len(entries), 0) == entries
        except OSError as error:
            if is_unreadable(error):
                return False
            raise

    def write_last_entries(self) -> None:
        """The entries due when appending ends: at a roll and at a clean close; raises OSError."""
        self._maybe_add_time_entry()
        self.write_indexes()

    def acquire_indexes(self) -> None:
        """Keep both index files open until they are released; raises OSError and keeps none."""
        self._index_handle.acquire()
        try:
            self._time_index_handle.acquire()
        except OSError:
            self._index_handle.release()
            raise

    def seal(self) -> SealedSegment:
        """The same segment, closed for appends. The caller first wrote the last entries.

        Its log file stays acquired: whoever seals releases it once it is flushed.
        """
        return SealedSegment(
            self._cache,
            self._directory,
            self.base_offset,
            self.size_bytes,
            self.handles(),
            (self.highest_timestamp, self.highest_timestamp_offset),
            self.damage,
        )

    def handles(self) -> tuple[FileHandle, FileHandle, FileHandle]:
        """Log, offset index and time index; the log is acquired as long as this is active."""
        return self.handle, self._index_handle, self._time_index_handle

    def retire(self) -> None:
        """Close the files as soon as no reader holds them."""
        self.handle.release()
        for handle in self.handles():
            handle.retire()
