"""Small tiers for tests: segments, slices, and states that hold them."""

from typing import Any, NamedTuple

from tierbroker.base.ids import Uuid
from tierbroker.records.tier.events import (
    TierCommit,
    TierEvent,
    TierIntent,
    TierSpill,
    TierStoreBound,
    decode,
    encode,
)
from tierbroker.records.tier.segment import ObjectKind, TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier, TierDelta, TierState

TOPIC = Uuid(b"topic".ljust(16, b"."))
STORE = Uuid(b"store".ljust(16, b"."))
INCARNATION = Uuid(b"incarnation".ljust(16, b"."))


class UploadPlan(NamedTuple):
    """An object that a leader wants to write."""

    topic_id: Uuid
    partition: int
    leader_epoch: int
    base_offset: int
    end_offset: int
    kind: ObjectKind = ObjectKind.SEGMENT


def segment(base: int, end: int, intent: int = 1, **changes: Any) -> TierSegment:
    values: dict[str, Any] = {
        "leader_epoch": 3,
        "incarnation": 0,
        "log_bytes": 100,
        "object_bytes": 150,
        "max_timestamp_ms": 1000 + base,
        "checksum": 0xFEDC_BA98_7654_3210,
        "has_aborted": False,
    }
    return TierSegment(base, end, intent_offset=intent, **{**values, **changes})


def slice_of(tier: PartitionTier, count: int, intent: int) -> TierSlice:
    """The slice that may take the place of the oldest segments."""
    covered = list(tier.segments.front(count))
    return TierSlice(
        covered[0].base_offset,
        covered[-1].end_offset,
        max(entry.max_timestamp_ms for entry in covered),
        sum(entry.log_bytes for entry in covered),
        count,
        3,
        intent,
        0,
        56 * count,
        99,
    )


class History:
    """A state under change; each event stands at the next offset of a metadata log."""

    def __init__(self) -> None:
        self.state = TierState()
        self.offset = 0
        self.apply(TierStoreBound(STORE, INCARNATION))

    @property
    def tier(self) -> PartitionTier:
        """Partition 0."""
        found = self.state.partition(TOPIC, 0)
        assert found is not None
        return found

    def apply(self, event: TierEvent) -> None:
        self.offset += 1
        self.state = self.state.apply(event, self.offset)

    def begin(
        self, base: int, end: int, partition: int = 0, kind: ObjectKind = ObjectKind.SEGMENT
    ) -> int:
        """An intent; answers its offset."""
        self.apply(TierIntent(TOPIC, partition, 3, base, end, self.offset + 1, kind))
        return self.offset

    def upload(self, base: int, end: int, partition: int = 0) -> TierSegment:
        """An intent and its commit."""
        done = segment(base, end, self.begin(base, end, partition))
        self.apply(TierCommit(TOPIC, partition, done))
        return done

    def spill(self, count: int) -> TierSlice:
        """The oldest segments of partition 0 go into a manifest."""
        covered = self.tier.segments.front(count)
        intent = self.begin(covered.start_offset, covered.end_offset, 0, ObjectKind.MANIFEST)
        done = slice_of(self.tier, count, intent)
        self.apply(TierSpill(TOPIC, 0, done))
        return done


def rebuilt(state: TierState) -> TierState:
    """Through the bytes of a snapshot and back."""
    delta = TierDelta(TierState())
    for event in state.snapshot_events():
        delta.apply(decode(encode(event)), -1)
    return delta.finish()
