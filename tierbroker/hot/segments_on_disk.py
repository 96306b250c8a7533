"""A look at a partition's segment files that opens no log: for tools, beside a running broker.

Read-only, so it locks, repairs and removes nothing. What a broker writes meanwhile may be missed.
"""

import os
from dataclasses import dataclass

from tierbroker.base.fs import FileSystem
from tierbroker.hot.batch_scan import MalformedHeader, scan_headers
from tierbroker.hot.damage import Regions, of_segment, read_note
from tierbroker.hot.file_names import (
    DAMAGED_REGIONS_FILE,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    offset_file_name,
    parse_offset_file,
)
from tierbroker.records import time_index
from tierbroker.records.batch import NO_TIMESTAMP


@dataclass(frozen=True, slots=True)
class SegmentOnDisk:
    """One segment as its files tell."""

    base_offset: int
    end_offset: int
    """Where the next segment begins; of the last one, the offset after its last whole batch."""
    size_bytes: int
    first_ms: int
    """Highest timestamp of the last segment's first batch; -1 without one, and of others."""
    newest_ms: int
    """Highest timestamp; the time of the file where no record has one."""
    active: bool


def look_at_segments(fs: FileSystem, directory: str) -> list[SegmentOnDisk]:
    """The segments in the partition's directory, oldest first. Raises OSError."""
    names = fs.listdir(directory)
    parsed = [parse_offset_file(name) for name in names]
    bases = sorted(file.offset for file in parsed if file and file.suffix == LOG_SUFFIX)
    damage = read_note(fs, directory) if DAMAGED_REGIONS_FILE in names else ()
    found: list[SegmentOnDisk] = []
    for slot, base_offset in enumerate(bases):
        path = f"{directory}/{offset_file_name(base_offset, LOG_SUFFIX)}"
        regions = of_segment(damage, base_offset)
        active = slot == len(bases) - 1
        newest_ms = NO_TIMESTAMP if active else _indexed_newest(fs, directory, base_offset)
        size_bytes, first_ms = fs.stat_size(path), NO_TIMESTAMP
        end_offset = base_offset if active else bases[slot + 1]
        if newest_ms < 0:
            scanned = _scan(fs, path, base_offset, regions)
            newest_ms = scanned.newest_ms
            if active:
                size_bytes, first_ms, end_offset = (
                    scanned.size_bytes,
                    scanned.first_ms,
                    scanned.end_offset,
                )
        if newest_ms < 0:
            newest_ms = fs.mtime_ms(path)
        found.append(
            SegmentOnDisk(base_offset, end_offset, size_bytes, first_ms, newest_ms, active)
        )
    return found


def _indexed_newest(fs: FileSystem, directory: str, base_offset: int) -> int:
    path = f"{directory}/{offset_file_name(base_offset, TIME_INDEX_SUFFIX)}"
    if not fs.exists(path):
        return NO_TIMESTAMP
    data = fs.read_file(path)
    count = len(data) // time_index.ENTRY_BYTES
    if not count:
        return NO_TIMESTAMP
    last = data[(count - 1) * time_index.ENTRY_BYTES :]
    return time_index.entry(last, base_offset, 0)[0]


def _scan(fs: FileSystem, path: str, base_offset: int, damage: Regions) -> SegmentOnDisk:
    """All its headers, up to a tail that is being written or was torn."""
    first_ms = newest_ms = NO_TIMESTAMP
    end_offset, size_bytes, first = base_offset, 0, True
    fd = fs.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for position, header in scan_headers(fs, fd, 0, fs.file_size(fd), damage):
            if first:
                first_ms, first = header.max_timestamp, False
            newest_ms = max(newest_ms, header.max_timestamp)
            end_offset, size_bytes = header.next_offset, position + header.size_bytes
    except MalformedHeader:
        # The tail: reserved in advance, being written, or torn. A start of the broker judges it.
        return SegmentOnDisk(base_offset, end_offset, size_bytes, first_ms, newest_ms, active=True)
    finally:
        fs.close(fd)
    return SegmentOnDisk(base_offset, end_offset, size_bytes, first_ms, newest_ms, active=True)
