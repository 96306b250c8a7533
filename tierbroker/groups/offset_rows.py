"""The offsets of one group and topic, packed: 28 bytes a partition, ordered by partition.

A million committed offsets must fit into memory, so they are no objects. What few offsets have
(metadata, a time of expiry) is kept elsewhere by `OffsetStore`, the only user of this layout
beside the loader.
"""

import struct
from collections.abc import Iterator

ROW = struct.Struct("<iqiqi")
"""Partition, offset, leader epoch, commit timestamp (ms), number of the topic id."""
ROW_BYTES = ROW.size

Rows = bytearray
Row = tuple[int, int, int, int, int]

_unpack_partition = struct.Struct("<i").unpack_from
_unpack_row = ROW.unpack_from


def locate(rows: Rows, partition: int) -> int:
    """Position of the partition's row; where it would have to be inserted, as ~position."""
    position = partition * ROW_BYTES
    size = len(rows)
    # Mostly all partitions of a topic have one, and it stands at its number.
    if 0 <= position < size and _unpack_partition(rows, position)[0] == partition:
        return position
    if not size or _unpack_partition(rows, size - ROW_BYTES)[0] < partition:
        return ~size
    low, high = 0, size // ROW_BYTES
    while low < high:
        middle = (low + high) // 2
        if _unpack_partition(rows, middle * ROW_BYTES)[0] < partition:
            low = middle + 1
        else:
            high = middle
    position = low * ROW_BYTES
    return position if _unpack_partition(rows, position)[0] == partition else ~position


def put(
    rows: Rows, partition: int, offset: int, epoch: int, timestamp_ms: int, topic_number: int
) -> None:
    """Write a row in its place."""
    position = locate(rows, partition)
    if position >= 0:
        ROW.pack_into(rows, position, partition, offset, epoch, timestamp_ms, topic_number)
    else:
        row = ROW.pack(partition, offset, epoch, timestamp_ms, topic_number)
        rows[~position:~position] = row


def get(rows: Rows, partition: int) -> Row | None:
    """The partition's row."""
    position = locate(rows, partition)
    return _unpack_row(rows, position) if position >= 0 else None


def remove(rows: Rows, partition: int) -> bool:
    """Drop the partition's row; whether there was one."""
    position = locate(rows, partition)
    if position < 0:
        return False
    del rows[position : position + ROW_BYTES]
    return True


def iterate(rows: Rows) -> Iterator[Row]:
    """All rows by partition, as they are now."""
    return ROW.iter_unpack(bytes(rows))
