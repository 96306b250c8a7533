"""Two other implementations read the batches we build, and we read theirs, with every codec."""

from typing import Any

import pytest
from aiokafka.record import default_records as aio
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import default_records as kp
from kafka.record.memory_records import MemoryRecords

from tierbroker.records.batch import TimestampType, crc_valid, patch_offsets, read_header, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.record import Record, iterate
from tierbroker.records.validate import validate_produce

READERS = [kp.DefaultRecordBatch, aio.DefaultRecordBatch, aio._DefaultRecordBatchPy]
WRITERS = [
    kp.DefaultRecordBatchBuilder,
    aio.DefaultRecordBatchBuilder,
    aio._DefaultRecordBatchBuilderPy,
]
SMALL_BYTES = st.none() | st.binary(max_size=60)
RECORDS = st.lists(
    st.builds(
        Record,
        offset=st.just(0),
        timestamp_ms=st.integers(0, 2**45),
        key=SMALL_BYTES,
        value=SMALL_BYTES | st.just(b"compressible " * 30),
        headers=st.lists(st.tuples(st.text(max_size=8), SMALL_BYTES), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=12,
)


def seen_by(reader: Any, batch: bytes) -> list[Record]:
    """The batch's records as the other implementation reads them."""
    other = reader(bytearray(batch))
    assert other.validate_crc()
    return [
        Record(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
        for record in other
    ]


def numbered(records: list[Record], base_offset: int) -> list[Record]:
    return [record._replace(offset=base_offset + i) for i, record in enumerate(records)]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("reader", READERS, ids=["kafka-python", "aiokafka", "aiokafka-pure"])
@given(RECORDS, st.integers(0, 2**50))
def test_others_read_ours(
    reader: Any, codec: Codec, records: list[Record], base_offset: int
) -> None:
    batch = build_batch(records, codec=codec, base_offset=base_offset, leader_epoch=4)
    assert seen_by(reader, batch) == numbered(records, base_offset)


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("writer", WRITERS, ids=["kafka-python", "aiokafka", "aiokafka-pure"])
@given(RECORDS, st.booleans(), st.integers(0, 2**50))
def test_we_read_theirs(
    writer: Any, codec: Codec, records: list[Record], idempotent: bool, base_offset: int
) -> None:
    builder = writer(
        magic=2,
        compression_type=int(codec),
        is_transactional=0,
        producer_id=9 if idempotent else -1,
        producer_epoch=1 if idempotent else -1,
        base_sequence=5 if idempotent else -1,
        batch_size=1_000_000,
    )
    for i, record in enumerate(records):
        builder.append(
            i,
            timestamp=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
        )
    batch = bytearray(builder.build())
    header = validate_produce(
        memoryview(batch),
        max_message_bytes=1_000_000,
        now_ms=2**45,
        timestamp_type=TimestampType.CREATE_TIME,
        before_max_ms=2**63 - 1,
        after_max_ms=0,
        compacted=False,
    )
    assert header.last_sequence == (5 + len(records) - 1 if idempotent else -1)
    patch_offsets(batch, 0, base_offset, 3)
    assert crc_valid(batch, 0, read_header(batch))
    assert list(iterate(batch)) == numbered(records, base_offset)


@given(st.lists(RECORDS, min_size=1, max_size=4), st.sampled_from(list(Codec)))
def test_others_walk_as_we_do(batches: list[list[Record]], codec: Codec) -> None:
    log = b"".join(build_batch(records, codec=codec) for records in batches)
    theirs = MemoryRecords(log)
    sizes = []
    while theirs.has_next():
        sizes.append(theirs.next_batch().size_in_bytes)
    assert [header.size_bytes for _, header in walk(log)] == sizes


@pytest.mark.parametrize("kind", [ControlType.ABORT, ControlType.COMMIT])
def test_others_read_our_transaction_markers(kind: ControlType) -> None:
    batch = build_marker_batch(
        EndTxnMarker(kind, 3), timestamp_ms=5, producer_id=8, producer_epoch=1
    )
    for reader in READERS:
        other = reader(bytearray(batch))
        assert other.is_control_batch
        assert other.is_transactional
        assert other.producer_id == 8
    (record,) = kp.DefaultRecordBatch(bytearray(batch))
    assert (record.abort, record.commit) == (
        kind is ControlType.ABORT,
        kind is ControlType.COMMIT,
    )
