"""Immutable arrays of fixed-size entries in one `bytes`: a partition has thousands of segments.

A change answers a new array; the old one stays. Entries are packed big-endian, and unpacked one at
a time when somebody looks at them. What holds the entries of one kind names their layout.
"""

import sys
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import lt
from struct import Struct
from typing import ClassVar, Generic, Self, TypeVar

from tierbroker.records.tier.errors import CorruptTierEventError

E = TypeVar("E")

_BASE = Struct(">q")


class PackedArray(Generic[E]):
    """Reads like a sequence of entries. Subclasses say how one entry is packed."""

    __slots__ = ("data",)

    ENTRY_BYTES: ClassVar[int]

    def __init__(self, data: bytes = b"") -> None:
        """`data` is whole entries; raises CorruptTierEventError if it is not."""
        if len(data) % self.ENTRY_BYTES:
            raise CorruptTierEventError(
                f"{len(data)} bytes are no whole number of entries of {self.ENTRY_BYTES} bytes"
            )
        self.data = data

    @classmethod
    def of(cls, entries: Iterable[E]) -> Self:
        """The array of these entries."""
        return cls(b"".join(map(cls._packed, entries)))

    @staticmethod
    @abstractmethod
    def _packed(entry: E) -> bytes:
        """The bytes of one entry."""

    @staticmethod
    @abstractmethod
    def _unpacked(data: bytes, position: int) -> E:
        """The entry at that byte."""

    def __len__(self) -> int:
        return len(self.data) // self.ENTRY_BYTES

    def __getitem__(self, slot: int) -> E:
        count = len(self)
        if not -count <= slot < count:
            raise IndexError(f"slot {slot} of {count}")
        return self._unpacked(self.data, slot % count * self.ENTRY_BYTES)

    def __iter__(self) -> Iterator[E]:
        return self.from_slot(0)

    def from_slot(self, slot: int) -> Iterator[E]:
        """The entries from that slot on."""
        for position in range(slot * self.ENTRY_BYTES, len(self.data), self.ENTRY_BYTES):
            yield self._unpacked(self.data, position)

    @property
    def first(self) -> E | None:
        """The oldest entry."""
        return self[0] if self.data else None

    @property
    def last(self) -> E | None:
        """The newest entry."""
        return self[-1] if self.data else None

    def appended(self, entry: E) -> Self:
        """With one more entry at the end."""
        return type(self)(self.data + self._packed(entry))

    def joined(self, data: bytes) -> Self:
        """With more packed entries at the end."""
        return type(self)(self.data + data) if data else self

    def without_front(self, count: int) -> Self:
        """Without the first `count` entries."""
        return type(self)(self.data[count * self.ENTRY_BYTES :]) if count else self

    def front(self, count: int) -> Self:
        """The first `count` entries alone."""
        return type(self)(self.data[: count * self.ENTRY_BYTES])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.data == self.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.of({list(self)!r})"


class OffsetRuns(PackedArray[E]):
    """Entries that cover offsets without a gap, oldest first.

    An entry begins with its base offset and the next one's (8 bytes each).
    """

    __slots__ = ()

    @property
    def start_offset(self) -> int:
        """The first offset covered, -1 without entries."""
        return _BASE.unpack_from(self.data)[0] if self.data else -1

    @property
    def end_offset(self) -> int:
        """The last offset covered (inclusive), -1 without entries."""
        if not self.data:
            return -1
        next_offset: int = _BASE.unpack_from(self.data, len(self.data) - self.ENTRY_BYTES + 8)[0]
        return next_offset - 1

    def slot_of(self, offset: int) -> int:
        """The slot of the entry that holds the offset, -1 if none does."""
        slot = self._slot_at_or_before(offset)
        return slot if slot >= 0 and offset <= self.end_offset else -1

    def count_below(self, offset: int) -> int:
        """How many entries lie wholly below the offset."""
        if not self.data or offset > self.end_offset:
            return len(self)
        return max(self._slot_at_or_before(offset), 0)

    def _slot_at_or_before(self, offset: int) -> int:
        data, size = self.data, self.ENTRY_BYTES
        unpack = _BASE.unpack_from
        slots = range(len(data) // size)
        return bisect_right(slots, offset, key=lambda slot: unpack(data, slot * size)[0]) - 1

    def fault(self) -> str | None:
        """What contradicts that the entries follow each other, None if nothing does."""
        data, size = self.data, self.ENTRY_BYTES
        # Column by column: each comparison runs over all entries at once.
        if any(data[size + byte :: size] != data[8 + byte : -size : size] for byte in range(8)):
            return "entries do not follow each other"
        bases = self._bases()
        bases.append(self.end_offset + 1)
        if bases[0] < 0 or not all(map(lt, bases, bases[1:])):
            return f"offsets {bases[0]} to {bases[-1] - 1} are no run of ranges"
        return None

    def _bases(self) -> "array[int]":
        data, size = self.data, self.ENTRY_BYTES
        column = bytearray(len(self) * 8)
        for byte in range(8):
            column[byte::8] = data[byte::size]
        bases = array("q", bytes(column))
        if sys.byteorder == "little":
            bases.byteswap()
        return bases

    def _column_sum(self, position: int, width: int) -> int:
        """The sum of an unsigned field over all entries, without unpacking any."""
        data, size = self.data, self.ENTRY_BYTES
        return sum(
            sum(data[position + byte :: size]) << 8 * (width - 1 - byte) for byte in range(width)
        )
