"""The tier's state against lists and dicts, whatever happens to it.

Each step happens to the state and to a model that knows nothing of packed bytes. What the model
calls impossible, the state must refuse; after each step both hold the same, a snapshot gives the
state back, and the invariants of the tier hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.tier_state import INCARNATION, STORE, rebuilt, segment
from tierbroker.base.ids import Uuid
from tierbroker.records.tier.errors import TierContradictionError
from tierbroker.records.tier.events import (
    TierAbandon,
    TierCheckpointed,
    TierCommit,
    TierDrop,
    TierEvent,
    TierForget,
    TierIntent,
    TierPurged,
    TierRetire,
    TierSpill,
    TierStoreBound,
    decode,
    encode,
)
from tierbroker.records.tier.garbage import NEVER_MS
from tierbroker.records.tier.segment import ObjectKind, TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier, TierState

TOPICS = [Uuid(name.ljust(16, b".")) for name in (b"x", b"y")]
PARTITIONS = 2
Place = tuple[Uuid, int]


@dataclass
class ModelPartition:
    """One partition, plainly."""

    log_start: int = 0
    live: list[TierSegment | TierSlice] = field(default_factory=list)
    intents: dict[int, TierIntent] = field(default_factory=dict)
    garbage: dict[int, tuple[ObjectKind, bool, int]] = field(default_factory=dict)
    """By intent: kind, to be expanded, the metadata offset since when."""
    commits: list[tuple[int, int]] = field(default_factory=list)
    """All commits ever: (metadata offset, end offset)."""

    @property
    def segments(self) -> list[TierSegment]:
        return [entry for entry in self.live if isinstance(entry, TierSegment)]

    @property
    def open_segments(self) -> list[TierIntent]:
        return [i for i in self.intents.values() if i.kind == ObjectKind.SEGMENT]

    def may_begin(self, kind: ObjectKind, base: int, end: int) -> bool:
        if not 0 <= base <= end:
            return False
        taken = [i for i in self.intents.values() if i.kind == kind]
        if any(set(range(base, end + 1)) & set(range(i[3], i[4] + 1)) for i in taken):
            return False
        if kind == ObjectKind.MANIFEST:
            return self.covered(base, end) != []
        if end < self.log_start:
            return False
        if any(i.end_offset == base - 1 for i in taken):
            return True
        if self.live:
            return base == self.live[-1].end_offset + 1
        return not taken or base <= self.log_start

    def covered(self, base: int, end: int) -> list[TierSegment]:
        """The oldest segments that make up exactly this range."""
        for count in range(1, len(self.segments) + 1):
            run = self.segments[:count]
            if (run[0].base_offset, run[-1].end_offset) == (base, end):
                return run
        return []

    def may_commit(self, intent: TierIntent) -> bool:
        if intent.kind != ObjectKind.SEGMENT or intent.end_offset < self.log_start:
            return False
        if self.live:
            return intent.base_offset == self.live[-1].end_offset + 1
        return intent.base_offset <= self.log_start


FIRST = (TOPICS[0], 0)
# Most of it happens to one partition, so that much happens to it.
places = st.sampled_from([FIRST] * 6 + [(topic, n) for topic in TOPICS for n in range(PARTITIONS)])
picks = st.integers(0, 20)


class TierMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = TierState()
        self.offset = 0
        self.model: dict[Place, ModelPartition] = {}
        self.purges: dict[Uuid, dict[int, dict[int, tuple[ObjectKind, bool, int]]]] = {}
        self.checkpoint = -1
        assert self.happens(TierStoreBound(STORE, INCARNATION), possible=True)

    def happens(self, event: TierEvent, *, possible: bool) -> bool:
        """The event comes next in the log; the state is of the same opinion about it."""
        assert decode(encode(event)) == event
        before = self.state
        snapshot = list(before.snapshot_events())
        try:
            after = before.apply(event, self.offset + 1)
        except TierContradictionError:
            assert not possible, event
            after = before
        else:
            assert possible, event
            self.offset += 1
        assert list(before.snapshot_events()) == snapshot  # images are immutable
        self.state = after
        return possible

    def pick(self, place: Place, which: int) -> TierIntent | None:
        """One of the open intents."""
        model = self.model.get(place)
        intents = list(model.intents.values()) if model else []
        return intents[which % len(intents)] if intents else None

    @rule(place=places, length=st.integers(0, 6), size=st.integers(0, 99))
    def upload(self, place: Place, length: int, size: int) -> None:
        """What comes next, from intent to commit."""
        self.begin(place, ObjectKind.SEGMENT, 0, 0, length)
        model = self.model.get(place, ModelPartition())
        for slot, intent in enumerate(list(model.intents.values())):
            if model.may_commit(intent):
                self.commit(place, slot, 0, size)
                break

    @rule(place=places, which=picks, wrong=st.sampled_from([0, 0, 1]))
    def spill_some(self, place: Place, which: int, wrong: int) -> None:
        """Some of the oldest segments, from intent to manifest."""
        self.begin(place, ObjectKind.MANIFEST, which, 0, 0)
        for slot, intent in enumerate(self.model.get(place, ModelPartition()).intents.values()):
            if intent.kind == ObjectKind.MANIFEST:
                self.spill(place, slot, wrong)
                break

    @rule(
        place=places,
        kind=st.sampled_from(ObjectKind),
        after=picks,
        gap=st.sampled_from([0] * 8 + [-3, -1, 1, 3]),
        length=st.integers(0, 6),
    )
    def begin(self, place: Place, kind: ObjectKind, after: int, gap: int, length: int) -> None:
        if place[0] in self.purges:
            return  # the id of a deleted topic is not used again
        model = self.model.get(place, ModelPartition())
        ends = [entry.end_offset + 1 for entry in model.live[-1:]]
        ends += [intent.end_offset + 1 for intent in model.open_segments]
        if kind == ObjectKind.MANIFEST and model.segments:
            ends = [model.segments[0].base_offset]
        base = (ends or [model.log_start])[after % max(len(ends), 1)] + gap
        end = base + length
        if kind == ObjectKind.MANIFEST and model.segments and gap == 0:
            end = model.segments[after % len(model.segments)].end_offset
        intent = TierIntent(*place, 3, base, end, self.offset + 1, kind)
        if self.happens(intent, possible=model.may_begin(kind, base, end)):
            if kind == ObjectKind.SEGMENT and not model.live and not model.open_segments:
                model.log_start = max(model.log_start, base)
            model.intents[intent.intent_offset] = intent
            self.model[place] = model

    @rule(place=places, which=picks, wrong=st.sampled_from([0] * 6 + [1]), size=st.integers(0, 99))
    def commit(self, place: Place, which: int, wrong: int, size: int) -> None:
        intent = self.pick(place, which)
        if intent is None:
            return
        model = self.model[place]
        if wrong and len(model.intents) > 1:
            wrong = self.rename(place, intent)
        done = segment(
            intent.base_offset,
            intent.end_offset,
            intent.intent_offset + wrong,
            log_bytes=size,
            max_timestamp_ms=size * 7 % 10,
            has_aborted=size % 2 == 0,
        )
        possible = not wrong and model.may_commit(intent)
        if self.happens(TierCommit(*place, done), possible=possible):
            model.live.append(done)
            del model.intents[intent.intent_offset]
            model.commits.append((self.offset, done.end_offset))

    def rename(self, place: Place, intent: TierIntent) -> int:
        """From the offset of this intent to that of another open one."""
        others = set(self.model[place].intents) - {intent.intent_offset}
        return min(others) - intent.intent_offset

    @rule(place=places, which=picks, wrong=st.sampled_from([0] * 4 + [1]))
    def spill(self, place: Place, which: int, wrong: int) -> None:
        intent = self.pick(place, which)
        if intent is None or intent.kind != ObjectKind.MANIFEST:
            return
        model = self.model[place]
        run = model.covered(intent.base_offset, intent.end_offset)
        spilled = TierSlice(
            intent.base_offset,
            intent.end_offset,
            max((entry.max_timestamp_ms for entry in run), default=0),
            sum(entry.log_bytes for entry in run) + wrong,
            len(run),
            3,
            intent.intent_offset,
            0,
            56 * len(run),
            7,
        )
        if self.happens(TierSpill(*place, spilled), possible=bool(run) and not wrong):
            slices = [entry for entry in model.live if isinstance(entry, TierSlice)]
            model.live = [*slices, spilled, *model.segments[len(run) :]]
            del model.intents[intent.intent_offset]

    @rule(place=places, which=picks)
    def abandon(self, place: Place, which: int) -> None:
        intent = self.pick(place, which)
        if intent is None:
            self.happens(TierAbandon(*place, 4711, 5), possible=False)
            return
        model = self.model[place]
        assert self.happens(TierAbandon(*place, intent.intent_offset, 5), possible=True)
        del model.intents[intent.intent_offset]
        model.garbage[intent.intent_offset] = (intent.kind, False, self.offset)

    @rule(place=places, further=st.sampled_from([-1, 0, 1, 2, 3, 4, 5, 6, 12, 30]))
    def retire(self, place: Place, further: int) -> None:
        model = self.model.get(place)
        start = (model.log_start if model else 0) + further
        event = TierRetire(*place, 3, start, 5)
        if self.happens(event, possible=model is not None and further >= 0) and model is not None:
            model.log_start = start
            gone = [entry for entry in model.live if entry.end_offset < start]
            model.live = model.live[len(gone) :]
            self.becomes_garbage(model.garbage, gone)

    @rule(place=places, further=st.sampled_from([-1, 0, 3, 12]), sure=st.integers(0, 3))
    def drop(self, place: Place, further: int, sure: int) -> None:
        """The topic is tiered no more: not too often, or there would be nothing to look at."""
        if sure:
            return
        model = self.model.get(place)
        start = (model.log_start if model else 0) + further
        event = TierDrop(*place, 3, start, 5)
        if self.happens(event, possible=model is not None and further >= 0) and model is not None:
            for intent in model.intents.values():
                model.garbage[intent.intent_offset] = (intent.kind, False, self.offset)
            self.becomes_garbage(model.garbage, model.live)
            self.model[place] = ModelPartition(log_start=start, garbage=model.garbage)

    def becomes_garbage(
        self,
        garbage: dict[int, tuple[ObjectKind, bool, int]],
        entries: list[TierSegment | TierSlice],
    ) -> None:
        """Data first, manifests last."""
        for entry in sorted(entries, key=lambda entry: isinstance(entry, TierSlice)):
            is_slice = isinstance(entry, TierSlice)
            kind = ObjectKind.MANIFEST if is_slice else ObjectKind.SEGMENT
            garbage[entry.intent_offset] = (kind, is_slice, self.offset)

    @rule(place=places, which=st.sets(picks, max_size=4))
    def forget(self, place: Place, which: set[int]) -> None:
        if place[0] in self.purges:
            garbage = self.purges[place[0]].get(place[1], {})
        elif place in self.model:
            garbage = self.model[place].garbage
        else:
            return
        gone = [intent for slot, intent in enumerate(garbage) if slot in which]
        assert self.happens(TierForget(*place, tuple(gone)), possible=True)
        for intent in gone:
            del garbage[intent]

    @rule(behind=st.integers(0, 8))
    def take_checkpoint(self, behind: int) -> None:
        as_of = max(self.checkpoint, self.offset - behind)
        assert self.happens(TierCheckpointed(self.offset, as_of, 99), possible=True)
        self.checkpoint = as_of

    @rule(topic=st.sampled_from(TOPICS), sure=st.integers(0, 2))
    def delete_topic(self, topic: Uuid, sure: int) -> None:
        if sure or topic in self.purges or not any(place[0] == topic for place in self.model):
            return
        self.offset += 1
        self.state = self.state.remove_topic(topic, PARTITIONS, self.offset)
        doomed: dict[int, dict[int, tuple[ObjectKind, bool, int]]] = {}
        for number in range(PARTITIONS):
            model = self.model.pop((topic, number), None)
            if model is None:
                continue
            garbage = dict(model.garbage)
            for intent in model.intents.values():
                garbage[intent.intent_offset] = (intent.kind, False, self.offset)
            self.becomes_garbage(garbage, model.live)
            if garbage:
                doomed[number] = garbage
        if doomed:
            self.purges[topic] = doomed

    @precondition(lambda self: self.purges or self.offset % 7 == 0)
    @rule(topic=st.sampled_from(TOPICS))
    def end_purge(self, topic: Uuid) -> None:
        purge = self.purges.get(topic)
        for number in purge or ():
            self.forget((topic, number), set(range(20)))
        if purge is None or not any(purge.values()):
            self.happens(TierPurged(topic), possible=purge is not None)
            self.purges.pop(topic, None)

    @invariant()
    def state_and_model_hold_the_same(self) -> None:
        assert set(self.state.partitions) == set(self.model)
        for place, model in self.model.items():
            tier = self.state.partitions[place]
            assert tier.log_start_offset == model.log_start
            assert list(tier.segments_from(0)) == model.live
            assert {intent.intent_offset: intent for intent in tier.intents} == model.intents
            assert list(garbage_of(tier)) == list(model.garbage.items())
            assert tier.size_bytes == sum(entry.log_bytes for entry in model.live)
            assert self.state.named_end_offset(*place) == self.named_end(model)
            look_up(tier, model)
        assert set(self.state.purges) == set(self.purges)
        for topic, known in self.purges.items():
            purge = self.state.purges[topic]
            assert {t.partition: dict(garbage_of(t)) for t in purge.partitions} == known
            dated = self.checkpoint >= purge.since_metadata_offset
            assert (purge.since_ms != NEVER_MS) == dated

    @invariant()
    def a_snapshot_gives_the_state_back(self) -> None:
        again = rebuilt(self.state)
        assert again == self.state
        assert list(again.snapshot_events()) == list(self.state.snapshot_events())

    @invariant()
    def objects_fit_together(self) -> None:
        for tier in self.state.partitions.values():
            entries = list(tier.segments_from(0))
            assert all(a.end_offset + 1 == b.base_offset for a, b in pairwise(entries))
            if entries:
                assert tier.start_offset <= tier.log_start_offset <= tier.end_offset
            for kind in ObjectKind:
                ordered = sorted(tier.intents_of(kind), key=lambda i: i.base_offset)
                assert all(a.end_offset < b.base_offset for a, b in pairwise(ordered))
            live = [entry.intent_offset for entry in entries]
            open_ones = [intent.intent_offset for intent in tier.intents]
            dead = [entry.intent_offset for entry in tier.garbage]
            everything = live + open_ones + dead
            assert len(set(everything)) == len(everything), "nothing is two things at once"

    def named_end(self, model: ModelPartition) -> int:
        """The end of what the latest checkpoint names."""
        named = [end for offset, end in model.commits if offset <= self.checkpoint]
        return min(named[-1], model.live[-1].end_offset) if named and model.live else -1


def garbage_of(tier: PartitionTier) -> Iterator[tuple[int, tuple[ObjectKind, bool, int]]]:
    for entry in tier.garbage:
        yield entry.intent_offset, (entry.kind, entry.expand, entry.since_metadata_offset)


def look_up(tier: PartitionTier, model: ModelPartition) -> None:
    """Each offset leads to the object that holds it, and to no other."""
    end = model.live[-1].end_offset + 2 if model.live else 3
    for offset in range(-1, end):
        holder = [e for e in model.live if e.base_offset <= offset <= e.end_offset]
        assert tier.find(offset) == (holder[0] if holder else None)
        rest = [entry for entry in model.live if entry.end_offset >= offset]
        assert list(tier.segments_from(offset)) == rest


TestTierState = TierMachine.TestCase
TestTierState.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
