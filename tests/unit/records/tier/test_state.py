"""The tier of a cluster under its events."""

import pytest

from tests.tier_state import INCARNATION, STORE, TOPIC, History, rebuilt, segment
from tierbroker.base.ids import Uuid
from tierbroker.records.tier.errors import TierContradictionError
from tierbroker.records.tier.events import (
    TierCheckpointed,
    TierCommit,
    TierForget,
    TierIntent,
    TierPartitionState,
    TierPurged,
    TierPurgeState,
    TierRetire,
    TierStoreBound,
)
from tierbroker.records.tier.garbage import NEVER_MS
from tierbroker.records.tier.segment import ObjectKind
from tierbroker.records.tier.state import TierDelta, TierState

OTHER = Uuid(b"other".ljust(16, b"."))
NOW_MS = 1_700_000_000_000


def deleted() -> History:
    """A topic of three partitions with a slice, a segment, an intent and garbage was deleted."""
    history = History()
    for end in (9, 19, 29, 39):
        history.upload(end - 9, end)
    history.spill(2)
    history.apply(TierRetire(TOPIC, 0, 3, 30, NOW_MS))
    history.begin(40, 49)
    history.upload(0, 9, partition=2)
    history.offset += 1
    history.state = history.state.remove_topic(TOPIC, 3, history.offset)
    return history


def test_a_store_is_bound() -> None:
    state = TierState()
    assert (state.store_id, state.own_incarnation) == (None, -1)
    state = state.apply(TierStoreBound(STORE, INCARNATION), 0)
    state = state.apply(TierStoreBound(STORE, OTHER), 1)
    assert state.store_id == STORE
    assert state.incarnations == (INCARNATION, OTHER)
    assert state.own_incarnation == 1


@pytest.mark.parametrize(
    "event", [TierStoreBound(OTHER, OTHER), TierStoreBound(STORE, INCARNATION)]
)
def test_another_store_or_an_incarnation_of_the_past(event: TierStoreBound) -> None:
    with pytest.raises(TierContradictionError):
        History().apply(event)


def test_an_intent_stands_at_its_offset_and_in_its_incarnation() -> None:
    history = History()
    with pytest.raises(TierContradictionError, match="stands at offset 2"):
        history.apply(TierIntent(TOPIC, 0, 3, 0, 9, 7))
    with pytest.raises(TierContradictionError, match="own incarnation"):
        history.apply(TierIntent(TOPIC, 0, 3, 0, 9, 3, ObjectKind.SEGMENT, 1))


def test_partitions_are_known_by_topic_and_number() -> None:
    history = History()
    history.upload(0, 9, partition=4)
    assert history.state.partition(TOPIC, 4) is history.state.partitions[TOPIC, 4]
    assert history.state.partition(TOPIC, 0) is None
    assert history.state.partition(OTHER, 4) is None


def test_one_change_shares_all_the_rest() -> None:
    history = History()
    history.upload(0, 9, partition=0)
    history.upload(0, 9, partition=1)
    before = history.state
    history.upload(10, 19, partition=1)
    assert history.state.partitions[TOPIC, 0] is before.partitions[TOPIC, 0]
    assert before.partitions[TOPIC, 1].end_offset == 9


def test_nothing_happened() -> None:
    state = History().state
    delta = TierDelta(state)
    assert delta.finish() is state
    assert delta.changed == frozenset()


def test_a_delta_names_what_it_changed() -> None:
    history = History()
    history.upload(0, 9)
    history.upload(0, 9, partition=1)
    delta = TierDelta(history.state)
    delta.apply(TierRetire(TOPIC, 1, 3, 5, NOW_MS), 99)
    assert delta.changed == {(TOPIC, 1)}


def test_a_deleted_topic_is_garbage_data_first_manifests_last() -> None:
    state = deleted().state
    assert not list(state.partitions)
    purge = state.purges[TOPIC]
    first, last = purge.partitions
    assert (first.partition, last.partition) == (0, 2)
    assert first.empty
    assert not first.intents
    known = [(g.kind, g.base_offset, g.expand) for g in first.garbage]
    assert known == [
        (ObjectKind.SEGMENT, 20, False),  # retired before
        (ObjectKind.MANIFEST, 0, True),
        (ObjectKind.SEGMENT, 40, False),  # was under way
        (ObjectKind.SEGMENT, 30, False),
    ]
    assert [tier.partition for tier in state.partitions_with_garbage()] == [0, 2]


def test_slices_of_a_deleted_topic_come_after_its_segments() -> None:
    history = History()
    for end in (9, 19):
        history.upload(end - 9, end)
    history.spill(1)
    state = history.state.remove_topic(TOPIC, 1, 50)
    (tier,) = state.purges[TOPIC].partitions
    assert [g.expand for g in tier.garbage] == [False, True]


def test_a_purge_is_dated_by_the_first_checkpoint_without_the_topic() -> None:
    history = deleted()
    purge = history.state.purges[TOPIC]
    assert purge.since_metadata_offset == history.offset
    assert purge.since_ms == NEVER_MS
    history.apply(TierCheckpointed(1, history.offset - 1, NOW_MS + 1))
    assert history.state.purges[TOPIC].since_ms == NEVER_MS
    history.apply(TierCheckpointed(2, history.offset - 1, NOW_MS + 2))
    history.apply(TierCheckpointed(3, history.offset, NOW_MS + 3))
    assert history.state.purges[TOPIC].since_ms == NOW_MS + 2


def test_a_purge_ends_when_all_is_forgotten() -> None:
    history = deleted()
    for tier in history.state.purges[TOPIC].partitions:
        assert not history.state.purges[TOPIC].done
        forget = TierForget(TOPIC, tier.partition, tuple(g.intent_offset for g in tier.garbage))
        history.apply(forget)
    assert history.state.purges[TOPIC].done
    history.apply(TierPurged(TOPIC))
    assert not list(history.state.purges)
    with pytest.raises(TierContradictionError):
        history.apply(TierPurged(TOPIC))


def test_a_late_commit_of_a_deleted_topic() -> None:
    history = History()
    intent = history.begin(0, 9)
    history.state = history.state.remove_topic(TOPIC, 1, history.offset + 1)
    with pytest.raises(TierContradictionError):
        history.apply(TierCommit(TOPIC, 0, segment(0, 9, intent)))


def test_a_topic_without_objects_leaves_nothing() -> None:
    history = History()
    history.upload(0, 9)
    history.apply(TierRetire(TOPIC, 0, 3, 10, NOW_MS))
    (garbage,) = history.tier.garbage
    history.apply(TierForget(TOPIC, 0, (garbage.intent_offset,)))
    state = history.state.remove_topic(TOPIC, 1, 50)
    assert not list(state.partitions)
    assert not list(state.purges)
    assert state.remove_topic(OTHER, 5, 51) is state


def test_a_state_comes_back_from_a_snapshot() -> None:
    history = deleted()
    history.apply(TierCheckpointed(1, history.offset - 3, NOW_MS))
    other = Uuid(b"a-topic".ljust(16, b"."))
    history.apply(TierIntent(other, 3, 1, 0, 9, history.offset + 1))
    done = segment(0, 9, history.offset, leader_epoch=1)
    history.apply(TierCommit(other, 3, done))
    again = rebuilt(history.state)
    assert again == history.state
    assert list(again.snapshot_events()) == list(history.state.snapshot_events())


def test_an_empty_state_has_no_events() -> None:
    assert list(TierState().snapshot_events()) == []


@pytest.mark.parametrize(
    "events",
    [
        [TierPartitionState(TOPIC, 0, 0, purged=True)],
        [
            TierPurgeState(TOPIC, 1, 2),
            TierPartitionState(TOPIC, 0, 0, purged=True),
            TierPartitionState(TOPIC, 1, 0),
            TierPartitionState(TOPIC, 0, 0, purged=True),
        ],
        [
            TierPartitionState(TOPIC, 0, 0),
            TierPartitionState(TOPIC, 1, 0),
            TierPartitionState(TOPIC, 0, 0),
        ],
    ],
)
def test_snapshots_that_contradict_themselves(
    events: list[TierPartitionState | TierPurgeState],
) -> None:
    delta = TierDelta(TierState())
    *before, last = events
    for event in before:
        delta.apply(event, -1)
    with pytest.raises(TierContradictionError):
        end_with(delta, last)


def end_with(delta: TierDelta, last: TierPartitionState | TierPurgeState) -> TierState:
    delta.apply(last, -1)
    return delta.finish()
