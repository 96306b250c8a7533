"""What `topic why` says of a compacted log is what the next round of compaction would do."""

import itertools
import pathlib

import pytest

from tests.cleaning_world import compacted, fill, put
from tests.log_setup import NOW_MS
from tierbroker.hot.cleaning.schedule import candidate, first_dirty
from tierbroker.hot.compaction_reasons import (
    CompactedSegment,
    CompactionRule,
    CompactionView,
    explain_compaction,
)
from tierbroker.hot.config import LogConfig

HOUR_MS = 3_600_000
DUE = (CompactionRule.DUE, CompactionRule.DUE_BY_LAG)


def segments(*ages_ms: int, size: int = 100) -> list[CompactedSegment]:
    """Ten offsets each; the last one is active."""
    last = len(ages_ms) - 1
    return [
        CompactedSegment(
            slot * 10, slot * 10 + 10, size, NOW_MS - age, NOW_MS - age, slot == last, False
        )
        for slot, age in enumerate(ages_ms)
    ]


def view(
    facts: list[CompactedSegment], *, cleaned: int | None = None, **rest: object
) -> CompactionView:
    offsets = {name: rest.pop(name, 1000) for name in ("decided_offset", "durable_offset")}
    enabled = bool(rest.pop("enabled", True))
    values = {name.replace("_", "."): value for name, value in rest.items()}
    config = LogConfig.from_values({"cleanup.policy": ("compact",), **values})  # type: ignore[dict-item]
    return explain_compaction(
        facts,
        config,
        NOW_MS,
        log_start_offset=0,
        cleaned_to=cleaned,
        enabled=enabled,
        **offsets,  # type: ignore[arg-type]
    )


def rules(found: CompactionView) -> list[CompactionRule]:
    return [reason.rule for reason in found.reasons]


def test_all_that_is_closed_and_new_is_due() -> None:
    found = view(segments(0, 0, 0))
    assert rules(found) == [CompactionRule.DUE, CompactionRule.DUE, CompactionRule.ACTIVE]
    assert (found.cleaned_to, found.dirty_ratio) == (0, 1.0)


def test_the_ratio_says_how_much_is_missing() -> None:
    found = view(segments(0, 0, 0, 0), cleaned=20)
    assert rules(found)[:3] == [*[CompactionRule.CLEANED] * 2, CompactionRule.DIRTY_RATIO]
    waiting = found.reasons[2]
    assert waiting.setting == "min.cleanable.dirty.ratio"
    assert (waiting.until_ms, waiting.until_more_bytes) == (None, 101)
    assert found.dirty_ratio == pytest.approx(1 / 3)
    assert rules(view(segments(*[0] * 5), cleaned=20))[2] is CompactionRule.DIRTY_RATIO
    assert rules(view(segments(*[0] * 6), cleaned=20))[2] is CompactionRule.DUE


def test_max_lag_says_when_it_forces_a_round() -> None:
    facts = segments(HOUR_MS, HOUR_MS, 0)
    waiting = view(facts, cleaned=10, max_compaction_lag_ms=2 * HOUR_MS).reasons[1]
    assert (waiting.rule, waiting.until_ms) == (CompactionRule.DIRTY_RATIO, NOW_MS + HOUR_MS + 1)
    forced = view(facts, cleaned=10, max_compaction_lag_ms=HOUR_MS - 1).reasons[1]
    assert (forced.rule, forced.setting) == (CompactionRule.DUE_BY_LAG, "max.compaction.lag.ms")


def test_min_lag_holds_back_what_is_behind_the_young_one() -> None:
    found = view(segments(HOUR_MS, 5, HOUR_MS, 0), min_compaction_lag_ms=1000)
    assert rules(found)[:3] == [CompactionRule.DUE, *[CompactionRule.MIN_LAG] * 2]
    assert [reason.until_ms for reason in found.reasons[1:3]] == [NOW_MS + 995] * 2


def test_what_is_open_or_not_durable_stays() -> None:
    found = view(segments(0, 0, 0, 0), decided_offset=25, durable_offset=12)
    assert rules(found)[:3] == [
        CompactionRule.DUE,
        CompactionRule.NOT_STABLE,
        CompactionRule.OPEN_TRANSACTION,
    ]


def test_the_active_one_is_closed_by_size_or_time() -> None:
    (active,) = view(segments(5), segment_ms=HOUR_MS, segment_bytes=1 << 20).reasons
    assert (active.rule, active.setting) == (CompactionRule.ACTIVE, "segment.ms")
    assert (active.until_ms, active.until_more_bytes) == (NOW_MS - 5 + HOUR_MS, (1 << 20) - 100)
    (empty,) = view([CompactedSegment(0, 0, 0, -1, NOW_MS, True, False)]).reasons
    assert (empty.setting, empty.until_ms) == ("segment.bytes", None)


def test_a_broker_that_does_not_compact() -> None:
    reason = view(segments(0, 0), enabled=False).reasons[0]
    assert (reason.rule, reason.setting) == (CompactionRule.CLEANER_OFF, "log.cleaner.enable")


def test_damage_stops_the_whole_log() -> None:
    first, *rest = segments(0, 0, 0)
    broken = CompactedSegment(0, 10, 100, first.first_ms, first.newest_ms, False, damaged=True)
    assert rules(view([broken, *rest]))[:2] == [CompactionRule.DAMAGED] * 2


def test_it_agrees_with_the_choice_of_the_cleaner(tmp_path: pathlib.Path) -> None:
    setup = compacted(str(tmp_path / "t-0"))
    log = setup.open()
    fill(log)
    while len(log.segments.sealed) < 12:
        put(log, (b"k", b"new" * 20), time=NOW_MS - 4000)
    bases = [segment.base_offset for segment in log.segments]
    facts = [
        CompactedSegment(
            segment.base_offset,
            bases[slot + 1] if slot + 1 < len(bases) else log.log_end_offset,
            segment.size_bytes,
            NOW_MS - 1000,
            segment.max_timestamp()[0],
            slot + 1 == len(bases),
            damaged=False,
        )
        for slot, segment in enumerate(log.segments)
    ]
    for dirty, stable, ratio, min_lag, max_lag in itertools.product(
        (None, *bases, bases[3] + 1),
        (0, bases[4], bases[6] + 1, log.log_end_offset),
        (0.0, 0.5, 1.0),
        (0, 4500),
        (4999, 1 << 62),
    ):
        setup.values |= {
            "min.cleanable.dirty.ratio": ratio,
            "min.compaction.lag.ms": min_lag,
            "max.compaction.lag.ms": max_lag,
        }
        log.config = setup.config
        for force_ms in (NOW_MS, NOW_MS + 2 * HOUR_MS):
            chosen = candidate(
                log,
                first_dirty(log, dirty),
                stable,
                force_ms,
                lambda segment: segment.max_timestamp()[0],
                lambda _: NOW_MS - 1000,
            )
            found = explain_compaction(
                facts,
                log.config,
                force_ms,
                log_start_offset=0,
                cleaned_to=dirty,
                decided_offset=stable,
                durable_offset=log.log_end_offset,
            )
            due = [f.end_offset for f, r in zip(facts, found.reasons, strict=True) if r.rule in DUE]
            if chosen is None or not chosen.due:
                assert not due
            else:
                assert due[-1] == chosen.end_offset
                assert found.dirty_ratio == pytest.approx(chosen.dirty_ratio)
