"""Control records: transaction markers and the Raft records of the metadata log.

The key is int16 version 0 and int16 type (Kafka: ControlRecordType). The value belongs to the
type; only that of a transaction marker is read here, the others are the controller's.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import NO_PRODUCER_ID, Buffer
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record, iterate

_KEY = struct.Struct(">hh")
_KEY_VERSION = 0
_MARKER = struct.Struct(">hi")
_MARKER_VERSION = 0


class ControlType(IntEnum):
    """Type ids of control records."""

    ABORT = 0
    COMMIT = 1
    LEADER_CHANGE = 2
    SNAPSHOT_HEADER = 3
    SNAPSHOT_FOOTER = 4
    KRAFT_VERSION = 5
    KRAFT_VOTERS = 6


class EndTxnMarker(NamedTuple):
    """A transaction marker: ABORT or COMMIT, and the epoch of the coordinator that wrote it."""

    control_type: ControlType
    coordinator_epoch: int


def pack_key(control_type: ControlType) -> bytes:
    """The four bytes of a control record's key."""
    return _KEY.pack(_KEY_VERSION, control_type)


def parse_key(key: bytes | None) -> ControlType | None:
    """The type, None for one that is unknown and to be ignored.

    Raises CorruptMessageError for a key that is too short or has a negative version. Newer
    versions only add fields, so they are read alike.
    """
    if key is None or len(key) < _KEY.size:
        raise CorruptMessageError(f"{key!r} is no key of a control record")
    version, type_id = _KEY.unpack_from(key)
    if version < 0:
        raise CorruptMessageError(f"a control record's key has the version {version}")
    try:
        return ControlType(type_id)
    except ValueError:
        return None


def pack_marker_value(coordinator_epoch: int) -> bytes:
    """The value of an ABORT or COMMIT record."""
    return _MARKER.pack(_MARKER_VERSION, coordinator_epoch)


def build_control_batch(
    controls: Iterable[tuple[ControlType, bytes]],
    *,
    timestamp_ms: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    transactional: bool = False,
) -> bytes:
    """One uncompressed control batch of (type, value) records; ValueError if there is none."""
    return build_batch(
        [Record(0, timestamp_ms, pack_key(kind), value) for kind, value in controls],
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=transactional,
        control=True,
    )


def build_marker_batch(
    marker: EndTxnMarker,
    *,
    timestamp_ms: int,
    producer_id: int,
    producer_epoch: int,
    leader_epoch: int = -1,
) -> bytes:
    """The batch that ends a producer's transaction in a partition."""
    return build_control_batch(
        [(marker.control_type, pack_marker_value(marker.coordinator_epoch))],
        timestamp_ms=timestamp_ms,
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=True,
    )


def read_controls(batch: Buffer) -> list[tuple[ControlType, Record]]:
    """The records of a control batch with their types; unknown types are left out."""
    controls: list[tuple[ControlType, Record]] = []
    for record in iterate(batch):
        control_type = parse_key(record.key)
        if control_type is not None:
            controls.append((control_type, record))
    return controls


def read_marker(batch: Buffer) -> EndTxnMarker | None:
    """The transaction marker of a control batch, None if it holds no marker.

    Raises CorruptMessageError when the marker is malformed.
    """
    for control_type, record in read_controls(batch):
        if control_type in (ControlType.ABORT, ControlType.COMMIT):
            value = record.value
            if value is None or len(value) < _MARKER.size:
                raise CorruptMessageError(f"{value!r} is no value of a transaction marker")
            version, coordinator_epoch = _MARKER.unpack_from(value)
            if version < 0:
                raise CorruptMessageError(f"a transaction marker has the version {version}")
            return EndTxnMarker(control_type, coordinator_epoch)
    return None
