"""Header view, walk, CRC and patching in place."""

import struct

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import (
    CONTROL_BIT,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    LOG_APPEND_TIME_BIT,
    MAX_SEQUENCE,
    TRANSACTIONAL_BIT,
    BatchHeader,
    crc_valid,
    pack_header,
    patch_offsets,
    read_header,
    rewrite_crc,
    rewrite_log_append_time,
    walk,
)
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record, iterate


def batch_of(count: int, base_offset: int = 0) -> bytes:
    records = [Record(0, 1_000 + i, b"k", b"value %d" % i) for i in range(count)]
    return build_batch(records, base_offset=base_offset)


def header_with(**changes: int) -> BatchHeader:
    return read_header(batch_of(3, base_offset=10))._replace(**changes)


def test_read_header_reads_every_field() -> None:
    header = BatchHeader(2**62, 49, 7, 2, 2**32 - 1, 0x7F, 4, -1, 2**40, 99, 3, 12, 5)
    packed = pack_header(header)
    assert len(packed) == HEADER_BYTES
    assert read_header(b"xx" + packed, 2) == header
    assert type(read_header(packed)) is BatchHeader


def test_read_header_of_too_few_bytes_is_a_struct_error() -> None:
    with pytest.raises(struct.error):
        read_header(bytes(60))


def test_derived_values() -> None:
    header = header_with()
    assert header.size_bytes == len(batch_of(3))
    assert (header.last_offset, header.next_offset) == (12, 13)
    assert header.codec == 0
    assert not header.log_append_time
    assert not header.transactional
    assert not header.control
    assert not header.has_delete_horizon
    assert header_with(attributes=LOG_APPEND_TIME_BIT).log_append_time
    assert header_with(attributes=TRANSACTIONAL_BIT).transactional
    assert header_with(attributes=CONTROL_BIT).control
    assert header_with(attributes=DELETE_HORIZON_BIT).has_delete_horizon
    assert header_with(attributes=0x7C).codec == 4


@pytest.mark.parametrize(
    ("base", "delta", "last"),
    [(-1, 5, -1), (0, 0, 0), (7, 3, 10), (MAX_SEQUENCE, 0, MAX_SEQUENCE), (MAX_SEQUENCE, 1, 0)],
)
def test_last_sequence_wraps_to_zero(base: int, delta: int, last: int) -> None:
    assert header_with(base_sequence=base, last_offset_delta=delta).last_sequence == last


def test_walk_visits_each_batch_within_its_bounds() -> None:
    batches = [batch_of(count, base_offset=count) for count in (1, 2, 3)]
    data = b"".join(batches)
    starts = [0, len(batches[0]), len(batches[0]) + len(batches[1])]
    assert [position for position, _ in walk(data)] == starts
    assert [header.record_count for _, header in walk(memoryview(data))] == [1, 2, 3]
    assert [position for position, _ in walk(data, starts[1], starts[2])] == [starts[1]]


def test_walk_stops_before_an_incomplete_batch_whatever_the_cut() -> None:
    first = batch_of(2)
    data = first + batch_of(3)
    for end in range(len(first), len(data)):
        assert len(list(walk(data[:end]))) == 1
        assert len(list(walk(data, 0, end))) == 1
    assert list(walk(b"")) == []


@pytest.mark.parametrize("length", [-(2**31), -12, -1, 0, 48])
def test_walk_raises_at_an_impossible_length(length: int) -> None:
    data = bytearray(batch_of(1))
    struct.pack_into(">i", data, 8, length)
    with pytest.raises(CorruptMessageError, match="length"):
        list(walk(data))


@pytest.mark.parametrize("magic", [-1, 0, 1, 3])
def test_walk_raises_at_another_magic(magic: int) -> None:
    data = bytearray(batch_of(1))
    struct.pack_into(">b", data, 16, magic)
    with pytest.raises(CorruptMessageError, match="magic"):
        list(walk(data))


def test_crc_covers_everything_from_the_attributes_on() -> None:
    data = batch_of(2)
    header = read_header(data)
    assert crc_valid(data, 0, header)
    assert crc_valid(memoryview(b"..." + data), 3, header)
    for position in range(21, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        assert not crc_valid(damaged, 0, header)
    assert not crc_valid(data[:-1], 0, header)
    assert not crc_valid(data, 0, header._replace(batch_length=9))


def test_patching_offsets_keeps_the_crc() -> None:
    data = bytearray(b"." * 5 + batch_of(2))
    patch_offsets(memoryview(data), 5, 2**50, 42)
    header = read_header(data, 5)
    assert (header.base_offset, header.partition_leader_epoch) == (2**50, 42)
    assert crc_valid(data, 5, header)
    assert data[:5] == b"....."


def test_log_append_time_replaces_every_timestamp() -> None:
    data = bytearray(b"." * 5 + batch_of(2) + b"!")
    rewrite_log_append_time(data, 5, 777_000)
    header = read_header(data, 5)
    assert header.log_append_time
    assert header.max_timestamp == 777_000
    assert crc_valid(data, 5, header)
    assert [record.timestamp_ms for record in iterate(memoryview(data)[5:])] == [777_000] * 2
    assert data[-1:] == b"!"


def test_rewrite_crc_repairs_a_changed_batch() -> None:
    data = bytearray(batch_of(2))
    data[-2] ^= 1
    assert not crc_valid(data, 0, read_header(data))
    rewrite_crc(data, 0, len(data))
    assert crc_valid(data, 0, read_header(data))
