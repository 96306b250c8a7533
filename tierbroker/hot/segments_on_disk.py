"""A look at a partition's segment files that opens no log: for tools, beside a running broker.

Read-only, so it locks, repairs and removes nothing. What a broker writes meanwhile may be missed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tierbroker.base.fs import FileSystem
from tierbroker.hot.batch_scan import MalformedHeader, scan_headers
from tierbroker.hot.damage import Regions, of_segment, read_note
from tierbroker.hot.file_names import (
    DAMAGED_REGIONS_FILE,
    DELETED_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    offset_file_name,
    parse_offset_file,
)
from tierbroker.hot.producer_snapshots import ProducerSnapshots
from tierbroker.records import producer_snapshot, time_index
from tierbroker.records.batch import NO_TIMESTAMP, BatchHeader
from tierbroker.records.producer_snapshot import ProducerEntry


@dataclass(frozen=True, slots=True)
class SegmentOnDisk:
    """One segment as its files tell."""

    base_offset: int
    end_offset: int
    """Where the next segment begins; of the last one, the offset after its last whole batch."""
    size_bytes: int
    first_ms: int
    """Highest timestamp of its first batch; -1 without one, or where it is damaged."""
    newest_ms: int
    """Highest timestamp; the time of the file where no record has one."""
    active: bool
    damaged: bool = False
    """Whether a part of it was found to be damaged."""


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """One that has no end yet in the log of a partition."""

    producer_id: int
    first_offset: int


@dataclass(frozen=True, slots=True)
class RemovedSegment:
    """A segment that was let go, and whose file is still there."""

    base_offset: int
    size_bytes: int


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
        size_bytes, first_ms = fs.stat_size(path), _first_ms(fs, path, regions)
        end_offset = base_offset if active else bases[slot + 1]
        if newest_ms < 0:
            scanned = _scan(fs, path, base_offset, regions)
            newest_ms = scanned.newest_ms
            if active:
                size_bytes, end_offset = scanned.size_bytes, scanned.end_offset
        if newest_ms < 0:
            newest_ms = fs.mtime_ms(path)
        found.append(
            SegmentOnDisk(
                base_offset, end_offset, size_bytes, first_ms, newest_ms, active, bool(regions)
            )
        )
    return found


def look_at_removed(fs: FileSystem, directory: str) -> list[RemovedSegment]:
    """The segments that wait for the removal of their files, oldest first. Raises OSError."""
    suffix = LOG_SUFFIX + DELETED_SUFFIX
    parsed = [(parse_offset_file(name), name) for name in fs.listdir(directory)]
    found = [
        RemovedSegment(file.offset, fs.stat_size(f"{directory}/{name}"))
        for file, name in parsed
        if file is not None and file.suffix == suffix
    ]
    return sorted(found, key=lambda segment: segment.base_offset)


def look_at_transactions(fs: FileSystem, directory: str) -> list[OpenTransaction]:
    """The transactions without an end, by their first offset. Raises OSError.

    From the last snapshot of the producers and the headers behind it, as a start would.
    """
    names = fs.listdir(directory)
    since, entries = _producers(ProducerSnapshots(fs, directory, names))
    opened = {
        entry.producer_id: entry.current_txn_first_offset
        for entry in entries
        if entry.current_txn_first_offset >= 0
    }
    damage = read_note(fs, directory) if DAMAGED_REGIONS_FILE in names else ()
    parsed = [parse_offset_file(name) for name in names]
    bases = sorted(file.offset for file in parsed if file and file.suffix == LOG_SUFFIX)
    for base_offset, next_offset in zip(bases, [*bases[1:], None], strict=True):
        if next_offset is not None and next_offset <= since:
            continue
        path = f"{directory}/{offset_file_name(base_offset, LOG_SUFFIX)}"
        for _position, header in _headers(fs, path, of_segment(damage, base_offset)):
            if header.base_offset < since or not header.transactional:
                continue
            if header.control:
                opened.pop(header.producer_id, None)
            else:
                opened.setdefault(header.producer_id, header.base_offset)
    found = [OpenTransaction(producer, first) for producer, first in opened.items()]
    return sorted(found, key=lambda transaction: transaction.first_offset)


def _producers(snapshots: ProducerSnapshots) -> tuple[int, list[ProducerEntry]]:
    """The newest valid snapshot. Not `newest_valid`, which removes the others."""
    for offset in reversed(snapshots.offsets):
        data = snapshots.content_of(offset)
        if data:
            return offset, producer_snapshot.decode(data)
    return 0, []


def _first_ms(fs: FileSystem, path: str, damage: Regions) -> int:
    for _position, header in _headers(fs, path, damage):
        return header.max_timestamp
    return NO_TIMESTAMP


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
    newest_ms, end_offset, size_bytes = NO_TIMESTAMP, base_offset, 0
    for position, header in _headers(fs, path, damage):
        newest_ms = max(newest_ms, header.max_timestamp)
        end_offset, size_bytes = header.next_offset, position + header.size_bytes
    return SegmentOnDisk(base_offset, end_offset, size_bytes, NO_TIMESTAMP, newest_ms, active=True)


def _headers(fs: FileSystem, path: str, damage: Regions) -> Iterator[tuple[int, BatchHeader]]:
    fd = fs.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from scan_headers(fs, fd, 0, fs.file_size(fd), damage)
    except MalformedHeader:
        # The tail: reserved in advance, being written, or torn. A start of the broker judges it.
        return
    finally:
        fs.close(fd)
