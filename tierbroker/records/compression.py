"""The four codecs of a record batch, in the framings that Kafka's own clients write and read.

gzip: RFC 1952 members. snappy: xerial's framing (Java's default) or one raw block. lz4: frames of
independent blocks. zstd: plain frames. Decompression streams in small steps and stops at an
absolute cap, whatever the compressed bytes claim of themselves. The libraries are imported at
first use: a broker that only moves batches needs none of them.
"""

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

from tierbroker.base.errors import (
    CorruptMessageError,
    MessageTooLargeError,
    UnsupportedCompressionTypeError,
)
from tierbroker.records.batch import Buffer

_Function = TypeVar("_Function")

# Most that one batch may inflate to unless the caller says otherwise.
DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024


class Codec(IntEnum):
    """Codec ids of the batch attributes, bits 0 to 2."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


# Output of one step: a step may overshoot the cap by no more than this.
_STEP_BYTES = 256 * 1024
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_VERSIONS = struct.Struct(">ii")
_XERIAL_HEADER = _XERIAL_MAGIC + _XERIAL_VERSIONS.pack(1, 1)
_XERIAL_BLOCK_BYTES = 32 * 1024
_BLOCK_LENGTH = struct.Struct(">i")
# A snappy copy element has at least 2 bytes and yields at most 64.
_SNAPPY_MAX_RATIO = 32


def compress(codec: int, data: Buffer, level: int | None = None) -> bytes:
    """Compress with the codec's own default level, or `level` where the codec has levels.

    Raises UnsupportedCompressionTypeError for an unknown codec.
    """
    if codec == Codec.NONE:
        return bytes(data)
    return _lookup(_COMPRESSORS, codec)(data, level)


def decompress(codec: int, data: Buffer, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> bytes:
    """Decompress to at most `limit_bytes`.

    Raises MessageTooLargeError beyond the limit, CorruptMessageError on bytes that are not of this
    codec or are cut short, UnsupportedCompressionTypeError for an unknown codec.
    """
    if codec == Codec.NONE:
        if len(data) > limit_bytes:
            raise _too_large(limit_bytes)
        return bytes(data)
    return _lookup(_DECOMPRESSORS, codec)(memoryview(data), limit_bytes)


def _lookup(table: dict[int, _Function], codec: int) -> _Function:
    try:
        return table[codec]
    except KeyError:
        raise UnsupportedCompressionTypeError(f"unknown compression codec {codec}") from None


def _too_large(limit_bytes: int) -> MessageTooLargeError:
    return MessageTooLargeError(f"the batch inflates beyond the limit of {limit_bytes} bytes")


def _compress_gzip(data: Buffer, level: int | None) -> bytes:
    packer = zlib.compressobj(-1 if level is None else level, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(data) + packer.flush()


def _decompress_gzip(data: memoryview, limit_bytes: int) -> bytes:
    """All members; like Java's GZIPInputStream it ignores what follows the last one."""
    pieces: list[bytes] = []
    room = limit_bytes
    rest: Buffer = data
    while True:
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            piece = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise CorruptMessageError(f"the gzip data is damaged: {error}") from error
        if len(piece) > room:
            raise _too_large(limit_bytes)
        if not member.eof:
            raise CorruptMessageError("the gzip data ends too early")
        pieces.append(piece)
        room -= len(piece)
        rest = member.unused_data
        if rest[:2] != _GZIP_MAGIC:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _compress_snappy(data: Buffer, level: int | None) -> bytes:
    import cramjam

    view = memoryview(data)
    pieces = [_XERIAL_HEADER]
    for start in range(0, len(view), _XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK_BYTES]))
        pieces.append(_BLOCK_LENGTH.pack(len(block)))
        pieces.append(block)
    return b"".join(pieces)


def _decompress_snappy(data: memoryview, limit_bytes: int) -> bytes:
    if data[: len(_XERIAL_MAGIC)] != _XERIAL_MAGIC:
        return _decompress_snappy_block(data, limit_bytes, limit_bytes)
    pieces: list[bytes] = []
    room = limit_bytes
    position, end = 0, len(data)
    while position < end:
        # Streams may be concatenated, each with its own header.
        if data[position : position + len(_XERIAL_MAGIC)] == _XERIAL_MAGIC:
            position += len(_XERIAL_HEADER)
            continue
        if end - position < _BLOCK_LENGTH.size:
            raise CorruptMessageError("the snappy data ends within a block length")
        (length,) = _BLOCK_LENGTH.unpack_from(data, position)
        position += _BLOCK_LENGTH.size
        if length < 0 or length > end - position:
            raise CorruptMessageError(f"a snappy block claims {length} bytes")
        piece = _decompress_snappy_block(data[position : position + length], room, limit_bytes)
        pieces.append(piece)
        room -= len(piece)
        position += length
    if position > end:
        raise CorruptMessageError("the snappy data ends within its header")
    return b"".join(pieces)


def _decompress_snappy_block(block: memoryview, room: int, limit_bytes: int) -> bytes:
    """One raw block; its claimed size is judged before anything is allocated."""
    import cramjam

    try:
        size = cramjam.snappy.decompress_raw_len(block)
        if size > _SNAPPY_MAX_RATIO * len(block):
            raise CorruptMessageError(f"a snappy block of {len(block)} bytes claims {size}")
        if size > room:
            raise _too_large(limit_bytes)
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise CorruptMessageError(f"the snappy data is damaged: {error}") from error


def _compress_lz4(data: Buffer, level: int | None) -> bytes:
    """One frame of independent 64 KiB blocks without checksums, as Kafka's Lz4BlockOutputStream."""
    import lz4.frame

    frame: bytes = lz4.frame.compress(
        data,
        compression_level=0 if level is None else level,
        block_size=lz4.frame.BLOCKSIZE_MAX64KB,
        block_linked=False,
        store_size=False,
    )
    return frame


def _decompress_lz4(data: memoryview, limit_bytes: int) -> bytes:
    """All frames, block and content checksums checked where the frame has them."""
    import lz4.frame

    pieces: list[bytes] = []
    total, position, ended = 0, 0, False
    context = lz4.frame.create_decompression_context()
    while not ended or position < len(data):
        try:
            piece, consumed, ended = lz4.frame.decompress_chunk(
                context, data[position:], max_length=_STEP_BYTES
            )
        except RuntimeError as error:
            raise CorruptMessageError(f"the lz4 data is damaged: {error}") from error
        if not piece and not consumed and not ended:
            raise CorruptMessageError("the lz4 data ends too early")
        pieces.append(piece)
        total += len(piece)
        position += consumed
        if total > limit_bytes:
            raise _too_large(limit_bytes)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _compress_zstd(data: Buffer, level: int | None) -> bytes:
    import zstandard

    packer = zstandard.ZstdCompressor(level=3 if level is None else level)
    return packer.compress(data)


def _decompress_zstd(data: memoryview, limit_bytes: int) -> bytes:
    """All frames. The library's own output limit is ignored for frames that carry a size."""
    import zstandard

    pieces: list[bytes] = []
    total = 0
    try:
        claimed = zstandard.frame_content_size(data)
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        while piece := reader.read(_STEP_BYTES):
            pieces.append(piece)
            total += len(piece)
            if total > limit_bytes:
                raise _too_large(limit_bytes)
    except zstandard.ZstdError as error:
        raise CorruptMessageError(f"the zstd data is damaged: {error}") from error
    if total < claimed:
        raise CorruptMessageError("the zstd data ends too early")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


_COMPRESSORS: dict[int, Callable[[Buffer, int | None], bytes]] = {
    Codec.GZIP: _compress_gzip,
    Codec.SNAPPY: _compress_snappy,
    Codec.LZ4: _compress_lz4,
    Codec.ZSTD: _compress_zstd,
}
_DECOMPRESSORS: dict[int, Callable[[memoryview, int], bytes]] = {
    Codec.GZIP: _decompress_gzip,
    Codec.SNAPPY: _decompress_snappy,
    Codec.LZ4: _decompress_lz4,
    Codec.ZSTD: _decompress_zstd,
}
