"""Events of the tier as bytes."""

import pytest

from tests.tier_state import INCARNATION, STORE, TOPIC, segment
from tierbroker.records.tier.errors import CorruptTierEventError, UnknownTierEventError
from tierbroker.records.tier.events import (
    CommitMark,
    TierAbandon,
    TierCheckpointed,
    TierCommit,
    TierDrop,
    TierEvent,
    TierForget,
    TierIntent,
    TierPartitionState,
    TierPurged,
    TierPurgeState,
    TierRetire,
    TierSpill,
    TierStoreBound,
    decode,
    encode,
)
from tierbroker.records.tier.garbage import NEVER_MS, GarbageArray, GarbageObject
from tierbroker.records.tier.segment import ObjectKind, SegmentArray, SliceArray, TierSlice

SLICE = TierSlice(0, 99, 5, 1 << 40, 1000, 7, 1 << 50, 2, 56_000, 1)
GARBAGE = GarbageObject(ObjectKind.MANIFEST, 1, 2, 3, 4, 5, NEVER_MS, 7, 8, True)
EVENTS: list[TierEvent] = [
    TierStoreBound(STORE, INCARNATION),
    TierIntent(TOPIC, 7, 2, 10, 19, 1 << 40, ObjectKind.MANIFEST, 65_535),
    TierCommit(TOPIC, 7, segment(10, 19)),
    TierAbandon(TOPIC, 7, 12, 1_700_000_000_000),
    TierRetire(TOPIC, 7, 2, 15, 1_700_000_000_000),
    TierDrop(TOPIC, 7, 2, 15, 1_700_000_000_000),
    TierSpill(TOPIC, 7, SLICE),
    TierForget(TOPIC, 7, (1, 2, 1 << 40)),
    TierForget(TOPIC, 7, ()),
    TierCheckpointed(3, 4, 5),
    TierPurged(TOPIC),
    TierPartitionState(TOPIC, 7, 15),
    TierPartitionState(
        TOPIC,
        7,
        15,
        True,
        SliceArray.of([SLICE]),
        SegmentArray.of([segment(100, 119)]),
        (TierIntent(TOPIC, 7, 2, 120, 129, 50, ObjectKind.SEGMENT, 1),),
        GarbageArray.of([GARBAGE, GARBAGE._replace(kind=ObjectKind.SEGMENT, expand=False)]),
        (CommitMark(5, 119),),
    ),
    TierPurgeState(TOPIC, 5, NEVER_MS),
]


def name(event: TierEvent) -> str:
    return type(event).__name__


@pytest.mark.parametrize("event", EVENTS, ids=name)
def test_an_event_comes_back_as_it_was(event: TierEvent) -> None:
    assert decode(encode(event)) == event


@pytest.mark.parametrize("event", EVENTS, ids=name)
def test_an_event_cut_short_or_with_rubbish_behind_is_none(event: TierEvent) -> None:
    data = encode(event)
    for end in range(len(data)):
        with pytest.raises(CorruptTierEventError):
            decode(data[:end])
    with pytest.raises(CorruptTierEventError):
        decode(data + b"\0")


@pytest.mark.parametrize("event", EVENTS, ids=name)
def test_a_later_layout_is_not_guessed_at(event: TierEvent) -> None:
    data = bytearray(encode(event))
    data[1] += 1
    with pytest.raises(UnknownTierEventError, match="newer tierbroker"):
        decode(bytes(data))


@pytest.mark.parametrize("kind", [0, 8, 14, 255])
def test_a_later_kind_is_not_guessed_at(kind: int) -> None:
    with pytest.raises(UnknownTierEventError, match=f"kind {kind}, version 0"):
        decode(bytes((kind, 0)) + bytes(40))


def test_kinds_are_what_they_were() -> None:
    """What is in logs already must stay readable."""
    kinds = {name(event): encode(event)[:2] for event in EVENTS}
    assert kinds == {
        "TierStoreBound": b"\x01\x00",
        "TierIntent": b"\x02\x00",
        "TierCommit": b"\x03\x00",
        "TierAbandon": b"\x04\x00",
        "TierRetire": b"\x05\x00",
        "TierSpill": b"\x06\x00",
        "TierForget": b"\x07\x00",
        "TierCheckpointed": b"\x09\x00",
        "TierPurged": b"\x0a\x00",
        "TierPartitionState": b"\x0b\x00",
        "TierPurgeState": b"\x0c\x00",
        "TierDrop": b"\x0d\x00",
    }


def test_an_object_of_no_known_kind() -> None:
    intent = bytearray(encode(EVENTS[1]))
    intent[-3] = 9
    with pytest.raises(CorruptTierEventError, match="9 is not a valid ObjectKind"):
        decode(bytes(intent))
    state = bytearray(encode(TierPartitionState(TOPIC, 0, 0, garbage=GarbageArray.of([GARBAGE]))))
    state[-2] = 9
    with pytest.raises(CorruptTierEventError, match="unknown kind 9"):
        decode(bytes(state))


def test_a_count_beyond_the_bytes_allocates_nothing() -> None:
    data = bytearray(encode(TierForget(TOPIC, 0, (1,))))
    data[22:26] = b"\xff\xff\xff\xff"
    with pytest.raises(CorruptTierEventError, match="4294967295 offsets"):
        decode(bytes(data))
