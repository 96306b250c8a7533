"""The manual scheduler: turns, timers, cancelling. Long works that take turns."""

from collections.abc import Callable

import pytest

from tierbroker.base.scheduler import ManualScheduler, Turns


def test_a_turn_runs_what_it_adds() -> None:
    scheduler = ManualScheduler()
    ran: list[str] = []
    scheduler.call_soon(lambda: (ran.append("a"), scheduler.call_soon(lambda: ran.append("b"))))
    assert ran == []
    scheduler.end_turn()
    assert ran == ["a", "b"]
    scheduler.end_turn()
    assert ran == ["a", "b"]


def test_timers_run_in_the_order_of_their_moments() -> None:
    scheduler = ManualScheduler()
    ran: list[str] = []
    scheduler.call_later(2, lambda: ran.append("second"))
    scheduler.call_later(1, lambda: ran.append("first"))
    scheduler.call_later(3.5, lambda: ran.append("late"))
    scheduler.advance(0.5)
    assert ran == []
    scheduler.advance(2)
    assert ran == ["first", "second"]
    scheduler.advance(1)
    assert ran == ["first", "second", "late"]


def test_a_timer_may_set_another_one_that_is_due() -> None:
    scheduler = ManualScheduler()
    ran: list[int] = []
    scheduler.call_later(1, lambda: scheduler.call_later(1, lambda: ran.append(2)))
    scheduler.advance(2)
    assert ran == [2]


def test_a_turn_ends_after_each_timer() -> None:
    scheduler = ManualScheduler()
    ran: list[str] = []
    scheduler.call_later(1, lambda: scheduler.call_soon(lambda: ran.append("soon")))
    scheduler.call_later(2, lambda: ran.append("timer"))
    scheduler.advance(5)
    assert ran == ["soon", "timer"]


def test_what_is_cancelled_never_runs() -> None:
    scheduler = ManualScheduler()
    ran: list[int] = []
    scheduler.call_soon(lambda: ran.append(1)).cancel()
    scheduler.call_later(1, lambda: ran.append(2)).cancel()
    scheduler.end_turn()
    scheduler.advance(2)
    assert ran == []


class OneTurn:
    """Keeps what is due for the next turn."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.due.append(callback)

    def end_turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


def test_slices_of_several_works_take_turns() -> None:
    loop = OneTurn()
    turns = Turns(loop)  # type: ignore[arg-type]
    ran: list[str] = []

    def work(name: str, left: int) -> None:
        ran.append(name)
        if left > 1:
            turns.add(lambda: work(name, left - 1))

    turns.add(lambda: work("a", 2))
    turns.add(lambda: work("b", 2))
    seen = []
    while loop.due:
        assert len(loop.due) == 1
        loop.end_turn()
        seen.append("".join(ran))
    assert seen == ["a", "ab", "aba", "abab"]
    turns.add(lambda: work("c", 1))
    loop.end_turn()
    assert ran[-1] == "c"
    assert loop.due == []


def test_a_slice_that_fails_does_not_stop_the_others() -> None:
    loop = OneTurn()
    turns = Turns(loop)  # type: ignore[arg-type]
    ran: list[str] = []
    turns.add(lambda: ran.remove("nobody"))
    turns.add(lambda: ran.append("next"))
    with pytest.raises(ValueError, match="not in list"):
        loop.end_turn()
    loop.end_turn()
    assert ran == ["next"]
