"""What a change of a group leads to outside of it: answers to requests, and records to write.

A request may change a group while other requests are parked on it, and an answer may bring the
next request of the same connection in before `resolve` returns; `append` may call `done` at once.
So nothing leaves while a group is half changed: effects are queued, and carried out when the
change is complete. Nothing here may know what a group is.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from tierbroker.base.pending import Pending

T = TypeVar("T")


class Outbox:
    """Effects in the order in which they were decided. Loop thread only."""

    __slots__ = ("_effects",)

    def __init__(self) -> None:
        self._effects: deque[Callable[[], object]] = deque()

    def answer(self, pending: Pending[T], response: T) -> None:
        """The request will get its answer when the change is complete."""

        def resolve() -> None:
            if not pending.done:
                pending.resolve(response)

        self._effects.append(resolve)

    def add(self, effect: Callable[[], object]) -> None:
        """`effect` will be called when the change is complete."""
        self._effects.append(effect)

    def deliver(self) -> None:
        """The groups are consistent now: carry out what was decided, and what that leads to.

        An effect may come back here with a change of its own: the inner call carries out the
        rest, in order, and the outer one finds nothing left.
        """
        effects = self._effects
        while effects:
            effects.popleft()()
