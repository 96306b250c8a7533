"""What is to become an object: parts in memory and slices of files, read piece by piece.

A body is read on worker threads and may be withdrawn on the loop thread at any time; whoever
withdraws it releases the leases of its slices right away. So each piece is looked at once more
after it was read: a descriptor that was closed meanwhile, and perhaps belongs to another file by
now, never gets a byte into an object.
"""

from collections.abc import Iterator, Sequence

from tierbroker.base.fs import Buffer, FileSystem
from tierbroker.base.parts import FileSlice, Part, parts_length
from tierbroker.cold.errors import BodyUnreadableError

PIECE_BYTES = 1024 * 1024


class BodyWithdrawnError(BodyUnreadableError):
    """Nobody waits for the object any more. Never leaves the store."""


class Body:
    """The parts of one object, as a sequence of bytes."""

    __slots__ = ("_fs", "_parts", "_starts", "size_bytes", "withdrawn")

    def __init__(self, fs: FileSystem, parts: Sequence[Part]) -> None:
        self._fs = fs
        self._parts = tuple(parts)
        self._starts: list[int] = []
        position = 0
        for part in self._parts:
            self._starts.append(position)
            position += len(part)
        self.size_bytes = parts_length(self._parts)
        self.withdrawn = False

    def withdraw(self) -> None:
        """Read no more: the leases go now."""
        self.withdrawn = True

    def read(self, start: int, length: int) -> Buffer:
        """Bytes [start, start + length) in one piece. Raises BodyUnreadableError.

        They are in memory once and not twice: what is under way is counted by its length.
        """
        end = start + length
        for part_start, part in zip(self._starts, self._parts, strict=True):
            if part_start <= start < end <= part_start + len(part):
                piece = self._piece(part, start - part_start, length)
                if len(piece) == length:  # one read of a file brings 2 GiB at most
                    return piece
        whole = bytearray(length)
        position = 0
        for piece in self.pieces(start, length, PIECE_BYTES):
            whole[position : position + len(piece)] = piece
            position += len(piece)
        return whole

    def pieces(
        self, start: int = 0, length: int | None = None, piece_bytes: int = 1 << 62
    ) -> Iterator[Buffer]:
        """The bytes of that range in order, at most `piece_bytes` at a time."""
        end = self.size_bytes if length is None else start + length
        for part_start, part in zip(self._starts, self._parts, strict=True):
            position = max(start, part_start)
            part_end = min(end, part_start + len(part))
            while position < part_end:
                size = min(part_end - position, piece_bytes)
                piece = self._piece(part, position - part_start, size)
                yield piece
                position += len(piece)

    def _piece(self, part: Part, start: int, length: int) -> Buffer:
        if self.withdrawn:
            raise BodyWithdrawnError("withdrawn")
        if not isinstance(part, FileSlice):
            return part if length == len(part) else memoryview(part)[start : start + length]
        try:
            piece = self._fs.pread(part.fd, length, part.position + start)
        except OSError as error:
            self._check_withdrawn()
            raise BodyUnreadableError(f"cannot read {part!r}: {error}") from error
        self._check_withdrawn()
        if not piece:
            raise BodyUnreadableError(
                f"{part!r} ends {len(part) - start} bytes early: the file was cut"
            )
        return piece

    def _check_withdrawn(self) -> None:
        if self.withdrawn:
            raise BodyWithdrawnError("withdrawn")
