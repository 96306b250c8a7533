"""Turns and timers as a port: what a loop offers to code that must not know asyncio.

An asyncio or uvloop loop is a `Scheduler` as it stands.
"""

from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A call that is due; `cancel` makes it never happen."""

    def cancel(self) -> None: ...


class Scheduler(Protocol):
    """Calls back on the loop thread."""

    def call_soon(self, callback: Callable[[], object]) -> Handle:
        """Call once, after the work of this turn."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Handle:
        """Call once, `delay` seconds from now."""


class ManualScheduler:
    """Calls back when told to: for tests and simulation."""

    def __init__(self) -> None:
        self._soon: list[_ManualHandle] = []
        self._later: list[_ManualHandle] = []
        self._now = 0.0

    def call_soon(self, callback: Callable[[], object]) -> "_ManualHandle":
        """Keep the call for the end of the turn."""
        handle = _ManualHandle(self._now, callback)
        self._soon.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[[], object]) -> "_ManualHandle":
        """Keep the call until the time has come."""
        handle = _ManualHandle(self._now + delay, callback)
        self._later.append(handle)
        return handle

    def end_turn(self, *, follow: bool = True) -> None:
        """Run what waits for the end of the turn, and what that adds, unless told not to."""
        while self._soon:
            due, self._soon = self._soon, []
            for handle in due:
                handle.run()
            if not follow:
                break

    def advance(self, seconds: float) -> None:
        """Let time pass: timers run in the order of their moments, a turn ends after each."""
        target = self._now + seconds
        while due := [handle for handle in self._later if handle.when <= target]:
            handle = min(due, key=lambda candidate: candidate.when)
            self._later.remove(handle)
            self._now = max(self._now, handle.when)
            handle.run()
            self.end_turn()
        self._now = target


class _ManualHandle:
    __slots__ = ("_callback", "when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def run(self) -> None:
        if self._callback is not None:
            self._callback()
