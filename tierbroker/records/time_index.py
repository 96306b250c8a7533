"""`.timeindex`: the highest timestamp up to an offset of a segment, sparse.

Entries of 12 bytes: int64 highest timestamp so far in milliseconds, int32 offset (minus the base
offset) of the batch that holds it, its last one. Timestamps rise strictly (Kafka: TimeIndex).
"""

import struct
from collections.abc import Iterator

from tierbroker.records.batch import NO_TIMESTAMP, Buffer
from tierbroker.records.errors import CorruptIndexError

ENTRY_BYTES = 12

_ENTRY = struct.Struct(">qi")
_TIMESTAMP = struct.Struct(">q")
_entry_at = _ENTRY.unpack_from
_timestamp_at = _TIMESTAMP.unpack_from


def pack_entry(base_offset: int, timestamp_ms: int, offset: int) -> bytes:
    """One entry; CorruptIndexError if the offset is more than 2^31-1 above the base offset."""
    relative = offset - base_offset
    if not 0 <= relative <= 0x7FFFFFFF:
        raise CorruptIndexError(f"offset {offset} does not fit an index based at {base_offset}")
    return _ENTRY.pack(timestamp_ms, relative)


def entry_count(data: Buffer) -> int:
    """Number of whole entries."""
    return len(data) // ENTRY_BYTES


def entry(data: Buffer, base_offset: int, slot: int) -> tuple[int, int]:
    """(timestamp, offset) of one entry; struct.error when there is no such slot."""
    timestamp, relative = _entry_at(data, slot * ENTRY_BYTES)
    return timestamp, base_offset + relative


def entries(data: Buffer, base_offset: int) -> Iterator[tuple[int, int]]:
    """Each (timestamp, offset) in turn."""
    whole = memoryview(data)[: entry_count(data) * ENTRY_BYTES]
    for timestamp, relative in _ENTRY.iter_unpack(whole):
        yield timestamp, base_offset + relative


def slot_of(data: Buffer, timestamp_ms: int) -> int:
    """Slot of the last entry with a timestamp at or below `timestamp_ms`, -1 if there is none."""
    low, high = 0, len(data) // ENTRY_BYTES
    unpack = _timestamp_at
    while low < high:
        middle = (low + high) >> 1
        if unpack(data, middle * ENTRY_BYTES)[0] <= timestamp_ms:
            low = middle + 1
        else:
            high = middle
    return low - 1


def lookup(data: Buffer, base_offset: int, timestamp_ms: int) -> tuple[int, int]:
    """(timestamp, offset) of the last entry at or below `timestamp_ms`.

    (-1, base_offset) if no entry is that low. To find the first record *at or after* a time, scan
    from `lookup(..., time - 1)`: a batch with exactly that time may lie before its entry.
    """
    slot = slot_of(data, timestamp_ms)
    if slot < 0:
        return NO_TIMESTAMP, base_offset
    timestamp, relative = _entry_at(data, slot * ENTRY_BYTES)
    return timestamp, base_offset + relative


def check(data: Buffer, base_offset: int) -> None:
    """Raise CorruptIndexError unless size is whole, timestamps rise and offsets never fall."""
    if len(data) % ENTRY_BYTES:
        raise CorruptIndexError(f"a time index of {len(data)} bytes is cut within an entry")
    last: tuple[int, int] | None = None
    for slot, (timestamp, offset) in enumerate(entries(data, base_offset)):
        if offset < base_offset or (last and (timestamp <= last[0] or offset < last[1])):
            raise CorruptIndexError(
                f"entry {slot} (time {timestamp}, offset {offset}) does not follow {last}"
            )
        last = timestamp, offset
