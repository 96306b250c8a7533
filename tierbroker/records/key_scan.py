"""The two tight loops of compaction over the bytes of a batch's records, uncompressed.

They read no more of a record than they need, make no object for it and copy only its key. The
first notes the last offset of each key, the second picks the records that stay. The bytes passed
their CRC before; a batch that is malformed all the same raises CorruptMessageError.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.builder import encode_varint
from tierbroker.records.key_table import NAME_BYTES, NO_OFFSET, Lookup, name_of

_MAX_VARINT_SHIFT = 63
# Zigzag of the longest key that is its own name: a length up to this needs no digest.
_SHORT_KEY = NAME_BYTES << 1

Span = tuple[int, int]


class Survivors(NamedTuple):
    """The records of a batch that stay, by where they begin and end."""

    spans: list[Span]
    tombstones: bool
    """Whether one of them has no value."""
    without_key: int
    """Records that a compacted log cannot keep."""


def note_keys(
    data: bytes, position: int, count: int, base_offset: int, recent: dict[bytes, int]
) -> int:
    """Write the offsets of `count` records from `position` on into `recent` by key.

    Answers the position after them.
    """
    try:
        for _ in range(count):
            number = data[position]
            if number < 0x80:
                end = position + 1 + (number >> 1)
                position += 2
            else:
                byte = data[position + 1]
                if byte < 0x80:
                    end = position + 2 + (byte << 6) + ((number & 0x7F) >> 1)
                    position += 3
                else:
                    number, position = _varint_tail(data, position + 1, number)
                    end = position + (number >> 1)
                    position += 1
            # Behind the attributes, which are unused: the timestamp.
            while data[position] > 0x7F:
                position += 1
            number = data[position + 1]
            if number < 0x80:
                offset = base_offset + (number >> 1)
                position += 3
            else:
                byte = data[position + 2]
                if byte < 0x80:
                    offset = base_offset + (byte << 6) + ((number & 0x7F) >> 1)
                    position += 4
                else:
                    number, position = _varint_tail(data, position + 2, number)
                    offset = base_offset + (number >> 1)
                    position += 1
            # The first byte of the key's length is passed already.
            number = data[position - 1]
            if not number & 1:
                if number <= _SHORT_KEY:
                    recent[data[position : position + (number >> 1)]] = offset
                else:
                    if number > 0x7F:
                        number, position = _varint_tail(data, position, number)
                    recent[name_of(data[position : position + (number >> 1)])] = offset
            position = end
    except IndexError:
        raise _malformed(data, position) from None
    return position


def names_and_offsets(
    data: bytes, position: int, count: int, base_offset: int
) -> Iterable[tuple[bytes, int]]:
    """(name, offset) of each record with a key, one by one: for the batch that fills the table."""
    for _ in range(count):
        noted: dict[bytes, int] = {}
        position = note_keys(data, position, 1, base_offset, noted)
        yield from noted.items()


def survivors(
    data: bytes,
    position: int,
    count: int,
    base_offset: int,
    latest_offset: int,
    lookup: Lookup,
    *,
    keep_tombstones: bool,
) -> Survivors:
    """Pick those of the `count` records that stay; they fill `data` from `position` on.

    A record above `latest_offset` stays: the table does not know its successors. Below it a
    record stays if no later one has its key, unless it is a tombstone and the time of those is
    over (Kafka: Cleaner.shouldRetainRecord).
    """
    spans: list[Span] = []
    tombstones = False
    without_key = 0
    try:
        for _ in range(count):
            start = position
            number = data[position]
            position += 1
            if number > 0x7F:
                number, position = _varint_tail(data, position, number)
            end = position + (number >> 1)
            position += 1
            while data[position] > 0x7F:
                position += 1
            number = data[position + 1]
            position += 2
            if number > 0x7F:
                number, position = _varint_tail(data, position, number)
            offset = base_offset + (number >> 1)
            number = data[position]
            position += 1
            if number > 0x7F:
                number, position = _varint_tail(data, position, number)
            if number & 1:
                without_key += 1
                value = data[position]
                stays = offset > latest_offset
            else:
                following = position + (number >> 1)
                name = data[position:following]
                if number > _SHORT_KEY:
                    name = name_of(name)
                value = data[following]
                stays = offset > latest_offset or (
                    offset >= lookup(name, NO_OFFSET) and (keep_tombstones or not value & 1)
                )
                position = following
            if position >= end:
                raise _malformed(data, position)
            if stays:
                spans.append((start, end))
                if value & 1:
                    tombstones = True
            position = end
    except IndexError:
        raise _malformed(data, position) from None
    if position != len(data):
        raise _malformed(data, position)
    return Survivors(spans, tombstones, without_key)


def highest_timestamp_delta(data: bytes, spans: Iterable[Span]) -> int:
    """The highest timestamp of the records, relative to the batch's base timestamp."""
    return max(_timestamp_delta(data, span)[0] for span in spans)


def shift_timestamps(data: bytes, spans: Iterable[Span], earlier_by_ms: int) -> bytes:
    """The records for a batch whose base timestamp lies that much earlier: their deltas grow."""
    parts: list[bytes] = []
    for span in spans:
        delta, attributes, following = _timestamp_delta(data, span)
        timestamp = encode_varint(delta + earlier_by_ms)
        rest = data[following : span[1]]
        parts += encode_varint(1 + len(timestamp) + len(rest)), attributes, timestamp, rest
    return b"".join(parts)


def _timestamp_delta(data: bytes, span: Span) -> tuple[int, bytes, int]:
    """(timestamp delta, the attributes before it, position after it) of a record."""
    position = span[0]
    while data[position] > 0x7F:
        position += 1
    attributes = data[position + 1 : position + 2]
    number = data[position + 2]
    position += 3
    if number > 0x7F:
        number, position = _varint_tail(data, position, number)
    return (number >> 1) ^ -(number & 1), attributes, position


def _varint_tail(data: bytes, position: int, first: int) -> tuple[int, int]:
    """The unsigned value of a varint whose first byte was `first`, and the position after it."""
    number = first & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > _MAX_VARINT_SHIFT:
            raise _malformed(data, position)


def _malformed(data: bytes, position: int) -> CorruptMessageError:
    return CorruptMessageError(f"malformed record near byte {position} of {len(data)}")
