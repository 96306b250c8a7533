"""What goes next, and what goes for good: pure decisions, tried with whatever there may be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tier_state import TOPIC, segment
from tests.tier_world import CONFIG, UNLIMITED
from tierbroker.base.ids import TopicPartition
from tierbroker.cold.planner import (
    Candidate,
    TierConfig,
    in_order,
    next_upload,
    retention_start,
)
from tierbroker.records.tier.local import LocalSegment
from tierbroker.records.tier.segment import SegmentArray, SliceArray, TierSlice
from tierbroker.records.tier.state import PartitionTier

NOW_MS = 1_000_000


def tier_of(*ends: int, log_start: int = 0, start: int = 0, **changes: int) -> PartitionTier:
    """Segments that end there, of 100 bytes each, the newest record at time 1000 + base."""
    entries = []
    for end in ends:
        entries.append(segment(start, end, **changes))
        start = end + 1
    return PartitionTier(TOPIC, 0, log_start, SegmentArray.of(entries))


def local(base: int, end: int, size_bytes: int = 100, time_ms: int = 0) -> LocalSegment:
    return LocalSegment(base, end, size_bytes, time_ms)


def test_the_segment_behind_the_tiered_end_goes() -> None:
    closed = [local(10, 19), local(20, 29)]
    assert next_upload(tier_of(9), closed, UNLIMITED, 0, CONFIG, NOW_MS) == closed[0]
    assert next_upload(None, closed, UNLIMITED, 0, CONFIG, NOW_MS) == closed[0]
    assert next_upload(tier_of(9), [], UNLIMITED, 0, CONFIG, NOW_MS) is None
    assert next_upload(tier_of(4), closed, UNLIMITED, 0, CONFIG, NOW_MS) is None
    off = replace(CONFIG, copies=False)
    assert next_upload(tier_of(9), closed, UNLIMITED, 0, off, NOW_MS) is None


@pytest.mark.parametrize(("limit", "goes"), [(18, False), (19, False), (20, True)])
def test_the_limit_is_the_first_offset_that_may_not_go(limit: int, *, goes: bool) -> None:
    found = next_upload(None, [local(10, 19)], limit, 0, CONFIG, NOW_MS)
    assert (found is not None) is goes


@pytest.mark.parametrize(
    ("lag_ms", "lag_bytes", "age_ms", "behind_bytes", "goes"),
    [
        (0, 0, 0, 0, True),
        (-2, -2, 0, 0, True),
        (100, 0, 99, 10_000, False),
        (100, 0, 100, 0, True),
        (0, 500, 10_000, 499, False),
        (0, 500, 0, 500, True),
        (100, 500, 99, 499, False),
        (100, 500, 100, 0, True),
        (100, 500, 0, 500, True),
    ],
)
def test_copy_lags(
    lag_ms: int, lag_bytes: int, age_ms: int, behind_bytes: int, *, goes: bool
) -> None:
    config = replace(CONFIG, copy_lag_ms=lag_ms, copy_lag_bytes=lag_bytes)
    closed = [local(0, 9, time_ms=NOW_MS - age_ms), local(10, 19, size_bytes=behind_bytes // 2)]
    active_bytes = behind_bytes - behind_bytes // 2
    found = next_upload(None, closed, UNLIMITED, active_bytes, config, NOW_MS)
    assert (found is not None) is goes


@st.composite
def runs(draw: st.DrawFn) -> list[LocalSegment]:
    """Closed segments that follow each other."""
    base = draw(st.integers(0, 50))
    found = []
    for _ in range(draw(st.integers(0, 6))):
        end = base + draw(st.integers(0, 9))
        size, time_ms = draw(st.integers(1, 300)), draw(st.integers(NOW_MS - 50, NOW_MS + 5))
        found.append(LocalSegment(base, end, size, time_ms))
        base = end + 1
    return found


configs = st.builds(
    TierConfig,
    copies=st.booleans(),
    copy_lag_ms=st.sampled_from([-2, 0, 1, 20, 40]),
    copy_lag_bytes=st.sampled_from([-2, 0, 1, 200, 900]),
    retention_ms=st.sampled_from([-1, 0, 10, 40]),
    retention_bytes=st.sampled_from([-1, 0, 100, 500]),
)


@given(runs(), st.integers(0, 100), st.integers(0, 500), configs, st.integers(-1, 60))
def test_uploads_grow_without_holes_and_never_beyond_the_limit(
    closed: list[LocalSegment], limit: int, active_bytes: int, config: TierConfig, tiered_end: int
) -> None:
    tier = None if tiered_end < 0 else tier_of(tiered_end)
    left = [entry for entry in closed if entry.end_offset > tiered_end]
    uploaded: list[LocalSegment] = []
    while (found := next_upload(tier, left, limit, active_bytes, config, NOW_MS)) is not None:
        # The same question has the same answer: nothing depends on who asked before.
        assert next_upload(tier, left, limit, active_bytes, config, NOW_MS) == found
        assert found.end_offset < limit
        assert found == left[0]
        assert config.copies
        if tier is not None:
            assert found.base_offset == tier.end_offset + 1
        uploaded.append(found)
        tier = tier_of(found.end_offset)
        left = left[1:]
    assert uploaded == closed[len(closed) - len(left) - len(uploaded) :][: len(uploaded)]
    if left and config.copies and config.copy_lag_ms <= 0 and config.copy_lag_bytes <= 0:
        stuck = tier is not None and left[0].base_offset != tier.end_offset + 1
        assert stuck or left[0].end_offset >= limit


@given(runs(), st.integers(0, 500), configs)
def test_time_and_bytes_bring_every_segment_to_the_store(
    closed: list[LocalSegment], active_bytes: int, config: TierConfig
) -> None:
    """What may not go now may go later, and what may go now may not be refused later."""
    config = replace(config, copies=True)
    if not closed:
        return
    now = next_upload(None, closed, UNLIMITED, active_bytes, config, NOW_MS)
    later = next_upload(None, closed, UNLIMITED, active_bytes + 10_000, config, NOW_MS + 10_000)
    assert later == closed[0]
    assert now in (None, closed[0])


def candidate(name: str, waits_since_ms: int) -> Candidate:
    return Candidate(TopicPartition(name, 0), TOPIC, 0, local(0, 9), waits_since_ms)


def test_who_waits_longest_goes_first() -> None:
    waiting = [candidate("a", 30), candidate("b", 10), candidate("c", 20)]
    assert [c.topic_partition.topic for c in in_order(waiting, 2)] == ["b", "c"]
    assert in_order(waiting, 0) == in_order(waiting, -3) == []
    assert len(in_order(waiting, 9)) == 3


def start_of(
    tier: PartitionTier | None,
    behind: list[LocalSegment] | None = None,
    *,
    active_bytes: int = 0,
    log_start: int = 0,
    limit: int = UNLIMITED,
    now_ms: int = NOW_MS,
    **retention: int,
) -> int | None:
    config = replace(CONFIG, **retention)  # type: ignore[arg-type]
    return retention_start(tier, behind or [], active_bytes, log_start, limit, config, now_ms)


def test_age_takes_whole_segments_oldest_first() -> None:
    tier = tier_of(9, 19, 29)  # the newest records at 1000, 1010 and 1020
    assert start_of(tier) is None
    assert start_of(tier, retention_ms=500, now_ms=1500) is None
    assert start_of(tier, retention_ms=500, now_ms=1501) == 10
    assert start_of(tier, retention_ms=500, now_ms=1520) == 20
    assert start_of(tier, retention_ms=500, now_ms=9999) == 30
    assert start_of(tier, retention_ms=0, now_ms=1000) is None


def test_an_old_segment_behind_a_young_one_stays() -> None:
    young = segment(0, 9, max_timestamp_ms=NOW_MS)
    old = segment(10, 19, max_timestamp_ms=1)
    tier = PartitionTier(TOPIC, 0, 0, SegmentArray.of([young, old]))
    assert start_of(tier, retention_ms=500) is None


def test_size_counts_what_is_here_too() -> None:
    tier = tier_of(9, 19, 29)  # of 100 bytes each
    assert start_of(tier, retention_bytes=300) is None
    assert start_of(tier, retention_bytes=201) is None
    assert start_of(tier, retention_bytes=200) == 10
    assert start_of(tier, retention_bytes=0) == 30
    behind = [local(30, 39, size_bytes=60)]
    assert start_of(tier, behind, active_bytes=40, retention_bytes=300) == 10
    assert start_of(tier, behind, active_bytes=39, retention_bytes=300) is None


def test_what_could_not_be_uploaded_goes_in_its_time_too() -> None:
    tier = tier_of(9)
    behind = [local(10, 19, time_ms=2000), local(20, 29, time_ms=3000)]
    assert start_of(tier, behind, retention_ms=500, now_ms=2501) == 20
    assert start_of(tier, behind, retention_ms=500, now_ms=9999) == 30
    assert start_of(tier, behind, retention_ms=500, now_ms=9999, limit=25) == 20
    assert start_of(None, behind, retention_ms=500, now_ms=2501) == 20
    assert start_of(None, behind, retention_bytes=0) == 30
    assert start_of(PartitionTier(TOPIC, 0, 10), behind, retention_bytes=100) == 20


def test_what_was_deleted_before_is_no_reason() -> None:
    tier = tier_of(9, 19, log_start=12)
    assert start_of(tier, log_start=12) is None
    assert start_of(tier, log_start=12, retention_bytes=100) is None
    assert start_of(tier, log_start=12, retention_bytes=0) == 20


def test_what_was_spilled_goes_slice_by_slice() -> None:
    """A slice stays until the newest of its segments is due: at least a thousand, as a rule."""
    old = TierSlice(0, 9_999, 2000, 100_000, 1000, 0, 1, 0, 56_000, 1)
    young = old._replace(base_offset=10_000, end_offset=19_999, max_timestamp_ms=3000)
    behind = segment(20_000, 20_009, max_timestamp_ms=4000)
    tier = PartitionTier(TOPIC, 0, 0, SegmentArray.of([behind]), SliceArray.of([old, young]))
    assert start_of(tier, retention_ms=500, now_ms=2500) is None
    assert start_of(tier, retention_ms=500, now_ms=2501) == 10_000
    assert start_of(tier, retention_ms=500, now_ms=3501) == 20_000
    assert start_of(tier, retention_ms=500, now_ms=4501) == 20_010
    assert start_of(tier, retention_bytes=100_101) is None
    assert start_of(tier, retention_bytes=100_100) == 10_000


@given(runs(), st.integers(0, 6), st.integers(0, 300), configs, st.integers(0, 100))
def test_retention_lets_go_only_what_is_due(
    closed: list[LocalSegment], tiered: int, active_bytes: int, config: TierConfig, limit: int
) -> None:
    cold, behind = closed[:tiered], closed[tiered:]
    tier = PartitionTier(
        TOPIC,
        0,
        0,
        SegmentArray.of(
            segment(s.base_offset, s.end_offset, log_bytes=s.size_bytes, max_timestamp_ms=s[3])
            for s in cold
        ),
    )
    log_start = closed[0].base_offset if closed else 0
    start = retention_start(tier, behind, active_bytes, log_start, limit, config, NOW_MS)
    if start is None:
        return
    gone = [entry for entry in closed if entry.end_offset < start]
    left = [entry for entry in closed if entry.end_offset >= start]
    assert gone
    assert start == gone[-1].end_offset + 1 <= limit
    left_bytes = active_bytes + sum(entry.size_bytes for entry in left)
    for entry in reversed(gone):
        by_age = config.retention_ms >= 0 and NOW_MS - entry[3] > config.retention_ms
        by_size = config.retention_bytes >= 0 and left_bytes >= config.retention_bytes
        assert by_age or by_size
        left_bytes += entry.size_bytes
