"""Control records."""

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import crc_valid, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.control import (
    ControlType,
    EndTxnMarker,
    build_control_batch,
    build_marker_batch,
    pack_key,
    parse_key,
    read_controls,
    read_marker,
)
from tierbroker.records.record import Record, iterate


def test_type_ids_are_kafkas() -> None:
    assert [kind.name for kind in ControlType] == [
        "ABORT",
        "COMMIT",
        "LEADER_CHANGE",
        "SNAPSHOT_HEADER",
        "SNAPSHOT_FOOTER",
        "KRAFT_VERSION",
        "KRAFT_VOTERS",
    ]
    assert [kind.value for kind in ControlType] == list(range(7))


def test_keys() -> None:
    assert pack_key(ControlType.KRAFT_VOTERS) == bytes([0, 0, 0, 6])
    for kind in ControlType:
        assert parse_key(pack_key(kind)) is kind
    assert parse_key(b"\x00\x01\x00\x01more") is ControlType.COMMIT
    assert parse_key(b"\x00\x00\x00\x63") is None


@pytest.mark.parametrize("key", [None, b"", b"\x00\x00\x00", b"\xff\xff\x00\x00"])
def test_malformed_keys(key: bytes | None) -> None:
    with pytest.raises(CorruptMessageError):
        parse_key(key)


@pytest.mark.parametrize("kind", [ControlType.ABORT, ControlType.COMMIT])
def test_a_transaction_marker(kind: ControlType) -> None:
    marker = EndTxnMarker(kind, 12)
    data = build_marker_batch(marker, timestamp_ms=5, producer_id=7, producer_epoch=2)
    header = read_header(data)
    assert header.control
    assert header.transactional
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 2, -1)
    assert crc_valid(data, 0, header)
    (record,) = iterate(data)
    assert record.value == bytes([0, 0, 0, 0, 0, 12])
    assert read_marker(data) == marker


def test_a_batch_of_raft_records() -> None:
    controls = [(ControlType.LEADER_CHANGE, b"leader"), (ControlType.KRAFT_VERSION, b"version")]
    data = build_control_batch(controls, timestamp_ms=9, base_offset=40, leader_epoch=3)
    header = read_header(data)
    assert header.control
    assert not header.transactional
    assert (header.partition_leader_epoch, header.base_offset) == (3, 40)
    found = read_controls(data)
    assert [(kind, record.value) for kind, record in found] == controls
    assert [record.offset for _, record in found] == [40, 41]
    assert read_marker(data) is None


def test_unknown_types_are_left_out() -> None:
    records = [Record(0, 1, b"\x00\x00\x00\x63", b"?"), Record(0, 1, b"\x00\x00\x00\x02", b"v")]
    data = build_batch(records, control=True)
    assert [kind for kind, _ in read_controls(data)] == [ControlType.LEADER_CHANGE]


@pytest.mark.parametrize("value", [None, b"", b"\x00\x00\x00", b"\xff\xff\x00\x00\x00\x01"])
def test_a_malformed_marker(value: bytes | None) -> None:
    data = build_batch([Record(0, 1, pack_key(ControlType.ABORT), value)], control=True)
    with pytest.raises(CorruptMessageError):
        read_marker(data)
