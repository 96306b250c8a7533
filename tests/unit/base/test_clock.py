"""Clocks: the real one is sane, the manual one moves only when told."""

import pytest

from tierbroker.base.clock import ManualClock, SystemClock


def test_the_system_clock_counts_milliseconds_since_1970() -> None:
    clock = SystemClock()
    assert clock.now_ms() > 1_700_000_000_000
    before = clock.monotonic()
    assert clock.monotonic() >= before


def test_a_manual_clock_stands_still() -> None:
    clock = ManualClock(1000)
    assert (clock.now_ms(), clock.monotonic()) == (1000, 0.0)
    assert (clock.now_ms(), clock.monotonic()) == (1000, 0.0)


def test_advancing_moves_both_and_jumping_only_the_wall_clock() -> None:
    clock = ManualClock(1000)
    clock.advance(1500)
    assert (clock.now_ms(), clock.monotonic()) == (2500, 1.5)
    clock.jump(-2000)
    assert (clock.now_ms(), clock.monotonic()) == (500, 1.5)


def test_time_does_not_go_back() -> None:
    with pytest.raises(AssertionError):
        ManualClock().advance(-1)
