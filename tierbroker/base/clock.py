"""Time as a port: nothing else asks the operating system what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the broker may know about time."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970; may jump."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when it is told to: for tests and simulation."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic

    def advance(self, ms: int) -> None:
        """Let `ms` milliseconds pass on both clocks."""
        assert ms >= 0, "time does not go back; use jump() for the wall clock"
        self._now_ms += ms
        self._monotonic += ms / 1000

    def jump(self, ms: int) -> None:
        """Set the wall clock forward or back by `ms`, as an administrator or NTP does."""
        self._now_ms += ms
