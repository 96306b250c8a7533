"""Walking over the batches of a segment file through a bounded window.

`scan_headers` trusts the file and reads little more than headers; `scan_batches` reads every byte
and judges each batch, which recovery needs. Neither changes anything or opens a record.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from tierbroker.base.fs import FileSystem
from tierbroker.hot.damage import Regions, behind, bytes_before
from tierbroker.hot.unreadable import Readable
from tierbroker.records.batch import (
    HEADER_BYTES,
    MAGIC_V2,
    MIN_BATCH_LENGTH,
    SIZE_OVERHEAD,
    BatchHeader,
    crc_valid,
    read_header,
)
from tierbroker.records.offset_index import MAX_RELATIVE_OFFSET

_HEADER_WINDOW_BYTES = 32 * 1024
_FIRST_HEADER_WINDOW_BYTES = 4 * 1024
_BATCH_WINDOW_BYTES = 1024 * 1024
MAX_OFFSET = (1 << 63) - 1


class ScannedBatch(NamedTuple):
    """A batch that recovery found whole."""

    position: int
    header: BatchHeader
    data: memoryview


class Fault(NamedTuple):
    """Why a scan stopped before the end of the file."""

    position: int
    reason: str
    cut_short: bool
    """The file ends before the batch does."""


class MalformedHeader(Exception):
    """A header that no batch can have, met by a scan that trusted the file."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"byte {position}: {reason}")
        self.position = position
        self.reason = reason


def scan_headers(
    fs: FileSystem, fd: int, position: int, end: int, damage: Regions = ()
) -> Iterator[tuple[int, BatchHeader]]:
    """(position, header) of each whole batch in [position, end).

    The regions of `damage`, those of this file, are passed over. Raises MalformedHeader at a size
    or magic that no batch has, and at the end where the last batch is incomplete.
    """
    window, start = b"", position
    window_bytes = _FIRST_HEADER_WINDOW_BYTES
    if damage:
        position = start = behind(damage, position)
    while end - position >= HEADER_BYTES:
        at = position - start
        if at + HEADER_BYTES > len(window):
            wanted = min(window_bytes, end - position)
            if damage:  # nor read: the disk may not answer there
                wanted = bytes_before(damage, position, wanted)
            window = fs.pread(fd, wanted, position)
            start, at = position, 0
            if len(window) < HEADER_BYTES:
                break
        header = read_header(window, at)
        if header.magic != MAGIC_V2 or header.batch_length < MIN_BATCH_LENGTH:
            raise MalformedHeader(
                position, f"batch length {header.batch_length}, magic {header.magic}"
            )
        following = position + header.batch_length + SIZE_OVERHEAD
        if following > end:
            break
        yield position, header
        # Behind a large batch a large window would hold little but the records of the next one.
        large = following - position > _FIRST_HEADER_WINDOW_BYTES
        window_bytes = _FIRST_HEADER_WINDOW_BYTES if large else _HEADER_WINDOW_BYTES
        position = behind(damage, following) if damage else following
    if position < end:
        raise MalformedHeader(position, f"the batch there is longer than {end - position} bytes")


class BatchScan:
    """One judging pass over a segment: iterate, then look at `fault` and `valid_bytes`."""

    def __init__(
        self,
        fs: Readable,
        fd: int,
        size_bytes: int,
        base_offset: int,
        *,
        position: int = 0,
        last_offset: int = MAX_OFFSET,
    ) -> None:
        """No batch is below `base_offset` or 2^31 above, none reaches beyond `last_offset`.

        A scan that begins behind the segment's start is told the offset expected there.
        """
        self._fs = fs
        self._fd = fd
        self._size_bytes = size_bytes
        self._offset_limit = min(base_offset + MAX_RELATIVE_OFFSET, last_offset)
        self.next_offset = base_offset
        self.valid_bytes = position
        self.fault: Fault | None = None

    @classmethod
    def of_file(cls, fs: Readable, path: str, base_offset: int) -> "BatchScan":
        """A scan of a file that is not open; to be closed. Raises OSError."""
        fd = fs.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(fs, fd, fs.file_size(fd), base_offset)

    def close(self) -> None:
        """Close what `of_file` opened."""
        self._fs.close(self._fd)

    def __iter__(self) -> Iterator[ScannedBatch]:
        """Each valid batch up to the first bad byte."""
        window, start = memoryview(b""), self.valid_bytes
        size = self._size_bytes
        while self.valid_bytes < size:
            position = self.valid_bytes
            at = position - start
            needed = HEADER_BYTES
            if len(window) - at >= HEADER_BYTES:
                header = read_header(window, at)
                reason = implausible(header, size - position, self.next_offset, self._offset_limit)
                if reason:
                    self.fault = Fault(position, reason, _too_long(header, size - position))
                    return
                needed = header.batch_length + SIZE_OVERHEAD
            if len(window) - at < needed:
                if size - position < needed:
                    self.fault = Fault(position, f"{size - position} bytes of a header", True)
                    return
                wanted = max(needed, min(_BATCH_WINDOW_BYTES, size - position))
                window, start = memoryview(self._fs.pread(self._fd, wanted, position)), position
                if len(window) < needed:
                    self.fault = Fault(position, f"only {len(window)} bytes can be read", True)
                    return
                continue
            if not crc_valid(window[: at + needed], at, header):
                self.fault = Fault(position, "the CRC does not match", False)
                return
            self.valid_bytes = position + needed
            self.next_offset = header.base_offset + header.last_offset_delta + 1
            yield ScannedBatch(position, header, window[at : at + needed])


def _too_long(header: BatchHeader, bytes_left: int) -> bool:
    return header.magic == MAGIC_V2 and header.batch_length + SIZE_OVERHEAD > bytes_left


def implausible(header: BatchHeader, bytes_left: int, next_offset: int, offset_limit: int) -> str:
    """Why this cannot be the header of the next batch, "" when it can."""
    if header.magic != MAGIC_V2 or header.batch_length < MIN_BATCH_LENGTH:
        return f"batch length {header.batch_length}, magic {header.magic}"
    if header.batch_length + SIZE_OVERHEAD > bytes_left:
        return f"a batch of {header.batch_length + SIZE_OVERHEAD} bytes, {bytes_left} are there"
    if header.last_offset_delta < 0:
        return f"last offset delta {header.last_offset_delta}"
    if header.base_offset < next_offset:
        return f"base offset {header.base_offset}, at least {next_offset} was expected"
    if header.base_offset + header.last_offset_delta > offset_limit:
        return f"base offset {header.base_offset}, at most {offset_limit} was expected"
    return ""


def find_valid_batch(
    fs: Readable, fd: int, position: int, end: int, first_offset: int, limit: int
) -> tuple[int, BatchHeader] | None:
    """Position in [position, end) and header of the first valid batch of offsets up to `limit`.

    Looks at every byte: a batch counts when header and CRC are right. Costs one pass of the
    region; None when there is none.
    """
    overlap = HEADER_BYTES - 1
    while end - position >= HEADER_BYTES:
        window = fs.pread(fd, min(_BATCH_WINDOW_BYTES, end - position), position)
        if len(window) < HEADER_BYTES:
            return None
        # The magic byte sits 16 bytes into a batch: bytes.find skips everything else quickly.
        magic_at = window.find(MAGIC_V2, 16)
        while magic_at >= 0:
            at = magic_at - 16
            if len(window) - at >= HEADER_BYTES:
                header = read_header(window, at)
                left = end - position - at
                if not implausible(header, left, first_offset, limit) and is_whole(
                    fs, fd, position + at, header
                ):
                    return position + at, header
            magic_at = window.find(MAGIC_V2, magic_at + 1)
        position += len(window) - overlap
    return None


def is_whole(fs: Readable, fd: int, position: int, header: BatchHeader) -> bool:
    """Whether the batch of that header is in the file and its CRC is right; raises OSError."""
    return crc_valid(fs.pread(fd, header.batch_length + SIZE_OVERHEAD, position), 0, header)
