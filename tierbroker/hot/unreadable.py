"""Reading around bytes that the disk does not give back, so that they can be judged as damage.

Such bytes were written once, so they are no torn tail; those around them are as good as ever. Must
never be used to serve anybody: where nothing can be read it makes bytes up that no CRC fits.
"""

import hashlib
from typing import Protocol

from tierbroker.base.disk_faults import is_unreadable

PAGE_BYTES = 4096
MOST_TRIES = 256
"""Reads that may fail before what fails is no longer halved: a dead disk takes its time each."""

_NOTHING = hashlib.shake_128(b"cannot be read").digest(PAGE_BYTES)


class Readable(Protocol):
    """The part of a file system that judging a file takes."""

    def open(self, path: str, flags: int, mode: int = 0o644) -> int: ...
    def close(self, fd: int) -> None: ...
    def file_size(self, fd: int) -> int: ...
    def pread(self, fd: int, nbytes: int, position: int) -> bytes: ...


class ReadingAround:
    """A file system whose reads of one file, `fd`, succeed, and which knows what could not be."""

    def __init__(self, fs: Readable, fd: int) -> None:
        self._fs = fs
        self._fd = fd
        self._tries = 0
        self._ranges: list[tuple[int, int]] = []
        self._error = ""

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        """As it is."""
        return self._fs.open(path, flags, mode)

    def close(self, fd: int) -> None:
        """As it is."""
        self._fs.close(fd)

    def file_size(self, fd: int) -> int:
        """As it is."""
        return self._fs.file_size(fd)

    def pread(self, fd: int, nbytes: int, position: int) -> bytes:
        """What can be read, with bytes of no meaning in place of the rest; other errors raise."""
        if fd != self._fd:
            return self._fs.pread(fd, nbytes, position)
        if not self._ranges:
            try:
                return self._fs.pread(fd, nbytes, position)
            except OSError as error:
                if not is_unreadable(error):
                    raise
        end = min(position + nbytes, self._fs.file_size(fd))
        pieces: list[bytes] = []
        for start, until in self.ranges(position, end):
            pieces += self._pieces(position, start)
            pieces.append(_made_up(until - start))
            position = until
        pieces += self._pieces(position, end)
        return b"".join(pieces)

    def ranges(self, start: int, end: int) -> list[tuple[int, int]]:
        """What is known not to be readable between the two bytes, by rising position."""
        touched = [(max(low, start), min(high, end)) for low, high in self._ranges]
        return sorted(found for found in touched if found[0] < found[1])

    def reason(self, start: int, end: int) -> str:
        """What a person is told of the bytes between the two, "" if they can be read."""
        ranges = self.ranges(start, end)
        if not ranges:
            return ""
        return f"bytes {ranges[0][0]} to {ranges[-1][1]} cannot be read: {self._error}"

    def _pieces(self, start: int, end: int) -> list[bytes]:
        """The bytes between the two, tried in ever smaller parts; page by page in the end."""
        if start >= end:
            return []
        middle = (start + end) // 2 // PAGE_BYTES * PAGE_BYTES
        last = middle <= start or self._tries >= MOST_TRIES
        # Once more, where nothing smaller can be tried: some errors do not last.
        for _ in range(2 if last else 1):
            try:
                return [self._fs.pread(self._fd, end - start, start)]
            except OSError as error:
                if not is_unreadable(error):
                    raise
                self._error = str(error.strerror)
                self._tries += 1
        if not last:
            return self._pieces(start, middle) + self._pieces(middle, end)
        self._note(start, end)
        return [_made_up(end - start)]

    def _note(self, start: int, end: int) -> None:
        """Whole pages, so that the next read does not try the rest of one again."""
        start -= start % PAGE_BYTES
        end += -end % PAGE_BYTES
        if self._ranges and self._ranges[-1][1] == start:
            start = self._ranges.pop()[0]
        self._ranges.append((start, end))


def _made_up(length: int) -> bytes:
    return (_NOTHING * (length // PAGE_BYTES + 1))[:length]
