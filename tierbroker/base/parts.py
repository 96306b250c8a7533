"""What an answer is made of: bytes, and slices of files that never enter Python.

`hot` makes slices, `wire` frames them, and only `server` turns one into a system call. A slice
leases its file: the descriptor stays open, whatever happens to the segment, until the lease is
released, once, by whoever holds the slice last.
"""

from collections.abc import Iterable
from typing import Protocol


class Lease(Protocol):
    """A right to use a descriptor for a while."""

    def release(self) -> None:
        """Give the right back; the descriptor may be closed now."""

    def cannot_read(self, position: int, error: OSError) -> None:
        """The disk refused bytes at `position`, or behind: the owner of the file looks into it."""


class FileSlice:
    """`length` bytes of the open file `fd`, from byte `position` on."""

    __slots__ = ("fd", "lease", "length", "position")

    def __init__(self, fd: int, position: int, length: int, lease: Lease) -> None:
        self.fd = fd
        self.position = position
        self.length = length
        self.lease = lease

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        return f"FileSlice(fd={self.fd}, position={self.position}, length={self.length})"


Part = bytes | bytearray | memoryview | FileSlice


def parts_length(parts: Iterable[Part]) -> int:
    """Bytes that the parts come to on the wire. A memoryview counts bytes: it must be flat."""
    return sum(map(len, parts))


def release_parts(parts: Iterable[Part]) -> None:
    """Release the leases of all slices: for an answer that will not be sent."""
    for part in parts:
        if type(part) is FileSlice:
            part.lease.release()
