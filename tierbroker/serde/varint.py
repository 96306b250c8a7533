"""Variable-length integers: unsigned (lengths, tags) and zigzag (fields of a record).

Positions are indexes into the buffer. Reading past the end raises IndexError, which the callers
that own a whole message turn into DecodeError; `read_…` functions of `primitives` do it here.
"""

from tierbroker.serde.errors import DecodeError
from tierbroker.serde.structs import Buffer

_MAX_BYTES = 5
_MAX_LONG_BYTES = 10

UVARINTS = 1024


def encode_uvarint(value: int) -> bytes:
    """Seven bits a byte, lowest first; raises ValueError for a negative value."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x20_0000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# The encodings of the small values, which nearly all lengths are.
UVARINT: tuple[bytes, ...] = tuple(encode_uvarint(value) for value in range(UVARINTS))


def read_uvarint(buf: Buffer, pos: int) -> tuple[int, int]:
    """(value, position after it); DecodeError if it takes more than five bytes."""
    first = buf[pos]
    if first < 128:
        return first, pos + 1
    return uvarint_tail(buf, pos + 1, first)


def uvarint_tail(buf: Buffer, pos: int, first: int) -> tuple[int, int]:
    """The rest of a value whose first byte, above 127, was read already."""
    value = first & 0x7F
    for shift in range(7, 7 * _MAX_BYTES, 7):
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, pos
    raise DecodeError(f"an unsigned varint of more than {_MAX_BYTES} bytes")


def read_varlong(buf: Buffer, pos: int) -> tuple[int, int]:
    """A zigzag value of up to 64 bits; a 32-bit one is encoded the same way."""
    value = 0
    for shift in range(0, 7 * _MAX_LONG_BYTES, 7):
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), pos
    raise DecodeError(f"a varlong of more than {_MAX_LONG_BYTES} bytes")


def encode_varlong(value: int) -> bytes:
    """Zigzag: small magnitudes of either sign are short."""
    return encode_uvarint(value << 1 if value >= 0 else (-value << 1) - 1)
