"""The `.txnindex` file of a segment, which exists only where a transaction was aborted.

`AbortedIndexes` answers which aborted transactions touch a range of a log: a reader of committed
records leaves their batches out. Files are read when somebody asks, and as little of them as
will do; what is remembered is only how large each one is.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.fs import FileSystem, write_fully
from tierbroker.base.parts import FileSlice
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.file_names import TXN_INDEX_SUFFIX
from tierbroker.hot.segment import ReadableSegment
from tierbroker.hot.segment_list import SegmentList
from tierbroker.records import txn_index
from tierbroker.records.errors import CorruptIndexError
from tierbroker.records.txn_index import ENTRY_BYTES, AbortedTxn

_CHUNK_ENTRIES = 512
_FEW_TRANSACTIONS = 64


class AbortedIndexes:
    """The transaction indexes of one log. Loop thread only."""

    __slots__ = ("_cache", "_sizes")

    def __init__(self, cache: FileCache) -> None:
        self._cache = cache
        # By base offset, with the segment that it is true of: compaction puts others in their
        # places, and rolling makes an active one sealed.
        self._sizes: dict[int, tuple[ReadableSegment, int]] = {}

    def size_of(self, segment: ReadableSegment) -> int:
        """Bytes of the segment's index, 0 if it has none; raises OSError."""
        known = self._sizes.get(segment.base_offset)
        if known is not None and known[0] is segment:
            return known[1]
        path = segment.path(TXN_INDEX_SUFFIX)
        size = self._cache.fs.stat_size(path) if self._cache.fs.exists(path) else 0
        self._sizes[segment.base_offset] = segment, size
        return size

    def append(self, segment: ReadableSegment, txns: Sequence[AbortedTxn]) -> None:
        """Note aborted transactions whose markers are in the segment; raises OSError."""
        if txns:
            self._sizes.pop(segment.base_offset, None)
            append_aborted(self._cache.fs, segment, txns)

    def forget(self) -> None:
        """Segments have been cut or dropped: files are looked for anew."""
        self._sizes.clear()

    def overlapping(self, segments: SegmentList, start: int, end: int) -> list[AbortedTxn]:
        """Every aborted transaction that touches [start, end), by its first offset.

        Those whose markers are beyond `end` too, however far. Raises KafkaStorageError when an
        index cannot be read: an answer without one of them would show what was aborted.
        """
        found: list[AbortedTxn] = []
        self._collect(segments, start, end, found)
        found.sort(key=_first_offset)
        return found

    def within(
        self, segments: SegmentList, offset: int, part: FileSlice, end: int
    ) -> list[AbortedTxn]:
        """The same for what a read at `offset` below `end` gave, and perhaps some that begin less
        than an index entry behind it. Raises KafkaStorageError."""
        found: list[AbortedTxn] = []
        if not self._collect(segments, offset, end, found, at_most=_FEW_TRANSACTIONS):
            # A reader far behind: to look at all up to the end for each read would take too long.
            found.clear()
            self._collect(segments, offset, self._end_of(segments, offset, part, end), found)
        found.sort(key=_first_offset)
        if found and found[-1].first_offset > offset:
            end = self._end_of(segments, offset, part, end)
            while found and found[-1].first_offset >= max(end, offset + 1):
                found.pop()
        return found

    def _end_of(self, segments: SegmentList, offset: int, part: FileSlice, end: int) -> int:
        """An offset at or below `end` that what was read at `offset` does not reach: that of the
        first index entry behind it, or the segment's end. Raises KafkaStorageError."""
        slot = segments.slot_of(offset)
        while segments[slot].handle is not part.lease:
            slot += 1
        segment = segments[slot]
        segment_end = segments.end_of(slot)
        if segment_end is not None:
            end = min(end, segment_end)
        behind = part.position + part.length
        offsets = range(offset + 1, end)
        try:
            found = bisect_left(offsets, True, key=lambda at: segment.start_position(at) >= behind)
        except OSError as error:
            raise KafkaStorageError(f"{segments.directory}: {error}") from error
        return offset + 1 + found

    def _collect(
        self,
        segments: SegmentList,
        start: int,
        end: int,
        found: list[AbortedTxn],
        at_most: int | None = None,
    ) -> bool:
        """Add what touches the range; False, with a part of it, if that is more than `at_most`."""
        try:
            for slot in range(segments.slot_of(start), len(segments)):
                segment = segments[slot]
                size = self.size_of(segment)
                if size % ENTRY_BYTES:
                    path = segment.path(TXN_INDEX_SUFFIX)
                    raise CorruptIndexError(f"{path} of {size} bytes is cut within an entry")
                if size and self._search(segment, size, start, end, found, at_most):
                    break
        except (OSError, CorruptIndexError) as error:
            raise KafkaStorageError(
                f"aborted transactions in {segments.directory} cannot be read: {error}"
            ) from error
        return at_most is None or len(found) <= at_most

    def _search(
        self,
        segment: ReadableSegment,
        size: int,
        start: int,
        end: int,
        found: list[AbortedTxn],
        at_most: int | None,
    ) -> bool:
        """Add what of the segment's index touches the range; whether no later one can, or it is
        more than `at_most` already."""
        fs = self._cache.fs
        fd = self._cache.open_file(segment.path(TXN_INDEX_SUFFIX), os.O_RDONLY)
        try:
            count = size // ENTRY_BYTES
            slot = 0
            if count > _CHUNK_ENTRIES:
                slot = bisect_left(_LastOffsets(fs, fd, count), start)
            while slot < count:
                entries = min(_CHUNK_ENTRIES, count - slot)
                data = fs.pread(fd, entries * ENTRY_BYTES, slot * ENTRY_BYTES)
                touching, complete = txn_index.overlapping(data, start, end)
                found += touching
                if complete or (at_most is not None and len(found) > at_most):
                    return True
                slot += entries
        finally:
            fs.close(fd)
        return False


class _LastOffsets(Sequence[int]):
    """Where the transactions of an open index file end, in order, one read each."""

    def __init__(self, fs: FileSystem, fd: int, count: int) -> None:
        self._fs = fs
        self._fd = fd
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, slot: int) -> int:  # type: ignore[override]
        data = self._fs.pread(self._fd, ENTRY_BYTES, slot * ENTRY_BYTES)
        return next(txn_index.entries(data)).last_offset


def _first_offset(txn: AbortedTxn) -> int:
    return txn.first_offset


def append_aborted(fs: FileSystem, segment: ReadableSegment, txns: Sequence[AbortedTxn]) -> None:
    """Note aborted transactions whose markers are in the segment; raises OSError."""
    path = segment.path(TXN_INDEX_SUFFIX)
    fd = fs.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        end = fs.file_size(fd) // txn_index.ENTRY_BYTES * txn_index.ENTRY_BYTES
        try:
            write_fully(fs, fd, b"".join(map(txn_index.pack_entry, txns)), end)
        except OSError:
            # The markers will not be there either.
            fs.ftruncate(fd, end)
            raise
    finally:
        fs.close(fd)


def sync_aborted(fs: FileSystem, segment: ReadableSegment) -> None:
    """Make the segment's index durable, if it has one; raises OSError.

    Before a recovery point may lie behind the segment: nothing would miss the file's content, and
    what was aborted would be shown as committed.
    """
    path = segment.path(TXN_INDEX_SUFFIX)
    if fs.exists(path):
        fd = fs.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fs.fdatasync(fd)
        finally:
            fs.close(fd)


def cut_aborted(fs: FileSystem, segment: ReadableSegment, offset: int) -> None:
    """Forget the transactions whose markers are at `offset` or above; raises OSError."""
    path = segment.path(TXN_INDEX_SUFFIX)
    if not fs.exists(path):
        return
    kept = txn_index.truncated(fs.read_file(path), offset)
    if not kept:
        fs.unlink(path)
        return
    fd = fs.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fs.ftruncate(fd, len(kept))
    finally:
        fs.close(fd)
