"""Batches made by Apache Kafka 4.3's own library: read with every codec, built alike to the byte.

`batches/` holds ten records with nulls, headers and rising timestamps, written by
MemoryRecordsBuilder for a transactional producer, and an abort marker.
"""

from pathlib import Path

import pytest

from tierbroker.records.batch import crc_valid, patch_offsets, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.control import (
    ControlType,
    EndTxnMarker,
    build_marker_batch,
    read_marker,
)
from tierbroker.records.record import Record, iterate

GOLDEN = Path(__file__).parent / "batches"
RECORDS = [
    Record(
        offset=i,
        timestamp_ms=1_000 + i * i,
        key=None if i % 3 == 0 else b"key %d" % i,
        value=None if i % 4 == 3 else b"value value value value " * i,
        headers=((f"h{i}", None if i % 2 == 0 else b"x"),),
    )
    for i in range(10)
]


@pytest.mark.parametrize("codec", list(Codec))
def test_we_read_kafkas_batches(codec: Codec) -> None:
    data = (GOLDEN / f"{codec.name.lower()}.bin").read_bytes()
    header = read_header(data)
    assert header.codec == codec
    assert header.size_bytes == len(data)
    assert crc_valid(data, 0, header)
    assert list(iterate(data)) == RECORDS


def test_an_uncompressed_batch_is_kafkas_to_the_byte() -> None:
    ours = build_batch(
        RECORDS,
        leader_epoch=3,
        producer_id=7,
        producer_epoch=1,
        base_sequence=5,
        transactional=True,
    )
    assert ours == (GOLDEN / "none.bin").read_bytes()


def test_an_abort_marker_is_kafkas_to_the_byte() -> None:
    data = (GOLDEN / "abort.bin").read_bytes()
    marker = EndTxnMarker(ControlType.ABORT, 9)
    assert read_marker(data) == marker
    ours = bytearray(
        build_marker_batch(marker, timestamp_ms=1_234, producer_id=7, producer_epoch=1)
    )
    patch_offsets(ours, 0, 40, 3)
    assert ours == data
