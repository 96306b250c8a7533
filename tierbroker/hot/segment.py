"""A sealed segment: it never grows again, and its files are opened when somebody reads.

Positions come from the sparse index files on disk plus a walk over few headers. What a sealed
and the active segment answer alike is the `ReadableSegment` port. Never decodes a record.
"""

from collections.abc import Iterator
from typing import Protocol

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.fs import FileSystem
from tierbroker.hot.batch_scan import MalformedHeader, scan_headers
from tierbroker.hot.damage import Regions, end_before
from tierbroker.hot.file_cache import FileCache, FileHandle
from tierbroker.hot.file_names import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_file_name,
)
from tierbroker.records import offset_index, time_index
from tierbroker.records.batch import NO_TIMESTAMP, BatchHeader

_PROBE_ENTRIES = 512


class ReadableSegment(Protocol):
    """What reading needs of a segment, sealed or not."""

    base_offset: int
    size_bytes: int
    handle: FileHandle
    damage: Regions
    """The regions of this segment that hold no batches."""

    def find(self, offset: int) -> tuple[int, int] | None:
        """(position, size) of the first batch that ends at or after `offset`, None if none does."""

    def start_position(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`, always the start of a batch."""

    def cut_position(self, max_offset: int) -> int:
        """Where the batches end that lie wholly below `max_offset`."""

    def max_timestamp(self) -> tuple[int, int]:
        """(highest timestamp, last offset of its batch); -1 and the base offset without one."""

    def time_lookup(self, timestamp_ms: int) -> int:
        """The offset from which on a record at or after the time can be; none is before it."""

    def path(self, suffix: str) -> str:
        """The segment's file of that suffix."""


class SealedSegment:
    """A segment below the active one."""

    __slots__ = (
        "_directory",
        "_fs",
        "_index",
        "_max_timestamp",
        "_time_index",
        "base_offset",
        "damage",
        "handle",
        "size_bytes",
    )

    def __init__(
        self,
        cache: FileCache,
        directory: str,
        base_offset: int,
        size_bytes: int,
        handles: tuple[FileHandle, FileHandle, FileHandle] | None = None,
        max_timestamp: tuple[int, int] | None = None,
        damage: Regions = (),
    ) -> None:
        """`handles`: those of log, offset index and time index if there are any yet."""
        self._fs = cache.fs
        self._directory = directory
        self.base_offset = base_offset
        self.size_bytes = size_bytes
        self.damage = damage
        self.handle, self._index, self._time_index = handles or (
            cache.handle(self.path(LOG_SUFFIX)),
            cache.handle(self.path(INDEX_SUFFIX)),
            cache.handle(self.path(TIME_INDEX_SUFFIX)),
        )
        self._max_timestamp = max_timestamp

    def path(self, suffix: str) -> str:
        """The segment's file of that suffix."""
        return f"{self._directory}/{offset_file_name(self.base_offset, suffix)}"

    def find(self, offset: int) -> tuple[int, int] | None:
        """(position, size) of the first batch that ends at or after `offset`, None if none does."""
        return find_ending_at(self._fs, self, self.start_position(offset), offset)

    def cut_position(self, max_offset: int) -> int:
        """Where the batches end that lie wholly below `max_offset`."""
        found = self.find(max_offset)
        position = self.size_bytes if found is None else found[0]
        return end_before(self.damage, max_offset, position) if self.damage else position

    def start_position(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`, always the start of a batch."""
        fd = self._index.acquire()
        try:
            low, high = 0, self._fs.file_size(fd) // offset_index.ENTRY_BYTES
            while high - low > _PROBE_ENTRIES:
                middle = (low + high) >> 1
                probe = self._fs.pread(fd, 8, middle * offset_index.ENTRY_BYTES)
                if offset_index.entry(probe, self.base_offset, 0)[0] <= offset:
                    low = middle
                else:
                    high = middle
            size = (high - low) * offset_index.ENTRY_BYTES
            window = self._fs.pread(fd, size, low * offset_index.ENTRY_BYTES)
        except OSError as error:
            self._index.cannot_read(0, error)
            raise
        finally:
            self._index.release()
        return offset_index.lookup(window, self.base_offset, offset)[1]

    def max_timestamp(self) -> tuple[int, int]:
        """(highest timestamp, last offset of its batch): the last entry of the time index."""
        if self._max_timestamp is None:
            data = self._read_time_index(last_only=True)
            self._max_timestamp = (
                time_index.entry(data, self.base_offset, 0)
                if data
                else (NO_TIMESTAMP, self.base_offset)
            )
        return self._max_timestamp

    def time_lookup(self, timestamp_ms: int) -> int:
        """The offset from which on a record at or after the time can be; none is before it."""
        data = self._read_time_index(last_only=False)
        return time_index.lookup(data, self.base_offset, timestamp_ms - 1)[1]

    def _read_time_index(self, *, last_only: bool) -> bytes:
        fd = self._time_index.acquire()
        try:
            count = self._fs.file_size(fd) // time_index.ENTRY_BYTES
            first = max(count - 1, 0) if last_only else 0
            size = (count - first) * time_index.ENTRY_BYTES
            return self._fs.pread(fd, size, first * time_index.ENTRY_BYTES)
        except OSError as error:
            self._time_index.cannot_read(0, error)
            raise
        finally:
            self._time_index.release()

    def index_handles(self) -> tuple[FileHandle, FileHandle]:
        """Those of offset index and time index."""
        return self._index, self._time_index

    def retire(self) -> None:
        """Close everything as soon as no reader holds it."""
        self.handle.retire()
        self._index.retire()
        self._time_index.retire()


def find_ending_at(
    fs: FileSystem, segment: ReadableSegment, start: int, offset: int
) -> tuple[int, int] | None:
    """(position, size) of the first batch from `start` on that ends at or after `offset`.

    Raises CorruptMessageError where the file holds no batch.
    """
    handle = segment.handle
    fd = handle.acquire()
    try:
        for position, header in scan_headers(fs, fd, start, segment.size_bytes, segment.damage):
            if header.base_offset + header.last_offset_delta >= offset:
                return position, header.batch_length + 12
    except MalformedHeader as fault:
        raise CorruptMessageError(f"{handle.path}: {fault}") from fault
    except OSError as error:
        handle.cannot_read(start, error)
        raise
    finally:
        handle.release()
    return None


def scan_segment(
    fs: FileSystem, segment: ReadableSegment, start: int
) -> Iterator[tuple[int, BatchHeader]]:
    """(position, header) of the batches from byte `start` on; CorruptMessageError if damaged."""
    fd = segment.handle.acquire()
    try:
        yield from scan_headers(fs, fd, start, segment.size_bytes, segment.damage)
    except MalformedHeader as fault:
        raise CorruptMessageError(f"{segment.handle.path}: {fault}") from fault
    except OSError as error:
        segment.handle.cannot_read(start, error)
        raise
    finally:
        segment.handle.release()


def read_batch(fs: FileSystem, segment: ReadableSegment, position: int, size_bytes: int) -> bytes:
    """The batch at byte `position`; raises OSError."""
    fd = segment.handle.acquire()
    try:
        return fs.pread(fd, size_bytes, position)
    except OSError as error:
        segment.handle.cannot_read(position, error)
        raise
    finally:
        segment.handle.release()


def segment_files(segment: ReadableSegment) -> tuple[str, ...]:
    """The paths that a segment may occupy; not all need exist."""
    suffixes = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX)
    return tuple(segment.path(suffix) for suffix in suffixes)
