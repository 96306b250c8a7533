"""Judging the segments that a crash may have torn, and rebuilding their indexes (INV-11).

The rule: what a crash does to unflushed data is to leave bytes *absent*, as an early end of file
or as zeroed pages. Wrong bytes before a valid batch are damage, and so are bytes that the disk does
not give back. An absent tail above the recovery point is cut; damage, and anything bad below the
recovery point, stays where it is and becomes a region that walks get past (`damage`).
"""

import logging
import os
from typing import NamedTuple, Protocol

from tierbroker.base.fs import FileSystem
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.batch_scan import (
    BatchScan,
    Fault,
    find_valid_batch,
    implausible,
    is_whole,
)
from tierbroker.hot.damage import Damage, Regions
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.file_names import LOG_SUFFIX
from tierbroker.hot.unreadable import Readable, ReadingAround
from tierbroker.records import epoch_lineage
from tierbroker.records.batch import (
    HEADER_BYTES,
    MAGIC_V2,
    MIN_BATCH_LENGTH,
    BatchHeader,
    read_header,
)
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.offset_index import MAX_RELATIVE_OFFSET

Lineage = tuple[EpochEntry, ...]

logger = logging.getLogger(__name__)

_PAGE_BYTES = 4096
_SECTOR_BYTES = 512
_MIN_ZERO_RUN_BYTES = 16
"""Shorter runs of zeros end many a batch: a small number, then no headers."""
_MIN_ABSENT_HEADER_BYTES = 12
"""A batch begins with its offset and a length, which is never zero."""


class Judgement(NamedTuple):
    """How far a segment holds valid batches, and whether the log must end there."""

    next_offset: int
    torn: bool


class Bounds(NamedTuple):
    """What is known of a segment's offsets without reading it."""

    recovery_point: int
    """Everything below was durable."""
    cut_from: int
    """The first offset that a crash may have torn: the recovery point, none after a clean stop."""
    following: int | None
    """Base offset of the next segment."""
    later_logs: tuple[tuple[int, str], ...] = ()
    """Base offsets and paths of the segments that follow and are in doubt too."""


class RecoveryNotes:
    """What a recovery learns of the log while it reads batches."""

    __slots__ = ("damage", "expected", "has_holes", "has_markers", "lineage")

    def __init__(self) -> None:
        self.lineage: Lineage = ()
        self.damage: list[tuple[Damage, str]] = []
        """Regions found, and what is wrong with each."""
        self.has_markers = False
        """Transactions ended in what was read."""
        self.has_holes = False
        """Offsets are missing, as compaction leaves it."""
        self.expected = 0
        """The offset that follows the last batch."""

    def note(self, header: BatchHeader) -> None:
        """Take a batch into account."""
        if header.control and header.producer_id >= 0:
            self.has_markers = True
        if header.record_count <= header.last_offset_delta or header.base_offset > self.expected:
            self.has_holes = True
        self.expected = header.next_offset
        self.note_epoch(header)

    def note_epoch(self, header: BatchHeader) -> None:
        """Take its leader epoch into account."""
        epoch = header.partition_leader_epoch
        if epoch >= 0 and (not self.lineage or epoch > self.lineage[-1].epoch):
            self.lineage = epoch_lineage.assigned(self.lineage, epoch, header.base_offset)

    def note_damage(self, region: Damage, reason: str) -> None:
        """Take a region without batches into account."""
        self.damage.append((region, reason))
        self.expected = max(self.expected, region.next_offset)


def recover_segment(
    fs: FileSystem,
    segment: ActiveSegment,
    bounds: Bounds,
    notes: RecoveryNotes,
    *,
    refuse_damage: bool = False,
) -> Judgement:
    """Read every batch of an opened segment, rebuild its indexes, cut a torn tail.

    `segment.size_bytes` is the size of the file; `notes` are told of every batch and region.
    Raises OSError, and CorruptLogError for damage if that is refused, changing nothing then.
    """
    judging = _Judging(fs, segment.fd, segment, bounds, notes, refuse_damage)
    torn_at = judging.run()
    if torn_at is not None:
        fs.ftruncate(segment.fd, torn_at)
    segment.rewrite_indexes()
    return Judgement(judging.next_offset, torn_at is not None)


def nothing_follows(fs: FileSystem, bounds: Bounds) -> bool:
    """Whether no batch of the next segment reached the disk: it would be cut away whole.

    `bounds`: of the segment before. Changes nothing. Raises OSError.
    """
    (base_offset, path), *later = bounds.later_logs
    following = later[0][0] if later else None
    bounds = bounds._replace(following=following, later_logs=tuple(later))
    fd = fs.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        shadow = _Shadow(path, base_offset, fs.file_size(fd))
        _Judging(fs, fd, shadow, bounds, RecoveryNotes()).run()
        return not shadow.size_bytes and not shadow.damage
    finally:
        fs.close(fd)


class _Held(NamedTuple):
    """The batch read last, held back until the one after it does not contradict it."""

    position: int
    header: BatchHeader
    expected: int
    """The offset expected where it begins."""


class Judged(Protocol):
    """What is judged: an opened segment, or what stands for one."""

    base_offset: int
    size_bytes: int
    damage: Regions

    def clear_indexes(self) -> None:
        """A pass begins."""

    def note_batch(self, last_offset: int, size_bytes: int, max_timestamp: int) -> None:
        """There is a batch at `size_bytes`."""

    def path(self, suffix: str) -> str:
        """The segment's file of that suffix."""


class _Shadow:
    """Stands for a segment that is in use, so that judging it changes nothing."""

    __slots__ = ("_path", "base_offset", "damage", "size_bytes")

    def __init__(self, path: str, base_offset: int, size_bytes: int) -> None:
        self._path = path
        self.base_offset = base_offset
        self.size_bytes = size_bytes
        self.damage: Regions = ()

    def clear_indexes(self) -> None:
        """There are none."""

    def note_batch(self, last_offset: int, size_bytes: int, max_timestamp: int) -> None:
        """The batch counts for nothing but its place."""
        self.size_bytes += size_bytes

    def path(self, suffix: str) -> str:
        """The file that is read."""
        return self._path


def find_damage(
    fs: FileSystem, fd: int, path: str, base_offset: int, size_bytes: int, bounds: Bounds
) -> list[tuple[Damage, str]]:
    """The damaged regions of a segment in use, and why; changes nothing. For a worker thread.

    Raises OSError.
    """
    notes = RecoveryNotes()
    _Judging(fs, fd, _Shadow(path, base_offset, size_bytes), bounds, notes).run()
    return notes.damage


def is_mended(fs: FileSystem, fd: int, size_bytes: int, region: Damage) -> bool:
    """Whether the region's bytes are the batches they once were: the file was restored."""
    if region.position == region.end_position:
        return size_bytes > region.position
    scan = BatchScan(
        ReadingAround(fs, fd),
        fd,
        min(region.end_position, size_bytes),
        region.first_offset,
        position=region.position,
        last_offset=region.next_offset - 1,
    )
    return sum(1 for _ in scan) > 0 and scan.valid_bytes == region.end_position


class _Judging:
    """One pass over a segment, from fault to fault."""

    def __init__(
        self,
        fs: FileSystem,
        fd: int,
        segment: Judged,
        bounds: Bounds,
        notes: RecoveryNotes,
        refuse_damage: bool = False,
    ) -> None:
        self._fs = ReadingAround(fs, fd)
        self._fd = fd
        self._segment = segment
        self._bounds = bounds
        self._notes = notes
        self._refuse_damage = refuse_damage
        self._size = segment.size_bytes
        limit = segment.base_offset + MAX_RELATIVE_OFFSET
        following = bounds.following
        self._last_offset = limit if following is None else min(limit, following - 1)
        self._held: _Held | None = None
        self.next_offset = segment.base_offset

    def run(self) -> int | None:
        """Note every batch and region; answers where the file must be cut, None if nowhere."""
        segment = self._segment
        segment.clear_indexes()
        segment.damage = ()
        segment.size_bytes = position = 0
        while True:
            scan = BatchScan(
                self._fs,
                self._fd,
                self._size,
                self.next_offset,
                position=position,
                last_offset=self._last_offset,
            )
            for at, header, _ in scan:
                self._release()
                self._held = _Held(at, header, self.next_offset)
                self.next_offset = scan.next_offset
            if scan.fault is None:
                break
            region = self._region(scan.fault)
            if region is None:
                self._release()
                self._report_cut(scan.fault)
                return scan.fault.position
            self._release()
            self._take(region, scan.fault.reason)
            position = region.end_position
        self._release()
        if self.next_offset < self._durable_end():
            self._take_missing_end()
        return None

    def _release(self) -> None:
        """What was held back is a batch of this log."""
        held, self._held = self._held, None
        if held is not None:
            header = held.header
            self._segment.note_batch(header.last_offset, header.size_bytes, header.max_timestamp)
            self._notes.note(header)

    def _take(self, region: Damage, reason: str) -> None:
        reason = self._fs.reason(region.position, region.end_position) or reason
        if self._refuse_damage:
            raise CorruptLogError(
                self._segment.path(LOG_SUFFIX),
                region.position,
                f"{reason}; this is no torn tail of a crash, so it is not cut away. "
                f"Restore the file from a replica or a backup",
            )
        self._segment.damage = (*self._segment.damage, region)
        self._segment.size_bytes = region.end_position
        self._notes.note_damage(region, reason)
        self.next_offset = region.next_offset

    def _take_missing_end(self) -> None:
        end = self._durable_end()
        size = self._size
        reason = f"the file ends at offset {self.next_offset}, but offsets up to {end} were durable"
        self._take(Damage(self._segment.base_offset, size, size, self.next_offset, end), reason)

    def _durable_end(self) -> int:
        """What this segment must reach: of the last one, the recovery point.

        A gap between two segments is judged by the loader, which knows of compaction.
        """
        return self._bounds.recovery_point if self._bounds.following is None else 0

    # -- faults --------------------------------------------------------------------------------

    def _region(self, fault: Fault) -> Damage | None:
        """The damaged region that begins with the fault, None for a tail that a crash tore."""
        position, base_offset = fault.position, self._segment.base_offset
        contradicted = self._contradicts_held(position)
        if contradicted is not None:
            held, self._held = self._held, None
            assert held is not None
            return Damage(base_offset, held.position, position, held.expected, contradicted)
        resumed = self._next_batch(position)
        # What cannot be read was written: no crash leaves that.
        may_be_torn = self.next_offset >= self._bounds.cut_from and not self._fs.ranges(
            position, self._size
        )
        if resumed is not None:
            resume_at, header = resumed
            if may_be_torn and _holds_zeroed_page(self._fs, self._fd, position, resume_at):
                return None
            return Damage(base_offset, position, resume_at, self.next_offset, header.base_offset)
        if may_be_torn and self._is_torn_end(fault):
            return None
        following = self._bounds.following
        if following is None:
            following = max(self._bounds.recovery_point, self._claimed_end(position))
        return Damage(base_offset, position, self._size, self.next_offset, following)

    def _contradicts_held(self, position: int) -> int | None:
        """The base offset of a valid batch at the fault, if it shows that the held one lies.

        A CRC does not cover the base offset. Of two valid batches that contradict each other, the
        one is right that fits its neighbours: offsets follow each other but for what compaction
        took away.
        """
        held = self._held
        header = self._header_at(position)
        if held is None or header is None:
            return None
        if not self._is_batch(position, header, held.expected):
            return None
        fits = held.header.base_offset == held.expected
        if fits or header.base_offset == held.expected + held.header.last_offset_delta + 1:
            return None if fits else header.base_offset
        after = position + header.size_bytes
        judge = self._header_at(after)
        if judge is not None and self._is_batch(after, judge, held.expected):
            return header.base_offset if judge.base_offset < self.next_offset else None
        return header.base_offset

    def _next_batch(self, position: int) -> tuple[int, BatchHeader] | None:
        """The first valid batch behind the fault, None if the region goes on to the end.

        Where headers are whole their sizes lead there, past records that look like batches. The
        size of a damaged header may lead too far: then offsets do not follow each other.
        """
        at, expected = position, self.next_offset
        header = self._header_at(at)
        while header is not None and header.batch_length >= MIN_BATCH_LENGTH:
            at, expected = at + header.size_bytes, max(expected, header.next_offset)
            header = self._header_at(at)
            if header is None:
                follows = self._bounds.following in (None, expected)
                if at == self._size and follows:
                    return None
            elif header.base_offset != expected:
                break
            elif self._is_batch(at, header, expected):
                return at, header
        return self._found_by_search(position + 1)

    def _found_by_search(self, position: int) -> tuple[int, BatchHeader] | None:
        """A valid batch that more of the log follows: one alone may be somebody's record."""
        while True:
            found = find_valid_batch(
                self._fs,
                self._fd,
                position,
                self._size,
                self.next_offset,
                self._last_offset,
            )
            if found is None:
                return None
            at, header = found
            end = at + header.size_bytes
            following = self._header_at(end)
            if end == self._size or (
                following is not None
                and (
                    following.base_offset == header.next_offset
                    or not self._fault_of(end, following, header.next_offset)
                )
            ):
                return found
            position = at + 1

    def _header_at(self, position: int) -> BatchHeader | None:
        if self._size - position < HEADER_BYTES:
            return None
        data = self._fs.pread(self._fd, HEADER_BYTES, position)
        return read_header(data) if len(data) == HEADER_BYTES else None

    def _fault_of(self, position: int, header: BatchHeader, expected: int) -> str:
        return implausible(header, self._size - position, expected, self._last_offset)

    def _is_batch(self, position: int, header: BatchHeader, expected: int) -> bool:
        if self._fault_of(position, header, expected):
            return False
        return is_whole(self._fs, self._fd, position, header)

    def _is_intact(self, position: int, header: BatchHeader) -> bool:
        """Whether this is a batch, whatever its offset."""
        if header.magic != MAGIC_V2 or header.batch_length < MIN_BATCH_LENGTH:
            return False
        if header.size_bytes > self._size - position or header.last_offset_delta < 0:
            return False
        return is_whole(self._fs, self._fd, position, header)

    def _claimed_end(self, position: int) -> int:
        """Up to which offset headers that may be whole claim to go: none is given out again."""
        expected = self.next_offset
        header = self._header_at(position)
        if header is not None and self._is_intact(position, header):
            # Only its offset is wrong.
            return expected + header.last_offset_delta + 1
        while header is not None and not self._fault_of(position, header, expected):
            if header.record_count != header.last_offset_delta + 1:
                break
            expected = header.next_offset
            position += header.size_bytes
            header = self._header_at(position)
        return expected

    def _is_torn_end(self, fault: Fault) -> bool:
        """Whether a fault that no valid batch follows is an end that was never written."""
        fs, fd, size = self._fs, self._fd, self._size
        if _holds_zeroed_page(fs, fd, fault.position, size):
            return True
        header = self._header_at(fault.position)
        if header is not None and self._is_intact(fault.position, header):
            # All but its offset is right: no crash does that.
            return False
        return fault.cut_short or not any(
            _starts_validly(fs, later, base_offset)
            for base_offset, later in self._bounds.later_logs
        )

    def _report_cut(self, fault: Fault) -> None:
        logger.warning(
            "%s: cut %d bytes from byte %d on after a crash (%s), the log ends at offset %d",
            self._segment.path(LOG_SUFFIX),
            self._size - fault.position,
            fault.position,
            fault.reason,
            self.next_offset,
        )


def _starts_validly(fs: Readable, path: str, base_offset: int) -> bool:
    scan = BatchScan.of_file(fs, path, base_offset)
    try:
        return any(True for _ in scan)
    finally:
        scan.close()


def _holds_zeroed_page(fs: Readable, fd: int, start: int, end: int) -> bool:
    """Whether a page between the bytes was not written to its end: its last sector is zeros.

    `start` is where a batch should begin. A disk writes whole sectors, those of a page in order;
    one that loses power may stop between.
    """
    position = start
    while position < end:
        page_end = min(position - position % _PAGE_BYTES + _PAGE_BYTES, end)
        sector = max(position, (page_end - 1) // _SECTOR_BYTES * _SECTOR_BYTES)
        position = max(position, min(sector, page_end - _MIN_ZERO_RUN_BYTES))
        length = page_end - position
        least = _MIN_ABSENT_HEADER_BYTES if position == start else _MIN_ZERO_RUN_BYTES
        if length >= least:
            window = fs.pread(fd, length, position)
            if not window.strip(b"\0"):
                return True
        position = page_end
    return False
