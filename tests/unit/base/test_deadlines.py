import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import TICK_S, Deadlines
from tierbroker.base.scheduler import ManualScheduler


class Waiter:
    def __init__(self) -> None:
        self.expired = 0

    def expire(self) -> None:
        self.expired += 1


class Time:
    """Clock and timers that move together."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.scheduler = ManualScheduler()
        self.deadlines = Deadlines(self.scheduler, self.clock)

    def pass_ms(self, ms: int) -> None:
        for _ in range(ms):
            self.clock.advance(1)
            self.scheduler.advance(0.001)


def test_a_deadline_fires_late_by_at_most_two_ticks_and_never_early() -> None:
    time = Time()
    waiter = Waiter()
    time.deadlines.add(waiter, 0.1)
    time.pass_ms(100)
    assert waiter.expired == 0
    time.pass_ms(int(2 * TICK_S * 1000))
    assert waiter.expired == 1
    time.pass_ms(500)
    assert waiter.expired == 1


def test_a_removed_waiter_is_forgotten() -> None:
    time = Time()
    waiter = Waiter()
    tick = time.deadlines.add(waiter, 0.05)
    assert len(time.deadlines) == 1
    time.deadlines.remove(waiter, tick)
    assert len(time.deadlines) == 0
    time.pass_ms(200)
    assert waiter.expired == 0


def test_an_earlier_deadline_that_comes_later_fires_first() -> None:
    time = Time()
    late, early = Waiter(), Waiter()
    time.deadlines.add(late, 0.5)
    time.deadlines.add(early, 0.02)
    time.pass_ms(40)
    assert (early.expired, late.expired) == (1, 0)
    time.pass_ms(500)
    assert late.expired == 1


def test_removing_the_armed_waiter_does_not_lose_the_others() -> None:
    time = Time()
    first, second = Waiter(), Waiter()
    tick = time.deadlines.add(first, 0.02)
    time.deadlines.add(second, 0.2)
    time.deadlines.remove(first, tick)
    time.pass_ms(300)
    assert (first.expired, second.expired) == (0, 1)


def test_a_waiter_added_while_firing_gets_its_own_turn() -> None:
    time = Time()

    class Again(Waiter):
        def expire(self) -> None:
            super().expire()
            if self.expired == 1:
                time.deadlines.add(self, 0.05)

    waiter = Again()
    time.deadlines.add(waiter, 0.05)
    time.pass_ms(200)
    assert waiter.expired == 2


def test_a_deadline_set_by_an_expiring_waiter_does_not_hold_up_the_next_one() -> None:
    time = Time()
    late, next_one = Waiter(), Waiter()

    class Again(Waiter):
        def expire(self) -> None:
            super().expire()
            time.deadlines.add(late, 10.0)

    time.deadlines.add(Again(), 0.02)
    time.deadlines.add(next_one, 0.1)
    time.pass_ms(150)
    assert (next_one.expired, late.expired) == (1, 0)


def test_of_two_ticks_that_are_due_the_first_may_empty_the_second() -> None:
    """A late loop: one waiter expires, and takes back the only deadline of the next tick."""
    time = Time()
    second, third = Waiter(), Waiter()

    class Removing(Waiter):
        def expire(self) -> None:
            super().expire()
            time.deadlines.remove(second, tick)

    first = Removing()
    time.deadlines.add(first, 0.02)
    tick = time.deadlines.add(second, 0.04)
    time.deadlines.add(third, 0.2)
    time.clock.advance(100)
    time.scheduler.advance(0.1)
    assert (first.expired, second.expired, third.expired) == (1, 0, 0)
    time.pass_ms(200)
    assert third.expired == 1


def test_a_waiter_that_fails_does_not_hold_up_the_others() -> None:
    time = Time()

    class Failing(Waiter):
        def expire(self) -> None:
            raise AssertionError("a bug")

    other = Waiter()
    time.deadlines.add(Failing(), 0.02)
    time.deadlines.add(other, 0.1)
    with pytest.raises(AssertionError, match="a bug"):
        time.pass_ms(50)
    time.pass_ms(100)
    assert other.expired == 1
