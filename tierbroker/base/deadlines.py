"""Deadlines of parked requests, cheap enough to set one for every long poll.

A timer of the loop costs microseconds to make and to cancel; nearly every parked fetch is woken
by data and never needs it. Here a deadline is an entry in the bucket of its tick: one loop timer
serves all of them. A deadline fires up to one tick late, never early.
"""

from typing import Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.scheduler import Handle, Scheduler

TICK_S = 0.005
_TIMER_UNIT_S = 0.001
"""uvloop's timers count whole milliseconds of a clock that is read once a turn: they may be early
by as much. One that was would be set to 0 then, and again in every turn until the tick is there."""


class Expiring(Protocol):
    """Something that waits at most until its deadline."""

    def expire(self) -> None:
        """The deadline has passed."""


class Deadlines:
    """Buckets of waiters by tick. Loop thread only."""

    def __init__(self, scheduler: Scheduler, clock: Clock) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._buckets: dict[int, set[Expiring]] = {}
        self._timer: Handle | None = None
        self._timer_tick = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, waiter: Expiring, delay_s: float) -> int:
        """Call `waiter.expire()` once `delay_s` has passed; the tick returned is for `remove`."""
        tick = int((self._clock.monotonic() + delay_s) / TICK_S) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            if self._timer is None or tick < self._timer_tick:
                self._arm(tick)
        bucket.add(waiter)
        return tick

    def remove(self, waiter: Expiring, tick: int) -> None:
        """The waiter was served; its deadline will not fire."""
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.discard(waiter)
            if not bucket and tick != self._timer_tick:
                del self._buckets[tick]

    def expire_all(self) -> None:
        """Let everyone go now: the broker stops."""
        buckets, self._buckets = self._buckets, {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for bucket in buckets.values():
            for waiter in bucket:
                waiter.expire()

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, tick * TICK_S - self._clock.monotonic()) + _TIMER_UNIT_S
        self._timer_tick = tick
        self._timer = self._scheduler.call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_tick = int(self._clock.monotonic() / TICK_S)
        try:
            for tick in sorted(tick for tick in self._buckets if tick <= now_tick):
                # When the loop was late, several ticks are due; whoever expired in one may have
                # removed all that waited for a later one, and its bucket with it.
                for waiter in self._buckets.pop(tick, ()):
                    waiter.expire()
        finally:
            # One waiter's bug must not be the end of everybody's deadlines.
            self._arm_for_next()

    def _arm_for_next(self) -> None:
        """Whoever expired may have armed the timer for a new deadline, later than those before."""
        if self._buckets:
            first = min(self._buckets)
            if self._timer is None or first < self._timer_tick:
                self._arm(first)
