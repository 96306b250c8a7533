"""Work that takes long (loading, expiry), done in slices of the loop's time.

One slice a turn for all shards together: fifty of them that load at once do not hold the loop
fifty times as long. What is begun first is ended first. Nothing here knows what the work is.
"""

from collections import deque
from collections.abc import Callable, Iterator

from tierbroker.base.clock import Clock

SLICE_S = 0.005

Yield = Callable[[Callable[[], None]], object]
"""Runs a callback in a later turn of the loop: `call_soon`."""


class Background:
    """A queue of works; each is an iterator whose every step is short. Loop thread only."""

    __slots__ = ("_clock", "_is_due", "_works", "_yield")

    def __init__(self, clock: Clock, yield_: Yield) -> None:
        self._clock = clock
        self._yield = yield_
        self._works: deque[Iterator[None]] = deque()
        self._is_due = False

    def begin(self, work: Iterator[None]) -> None:
        """Do the work in later turns, after what was begun before."""
        self._works.append(work)
        self._ask_for_turn()

    def cancel(self, work: Iterator[None]) -> None:
        """Do no further step of it. Work that has ended is not there any more."""
        if work in self._works:
            self._works.remove(work)

    def _ask_for_turn(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._yield(self._run_slice)

    def _run_slice(self) -> None:
        self._is_due = False
        end = self._clock.monotonic() + SLICE_S
        works = self._works
        while works:
            work = works[0]
            for _ in work:
                # A step may have cancelled the work that it belongs to.
                if not works or works[0] is not work:
                    break
                if self._clock.monotonic() >= end:
                    self._ask_for_turn()
                    return
            else:
                self.cancel(work)
