"""The records inside a batch: one value each, read in order.

The broker's paths of Produce and Fetch never come here (D-1): this is for compaction, searches by
time within a batch, coordinators, the metadata log and tools. The CRC is the caller's to check.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import (
    HEADER_BYTES,
    MAGIC_V2,
    MIN_BATCH_LENGTH,
    MIN_RECORD_BYTES,
    BatchHeader,
    Buffer,
    read_header,
)
from tierbroker.records.compression import DEFAULT_LIMIT_BYTES, Codec, decompress

_MAX_VARINT_SHIFT = 63
_MIN_INT64 = -(1 << 63)
_MAX_INT64 = (1 << 63) - 1

_new_tuple = tuple.__new__

Headers = tuple[tuple[str, bytes | None], ...]


class Record(NamedTuple):
    """One record with its absolute offset and timestamp (milliseconds, -1 if it has none).

    Header keys are UTF-8; bytes that are not survive as surrogate escapes, so that writing the
    record again gives the same bytes.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def iterate(batch: Buffer, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> Iterator[Record]:
    """Yield the records of the batch at the start of `batch`; what follows it is not looked at.

    Raises CorruptMessageError on anything malformed, MessageTooLargeError when the records inflate
    beyond `limit_bytes`, UnsupportedCompressionTypeError for an unknown codec.
    """
    if len(batch) < HEADER_BYTES:
        raise CorruptMessageError(f"{len(batch)} bytes hold no record batch")
    header = read_header(batch)
    if (
        header.magic != MAGIC_V2
        or header.batch_length < MIN_BATCH_LENGTH
        or header.size_bytes > len(batch)
    ):
        raise CorruptMessageError(f"no whole v2 batch in {len(batch)} bytes: {header}")
    payload = memoryview(batch)[HEADER_BYTES : header.size_bytes]
    if header.codec != Codec.NONE and header.record_count:
        data = decompress(header.codec, payload, limit_bytes)
    else:
        data = bytes(payload)
    if not 0 <= header.record_count * MIN_RECORD_BYTES <= len(data):
        raise CorruptMessageError(f"{len(data)} bytes cannot hold {header.record_count} records")
    return _parse(data, header)


def _parse(data: bytes, header: BatchHeader) -> Iterator[Record]:
    """Read `record_count` records off `data`, which they must fill exactly."""
    base_offset, last_delta = header.base_offset, header.last_offset_delta
    base_timestamp = header.base_timestamp
    append_time = header.max_timestamp if header.log_append_time else None
    position, limit = 0, len(data)
    try:
        for _ in range(header.record_count):
            number = data[position]
            position += 1
            if number & 0x80:
                number, position = _varint_tail(data, position, number)
            end = position + ((number >> 1) ^ -(number & 1))
            position += 1  # attributes of a record: unused, always 0
            number = data[position]
            position += 1
            if number & 0x80:
                number, position = _varint_tail(data, position, number)
            timestamp = base_timestamp + ((number >> 1) ^ -(number & 1))
            number = data[position]
            position += 1
            if number & 0x80:
                number, position = _varint_tail(data, position, number)
            offset_delta = (number >> 1) ^ -(number & 1)
            # A length that reaches too far is caught below, where `position` is not `end`.
            number = data[position]
            position += 1
            if number & 0x80:
                number, position = _varint_tail(data, position, number)
            key = None
            if not number & 1:
                following = position + (number >> 1)
                key = data[position:following]
                position = following
            number = data[position]
            position += 1
            if number & 0x80:
                number, position = _varint_tail(data, position, number)
            value = None
            if not number & 1:
                following = position + (number >> 1)
                value = data[position:following]
                position = following
            headers: Headers = ()
            if data[position]:
                headers, position = _parse_headers(data, position, end)
            else:
                position += 1
            if (
                position != end
                or end > limit
                or not 0 <= offset_delta <= last_delta
                or not _MIN_INT64 <= timestamp <= _MAX_INT64
            ):
                raise _malformed(data, position)
            yield _new_tuple(
                Record,
                (
                    base_offset + offset_delta,
                    timestamp if append_time is None else append_time,
                    key,
                    value,
                    headers,
                ),
            )
    except IndexError:
        raise _malformed(data, position) from None
    if position != limit:
        raise CorruptMessageError(f"{limit - position} bytes follow the last record of the batch")


def _parse_headers(data: bytes, position: int, end: int) -> tuple[Headers, int]:
    """Read the header count and the headers; (headers, position after them)."""
    count, position = _varint(data, position)
    if not 0 <= count <= end - position:
        raise _malformed(data, position)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        length, position = _varint(data, position)
        if not 0 <= length <= end - position:
            raise _malformed(data, position)
        key = data[position : position + length].decode("utf-8", "surrogateescape")
        length, position = _varint(data, position + length)
        value = None
        if length >= 0:
            if length > end - position:
                raise _malformed(data, position)
            value = data[position : position + length]
            position += length
        headers.append((key, value))
    return tuple(headers), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position after it) of a zigzag varint."""
    number = data[position]
    position += 1
    if number & 0x80:
        number, position = _varint_tail(data, position, number)
    return (number >> 1) ^ -(number & 1), position


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
