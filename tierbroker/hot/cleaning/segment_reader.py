"""Reads the batches of one input segment through a bounded window.

Every header is judged, and the CRC of every batch whose bytes are asked for. What is no valid
batch raises `DamagedSegment`: a cleaner never goes around damage. Opens for reading only.
"""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tierbroker.base.fs import FileSystem
from tierbroker.hot.batch_scan import implausible
from tierbroker.records.batch import (
    HEADER_BYTES,
    SIZE_OVERHEAD,
    BatchHeader,
    crc_valid,
    read_header,
)
from tierbroker.records.offset_index import MAX_RELATIVE_OFFSET

# No request carries more, so no batch is larger: what claims to be is damage, not a reason to
# read gigabytes into memory.
MAX_BATCH_BYTES = 100 * 1024 * 1024 + SIZE_OVERHEAD
_HEADER_WINDOW_BYTES = 512
_LARGE_BATCH_BYTES = 8192


class DamagedSegment(Exception):
    """Bytes of a segment that are no valid batch, or one whose records are malformed."""

    def __init__(self, file: str, position: int, reason: str) -> None:
        super().__init__(f"{file}, byte {position}: {reason}")
        self.file = file
        self.position = position
        self.reason = reason


class ReadBatch(NamedTuple):
    """A batch and where it stands; `data` is None when its bytes were not asked for."""

    position: int
    header: BatchHeader
    data: bytes | None


class SegmentReader:
    """The batches of one `.log` file, in order."""

    def __init__(
        self,
        fs: FileSystem,
        path: str,
        base_offset: int,
        size_bytes: int,
        *,
        window_bytes: int,
        throttle: Callable[[int], None],
    ) -> None:
        """`throttle` is told of the bytes of each read. Raises OSError."""
        self._fs = fs
        self._path = path
        self._base_offset = base_offset
        self._size_bytes = size_bytes
        self._window_bytes = max(window_bytes, HEADER_BYTES)
        self._throttle = throttle
        self._fd = fs.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file."""
        self._fs.close(self._fd)

    def damage(self, position: int, reason: str) -> DamagedSegment:
        """What to raise for a batch that cannot be read."""
        return DamagedSegment(self._path.rsplit("/", 1)[-1], position, reason)

    def batches(self, position: int, wanted: Callable[[BatchHeader], bool]) -> Iterator[ReadBatch]:
        """Each batch from `position` on, with its bytes where `wanted` says so of its header."""
        size = self._size_bytes
        next_offset = self._base_offset
        offset_limit = next_offset + MAX_RELATIVE_OFFSET
        window, start = b"", position
        window_bytes = self._window_bytes
        while position < size:
            at = position - start
            if len(window) - at < HEADER_BYTES:
                window, start = self._read(position, HEADER_BYTES, window_bytes), position
                at = 0
            header = read_header(window, at)
            reason = implausible(header, size - position, next_offset, offset_limit)
            if reason:
                raise self.damage(position, reason)
            if header.record_count < 1 and not _is_emptied(window, at, header):
                raise self.damage(position, f"a batch of {header.record_count} records")
            needed = header.batch_length + SIZE_OVERHEAD
            data = None
            if wanted(header):
                if len(window) - at < needed:
                    if needed > MAX_BATCH_BYTES:
                        raise self.damage(position, f"a batch of {needed} bytes")
                    window, start = self._read(position, needed, self._window_bytes), position
                    at = 0
                data = window[at : at + needed]
                if not crc_valid(data, 0, header):
                    raise self.damage(position, "the CRC does not match")
            yield ReadBatch(position, header, data)
            # Behind a large batch that nobody wants, most often, stands another one: its header
            # alone is looked at.
            unwanted = data is None and needed > _LARGE_BATCH_BYTES
            window_bytes = _HEADER_WINDOW_BYTES if unwanted else self._window_bytes
            next_offset = header.base_offset + header.last_offset_delta + 1
            position += needed

    def _read(self, position: int, needed: int, window_bytes: int) -> bytes:
        left = self._size_bytes - position
        window = self._fs.pread(self._fd, min(max(needed, window_bytes), left), position)
        self._throttle(len(window))
        if len(window) < needed:
            raise self.damage(position, f"{len(window)} bytes of a batch")
        return window


def _is_emptied(window: bytes, at: int, header: BatchHeader) -> bool:
    """Whether this is what compaction leaves of a batch, so that nobody need look into it."""
    size = header.batch_length + SIZE_OVERHEAD
    return header.record_count == 0 and size == HEADER_BYTES and crc_valid(window, at, header)
