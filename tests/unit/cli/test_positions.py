"""--from and --exit."""

from datetime import datetime

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.cli.positions import Anchor, EndTracker, Position, parse_position

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("start", Position(Anchor.START)),
        ("end", Position(Anchor.END)),
        ("0", Position(Anchor.OFFSET, 0)),
        ("42", Position(Anchor.OFFSET, 42)),
        (str(2**63 - 1), Position(Anchor.OFFSET, 2**63 - 1)),
        ("-5", Position(Anchor.BEFORE_END, 5)),
        ("@1700000000000", Position(Anchor.TIME, 1_700_000_000_000)),
        ("@2026-11-01T10:00:00Z", Position(Anchor.TIME, 1_793_527_200_000)),
        ("@2026-11-01T10:00:00.250+01:00", Position(Anchor.TIME, 1_793_523_600_250)),
        ("@-90m", Position(Anchor.TIME, NOW_MS - 5_400_000)),
        ("@-250ms", Position(Anchor.TIME, NOW_MS - 250)),
        ("@-99999999d", Position(Anchor.TIME, 0)),
    ],
)
def test_parses(text: str, position: Position) -> None:
    assert parse_position(text, ManualClock(now_ms=NOW_MS)) == position


def test_a_time_without_zone_is_local() -> None:
    local = datetime(2026, 11, 1, 10).timestamp() * 1000
    parsed = parse_position("@2026-11-01T10:00:00", ManualClock())
    assert parsed == Position(Anchor.TIME, round(local))


@pytest.mark.parametrize("text", ["", "begin", "1.5", "--1", "@", "@noon", "@-1y", str(2**63)])
def test_refuses_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_position(text, ManualClock())


@pytest.mark.parametrize(
    ("position", "at_time", "offset"),
    [
        (Position(Anchor.START), None, 10),
        (Position(Anchor.END), None, 20),
        (Position(Anchor.OFFSET, 12), None, 12),
        (Position(Anchor.OFFSET, 3), None, 10),
        (Position(Anchor.OFFSET, 99), None, 20),
        (Position(Anchor.BEFORE_END, 4), None, 16),
        (Position(Anchor.BEFORE_END, 400), None, 10),
        (Position(Anchor.TIME, 1), 15, 15),
        (Position(Anchor.TIME, 1), None, 20),
    ],
)
def test_resolves_within_the_partition(
    position: Position, at_time: int | None, offset: int
) -> None:
    assert position.resolve(10, 20, at_time) == offset


def test_reading_ends_with_the_record_before_the_end() -> None:
    tracker = EndTracker({0: 3})
    assert tracker.take(0, 1)
    assert not tracker.complete
    assert tracker.take(0, 2)
    assert tracker.complete


def test_a_record_beyond_the_end_is_not_taken_but_ends_its_partition() -> None:
    tracker = EndTracker({0: 3, 1: 1})
    assert tracker.take(0, 0)
    assert not tracker.take(0, 7), "offsets 1 and 2 were markers, 7 came later"
    assert not tracker.take(0, 8)
    assert not tracker.complete
    assert tracker.take(1, 0)
    assert tracker.complete


def test_the_broker_may_say_that_there_is_no_more() -> None:
    tracker = EndTracker({0: 3})
    tracker.finish(5)
    assert not tracker.complete
    tracker.finish(0)
    assert tracker.complete
    tracker.finish(0)


def test_nothing_to_read_is_complete() -> None:
    assert EndTracker({}).complete
