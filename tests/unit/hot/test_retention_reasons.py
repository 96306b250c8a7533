import pytest

from tierbroker.hot.config import LogConfig
from tierbroker.hot.retention import SegmentFacts, count_deletable
from tierbroker.hot.retention_reasons import FAR_MS, Reason, Rule, explain

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def segments(*newest_ms: int, size: int = 100) -> list[SegmentFacts]:
    """Ten offsets each; the last one is active."""
    return [
        SegmentFacts((slot + 1) * 10, size, lambda time=time: time, slot == len(newest_ms) - 1)
        for slot, time in enumerate(newest_ms)
    ]


def reasons(
    facts: list[SegmentFacts], *, start: int = 0, watermark: int = 1000, **named: object
) -> list[Reason]:
    values = {name.replace("_", "."): value for name, value in named.items()}
    config = LogConfig.from_values(values)  # type: ignore[arg-type]
    answer = explain(facts, config, NOW_MS, start, watermark)
    due = sum(reason.rule in (Rule.DUE, Rule.LOG_START) for reason in answer)
    assert due == count_deletable(facts, config, NOW_MS, start, watermark)
    return answer


def test_age_says_until_when() -> None:
    old, young = reasons(segments(NOW_MS - 2 * HOUR_MS, NOW_MS), retention_ms=HOUR_MS)
    assert (old.rule, young.rule) == (Rule.DUE, Rule.AGE)
    assert old.setting == young.setting == "retention.ms"
    assert young.until_ms == NOW_MS + HOUR_MS + 1


def test_one_from_the_future_keeps_all_behind_it() -> None:
    future = NOW_MS + FAR_MS + 1
    first, second = reasons(segments(future, NOW_MS - 9 * HOUR_MS), retention_ms=HOUR_MS)
    assert first.from_the_future
    assert (first.rule, second.rule) == (Rule.AGE, Rule.OLDER_FIRST)
    assert first.until_ms == second.until_ms == future + HOUR_MS + 1


def test_size_says_how_much_more() -> None:
    found = reasons(segments(*[NOW_MS] * 4), retention_ms=-1, retention_bytes=250)
    assert [reason.rule for reason in found] == [Rule.DUE, Rule.SIZE, Rule.SIZE, Rule.SIZE]
    assert [reason.until_more_bytes for reason in found] == [0, 50, 150, 250]
    assert found[0].setting == "retention.bytes"


def test_nothing_goes_above_the_high_watermark() -> None:
    old = NOW_MS - 2 * HOUR_MS
    found = reasons(segments(old, old), retention_ms=HOUR_MS, watermark=15)
    assert [reason.rule for reason in found] == [Rule.DUE, Rule.HIGH_WATERMARK]


def test_what_lies_below_the_log_start_goes() -> None:
    found = reasons(segments(NOW_MS, NOW_MS, NOW_MS), retention_ms=-1, start=20)
    assert [reason.rule for reason in found] == [Rule.LOG_START, Rule.LOG_START, Rule.FOREVER]
    assert found[0].setting is None
    found = reasons(segments(NOW_MS, NOW_MS), cleanup_policy=("compact",), start=10)
    assert [reason.rule for reason in found] == [Rule.LOG_START, Rule.COMPACTION]


@pytest.mark.parametrize(("policy", "rule"), [("compact", Rule.COMPACTION), ("delete", Rule.AGE)])
def test_compaction_alone_removes_no_segment(policy: str, rule: Rule) -> None:
    (found,) = reasons(segments(NOW_MS), retention_ms=HOUR_MS, cleanup_policy=(policy,))
    assert found.rule is rule
    assert (found.until_ms is None) == (policy == "compact")


def test_a_tiered_log_keeps_what_the_store_lacks() -> None:
    old = NOW_MS - 2 * HOUR_MS
    config = LogConfig.from_values(
        {"remote.storage.enable": True, "local.retention.ms": HOUR_MS, "retention.ms": -1}
    )
    facts = segments(old, old, NOW_MS, NOW_MS)
    found = explain(facts, config, NOW_MS, 0, 1000, in_store_to=10)
    assert [reason.rule for reason in found] == [
        Rule.DUE,
        Rule.NOT_IN_STORE,
        Rule.AGE,
        Rule.AGE,
    ]
    assert [reason.setting for reason in found] == [
        "local.retention.ms",
        "remote.storage.enable",
        "local.retention.ms",
        "local.retention.ms",
    ]
    assert found[2].until_ms == NOW_MS + HOUR_MS + 1
