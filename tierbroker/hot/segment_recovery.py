"""Judging the segments that a crash may have torn, and rebuilding their indexes (INV-11).

The rule: what a crash does to unflushed data is to leave bytes *absent*, as an early end of file
or as zeroed pages. Wrong bytes before a valid batch are damage. An absent tail above the recovery
point is cut; damage, and anything missing below the recovery point, raises CorruptLogError and
changes nothing.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from tierbroker.base.fs import FileSystem
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.batch_scan import BatchScan, Fault, find_valid_batch
from tierbroker.hot.errors import CorruptLogError
from tierbroker.records import epoch_lineage
from tierbroker.records.batch import BatchHeader
from tierbroker.records.epoch_lineage import EpochEntry

Lineage = tuple[EpochEntry, ...]

logger = logging.getLogger(__name__)

_PAGE_BYTES = 4096
_MIN_ZERO_RUN_BYTES = 64
"""Shorter runs of zeros occur in any header."""


class Judgement(NamedTuple):
    """How far a segment holds valid batches, and whether the log must end there."""

    next_offset: int
    torn: bool


class RecoveryNotes:
    """What a recovery learns of the log while it reads batches."""

    __slots__ = ("expected", "has_holes", "has_markers", "lineage")

    def __init__(self) -> None:
        self.lineage: Lineage = ()
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


def recover_segment(
    fs: FileSystem,
    segment: ActiveSegment,
    *,
    recovery_point: int,
    later_logs: list[tuple[int, str]],
    each: Callable[[BatchHeader], None],
) -> Judgement:
    """Read every batch of an opened segment, rebuild its indexes, cut a torn tail.

    `segment.size_bytes` is the size of the file; `each` is told the header of every valid batch.
    Raises CorruptLogError for damage, and OSError.
    """
    size = segment.size_bytes
    scan = BatchScan(fs, segment.fd, size, segment.base_offset)
    segment.clear_indexes()
    segment.size_bytes = 0
    for _, header, _ in scan:
        segment.note_batch(header.last_offset, header.size_bytes, header.max_timestamp)
        each(header)
    torn = scan.fault is not None
    if scan.fault is not None:
        _check_torn(fs, segment, scan, scan.fault, size, recovery_point, later_logs)
        logger.warning(
            "%s: cut %d bytes from byte %d on after a crash (%s), the log ends at offset %d",
            segment.handle.path,
            size - scan.fault.position,
            scan.fault.position,
            scan.fault.reason,
            scan.next_offset,
        )
        fs.ftruncate(segment.fd, scan.fault.position)
    segment.rewrite_indexes()
    return Judgement(scan.next_offset, torn)


def _check_torn(
    fs: FileSystem,
    segment: ActiveSegment,
    scan: BatchScan,
    fault: Fault,
    size: int,
    recovery_point: int,
    later_logs: list[tuple[int, str]],
) -> None:
    """Raise CorruptLogError unless the fault is a tail that was never durable."""
    path = segment.handle.path
    if scan.next_offset < recovery_point:
        raise CorruptLogError(
            path,
            fault.position,
            f"{fault.reason}; what followed offset {scan.next_offset} was durable before, so it is "
            f"not cut away. Restore the file from a replica or a backup",
        )
    # A CRC does not cover the base offset: any valid batch of this segment counts, in order or not.
    valid_at = find_valid_batch(fs, segment.fd, fault.position, size, segment.base_offset)
    if valid_at is not None:
        if not _holds_zeroed_page(fs, segment.fd, fault.position, valid_at):
            raise CorruptLogError(
                path,
                fault.position,
                f"{fault.reason}; a valid batch follows at byte {valid_at}, so this is no torn "
                f"tail. Restore the file from a replica or a backup",
            )
        return
    cut_short = fault.cut_short or _holds_zeroed_page(fs, segment.fd, fault.position, size)
    if not cut_short:
        for base_offset, later in later_logs:
            if _starts_validly(fs, later, base_offset):
                raise CorruptLogError(
                    path,
                    fault.position,
                    f"{fault.reason}; {later} holds valid batches, so this is no torn tail. "
                    f"Restore the file from a replica or a backup",
                )


def _starts_validly(fs: FileSystem, path: str, base_offset: int) -> bool:
    scan = BatchScan.of_file(fs, path, base_offset)
    try:
        return any(True for _ in scan)
    finally:
        scan.close()


def _holds_zeroed_page(fs: FileSystem, fd: int, start: int, end: int) -> bool:
    """Whether a page between the bytes was never written: zeros up to its end."""
    position = start
    while position < end:
        page_end = min(position - position % _PAGE_BYTES + _PAGE_BYTES, end)
        length = page_end - position
        if length >= _MIN_ZERO_RUN_BYTES:
            window = fs.pread(fd, length, position)
            if not window.strip(b"\0"):
                return True
        position = page_end
    return False
