"""The codecs: framings of other writers, damage, and the cap on what comes out."""

import gzip
import struct
import tracemalloc

import cramjam
import lz4.frame
import pytest
import zstandard

from tierbroker.base.errors import (
    ApiError,
    CorruptMessageError,
    MessageTooLargeError,
    UnsupportedCompressionTypeError,
)
from tierbroker.records.compression import Codec, compress, decompress

TEXT = b"".join(b"line %d of a text that compresses\n" % i for i in range(5_000))
COMPRESSING = [codec for codec in Codec if codec]
LIMIT = 1_000_000


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("data", [b"", b"x", TEXT, bytes(100_000)], ids=["0", "1", "text", "zeros"])
def test_round_trip(codec: Codec, data: bytes) -> None:
    packed = compress(codec, memoryview(data))
    assert type(packed) is bytes
    for buffer in (packed, bytearray(packed), memoryview(packed)):
        assert decompress(codec, buffer, LIMIT) == data


@pytest.mark.parametrize(("codec", "level"), [(1, 1), (1, 9), (3, 1), (3, 12), (4, 1), (4, 19)])
def test_levels(codec: int, level: int) -> None:
    packed = compress(codec, TEXT, level)
    assert len(packed) < len(TEXT)
    assert decompress(codec, packed, LIMIT) == TEXT


def test_snappy_writes_what_java_writes() -> None:
    packed = compress(Codec.SNAPPY, TEXT)
    assert packed[:16] == b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    (length,) = struct.unpack_from(">i", packed, 16)
    assert bytes(cramjam.snappy.decompress_raw(packed[20 : 20 + length])) == TEXT[: 32 * 1024]


def test_snappy_reads_raw_blocks_and_concatenated_streams() -> None:
    assert decompress(Codec.SNAPPY, bytes(cramjam.snappy.compress_raw(TEXT)), LIMIT) == TEXT
    twice = compress(Codec.SNAPPY, b"one ") + compress(Codec.SNAPPY, b"two")
    assert decompress(Codec.SNAPPY, twice, LIMIT) == b"one two"


def test_lz4_writes_what_kafka_reads() -> None:
    info = lz4.frame.get_frame_info(compress(Codec.LZ4, TEXT))
    assert info["block_size"] == 64 * 1024
    assert not info["block_linked"]
    assert not info["content_checksum"]
    assert not info["block_checksum"]


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("checksums", [False, True])
def test_lz4_reads_other_frames(linked: bool, checksums: bool) -> None:
    packed = lz4.frame.compress(
        TEXT,
        block_linked=linked,
        block_checksum=checksums,
        content_checksum=checksums,
        block_size=lz4.frame.BLOCKSIZE_MAX4MB,
    )
    assert decompress(Codec.LZ4, packed, LIMIT) == TEXT
    assert decompress(Codec.LZ4, packed + packed, LIMIT) == TEXT + TEXT
    if checksums:
        damaged = bytearray(packed)
        damaged[-1] ^= 1
        with pytest.raises(CorruptMessageError):
            decompress(Codec.LZ4, damaged, LIMIT)


def test_gzip_reads_members_and_ignores_what_follows() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two")
    assert decompress(Codec.GZIP, packed, LIMIT) == b"one two"
    assert decompress(Codec.GZIP, packed + bytes(20), LIMIT) == b"one two"


def test_zstd_reads_frames_without_a_size_and_more_than_one() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"one ")
    stream = zstandard.ZstdCompressor().compressobj()
    streamed = stream.compress(b"two") + stream.flush()
    assert decompress(Codec.ZSTD, unsized + streamed, LIMIT) == b"one two"


@pytest.mark.parametrize("codec", COMPRESSING)
def test_the_cap_is_exact(codec: Codec) -> None:
    packed = compress(codec, TEXT)
    assert decompress(codec, packed, len(TEXT)) == TEXT
    with pytest.raises(MessageTooLargeError, match=str(len(TEXT) - 1)):
        decompress(codec, packed, len(TEXT) - 1)


def test_the_cap_holds_for_plain_bytes() -> None:
    with pytest.raises(MessageTooLargeError):
        decompress(Codec.NONE, b"four", 3)


@pytest.mark.parametrize("codec", COMPRESSING)
def test_a_bomb_stays_under_the_cap(codec: Codec) -> None:
    bomb = compress(codec, bytes(64 * 1024 * 1024))
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLargeError):
            decompress(codec, bomb, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * LIMIT


def test_many_small_gzip_members_stay_under_the_cap() -> None:
    with pytest.raises(MessageTooLargeError):
        decompress(Codec.GZIP, gzip.compress(bytes(1_000)) * 1_001, LIMIT)


def test_a_snappy_block_that_claims_too_much_allocates_nothing() -> None:
    claim = b"\xff\xff\xff\xff\x0f"
    for data in (claim, compress(Codec.SNAPPY, b"")[:16] + struct.pack(">i", 5) + claim):
        with pytest.raises(CorruptMessageError, match="claims"):
            decompress(Codec.SNAPPY, data, 2**40)


@pytest.mark.parametrize("codec", COMPRESSING)
def test_cut_short(codec: Codec) -> None:
    packed = compress(codec, TEXT[:5_000])
    for size in range(len(packed)):
        # A snappy stream that ends between two blocks cannot be told from a whole one.
        if codec == Codec.SNAPPY and size == 16:
            continue
        with pytest.raises(CorruptMessageError):
            decompress(codec, packed[:size], LIMIT)


@pytest.mark.parametrize("codec", COMPRESSING)
@pytest.mark.parametrize("data", [b"\x01", b"rubbish" * 20, b"\xff" * 100, bytes(100)])
def test_rubbish(codec: Codec, data: bytes) -> None:
    with pytest.raises(ApiError):
        decompress(codec, data, LIMIT)


@pytest.mark.parametrize("codec", [-1, 5, 7])
def test_unknown_codecs(codec: int) -> None:
    with pytest.raises(UnsupportedCompressionTypeError):
        compress(codec, b"")
    with pytest.raises(UnsupportedCompressionTypeError):
        decompress(codec, b"", 1)
