"""Sessions end late by a tenth of a second at most, and heartbeats cost no timers."""

from typing import Any

import pytest

from tests.group_world import ManualTimers
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.groups.sessions import Alarm, Session, Sessions

GROUP: Any = None


class CountingTimers(ManualTimers):
    """Counts what is set and taken back."""

    calls = 0

    def add(self, waiter: Any, delay_s: float) -> int:
        self.calls += 1
        return super().add(waiter, delay_s)

    def remove(self, waiter: Any, tick: int) -> None:
        self.calls += 1
        super().remove(waiter, tick)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timers = CountingTimers(self.clock)
        self.expired: list[tuple[str, float]] = []
        self.sessions = Sessions(
            self.timers,
            self.clock,
            lambda _, member_id: self.expired.append((member_id, self.clock.monotonic())),
        )

    def session(self, member_id: str = "m") -> Session:
        return Session(self.sessions, GROUP, member_id)


@pytest.mark.parametrize("timeout_ms", [1, 99, 100, 101, 6_000, 6_001, 45_000])
def test_it_ends_on_the_grid_and_never_early(timeout_ms: int) -> None:
    world = World()
    world.clock.advance(1_234)
    world.session().touch(timeout_ms)
    world.timers.advance(timeout_ms - 1)
    assert world.expired == []
    world.timers.advance(101)
    ((_, ended_s),) = world.expired
    assert ended_s * 1000 == pytest.approx(-(-(1_234 + timeout_ms) // 100) * 100)


def test_a_heartbeat_sets_no_timer() -> None:
    world = World()
    session = world.session()
    session.touch(10_000)
    for _ in range(1_000):
        world.timers.advance(3)
        session.touch(10_000)
    assert world.timers.calls == 1
    world.timers.advance(9_900)
    assert world.expired == []
    assert world.timers.calls == 2
    world.timers.advance(200)
    assert [member for member, _ in world.expired] == ["m"]


def test_a_shorter_timeout_counts_at_once() -> None:
    world = World()
    session = world.session()
    session.touch(300_000)
    session.touch(6_000)
    world.timers.advance(6_100)
    assert len(world.expired) == 1
    assert len(world.timers) == 0


def test_a_cancelled_session_never_ends() -> None:
    world = World()
    session = world.session()
    session.cancel()
    session.touch(6_000)
    session.cancel()
    session.expire()
    world.timers.advance(10_000)
    assert world.expired == []
    assert len(world.timers) == 0


def test_after_its_end_a_sign_of_life_begins_it_anew() -> None:
    world = World()
    session = world.session()
    session.touch(6_000)
    world.timers.advance(6_100)
    session.touch(6_000)
    world.timers.advance(6_100)
    assert len(world.expired) == 2


def test_sessions_share_deadlines() -> None:
    clock, scheduler = ManualClock(), ManualScheduler()
    deadlines = Deadlines(scheduler, clock)
    expired: list[str] = []
    sessions = Sessions(deadlines, clock, lambda _, member_id: expired.append(member_id))
    for number in range(1_000):
        clock.advance(1)
        Session(sessions, GROUP, str(number)).touch(45_000)
    assert len(deadlines._buckets) <= 11
    clock.advance(45_200)
    scheduler.advance(100)
    assert len(expired) == 1_000


def test_an_alarm_is_moved_not_doubled() -> None:
    world = World()
    rung: list[str] = []
    alarm = Alarm(world.timers)
    alarm.set(1_000, lambda: rung.append("first"))
    alarm.set(2_000, lambda: rung.append("second"))
    world.timers.advance(3_000)
    assert rung == ["second"]
    alarm.set(1_000, lambda: rung.append("third"))
    alarm.cancel()
    alarm.expire()
    world.timers.advance(3_000)
    assert rung == ["second"]


def test_an_alarm_may_set_itself_anew() -> None:
    world = World()
    rung: list[float] = []
    alarm = Alarm(world.timers)

    def ring() -> None:
        rung.append(world.clock.monotonic())
        if len(rung) < 3:
            alarm.set(1_000, ring)

    alarm.set(1_000, ring)
    world.timers.advance(10_000)
    assert rung == [1.0, 2.0, 3.0]
