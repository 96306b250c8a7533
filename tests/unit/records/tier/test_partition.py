"""What the tier holds of one partition."""

import pytest

from tests.tier_state import TOPIC, History, segment, slice_of
from tierbroker.records.tier import partition
from tierbroker.records.tier.errors import TierContradictionError
from tierbroker.records.tier.events import (
    TierAbandon,
    TierCheckpointed,
    TierCommit,
    TierDrop,
    TierEvent,
    TierForget,
    TierPartitionState,
    TierRetire,
    TierSpill,
)
from tierbroker.records.tier.partition import PART_BYTES, PartitionTier
from tierbroker.records.tier.segment import ObjectKind, SegmentArray

NOW_MS = 1_700_000_000_000


def uploaded(*ends: int, start: int = 0) -> History:
    """A partition with committed segments up to these ends."""
    history = History()
    base = start
    for end in ends:
        history.upload(base, end)
        base = end + 1
    return history


def retire(log_start: int) -> TierRetire:
    return TierRetire(TOPIC, 0, 3, log_start, NOW_MS)


def ranges(tier: PartitionTier) -> list[tuple[int, int]]:
    """Of all that counts, slices first."""
    return [(entry.base_offset, entry.end_offset) for entry in tier.segments_from(0)]


def test_uploads_make_one_run() -> None:
    tier = uploaded(9, 24, 99).tier
    assert (tier.start_offset, tier.end_offset, tier.size_bytes) == (0, 99, 300)
    assert ranges(tier) == [(0, 9), (10, 24), (25, 99)]
    assert tier.intents == ()
    assert not tier.empty


def test_before_the_first_commit_there_is_nothing() -> None:
    history = History()
    history.begin(50, 59)
    tier = history.tier
    assert tier.empty
    assert (tier.start_offset, tier.end_offset, tier.size_bytes) == (-1, -1, 0)
    assert tier.find(55) is None
    assert list(tier.segments_from(0)) == []
    assert tier.log_start_offset == 50


def test_lookup_in_segments_and_slices() -> None:
    history = uploaded(9, 19, 29, 39)
    spilled = history.spill(2)
    tier = history.tier
    assert tier.find(0) == tier.find(19) == spilled
    assert tier.find(20) == tier.segments[0]
    assert tier.find(39) == tier.segments[1]
    assert tier.find(40) is tier.find(-1) is None
    assert list(tier.segments_from(15)) == [spilled, *tier.segments]
    assert list(tier.segments_from(30)) == [tier.segments[1]]
    assert list(tier.segments_from(40)) == []
    assert tier.size_bytes == 400


def test_several_uploads_may_be_under_way() -> None:
    history = History()
    first, second = history.begin(0, 9), history.begin(10, 19)
    tier = history.tier
    assert [i.intent_offset for i in tier.intents_of(ObjectKind.SEGMENT)] == [first, second]
    assert tier.refusal_of_segment(segment(10, 19, second)) is not None  # the first comes first
    history.apply(TierCommit(TOPIC, 0, segment(0, 9, first)))
    history.apply(TierCommit(TOPIC, 0, segment(10, 19, second)))
    assert ranges(history.tier) == [(0, 9), (10, 19)]


def test_a_hole_left_by_an_upload_given_up_is_filled_first() -> None:
    history = History()
    first, second = history.begin(0, 9), history.begin(10, 19)
    history.apply(TierAbandon(TOPIC, 0, first, NOW_MS))
    refusal = history.tier.refusal_of_segment(segment(10, 19, second))
    assert refusal == "the first object begins at 10, after the log start 0"
    history.upload(0, 9)
    history.apply(TierCommit(TOPIC, 0, segment(10, 19, second)))
    assert ranges(history.tier) == [(0, 9), (10, 19)]


@pytest.mark.parametrize(
    ("base", "end", "reason"),
    [
        (5, 4, "no range"),
        (-1, 4, "no range"),
        (15, 19, "does not follow the tier's end 19"),
        (10, 19, "does not follow the tier's end 19"),
        (20, 25, "overlap an open intent for 20 to 29 of leader epoch 3"),
        (25, 35, "overlap an open intent"),
        (31, 35, "does not follow"),
    ],
)
def test_intents_that_are_refused(base: int, end: int, reason: str) -> None:
    history = uploaded(9, 19)
    history.begin(20, 29)
    refusal = history.tier.refusal_of_intent(ObjectKind.SEGMENT, base, end)
    assert refusal is not None
    assert reason in refusal
    assert history.tier.refusal_of_intent(ObjectKind.SEGMENT, 30, 35) is None


def test_an_upload_given_up_counts_no_more() -> None:
    history = History()
    intent = history.begin(0, 9)
    history.apply(TierAbandon(TOPIC, 0, intent, NOW_MS))
    (garbage,) = history.tier.garbage
    assert garbage[:8] == (ObjectKind.SEGMENT, 0, 9, 3, intent, 0, NOW_MS, history.offset)
    refusal = history.tier.refusal_of_segment(segment(0, 9, intent))
    assert refusal is not None
    assert "given up" in refusal


@pytest.mark.parametrize(
    "change",
    [{"leader_epoch": 4}, {"incarnation": 1}, {"end_offset": 8}, {"base_offset": 1}],
)
def test_another_object_than_announced(change: dict[str, int]) -> None:
    history = History()
    done = segment(0, 9, history.begin(0, 9))._replace(**change)
    refusal = history.tier.refusal_of_segment(done)
    assert refusal is not None
    assert "announced" in refusal


def test_a_manifest_is_no_segment() -> None:
    history = uploaded(9)
    intent = history.begin(0, 9, kind=ObjectKind.MANIFEST)
    assert history.tier.refusal_of_segment(segment(0, 9, intent)) is not None


def test_what_lies_below_the_log_start_goes() -> None:
    history = uploaded(9, 19, 29)
    gone = list(history.tier.segments)[:1]
    history.apply(retire(15))
    tier = history.tier
    assert (tier.log_start_offset, ranges(tier)) == (15, [(10, 19), (20, 29)])
    (garbage,) = tier.garbage
    assert garbage.intent_offset == gone[0].intent_offset
    assert (garbage.object_bytes, garbage.since_ms) == (150, NOW_MS)
    assert garbage.since_metadata_offset == history.offset
    assert not garbage.expand


def test_a_slice_goes_once_it_is_wholly_below() -> None:
    history = uploaded(9, 19, 29, 39)
    spilled = history.spill(2)
    history.apply(retire(15))
    assert ranges(history.tier) == [(0, 19), (20, 29), (30, 39)]
    assert not history.tier.garbage
    history.apply(retire(30))
    assert ranges(history.tier) == [(30, 39)]
    data, manifest = history.tier.garbage
    assert (data.kind, data.base_offset, data.expand) == (ObjectKind.SEGMENT, 20, False)
    assert (manifest.kind, manifest.intent_offset, manifest.expand) == (
        ObjectKind.MANIFEST,
        spilled.intent_offset,
        True,
    )
    assert manifest.object_bytes == spilled.object_bytes


def test_a_manifest_given_up_leaves_its_segments_alone() -> None:
    history = uploaded(9, 19)
    intent = history.begin(0, 19, kind=ObjectKind.MANIFEST)
    history.apply(TierAbandon(TOPIC, 0, intent, NOW_MS))
    (garbage,) = history.tier.garbage
    assert (garbage.kind, garbage.expand) == (ObjectKind.MANIFEST, False)
    assert ranges(history.tier) == [(0, 9), (10, 19)]


def test_all_goes_and_uploads_go_on_at_the_log_start() -> None:
    history = uploaded(9, 19)
    late = history.begin(20, 29)
    history.apply(retire(35))
    tier = history.tier
    assert tier.empty
    assert tier.log_start_offset == 35
    refusal = tier.refusal_of_segment(segment(20, 29, late))
    assert refusal == "offsets up to 29 lie below the log start 35"
    assert tier.refusal_of_intent(ObjectKind.SEGMENT, 20, 34) is not None
    history.apply(TierAbandon(TOPIC, 0, late, NOW_MS))
    history.upload(30, 39)  # holds the log start
    assert ranges(history.tier) == [(30, 39)]
    assert history.tier.log_start_offset == 35


def test_the_whole_cold_part_is_given_up() -> None:
    history = uploaded(9, 19, 29, 39)
    spilled = history.spill(2)
    late = history.begin(40, 49)
    live = [entry.intent_offset for entry in history.tier.segments]
    history.apply(TierDrop(TOPIC, 0, 3, 25, NOW_MS))
    tier = history.tier
    assert tier.empty
    assert (tier.log_start_offset, tier.intents, tier.marks) == (25, (), ())
    assert [entry.intent_offset for entry in tier.garbage] == [late, *live, spilled.intent_offset]
    assert {entry.since_metadata_offset for entry in tier.garbage} == {history.offset}
    assert tier.refusal_of_segment(segment(40, 49, late)) is not None
    history.upload(25, 39)  # tiered again
    assert ranges(history.tier) == [(25, 39)]


def test_a_log_that_begins_later_than_the_tier_knew() -> None:
    history = uploaded(9)
    history.apply(retire(10))
    history.upload(500, 509)
    assert history.tier.log_start_offset == 500
    assert ranges(history.tier) == [(500, 509)]


def test_garbage_is_forgotten() -> None:
    history = uploaded(9, 19, 29)
    history.apply(retire(30))
    first, second, third = (entry.intent_offset for entry in history.tier.garbage)
    history.apply(TierForget(TOPIC, 0, (first, third, 4711)))
    assert [entry.intent_offset for entry in history.tier.garbage] == [second]
    history.apply(TierForget(TOPIC, 0, (second,)))
    assert history.tier.named_by_nothing


def test_spilling_keeps_the_run() -> None:
    history = uploaded(9, 19, 29)
    spilled = history.spill(2)
    tier = history.tier
    assert list(tier.slices) == [spilled]
    assert ranges(tier) == [(0, 19), (20, 29)]
    assert (tier.start_offset, tier.end_offset) == (0, 29)
    history.spill(1)
    assert ranges(history.tier) == [(0, 19), (20, 29)]
    assert not history.tier.segments
    assert history.tier.end_offset == 29
    history.upload(30, 39)
    assert ranges(history.tier) == [(0, 19), (20, 29), (30, 39)]


@pytest.mark.parametrize(("base", "end"), [(10, 19), (0, 15), (0, 39), (20, 29)])
def test_manifests_begin_at_the_oldest_segment_and_end_with_one(base: int, end: int) -> None:
    tier = uploaded(9, 19, 29).tier
    assert tier.refusal_of_intent(ObjectKind.MANIFEST, base, end) is not None
    assert tier.refusal_of_intent(ObjectKind.MANIFEST, 0, 19) is None


@pytest.mark.parametrize(
    "change", [{"count": 3}, {"log_bytes_total": 199}, {"max_timestamp_ms": 0}, {"end_offset": 29}]
)
def test_a_slice_that_does_not_stand_for_its_segments(change: dict[str, int]) -> None:
    history = uploaded(9, 19, 29)
    intent = history.begin(0, 19, kind=ObjectKind.MANIFEST)
    spilled = slice_of(history.tier, 2, intent)
    assert history.tier.refusal_of_slice(spilled) is None
    assert history.tier.refusal_of_slice(spilled._replace(**change)) is not None


def test_a_manifest_of_segments_that_were_retired_meanwhile() -> None:
    history = uploaded(9, 19, 29)
    intent = history.begin(0, 19, kind=ObjectKind.MANIFEST)
    spilled = slice_of(history.tier, 2, intent)
    history.apply(retire(10))
    assert history.tier.refusal_of_slice(spilled) is not None
    with pytest.raises(TierContradictionError):
        history.apply(TierSpill(TOPIC, 0, spilled))


def test_intents_of_another_leader_or_life_are_stale() -> None:
    history = History()
    history.begin(0, 9)
    assert history.tier.stale_intents(3, 0) == ()
    assert history.tier.stale_intents(4, 0) == history.tier.intents
    assert history.tier.stale_intents(3, 1) == history.tier.intents


def test_only_what_a_checkpoint_names_may_go_locally() -> None:
    history = uploaded(9)
    first = history.offset
    history.upload(10, 19)
    tier = history.tier
    assert tier.named_end_offset(first - 1) == -1  # the intent alone is no commit
    assert tier.named_end_offset(first) == 9
    assert tier.named_end_offset(history.offset - 1) == 9
    assert tier.named_end_offset(history.offset) == 19


def test_old_marks_are_dropped() -> None:
    history = uploaded(9, 19)
    last = history.offset
    history.upload(20, 29)
    history.apply(TierCheckpointed(1, last, NOW_MS))
    history.upload(30, 39)
    tier = history.tier
    assert [mark.end_offset for mark in tier.marks] == [19, 29, 39]
    assert tier.named_end_offset(history.state.checkpointed_offset) == 19
    assert history.state.named_end_offset(TOPIC, 0) == 19
    assert history.state.named_end_offset(TOPIC, 1) == -1


def test_marks_are_bounded_where_no_checkpoint_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MARKS_MAX", 4)
    history = uploaded(9)
    first = history.offset
    history.apply(TierCheckpointed(1, first, NOW_MS))
    for end in range(19, 100, 10):
        history.upload(end - 9, end)
    assert [mark.end_offset for mark in history.tier.marks] == [9, 79, 89, 99]
    assert history.state.named_end_offset(TOPIC, 0) == 9


@pytest.mark.parametrize(
    "event",
    [
        TierCommit(TOPIC, 0, segment(10, 19, 99)),
        TierAbandon(TOPIC, 0, 99, NOW_MS),
        TierRetire(TOPIC, 0, 3, 4, NOW_MS),
        TierRetire(TOPIC, 1, 3, 40, NOW_MS),
        TierForget(TOPIC, 1, ()),
    ],
)
def test_events_that_cannot_have_happened(event: TierEvent) -> None:
    history = uploaded(9)
    history.apply(retire(5))
    with pytest.raises(TierContradictionError):
        history.apply(event)


def test_a_large_partition_comes_in_pieces() -> None:
    entries = SegmentArray.of([segment(n * 10, n * 10 + 9, n) for n in range(2000)])
    tier = PartitionTier(TOPIC, 0, 5, entries)
    pieces = list(tier.pieces())
    assert len(pieces) > 2
    assert all(len(piece.segments.data) <= PART_BYTES for piece in pieces)
    assert PartitionTier.of_pieces(pieces) == tier


@pytest.mark.parametrize(
    "state",
    [
        TierPartitionState(TOPIC, 0, 0, segments=SegmentArray.of([segment(5, 4)])),
        TierPartitionState(TOPIC, 0, 20, segments=SegmentArray.of([segment(0, 9)])),
        TierPartitionState(TOPIC, 0, 0, segments=SegmentArray.of([segment(5, 9)])),
    ],
)
def test_pieces_that_do_not_fit(state: TierPartitionState) -> None:
    with pytest.raises(TierContradictionError):
        PartitionTier.of_pieces([state])


def test_slices_and_segments_that_do_not_meet() -> None:
    history = uploaded(9, 19, 29)
    history.spill(2)
    (piece,) = history.tier.pieces()
    broken = TierPartitionState(
        TOPIC, 0, 0, slices=piece.slices, segments=SegmentArray.of([segment(21, 29)])
    )
    with pytest.raises(TierContradictionError, match="segments begin at 21, slices end at 19"):
        PartitionTier.of_pieces([broken])
