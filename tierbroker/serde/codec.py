"""What generated codecs call: entry points, checks and tagged fields.

Two conventions of the generated decoders live here. A value that would lie beyond the end of the
buffer moves ``pos`` past the end instead of failing at once; the next read fails, or the check in
`decode_with` does. And a count is checked against the bytes that remain, divided by the least
size of an element, before anything is allocated for it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeVar

from tierbroker.serde.errors import DecodeError, EncodeError
from tierbroker.serde.varint import (
    UVARINT,
    UVARINTS,
    encode_uvarint,
    read_uvarint,
    uvarint_tail,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tierbroker.serde.structs import Buffer

__all__ = [
    "MAX_ARRAY_ELEMENTS",
    "MAX_TAGGED_FIELDS",
    "MAX_TEXT_BYTES",
    "PACK_INT32S",
    "SHORT_ARRAY",
    "UNPACK_INT32S",
    "UVARINT",
    "UVARINTS",
    "decode_with",
    "encode_uvarint",
    "encode_with",
    "keep_tagged_field",
    "negative_length",
    "not_in_version",
    "read_uvarint",
    "skip_tagged_fields",
    "tag_count",
    "too_long",
    "too_many",
    "uvarint_tail",
    "write_tagged_fields",
    "wrong_tag_size",
]

# The limits that Kafka's own readers have from 4.4 on.
MAX_ARRAY_ELEMENTS = 1_000_000
MAX_TAGGED_FIELDS = 10_000

# In flexible versions too, whose lengths could say more (as Kafka's own readers).
MAX_TEXT_BYTES = 32_767

# For the arrays of replicas that fill Metadata and partition records, by number of elements.
SHORT_ARRAY = 16
PACK_INT32S = tuple(struct.Struct(f">{n}i").pack for n in range(SHORT_ARRAY))
UNPACK_INT32S = tuple(struct.Struct(f">{n}i").unpack_from for n in range(SHORT_ARRAY))

# What straight-line decoding raises on bytes that end too soon or are no text.
_DECODE_FAULTS = (struct.error, IndexError, UnicodeDecodeError)

# What straight-line encoding raises on a value of the wrong type, null, or out of range.
_ENCODE_FAULTS = (struct.error, AttributeError, TypeError, UnicodeEncodeError)

T = TypeVar("T")


def decode_with(
    readers: Mapping[int, Callable[[memoryview, int], tuple[T, int]]],
    name: str,
    buf: Buffer,
    pos: int,
    version: int,
) -> tuple[T, int]:
    """Decode with the version's reader; DecodeError whatever the bytes are."""
    read = readers.get(version)
    if read is None:
        raise DecodeError(f"{name} has no version {version}")
    view = buf if type(buf) is memoryview else memoryview(buf)
    try:
        message, pos = read(view, pos)
    except _DECODE_FAULTS as error:
        raise DecodeError(f"{name} version {version}: {error}") from error
    if pos > len(view):
        raise DecodeError(f"{name} version {version} ends {pos - len(view)} bytes too soon")
    return message, pos


def encode_with(
    writers: Mapping[int, Callable[[Callable[[bytes], None], Any], None]],
    name: str,
    message: Any,
    version: int,
) -> bytes:
    """Encode with the version's writer; EncodeError if that version cannot carry the message."""
    write = writers.get(version)
    if write is None:
        raise EncodeError(f"{name} has no version {version}")
    parts: list[bytes] = []
    try:
        write(parts.append, message)
        return b"".join(parts)
    except (EncodeError, *_ENCODE_FAULTS) as error:
        raise EncodeError(f"{name} version {version}: {error}") from error


def negative_length(field: str, length: int) -> DecodeError:
    """The field is null where it must not be, or its length makes no sense."""
    return DecodeError(f"{field} is null" if length == -1 else f"{field} has length {length}")


def too_long(field: str, length: int) -> DecodeError:
    """The text is longer than any text may be."""
    return DecodeError(f"{field} has {length} bytes, more than {MAX_TEXT_BYTES}")


def too_many(field: str, count: int) -> DecodeError:
    """The array claims more elements than can be in the bytes that remain."""
    return DecodeError(f"{field} claims {count} elements")


def wrong_tag_size(field: str, size: int) -> DecodeError:
    """A tagged field does not fill the size it came with."""
    return DecodeError(f"tagged field {field} does not take {size} bytes")


def not_in_version(field: str) -> EncodeError:
    """The field is set, and leaving it out would change the meaning."""
    return EncodeError(f"{field} is set, but this version does not have it")


def tag_count(buf: Buffer, pos: int, first: int) -> tuple[int, int]:
    """The number of tagged fields whose first byte was read already."""
    if first > 127:
        first, pos = uvarint_tail(buf, pos, first)
        if first > MAX_TAGGED_FIELDS:
            raise DecodeError(f"{first} tagged fields")
    return first, pos


def skip_tagged_fields(buf: Buffer, pos: int, first: int) -> int:
    """The position after tagged fields that nobody knows; ``first`` is the count's first byte."""
    count, pos = tag_count(buf, pos, first)
    for _ in range(count):
        _, pos = read_uvarint(buf, pos)
        size, pos = read_uvarint(buf, pos)
        pos += size
    return pos


def keep_tagged_field(
    kept: dict[int, bytes] | None, buf: Buffer, tag: int, start: int, end: int
) -> dict[int, bytes]:
    """Add an unknown tagged field to those that travel with the record."""
    if end > len(buf):
        raise DecodeError(f"tagged field {tag} ends {end - len(buf)} bytes too soon")
    if kept is None:
        kept = {}
    kept[tag] = bytes(buf[start:end])
    return kept


def write_tagged_fields(
    write: Callable[[bytes], None], fields: Iterable[tuple[int, bytes]]
) -> None:
    """The section of tagged fields; they must come in ascending order of tag."""
    items = list(fields)
    write(encode_uvarint(len(items)))
    for tag, data in items:
        write(encode_uvarint(tag))
        write(encode_uvarint(len(data)))
        write(data)
