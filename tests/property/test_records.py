"""Batches and side files: what is written is read again, and damage raises only our own errors."""

import struct
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierbroker.base.errors import ApiError
from tierbroker.records import (
    epoch_lineage,
    offset_index,
    producer_snapshot,
    text_checkpoint,
    time_index,
    txn_index,
)
from tierbroker.records.batch import (
    HEADER_BYTES,
    BatchHeader,
    TimestampType,
    crc_valid,
    pack_header,
    patch_offsets,
    read_header,
    rewrite_crc,
    walk,
)
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec, compress, decompress
from tierbroker.records.control import read_marker
from tierbroker.records.errors import (
    CorruptCheckpointError,
    CorruptIndexError,
    CorruptSnapshotError,
)
from tierbroker.records.producer_snapshot import ProducerEntry
from tierbroker.records.record import Record, iterate
from tierbroker.records.txn_index import AbortedTxn
from tierbroker.records.validate import validate_produce

INT16 = st.integers(-(2**15), 2**15 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
CODECS = st.sampled_from(list(Codec))
SMALL_BYTES = st.none() | st.binary(max_size=80)
RECORDS = st.lists(
    st.builds(
        Record,
        offset=st.just(0),
        timestamp_ms=st.integers(-1, 2**62),
        key=SMALL_BYTES,
        value=SMALL_BYTES,
        headers=st.lists(st.tuples(st.text(max_size=10), SMALL_BYTES), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=20,
)
HEADERS = st.builds(
    BatchHeader,
    INT64,
    INT32,
    INT32,
    st.integers(-128, 127),
    st.integers(0, 2**32 - 1),
    INT16,
    INT32,
    INT64,
    INT64,
    INT64,
    INT16,
    INT32,
    INT32,
)


@given(HEADERS)
def test_headers(header: BatchHeader) -> None:
    assert read_header(pack_header(header)) == header


@given(RECORDS, CODECS, st.integers(0, 2**40))
def test_records_of_a_batch(records: list[Record], codec: Codec, base_offset: int) -> None:
    data = build_batch(records, codec=codec, base_offset=base_offset)
    assert crc_valid(data, 0, read_header(data))
    expected = [r._replace(offset=base_offset + i) for i, r in enumerate(records)]
    assert list(iterate(data)) == expected


@given(RECORDS, st.lists(st.integers(0, 50), min_size=20, max_size=20), st.integers(0, 9))
def test_records_with_holes(records: list[Record], gaps: list[int], tail: int) -> None:
    offsets = [sum(gaps[: i + 1]) + i for i in range(len(records))]
    last = offsets[-1] + tail
    data = build_batch(records, offsets=offsets, last_offset=last)
    assert [record.offset for record in iterate(data)] == offsets
    assert read_header(data).last_offset == last


@given(st.lists(RECORDS, max_size=5), st.data())
def test_walking_a_log(batches: list[list[Record]], data: st.DataObject) -> None:
    log, base_offset, starts = bytearray(), 0, []
    for records in batches:
        starts.append(len(log))
        log += build_batch(records)
        patch_offsets(log, starts[-1], base_offset, 7)
        base_offset += len(records)
    end = data.draw(st.integers(0, len(log)))
    seen = list(walk(log, 0, end))
    assert [position for position, _ in seen] == starts[: len(seen)]
    assert all(crc_valid(log, position, header) for position, header in seen)
    following = [*starts, len(log)]
    assert following[len(seen)] <= end
    assert len(seen) == len(starts) or following[len(seen) + 1] > end


@given(CODECS, st.binary(max_size=3_000), st.integers(0, 3_000))
def test_codecs_never_pass_the_cap(codec: Codec, data: bytes, cap: int) -> None:
    packed = compress(codec, data)
    if len(data) <= cap:
        assert decompress(codec, packed, cap) == data
    else:
        with pytest.raises(ApiError):
            decompress(codec, packed, cap)


@given(CODECS, st.binary(max_size=300))
def test_codecs_on_rubbish(codec: Codec, data: bytes) -> None:
    try:
        assert len(decompress(codec, data, 10_000)) <= 10_000
    except ApiError:
        pass


def damaged(data: st.DataObject, batch: bytes, start: int) -> bytearray:
    """The batch with a few bytes changed at or after `start`, perhaps cut or longer."""
    broken = bytearray(batch)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(start, len(broken) - 1))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(broken) + 5) | st.just(len(broken)))
    return broken[:size] + bytes(max(0, size - len(broken)))


@given(RECORDS, CODECS, st.data())
def test_reading_damaged_batches(records: list[Record], codec: Codec, data: st.DataObject) -> None:
    broken = damaged(data, build_batch(records, codec=codec), 0)
    for read in (
        lambda: list(iterate(broken)),
        lambda: list(walk(broken)),
        lambda: read_marker(broken),
    ):
        try:
            read()
        except ApiError:
            pass


@given(st.binary(max_size=200), CODECS, st.integers(-1, 10))
def test_reading_rubbish_records(body: bytes, codec: Codec, count: int) -> None:
    header = read_header(build_batch([Record(0, 1, None, None)], codec=codec))
    header = header._replace(batch_length=HEADER_BYTES - 12 + len(body), record_count=count)
    try:
        for record in iterate(pack_header(header) + body):
            struct.pack(">qq", record.offset, record.timestamp_ms)
    except ApiError:
        pass


@given(RECORDS, CODECS, st.booleans(), st.booleans(), st.data())
def test_validating_damaged_batches(
    records: list[Record], codec: Codec, repair: bool, compacted: bool, data: st.DataObject
) -> None:
    """What passes is a batch whose length, offsets and count agree, whatever was sent."""
    broken = damaged(data, build_batch(records, codec=codec), 0)
    if repair and len(broken) >= HEADER_BYTES:
        rewrite_crc(broken, 0, len(broken))
    try:
        header = validate_produce(
            memoryview(broken),
            max_message_bytes=100_000,
            now_ms=10,
            timestamp_type=TimestampType.CREATE_TIME,
            before_max_ms=2**63 - 1,
            after_max_ms=2**63 - 1,
            compacted=compacted,
        )
    except ApiError:
        pass
    else:
        assert header.size_bytes == len(broken)
        assert header.base_offset == 0
        assert header.record_count == header.last_offset_delta + 1 > 0
        assert crc_valid(broken, 0, header)
        assert not header.control


RISING = st.lists(st.integers(0, 2**31 - 1), unique=True, max_size=60).map(sorted)


@given(RISING, st.integers(0, 2**50), st.integers(-10, 2**31 + 10))
def test_offset_index_lookup(relatives: list[int], base: int, target: int) -> None:
    entries = [(base + relative, i + 1) for i, relative in enumerate(relatives)]
    data = b"".join(offset_index.pack_entry(base, *entry) for entry in entries)
    offset_index.check(data, base)
    assert list(offset_index.entries(data, base)) == entries
    slot = bisect_right(relatives, target) - 1
    expected = entries[slot] if slot >= 0 else (base, 0)
    assert offset_index.lookup(data, base, base + target) == expected


@given(RISING, st.integers(0, 2**50), st.integers(-10, 2**31 + 10))
def test_time_index_lookup(stamps: list[int], base: int, target: int) -> None:
    entries = [(stamp, base + i) for i, stamp in enumerate(stamps)]
    data = b"".join(time_index.pack_entry(base, *entry) for entry in entries)
    time_index.check(data, base)
    assert list(time_index.entries(data, base)) == entries
    slot = bisect_right(stamps, target) - 1
    expected = entries[slot] if slot >= 0 else (-1, base)
    assert time_index.lookup(data, base, target) == expected


@given(st.lists(st.tuples(INT64, INT64, INT64, INT64)))
def test_txn_index(fields: list[tuple[int, int, int, int]]) -> None:
    txns = [AbortedTxn(*each) for each in fields]
    assert list(txn_index.entries(b"".join(map(txn_index.pack_entry, txns)))) == txns


@given(st.lists(st.tuples(INT64, INT16, INT32, INT64, INT32, INT64, INT32, INT64)))
def test_producer_snapshot(fields: list[tuple[int, ...]]) -> None:
    producers = [ProducerEntry(*each) for each in fields]
    assert producer_snapshot.decode(producer_snapshot.encode(producers)) == producers


TOPICS = st.text("abcXYZ019._-", min_size=1, max_size=20)


@given(st.lists(st.tuples(TOPICS, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))))
def test_text_checkpoint(offsets: list[tuple[str, int, int]]) -> None:
    data = text_checkpoint.encode(offsets)
    assert text_checkpoint.decode(data) == offsets


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), max_size=20))
def test_epochs_always_rise(assignments: list[tuple[int, int]]) -> None:
    lineage = epoch_lineage.decode(epoch_lineage.encode([]))
    for epoch, start in assignments:
        lineage = epoch_lineage.assigned(lineage, epoch, start)
        assert lineage[-1].epoch == epoch
        assert epoch_lineage.epoch_at(lineage, max(start, lineage[-1].start_offset)) == epoch
        assert epoch_lineage.decode(epoch_lineage.encode(lineage)) == lineage
        for low, high in pairwise(lineage):
            assert low.start_offset < high.start_offset
            assert epoch_lineage.end_offset_for(lineage, low.epoch, 1_000) == (
                low.epoch,
                high.start_offset,
            )


@given(st.binary(max_size=200))
def test_side_files_of_rubbish(data: bytes) -> None:
    for read, fault in (
        (lambda: offset_index.check(data, 0, 1_000), CorruptIndexError),
        (lambda: time_index.check(data, 0), CorruptIndexError),
        (lambda: txn_index.check(data, 0), CorruptIndexError),
        (lambda: producer_snapshot.decode(data), CorruptSnapshotError),
        (lambda: text_checkpoint.decode(data), CorruptCheckpointError),
        (lambda: epoch_lineage.decode(data), CorruptCheckpointError),
    ):
        try:
            read()
        except fault:
            pass
