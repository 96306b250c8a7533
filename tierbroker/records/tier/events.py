"""The events of the object tier, as they stand in the metadata log.

An event is a kind (1 byte), the version of that kind's layout (1 byte), and fixed big-endian
fields; variable parts come with their length. What a later release adds, an older one refuses to
guess at. This module gives an event its bytes and never its meaning: that is `state`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

from tierbroker.base.ids import Uuid
from tierbroker.records.tier.errors import CorruptTierEventError, UnknownTierEventError
from tierbroker.records.tier.garbage import GarbageArray
from tierbroker.records.tier.segment import (
    ObjectKind,
    SegmentArray,
    SliceArray,
    TierSegment,
    TierSlice,
)


class TierStoreBound(NamedTuple):
    """The cluster keeps its objects in this store, and from here on under this incarnation."""

    store_id: Uuid
    incarnation: Uuid


class TierIntent(NamedTuple):
    """An object with this name may come to exist from here on."""

    topic_id: Uuid
    partition: int
    leader_epoch: int
    base_offset: int
    end_offset: int
    """Inclusive."""
    intent_offset: int
    """The offset of this very record."""
    kind: ObjectKind = ObjectKind.SEGMENT
    incarnation: int = 0
    """Index into TierState.incarnations."""


class TierCommit(NamedTuple):
    """A segment's object is in the store and verified: it counts."""

    topic_id: Uuid
    partition: int
    segment: TierSegment


class TierAbandon(NamedTuple):
    """An intent was given up: its object, if it exists, is garbage."""

    topic_id: Uuid
    partition: int
    intent_offset: int
    now_ms: int


class TierRetire(NamedTuple):
    """The log starts at `log_start_offset`: objects wholly below are garbage."""

    topic_id: Uuid
    partition: int
    leader_epoch: int
    log_start_offset: int
    now_ms: int


class TierDrop(NamedTuple):
    """The partition has no cold part any more: all its objects are garbage, whatever they hold.

    The log is what brokers have, and starts at `log_start_offset`.
    """

    topic_id: Uuid
    partition: int
    leader_epoch: int
    log_start_offset: int
    now_ms: int


class TierSpill(NamedTuple):
    """A manifest object takes the place of the oldest unspilled segments, which it lists."""

    topic_id: Uuid
    partition: int
    slice: TierSlice


class TierForget(NamedTuple):
    """The objects of this garbage are deleted."""

    topic_id: Uuid
    partition: int
    intent_offsets: tuple[int, ...]


class TierCheckpointed(NamedTuple):
    """A bucket checkpoint of the metadata as of `metadata_offset` (inclusive) is durable."""

    sequence: int
    metadata_offset: int
    now_ms: int


class TierPurged(NamedTuple):
    """No object of a deleted topic is left."""

    topic_id: Uuid


class CommitMark(NamedTuple):
    """At this metadata offset the tier of a partition reached that end offset (inclusive)."""

    metadata_offset: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class TierPartitionState:
    """In snapshots: a piece of what is known of a partition; the pieces add up in their order."""

    topic_id: Uuid
    partition: int
    log_start_offset: int
    purged: bool = False
    """It belongs to a deleted topic, whose `TierPurgeState` came before."""
    slices: SliceArray = field(default_factory=SliceArray)
    segments: SegmentArray = field(default_factory=SegmentArray)
    intents: tuple[TierIntent, ...] = ()
    garbage: GarbageArray = field(default_factory=GarbageArray)
    marks: tuple[CommitMark, ...] = ()


class TierPurgeState(NamedTuple):
    """In snapshots: a topic that was deleted, whose objects are being deleted."""

    topic_id: Uuid
    since_metadata_offset: int
    since_ms: int


TierEvent = (
    TierStoreBound
    | TierIntent
    | TierCommit
    | TierAbandon
    | TierRetire
    | TierDrop
    | TierSpill
    | TierForget
    | TierCheckpointed
    | TierPurged
    | TierPartitionState
    | TierPurgeState
)


def encode(event: TierEvent) -> bytes:
    """The event as it goes into the metadata log."""
    kind, write = _WRITERS[type(event)]
    return bytes((kind, _VERSION)) + write(event)


def decode(data: bytes) -> TierEvent:
    """The event in these bytes.

    Raises UnknownTierEventError for what a newer release wrote, CorruptTierEventError for what
    nobody wrote.
    """
    if len(data) < 2:
        raise CorruptTierEventError(f"{len(data)} bytes are no tier event")
    kind, version = data[0], data[1]
    read = _READERS.get(kind)
    if read is None or version > _VERSION:
        raise UnknownTierEventError(
            f"a tier event of kind {kind}, version {version}, was made by a newer tierbroker:"
            " start the version that wrote this data, or a later one"
        )
    try:
        event, end = read(data)
    except (struct_error, ValueError) as error:
        raise CorruptTierEventError(f"a tier event of kind {kind}: {error}") from error
    if end != len(data):
        raise CorruptTierEventError(f"{len(data) - end} bytes after a tier event of kind {kind}")
    return event


_VERSION = 0
_HEAD = 2

_STORE = Struct(">16s16s")
_INTENT = Struct(">16siiqqqBH")
_TOPIC = Struct(">16s")
_PARTITION = Struct(">16si")
_ABANDON = Struct(">16siqq")
_RETIRE = Struct(">16siiqq")
_CHECKPOINT = Struct(">qqq")
_PURGE_STATE = Struct(">16sqq")
_STATE = Struct(">16siqBIIIII")
_OPEN_INTENT = Struct(">iqqqBH")
_MARK = Struct(">qq")
_COUNT = Struct(">I")


def _write_store(event: TierStoreBound) -> bytes:
    return _STORE.pack(*event)


def _read_store(data: bytes) -> tuple[TierEvent, int]:
    store, incarnation = _STORE.unpack_from(data, _HEAD)
    return TierStoreBound(Uuid(store), Uuid(incarnation)), _HEAD + _STORE.size


def _write_intent(event: TierIntent) -> bytes:
    return _INTENT.pack(*event)


def _read_intent(data: bytes) -> tuple[TierEvent, int]:
    topic, partition, epoch, base, end, intent, kind, slot = _INTENT.unpack_from(data, _HEAD)
    read = TierIntent(Uuid(topic), partition, epoch, base, end, intent, ObjectKind(kind), slot)
    return read, _HEAD + _INTENT.size


def _write_commit(event: TierCommit) -> bytes:
    return _PARTITION.pack(*event[:2]) + SegmentArray.of((event.segment,)).data


def _read_commit(data: bytes) -> tuple[TierEvent, int]:
    topic, partition = _PARTITION.unpack_from(data, _HEAD)
    segments = SegmentArray(data[_HEAD + _PARTITION.size :])
    (segment,) = segments
    return TierCommit(Uuid(topic), partition, segment), len(data)


def _write_abandon(event: TierAbandon) -> bytes:
    return _ABANDON.pack(*event)


def _read_abandon(data: bytes) -> tuple[TierEvent, int]:
    topic, *rest = _ABANDON.unpack_from(data, _HEAD)
    return TierAbandon(Uuid(topic), *rest), _HEAD + _ABANDON.size


def _write_retire(event: TierRetire | TierDrop) -> bytes:
    return _RETIRE.pack(*event)


def _read_retire(data: bytes) -> tuple[TierEvent, int]:
    topic, *rest = _RETIRE.unpack_from(data, _HEAD)
    return TierRetire(Uuid(topic), *rest), _HEAD + _RETIRE.size


def _read_drop(data: bytes) -> tuple[TierEvent, int]:
    topic, *rest = _RETIRE.unpack_from(data, _HEAD)
    return TierDrop(Uuid(topic), *rest), _HEAD + _RETIRE.size


def _write_spill(event: TierSpill) -> bytes:
    return _PARTITION.pack(*event[:2]) + SliceArray.of((event.slice,)).data


def _read_spill(data: bytes) -> tuple[TierEvent, int]:
    topic, partition = _PARTITION.unpack_from(data, _HEAD)
    slices = SliceArray(data[_HEAD + _PARTITION.size :])
    (spilled,) = slices
    return TierSpill(Uuid(topic), partition, spilled), len(data)


def _write_forget(event: TierForget) -> bytes:
    count = len(event.intent_offsets)
    offsets = Struct(f">{count}q").pack(*event.intent_offsets)
    return _PARTITION.pack(*event[:2]) + _COUNT.pack(count) + offsets


def _read_forget(data: bytes) -> tuple[TierEvent, int]:
    topic, partition = _PARTITION.unpack_from(data, _HEAD)
    position = _HEAD + _PARTITION.size
    (count,) = _COUNT.unpack_from(data, position)
    position += _COUNT.size
    if count * 8 != len(data) - position:
        raise CorruptTierEventError(f"{count} offsets in {len(data) - position} bytes")
    offsets = Struct(f">{count}q").unpack_from(data, position)
    return TierForget(Uuid(topic), partition, offsets), len(data)


def _write_checkpointed(event: TierCheckpointed) -> bytes:
    return _CHECKPOINT.pack(*event)


def _read_checkpointed(data: bytes) -> tuple[TierEvent, int]:
    return TierCheckpointed(*_CHECKPOINT.unpack_from(data, _HEAD)), _HEAD + _CHECKPOINT.size


def _write_purged(event: TierPurged) -> bytes:
    return _TOPIC.pack(event.topic_id)


def _read_purged(data: bytes) -> tuple[TierEvent, int]:
    (topic,) = _TOPIC.unpack_from(data, _HEAD)
    return TierPurged(Uuid(topic)), _HEAD + _TOPIC.size


def _write_partition_state(event: TierPartitionState) -> bytes:
    head = _STATE.pack(
        event.topic_id,
        event.partition,
        event.log_start_offset,
        event.purged,
        len(event.slices),
        len(event.segments),
        len(event.intents),
        len(event.garbage),
        len(event.marks),
    )
    intents = b"".join(_OPEN_INTENT.pack(*intent[2:]) for intent in event.intents)
    marks = b"".join(_MARK.pack(*mark) for mark in event.marks)
    return b"".join(
        (head, event.slices.data, event.segments.data, intents, event.garbage.data, marks)
    )


def _read_partition_state(data: bytes) -> tuple[TierEvent, int]:
    topic, partition, log_start, purged, *counts = _STATE.unpack_from(data, _HEAD)
    topic_id = Uuid(topic)
    sizes = (
        SliceArray.ENTRY_BYTES,
        SegmentArray.ENTRY_BYTES,
        _OPEN_INTENT.size,
        GarbageArray.ENTRY_BYTES,
        _MARK.size,
    )
    parts: list[bytes] = []
    position = _HEAD + _STATE.size
    for count, size in zip(counts, sizes, strict=True):
        end = position + count * size
        if end > len(data):
            raise CorruptTierEventError(f"{count} entries of {size} bytes exceed a tier event")
        parts.append(data[position:end])
        position = end
    slices, segments, intents, garbage, marks = parts
    read = TierPartitionState(
        topic_id,
        partition,
        log_start,
        bool(purged),
        SliceArray(slices),
        SegmentArray(segments),
        tuple(
            TierIntent(topic_id, partition, epoch, base, end, intent, ObjectKind(kind), slot)
            for epoch, base, end, intent, kind, slot in _OPEN_INTENT.iter_unpack(intents)
        ),
        GarbageArray(garbage),
        tuple(CommitMark(*mark) for mark in _MARK.iter_unpack(marks)),
    )
    for kind in read.garbage.kinds - set(ObjectKind):
        raise CorruptTierEventError(f"an object of unknown kind {kind}")
    return read, position


def _write_purge_state(event: TierPurgeState) -> bytes:
    return _PURGE_STATE.pack(*event)


def _read_purge_state(data: bytes) -> tuple[TierEvent, int]:
    topic, *rest = _PURGE_STATE.unpack_from(data, _HEAD)
    return TierPurgeState(Uuid(topic), *rest), _HEAD + _PURGE_STATE.size


# Kinds are never used for anything else. Kind 8 is kept free for what swaps objects for others.
_WRITERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    TierStoreBound: (1, _write_store),
    TierIntent: (2, _write_intent),
    TierCommit: (3, _write_commit),
    TierAbandon: (4, _write_abandon),
    TierRetire: (5, _write_retire),
    TierSpill: (6, _write_spill),
    TierForget: (7, _write_forget),
    TierCheckpointed: (9, _write_checkpointed),
    TierPurged: (10, _write_purged),
    TierPartitionState: (11, _write_partition_state),
    TierPurgeState: (12, _write_purge_state),
    TierDrop: (13, _write_retire),
}
_READERS: dict[int, Callable[[bytes], tuple[TierEvent, int]]] = {
    1: _read_store,
    2: _read_intent,
    3: _read_commit,
    4: _read_abandon,
    5: _read_retire,
    6: _read_spill,
    7: _read_forget,
    9: _read_checkpointed,
    10: _read_purged,
    11: _read_partition_state,
    12: _read_purge_state,
    13: _read_drop,
}
