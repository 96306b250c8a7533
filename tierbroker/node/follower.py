"""Brings a broker in step with the committed metadata, a slice of the loop's time at a time.

One change may create ten thousand partitions, whose files take seconds to make; a loop that made
them in one turn would answer nobody meanwhile (D-11). Changes are followed in their order, and one
is over when every partition of it can be used: only then is whoever asked for it answered.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.pending import Pending
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.image import MetadataImage

SLICE_S = 0.005


class Followed(Protocol):
    """What follows the metadata piece by piece."""

    def follow(self, changes: Changes, image: MetadataImage) -> Iterator[None]:
        """Do a small piece of work, yield, and so on to the end."""


class MetadataFollower:
    """A listener of the metadata driver. Loop thread only.

    `then(changes, image)` is called when a change has been followed, before whoever waits for it
    hears of that. `start` begins a supervised task: what fails in it must stop the node, which is
    no longer what its metadata says.
    """

    def __init__(
        self,
        followed: Followed,
        then: Callable[[Changes, MetadataImage], None],
        start: Callable[[Coroutine[Any, Any, None]], object],
        clock: Clock,
    ) -> None:
        self._followed = followed
        self._then = then
        self._start = start
        self._clock = clock
        self._queue: deque[tuple[Iterator[None], Pending[None]]] = deque()
        self._busy = False

    def __call__(self, changes: Changes, image: MetadataImage) -> Pending[None]:
        """Follow one change; most are done when this returns."""
        done: Pending[None] = Pending()
        self._queue.append((self._steps(changes, image), done))
        if not self._busy:
            self._busy = True
            if self._work():
                self._busy = False
            else:
                self._start(self._go_on())
        return done

    async def _go_on(self) -> None:
        done = False
        while not done:
            await asyncio.sleep(0)  # everybody else's turn
            done = self._work()
        self._busy = False

    def _work(self) -> bool:
        """Use up one slice; whether nothing is left to do."""
        until = self._clock.monotonic() + SLICE_S
        while self._queue:
            steps, done = self._queue[0]
            for _ in steps:
                if self._clock.monotonic() >= until:
                    return False
            self._queue.popleft()
            done.resolve(None)
        return True

    def _steps(self, changes: Changes, image: MetadataImage) -> Iterator[None]:
        yield from self._followed.follow(changes, image)
        self._then(changes, image)
