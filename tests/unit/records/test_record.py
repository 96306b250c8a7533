"""Reading the records of a batch, sound and malformed."""

import struct

import pytest

from tierbroker.base.errors import (
    CorruptMessageError,
    MessageTooLargeError,
    UnsupportedCompressionTypeError,
)
from tierbroker.records.batch import HEADER_BYTES
from tierbroker.records.builder import build_batch, encode_varint
from tierbroker.records.compression import Codec
from tierbroker.records.record import Record, iterate


def batch_with_body(body: bytes, count: int = 1, delta: int = 0) -> bytes:
    """A batch around any body; no CRC, which reading does not look at."""
    head = bytearray(build_batch([Record(0, 5, b"", b"")])[:HEADER_BYTES])
    struct.pack_into(">i", head, 8, HEADER_BYTES - 12 + len(body))
    struct.pack_into(">i", head, 23, delta)
    struct.pack_into(">i", head, 57, count)
    return bytes(head) + body


def record_bytes(content: bytes) -> bytes:
    return encode_varint(len(content)) + content


def test_nulls_and_empties_differ() -> None:
    records = [
        Record(3, 9, None, None, ()),
        Record(4, 8, b"", b"", (("", None), ("h", b""))),
        Record(5, 9, b"key", b"value", (("h", b"x"), ("h", b"y"))),
    ]
    assert list(iterate(build_batch(records, base_offset=3))) == records


def test_lengths_beyond_one_byte_of_varint() -> None:
    record = Record(0, 0, b"k" * 63, b"v" * 70_000, tuple((f"h{i}", b"x" * i) for i in range(200)))
    assert list(iterate(build_batch([record]))) == [record]


def test_timestamps_far_apart() -> None:
    stamps = [-(2**63), 2**62, 2**63 - 1, -1, 0]
    records = [Record(i, stamp, None, None) for i, stamp in enumerate(stamps[1:])]
    assert list(iterate(build_batch(records))) == records


def test_header_keys_that_are_no_utf8_survive() -> None:
    body = b"\x00\x00\x00\x01\x01" + b"\x02" + b"\x04\xff\xfe" + b"\x01"
    (record,) = iterate(batch_with_body(record_bytes(body)))
    again = build_batch([record])
    assert again[HEADER_BYTES:] == record_bytes(body)


def test_what_follows_the_batch_is_not_looked_at() -> None:
    batch = build_batch([Record(0, 1, b"k", b"v")])
    assert len(list(iterate(memoryview(batch + b"rubbish")))) == 1


def test_an_empty_batch_has_no_records_even_if_it_names_a_codec() -> None:
    batch = build_batch([], base_offset=5, last_offset=9, codec=Codec.ZSTD)
    assert list(iterate(batch)) == []


@pytest.mark.parametrize(
    "body",
    [
        record_bytes(b""),
        record_bytes(b"\x00\x00\x00\x01\x01"),
        record_bytes(b"\x00\x00\x00\x01\x01\x00") + b"\x00",
        record_bytes(b"\x00\x00\x00\x01\x01\x00\x00"),
        b"\x7e\x00\x00\x00\x01\x01\x00",
        b"\x01\x00\x00\x00\x01\x01\x00",
        record_bytes(b"\x00\x00\x00\x01\x7e\x00"),
        record_bytes(b"\x00\x00\x02\x01\x01\x00"),
        record_bytes(b"\x00\x00\x01\x01\x01\x00"),
        record_bytes(b"\x00" + b"\xff" * 10 + b"\x01" + b"\x00\x01\x01\x00"),
        record_bytes(b"\x00" + b"\xfe" + b"\xff" * 8 + b"\x01" + b"\x00\x01\x01\x00"),
        record_bytes(b"\x00\x00\x00\x01\x01\x01"),
        record_bytes(b"\x00\x00\x00\x01\x01\xfe\xff\xff\xff\x0f"),
        record_bytes(b"\x00\x00\x00\x01\x01\x02\x01\x00"),
        record_bytes(b"\x00\x00\x00\x01\x01\x02\x08a\x00"),
        record_bytes(b"\x00\x00\x00\x01\x01\x02\x02a\x08"),
        b"\xff" * 30,
        bytes(30),
    ],
    ids=[
        "empty record",
        "no header count",
        "bytes after the last record",
        "bytes within the record",
        "record longer than the batch",
        "negative record length",
        "value beyond the record",
        "offset beyond the last",
        "negative offset",
        "varint without end",
        "timestamp out of range",
        "negative header count",
        "huge header count",
        "negative header key",
        "header key beyond the record",
        "header value beyond the record",
        "all ones",
        "all zeros",
    ],
)
def test_malformed_records(body: bytes) -> None:
    with pytest.raises(CorruptMessageError):
        list(iterate(batch_with_body(body)))


@pytest.mark.parametrize("count", [-1, -(2**31), 3, 2**31 - 1])
def test_counts_that_cannot_be(count: int) -> None:
    body = record_bytes(b"\x00\x00\x00\x01\x01\x00")
    with pytest.raises(CorruptMessageError):
        list(iterate(batch_with_body(body * 2, count=count)))


@pytest.mark.parametrize("size", [0, 16, 60, 61, 70])
def test_a_batch_that_is_not_whole(size: int) -> None:
    with pytest.raises(CorruptMessageError):
        list(iterate(build_batch([Record(0, 1, b"k" * 50, b"v")])[:size]))


def test_other_formats_and_codecs() -> None:
    data = bytearray(build_batch([Record(0, 1, b"k", b"v")]))
    data[22] = 6
    with pytest.raises(UnsupportedCompressionTypeError):
        list(iterate(data))
    data[16] = 1
    with pytest.raises(CorruptMessageError):
        list(iterate(data))


def test_the_cap_holds_for_compressed_batches() -> None:
    data = build_batch([Record(0, 1, b"k", bytes(100_000))], codec=Codec.ZSTD)
    assert len(list(iterate(data, limit_bytes=100_100))) == 1
    with pytest.raises(MessageTooLargeError):
        list(iterate(data, limit_bytes=100_000))
