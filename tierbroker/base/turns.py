"""A long piece of work in short turns: what one client asks for never holds up the others (D-11).

Whoever works through something that a client made long counts here what is done; after so many
elements the loop is given to others. The work is a story: what is short is done within one turn,
without a trip through the loop. Nothing here knows what the work is.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from tierbroker.base.pending import Pending, when_all_done
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Story, tell, until

ELEMENTS_A_TURN = 256
"""What is done before others get the loop: some milliseconds where an element takes 20 µs."""

T = TypeVar("T")


class Turns:
    """The turns of one piece of work."""

    __slots__ = ("_left", "_scheduler")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._left = ELEMENTS_A_TURN

    async def after(self, elements: int = 1) -> None:
        """So many elements more are done: go on, in a later turn if this one is used up."""
        self._left -= elements
        if self._left <= 0:
            self._left = ELEMENTS_A_TURN
            await until(next_turn(self._scheduler))


def next_turn(scheduler: Scheduler) -> Pending[None]:
    """Done in a later turn of the loop; to cancel it takes the call back."""
    begun: Pending[None] = Pending()
    handle = scheduler.call_soon(lambda: begun.resolve(None))
    begun.on_cancel = handle.cancel
    return begun


def all_over(pendings: Sequence[Pending[Any]]) -> Pending[None]:
    """Done when all of them are, well or not."""
    over: Pending[None] = Pending()
    when_all_done(pendings, lambda: over.resolve(None))
    return over


def at_once_or_later(story: Story[T]) -> T | Pending[T]:
    """What the story comes to if it ends in this turn, else the promise of it.

    Raises what a story raises that ends in this turn.
    """
    telling = tell(story)
    return telling.result() if telling.done else telling
