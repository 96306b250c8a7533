"""What the tier holds of one partition, and how each event changes it.

A `PartitionTier` is immutable; a change answers a new one that shares what did not change. The
`refusal_of_…` methods say why something cannot happen: deciders refuse by them what is asked for,
and the replay of the log takes what breaks them for corruption.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from tierbroker.base.ids import Uuid
from tierbroker.records.tier.errors import TierContradictionError
from tierbroker.records.tier.events import (
    CommitMark,
    TierAbandon,
    TierCommit,
    TierDrop,
    TierIntent,
    TierPartitionState,
    TierRetire,
    TierSpill,
)
from tierbroker.records.tier.garbage import NEVER_MS, GarbageArray, GarbageObject
from tierbroker.records.tier.segment import (
    ObjectKind,
    SegmentArray,
    SliceArray,
    TierSegment,
    TierSlice,
)

_NO_SLICES = SliceArray()
_NO_SEGMENTS = SegmentArray()
_NO_GARBAGE = GarbageArray()

PART_BYTES = 32 * 1024
"""Packed entries in one piece of a snapshot."""
MARKS_MAX = 1000


@dataclass(frozen=True, slots=True)
class PartitionTier:
    """A partition's objects. Slices come first, then segments, without a gap: one run of offsets.

    `start_offset <= log_start_offset <= end_offset` while there are any.
    """

    topic_id: Uuid
    partition: int
    log_start_offset: int
    """Where the log begins, as far as the tier was told; it never goes back."""
    segments: SegmentArray = _NO_SEGMENTS
    slices: SliceArray = _NO_SLICES
    intents: tuple[TierIntent, ...] = ()
    """Uploads that may be under way, in the order of their records."""
    garbage: GarbageArray = _NO_GARBAGE
    marks: tuple[CommitMark, ...] = ()
    """When the tier reached which end; marks that a checkpoint has made superfluous are dropped."""

    # what there is

    @property
    def empty(self) -> bool:
        """No object counts."""
        return not self.segments and not self.slices

    @property
    def start_offset(self) -> int:
        """The first offset that an object holds, -1 without objects."""
        return self.slices.start_offset if self.slices else self.segments.start_offset

    @property
    def end_offset(self) -> int:
        """The last offset that an object holds (inclusive), -1 without objects."""
        return self.segments.end_offset if self.segments else self.slices.end_offset

    @property
    def size_bytes(self) -> int:
        """Bytes of log that the objects hold; some tens of microseconds for 1,000 segments."""
        return self.segments.log_bytes + self.slices.log_bytes

    @property
    def named_by_nothing(self) -> bool:
        """No object of it can be in the store: none counts, none is under way, none is garbage."""
        return self.empty and not self.intents and not self.garbage

    def find(self, offset: int) -> TierSegment | TierSlice | None:
        """The segment that holds the offset, or the slice whose manifest names that segment."""
        slot = self.segments.slot_of(offset)
        if slot >= 0:
            return self.segments[slot]
        slot = self.slices.slot_of(offset)
        return self.slices[slot] if slot >= 0 else None

    def segments_from(self, offset: int) -> Iterator[TierSegment | TierSlice]:
        """What holds the offset and all that follows; all there is when it begins later."""
        yield from self.slices.from_slot(self.slices.count_below(offset))
        yield from self.segments.from_slot(self.segments.count_below(offset))

    def named_end_offset(self, checkpointed_offset: int) -> int:
        """The end (inclusive) of what a checkpoint as of that metadata offset names, -1 for none.

        What is local beyond it is not in a checkpoint, and must not be let go (INV-4).
        """
        for mark in reversed(self.marks):
            if mark.metadata_offset <= checkpointed_offset:
                return min(mark.end_offset, self.end_offset)
        return -1

    def intent(self, intent_offset: int) -> TierIntent | None:
        """The open intent of that record."""
        return next((i for i in self.intents if i.intent_offset == intent_offset), None)

    def intents_of(self, kind: ObjectKind) -> tuple[TierIntent, ...]:
        """The open intents for objects of that kind."""
        return tuple(intent for intent in self.intents if intent.kind == kind)

    def stale_intents(self, leader_epoch: int, incarnation: int) -> tuple[TierIntent, ...]:
        """Intents of other leaders or incarnations: to be abandoned before anything new begins."""
        return tuple(
            intent
            for intent in self.intents
            if (intent.leader_epoch, intent.incarnation) != (leader_epoch, incarnation)
        )

    def segments_covered(self, base_offset: int, end_offset: int) -> int:
        """How many of the oldest unspilled segments make up exactly that range; 0 if none do."""
        segments = self.segments
        if segments.start_offset != base_offset or not base_offset <= end_offset:
            return 0
        slot = segments.slot_of(end_offset)
        return slot + 1 if slot >= 0 and segments[slot].end_offset == end_offset else 0

    # what may not happen

    def refusal_of_intent(self, kind: ObjectKind, base_offset: int, end_offset: int) -> str | None:
        """Why nobody may begin an object of that range; None if one may."""
        if not 0 <= base_offset <= end_offset:
            return f"offsets {base_offset} to {end_offset} are no range"
        for intent in self.intents_of(kind):
            if base_offset <= intent.end_offset and intent.base_offset <= end_offset:
                return (
                    f"offsets {base_offset} to {end_offset} overlap an open intent for"
                    f" {intent.base_offset} to {intent.end_offset}"
                    f" of leader epoch {intent.leader_epoch}"
                )
        if kind == ObjectKind.MANIFEST:
            if not self.segments_covered(base_offset, end_offset):
                return (
                    f"offsets {base_offset} to {end_offset} are not a run of whole segments from"
                    f" the first unspilled one on, which begins at {self.segments.start_offset}"
                )
            return None
        if end_offset < self.log_start_offset:
            return f"offsets up to {end_offset} lie below the log start {self.log_start_offset}"
        open_segments = self.intents_of(ObjectKind.SEGMENT)
        if any(intent.end_offset + 1 == base_offset for intent in open_segments):
            return None
        if self.empty and not open_segments:
            return None  # the tier of the partition begins here
        return self._refusal_of_place(base_offset)

    def _refusal_of_place(self, base_offset: int) -> str | None:
        if self.empty:
            if base_offset > self.log_start_offset:
                return (
                    f"the first object begins at {base_offset},"
                    f" after the log start {self.log_start_offset}"
                )
        elif base_offset != self.end_offset + 1:
            return f"offset {base_offset} does not follow the tier's end {self.end_offset}"
        return None

    def refusal_of_object(self, kind: ObjectKind, entry: TierSegment | TierSlice) -> str | None:
        """Why the object is none of those under way: its intent is not open, or another one."""
        intent = self.intent(entry.intent_offset)
        if intent is None:
            return (
                f"no intent of offset {entry.intent_offset} is open"
                " (given up, finished, or never made)"
            )
        expected = (
            kind,
            entry.base_offset,
            entry.end_offset,
            entry.leader_epoch,
            entry.incarnation,
        )
        found = (
            intent.kind,
            intent.base_offset,
            intent.end_offset,
            intent.leader_epoch,
            intent.incarnation,
        )
        return None if expected == found else f"{entry} is not what {intent} announced"

    def refusal_of_segment(self, segment: TierSegment) -> str | None:
        """Why the uploaded segment cannot come next; None if it can."""
        refusal = self.refusal_of_object(ObjectKind.SEGMENT, segment)
        if refusal is None and segment.end_offset < self.log_start_offset:
            refusal = (
                f"offsets up to {segment.end_offset} lie below"
                f" the log start {self.log_start_offset}"
            )
        return refusal or self._refusal_of_place(segment.base_offset)

    def refusal_of_slice(self, spilled: TierSlice) -> str | None:
        """Why the manifest cannot take the place of segments; None if it can."""
        refusal = self.refusal_of_object(ObjectKind.MANIFEST, spilled)
        if refusal is not None:
            return refusal
        count = self.segments_covered(spilled.base_offset, spilled.end_offset)
        covered = self.segments.front(count)
        total = covered.log_bytes
        latest = max((segment.max_timestamp_ms for segment in covered), default=-1)
        if (count, total, latest) != (
            spilled.count,
            spilled.log_bytes_total,
            spilled.max_timestamp_ms,
        ):
            return (
                f"{spilled} does not stand for the {count} segments of {total} bytes"
                f" up to time {latest} that it covers"
            )
        return None

    # what happens

    def with_intent(self, intent: TierIntent) -> "PartitionTier":
        """After a TierIntent."""
        refusal = self.refusal_of_intent(intent.kind, intent.base_offset, intent.end_offset)
        self._must_not(refusal, intent)
        log_start = self.log_start_offset
        if self.empty and not self.intents_of(ObjectKind.SEGMENT):
            log_start = max(log_start, intent.base_offset)
        return replace(self, log_start_offset=log_start, intents=(*self.intents, intent))

    def committed(
        self, event: TierCommit, metadata_offset: int, checkpointed_offset: int
    ) -> "PartitionTier":
        """After a TierCommit, while the last checkpoint is one as of `checkpointed_offset`."""
        segment = event.segment
        self._must_not(self.refusal_of_segment(segment), event)
        marks = (*self._marks_since(checkpointed_offset), CommitMark(metadata_offset, segment[1]))
        return replace(
            self,
            segments=self.segments.appended(segment),
            intents=self._intents_without(segment.intent_offset),
            marks=marks,
        )

    def abandoned(self, event: TierAbandon, metadata_offset: int) -> "PartitionTier":
        """After a TierAbandon."""
        intent = self.intent(event.intent_offset)
        if intent is None:
            raise self._contradiction("the intent is not open", event)
        garbage = _intent_garbage(intent, (event.now_ms, metadata_offset))
        return replace(
            self,
            intents=self._intents_without(event.intent_offset),
            garbage=self.garbage.appended(garbage),
        )

    def retired(self, event: TierRetire, metadata_offset: int) -> "PartitionTier":
        """After a TierRetire."""
        start = event.log_start_offset
        if start < self.log_start_offset:
            raise self._contradiction(f"the log starts at {self.log_start_offset} already", event)
        slices = self.slices.count_below(start)
        segments = self.segments.count_below(start)
        gone = _garbage_of(
            self.segments.front(segments),
            self.slices.front(slices),
            (event.now_ms, metadata_offset),
        )
        return replace(
            self,
            log_start_offset=start,
            slices=self.slices.without_front(slices),
            segments=self.segments.without_front(segments),
            garbage=self.garbage.joined(gone),
        )

    def dropped(self, event: TierDrop, metadata_offset: int) -> "PartitionTier":
        """After a TierDrop."""
        start = event.log_start_offset
        if start < self.log_start_offset:
            raise self._contradiction(f"the log starts at {self.log_start_offset} already", event)
        return replace(
            PartitionTier(self.topic_id, self.partition, start),
            garbage=self.garbage.joined(self._all_as_garbage((event.now_ms, metadata_offset))),
        )

    def spilled(self, event: TierSpill) -> "PartitionTier":
        """After a TierSpill."""
        self._must_not(self.refusal_of_slice(event.slice), event)
        return replace(
            self,
            slices=self.slices.appended(event.slice),
            segments=self.segments.without_front(event.slice.count),
            intents=self._intents_without(event.slice.intent_offset),
        )

    def without_garbage(self, intent_offsets: Collection[int]) -> "PartitionTier":
        """After a TierForget."""
        gone = frozenset(intent_offsets)
        return replace(self, garbage=self.garbage.without(gone))

    def removed(self, metadata_offset: int) -> "PartitionTier":
        """After the topic was deleted: all of it is garbage; data objects first, manifests last."""
        gone = self._all_as_garbage((NEVER_MS, metadata_offset))
        return PartitionTier(
            self.topic_id,
            self.partition,
            self.log_start_offset,
            garbage=self.garbage.joined(gone),
        )

    def _all_as_garbage(self, since: tuple[int, int]) -> bytes:
        given_up = GarbageArray.of(_intent_garbage(intent, since) for intent in self.intents)
        return given_up.data + _garbage_of(self.segments, self.slices, since)

    def _marks_since(self, checkpointed_offset: int) -> tuple[CommitMark, ...]:
        """The latest mark that the checkpoint contains, and all later ones."""
        first = 0
        for slot, mark in enumerate(self.marks):
            if mark.metadata_offset > checkpointed_offset:
                break
            first = slot
        if len(self.marks) - first < MARKS_MAX:
            return self.marks[first:]
        # No checkpoint for a long time. One mark less means to let go later, never too early.
        return (self.marks[first], *self.marks[first + 2 :])

    def _intents_without(self, intent_offset: int) -> tuple[TierIntent, ...]:
        return tuple(i for i in self.intents if i.intent_offset != intent_offset)

    def _must_not(self, refusal: str | None, event: object) -> None:
        if refusal is not None:
            raise self._contradiction(refusal, event)

    def _contradiction(self, reason: str, event: object) -> TierContradictionError:
        return TierContradictionError(f"{event} cannot happen: {reason}")

    # snapshots

    def pieces(self, *, purged: bool = False) -> Iterator[TierPartitionState]:
        """The partition in pieces of a bounded size; equal partitions give equal pieces."""
        piece = TierPartitionState(
            self.topic_id,
            self.partition,
            self.log_start_offset,
            purged,
            intents=self.intents,
            marks=self.marks,
        )
        if sum(len(a.data) for a in (self.slices, self.segments, self.garbage)) <= PART_BYTES:
            yield replace(piece, slices=self.slices, segments=self.segments, garbage=self.garbage)
            return
        yield piece
        bare = replace(piece, intents=(), marks=())
        for slices in _chunks(self.slices.data, SliceArray.ENTRY_BYTES):
            yield replace(bare, slices=SliceArray(slices))
        for segments in _chunks(self.segments.data, SegmentArray.ENTRY_BYTES):
            yield replace(bare, segments=SegmentArray(segments))
        for garbage in _chunks(self.garbage.data, GarbageArray.ENTRY_BYTES):
            yield replace(bare, garbage=GarbageArray(garbage))

    @classmethod
    def of_pieces(cls, pieces: Iterable[TierPartitionState]) -> "PartitionTier":
        """The partition that `pieces` were made of; raises TierContradictionError."""
        first, *rest = pieces
        segments, slices, garbage = [first.segments.data], [first.slices.data], [first.garbage.data]
        intents, marks = list(first.intents), list(first.marks)
        for piece in rest:
            segments.append(piece.segments.data)
            slices.append(piece.slices.data)
            garbage.append(piece.garbage.data)
            intents += piece.intents
            marks += piece.marks
        made = cls(
            first.topic_id,
            first.partition,
            first.log_start_offset,
            SegmentArray(b"".join(segments)),
            SliceArray(b"".join(slices)),
            tuple(intents),
            GarbageArray(b"".join(garbage)),
            tuple(marks),
        )
        made.check()
        return made

    def check(self) -> None:
        """Raises TierContradictionError when the objects do not fit together."""
        fault = self.slices.fault() or self.segments.fault()
        if fault is None and self.slices and self.segments:
            end, start = self.slices.end_offset, self.segments.start_offset
            if end + 1 != start:
                fault = f"segments begin at {start}, slices end at {end}"
        if (
            fault is None
            and not self.empty
            and not self.start_offset <= self.log_start_offset <= self.end_offset
        ):
            fault = (
                f"the log starts at {self.log_start_offset},"
                f" the objects hold {self.start_offset} to {self.end_offset}"
            )
        if fault is not None:
            raise self._contradiction(fault, f"this state of partition {self.partition}")


def _chunks(data: bytes, entry_bytes: int) -> Iterator[bytes]:
    step = PART_BYTES // entry_bytes * entry_bytes
    for start in range(0, len(data), step):
        yield data[start : start + step]


def _garbage_of(segments: SegmentArray, slices: SliceArray, since: tuple[int, int]) -> bytes:
    """Data objects first, then the manifests, packed."""
    manifests = GarbageArray.of(_slice_garbage(entry, since) for entry in slices)
    return GarbageArray.of_segments(segments, *since).data + manifests.data


def _intent_garbage(intent: TierIntent, since: tuple[int, int]) -> GarbageObject:
    return GarbageObject(
        intent.kind,
        intent.base_offset,
        intent.end_offset,
        intent.leader_epoch,
        intent.intent_offset,
        intent.incarnation,
        *since,
    )


def _slice_garbage(entry: TierSlice, since: tuple[int, int]) -> GarbageObject:
    return GarbageObject(
        ObjectKind.MANIFEST,
        entry.base_offset,
        entry.end_offset,
        entry.leader_epoch,
        entry.intent_offset,
        entry.incarnation,
        *since,
        entry.object_bytes,
        expand=True,
    )
