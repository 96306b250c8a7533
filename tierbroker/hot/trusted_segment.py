"""Segments after a clean stop: trusted, but for what is cheap to check.

Looks at the ends of index files and at the batches after the last index entry. Answers whether
there is a problem, and never repairs anything.
"""

import logging
import os

from tierbroker.base.disk_faults import is_unreadable
from tierbroker.base.fs import FileSystem
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.batch_scan import MalformedHeader, scan_headers
from tierbroker.hot.damage import Regions
from tierbroker.hot.file_names import INDEX_SUFFIX, TIME_INDEX_SUFFIX, offset_file_name
from tierbroker.hot.segment import SealedSegment
from tierbroker.records import offset_index, time_index
from tierbroker.records.batch import NO_TIMESTAMP
from tierbroker.records.errors import CorruptIndexError

logger = logging.getLogger(__name__)


def has_indexes(fs: FileSystem, directory: str, base_offset: int) -> bool:
    """Whether both index files of the segment exist."""
    return all(
        fs.exists(f"{directory}/{offset_file_name(base_offset, suffix)}")
        for suffix in (INDEX_SUFFIX, TIME_INDEX_SUFFIX)
    )


def load_trusted(fs: FileSystem, active: ActiveSegment) -> int | None:
    """Take over the indexes of the last segment; answers the log end, None when anything is amiss.

    `active.size_bytes` is the size of the file. Raises OSError.
    """
    size = active.size_bytes
    try:
        index = fs.read_file(active.path(INDEX_SUFFIX))
        times = fs.read_file(active.path(TIME_INDEX_SUFFIX))
        offset_index.check(index, active.base_offset, size)
        time_index.check(times, active.base_offset)
        first_timestamp = _first_timestamp(fs, active.fd, size)
        if first_timestamp >= 0 and not times:
            raise CorruptIndexError("the time index is empty")
        position = active.restore_indexes(index, times)
        end_offset = active.base_offset
        active.size_bytes = position
        for at, header in scan_headers(fs, active.fd, position, size):
            if at == position and index and header.last_offset != active.recent_floor + 1:
                raise CorruptIndexError(f"the entry of byte {at} names another offset")
            active.note_batch(header.last_offset, header.size_bytes, header.max_timestamp)
            end_offset = header.next_offset
        if active.size_bytes != size:
            raise CorruptIndexError(f"{size - active.size_bytes} bytes at the end are no batch")
    except (CorruptIndexError, MalformedHeader, OSError) as problem:
        if isinstance(problem, OSError) and not is_unreadable(problem):
            raise
        logger.warning("%s: %s; the segment is read in full", active.handle.path, problem)
        return None
    active.first_timestamp = first_timestamp
    return end_offset


def _first_timestamp(fs: FileSystem, fd: int, size_bytes: int, damage: Regions = ()) -> int:
    for _, header in scan_headers(fs, fd, 0, size_bytes, damage):
        return header.max_timestamp
    return NO_TIMESTAMP


def index_problem(fs: FileSystem, segment: SealedSegment, end_offset: int) -> str:
    """What is wrong with the index files of a sealed segment, as far as their ends tell, or "".

    `end_offset` is the base offset of the next segment. Raises OSError.
    """
    try:
        index = _last_entries(fs, segment.path(INDEX_SUFFIX), offset_index.ENTRY_BYTES)
        times = _last_entries(fs, segment.path(TIME_INDEX_SUFFIX), time_index.ENTRY_BYTES)
    except OSError as error:
        if is_unreadable(error):
            return f"an index file cannot be read: {error}"
        raise
    if index is None or times is None:
        return "an index file is missing"
    base_offset = segment.base_offset
    try:
        offset_index.check(index, base_offset, segment.size_bytes)
        time_index.check(times, base_offset)
    except CorruptIndexError as problem:
        return str(problem)
    ends = [offset for offset, _ in offset_index.entries(index, base_offset)]
    ends += [offset for _, offset in time_index.entries(times, base_offset)]
    if max(ends, default=base_offset) >= end_offset:
        return f"an entry names offset {max(ends)}, the segment ends at {end_offset}"
    if not times and segment.size_bytes:
        fd = segment.handle.acquire()
        try:
            if _first_timestamp(fs, fd, segment.size_bytes, segment.damage) >= 0:
                return "the time index is empty"
        except MalformedHeader as problem:
            return str(problem)
        finally:
            segment.handle.release()
    return ""


def _last_entries(fs: FileSystem, path: str, entry_bytes: int) -> bytes | None:
    """The last two entries with what of a third one there is; None without the file."""
    if not fs.exists(path):
        return None
    size = fs.stat_size(path)
    if not size:
        return b""
    fd = fs.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        start = max(size // entry_bytes - 2, 0) * entry_bytes
        return fs.pread(fd, size - start, start)
    finally:
        fs.close(fd)
