"""`.index`: which byte of a segment holds which offset, sparse.

Entries of 8 bytes: int32 offset minus the segment's base offset, int32 byte position. The offset
is the last one of the batch that starts at the position (Kafka: OffsetIndex). Functions take the
valid part of the file: the zeros of a preallocated one are not entries.
"""

import struct
from collections.abc import Iterator

from tierbroker.records.batch import Buffer
from tierbroker.records.errors import CorruptIndexError

ENTRY_BYTES = 8
MAX_RELATIVE_OFFSET = 0x7FFFFFFF

_ENTRY = struct.Struct(">ii")
_RELATIVE = struct.Struct(">i")
_relative_at = _RELATIVE.unpack_from
_entry_at = _ENTRY.unpack_from


def pack_entry(base_offset: int, offset: int, position: int) -> bytes:
    """One entry; CorruptIndexError if the offset is more than 2^31-1 above the base offset."""
    relative = offset - base_offset
    if not 0 <= relative <= MAX_RELATIVE_OFFSET:
        raise CorruptIndexError(f"offset {offset} does not fit an index based at {base_offset}")
    return _ENTRY.pack(relative, position)


def entry_count(data: Buffer) -> int:
    """Number of whole entries."""
    return len(data) // ENTRY_BYTES


def entry(data: Buffer, base_offset: int, slot: int) -> tuple[int, int]:
    """(offset, position) of one entry; struct.error when there is no such slot."""
    relative, position = _entry_at(data, slot * ENTRY_BYTES)
    return base_offset + relative, position


def entries(data: Buffer, base_offset: int) -> Iterator[tuple[int, int]]:
    """Each (offset, position) in turn."""
    whole = memoryview(data)[: entry_count(data) * ENTRY_BYTES]
    for relative, position in _ENTRY.iter_unpack(whole):
        yield base_offset + relative, position


def slot_of(data: Buffer, base_offset: int, target: int) -> int:
    """Slot of the last entry with an offset at or below `target`, -1 if there is none."""
    relative = target - base_offset
    low, high = 0, len(data) >> 3
    unpack = _relative_at
    while low < high:
        middle = (low + high) >> 1
        if unpack(data, middle << 3)[0] <= relative:
            low = middle + 1
        else:
            high = middle
    return low - 1


def lookup(data: Buffer, base_offset: int, target: int) -> tuple[int, int]:
    """(offset, position) of the last entry at or below `target`: where a scan for it starts.

    (base_offset, 0), the start of the segment, if no entry is that low.
    """
    slot = slot_of(data, base_offset, target)
    if slot < 0:
        return base_offset, 0
    relative, position = _entry_at(data, slot << 3)
    return base_offset + relative, position


def check(data: Buffer, base_offset: int, log_size_bytes: int | None = None) -> None:
    """Raise CorruptIndexError unless size, order and range of all entries are right.

    Offsets and positions must rise strictly, positions stay inside `log_size_bytes` if given.
    """
    if len(data) % ENTRY_BYTES:
        raise CorruptIndexError(f"an offset index of {len(data)} bytes is cut within an entry")
    last_offset, last_position = base_offset - 1, 0
    for slot, (offset, position) in enumerate(entries(data, base_offset)):
        if offset <= last_offset or position <= last_position:
            raise CorruptIndexError(
                f"entry {slot} ({offset} at {position}) does not follow "
                f"({last_offset} at {last_position})"
            )
        last_offset, last_position = offset, position
    if log_size_bytes is not None and last_position >= log_size_bytes > 0:
        raise CorruptIndexError(f"position {last_position} is not in a log of {log_size_bytes}")
