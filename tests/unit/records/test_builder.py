"""Building batches."""

import pytest

from tierbroker.records.batch import crc_valid, read_header
from tierbroker.records.builder import build_batch, encode_varint
from tierbroker.records.compression import Codec
from tierbroker.records.record import Record, iterate

RECORDS = [Record(i, 100 + i % 3, b"k%d" % i, b"v" * i) for i in range(5)]


def test_every_header_field() -> None:
    data = build_batch(
        RECORDS,
        codec=Codec.LZ4,
        base_offset=1_000,
        leader_epoch=3,
        producer_id=77,
        producer_epoch=4,
        base_sequence=9,
        transactional=True,
    )
    header = read_header(data)
    assert header.size_bytes == len(data)
    assert crc_valid(data, 0, header)
    assert (header.base_offset, header.last_offset, header.record_count) == (1_000, 1_004, 5)
    assert (header.base_timestamp, header.max_timestamp) == (100, 102)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (77, 4, 9)
    assert header.partition_leader_epoch == 3
    assert header.codec == Codec.LZ4
    assert header.transactional
    assert not header.control


def test_a_plain_batch_has_no_producer() -> None:
    header = read_header(build_batch(RECORDS))
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (-1, -1, -1)
    assert header.partition_leader_epoch == -1


def test_log_append_time() -> None:
    data = build_batch(RECORDS, log_append_time_ms=5_000)
    assert read_header(data).max_timestamp == 5_000
    assert {record.timestamp_ms for record in iterate(data)} == {5_000}


def test_offsets_with_holes_keep_the_span_of_the_batch() -> None:
    data = build_batch(RECORDS[:2], base_offset=10, offsets=[12, 17], last_offset=20)
    header = read_header(data)
    assert (header.base_offset, header.last_offset, header.record_count) == (10, 20, 2)
    assert [record.offset for record in iterate(data)] == [12, 17]


def test_a_batch_may_be_empty_if_it_spans_offsets() -> None:
    header = read_header(build_batch([], base_offset=10, last_offset=12))
    assert (header.record_count, header.last_offset, header.max_timestamp) == (0, 12, -1)


@pytest.mark.parametrize(
    ("base_offset", "offsets", "last_offset"),
    [(0, [0], None), (5, [4, 6], None), (0, [0, 9], 8), (0, [0, 1], -1), (0, [3, 2], None)],
)
def test_offsets_that_do_not_fit(
    base_offset: int, offsets: list[int], last_offset: int | None
) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        build_batch(RECORDS[:2], base_offset=base_offset, offsets=offsets, last_offset=last_offset)


def test_no_records_and_no_span_is_no_batch() -> None:
    with pytest.raises(ValueError, match="0 records"):
        build_batch([])


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (63, "7e"),
        (-64, "7f"),
        (64, "8001"),
        (2**31 - 1, "feffffff0f"),
        (-(2**31), "ffffffff0f"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_varints(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded
