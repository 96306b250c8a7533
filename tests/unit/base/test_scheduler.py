"""The manual scheduler: turns, timers, cancelling."""

from tierbroker.base.scheduler import ManualScheduler


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
