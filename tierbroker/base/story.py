"""Sequences of waits, told from top to bottom and run without asyncio.

A story is an `async def` coroutine that awaits nothing but `until(pending)`. It moves on in the
turn in which the `Pending` is done, on the loop thread, so that the same code runs under uvloop
and in a simulation that has no loop at all. It must never await anything of asyncio's.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar

from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler

T = TypeVar("T")

Story = Coroutine[Any, Any, T]


class until(Generic[T]):
    """Waits for a `Pending` inside a story; gives its value or raises its error."""

    __slots__ = ("_pending",)

    def __init__(self, pending: Pending[T]) -> None:
        self._pending = pending

    def __await__(self) -> Generator[Pending[T], None, T]:
        if not self._pending.done:
            yield self._pending
        return self._pending.result()


def tell(story: Story[T]) -> Pending[T]:
    """Run the story: at once up to its first wait, the rest as its waits end.

    What it returns or raises is what the `Pending` comes to. To cancel the `Pending` closes the
    story where it waits (its `finally` blocks run), and cancels what it waits for.
    """
    return _Telling(story).result


class _Telling(Generic[T]):
    """One story on its way."""

    __slots__ = ("_running", "_story", "_waits_for", "result")

    def __init__(self, story: Story[T]) -> None:
        self._story = story
        self._waits_for: Pending[Any] | None = None
        self._running = False
        self.result: Pending[T] = Pending(on_cancel=self._close)
        self._go_on()

    def _go_on(self) -> None:
        # A loop and not recursion: what is done already must not deepen the stack.
        self._running = True
        try:
            while True:
                waits_for = self._story.send(None)
                assert isinstance(waits_for, Pending), f"a story awaits until(...): {waits_for!r}"
                self._waits_for = waits_for
                if not waits_for.done:
                    break
        except StopIteration as end:
            self._waits_for = None
            self.result.resolve(end.value)
            return
        except Exception as error:  # noqa: BLE001 - carried to whoever waits for the story
            self._waits_for = None
            self.result.fail(error)
            return
        finally:
            self._running = False
        self._waits_for.on_done(self._wake)

    def _wake(self, _: Pending[Any]) -> None:
        self._go_on()

    def _close(self) -> None:
        assert not self._running, "a story does not cancel itself"
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is not None:
            waits_for.cancel()
        self._story.close()


class Stories:
    """The stories that one component tells in the background.

    Nobody waits for them; one that fails is a bug, or a failure that nobody thought of, and is
    reported to `on_failure` with its name.
    """

    __slots__ = ("_on_failure", "_told")

    def __init__(self, on_failure: Callable[[BaseException, str], None]) -> None:
        self._on_failure = on_failure
        self._told: set[Pending[Any]] = set()

    def __len__(self) -> int:
        return len(self._told)

    def begin(self, story: Story[T], name: str) -> Pending[T]:
        """Tell the story; `name` says in a report what it was."""
        result = tell(story)
        if not result.done:
            self._told.add(result)

        def end(_: Pending[T]) -> None:
            self._told.discard(result)
            if result.error is not None:
                self._on_failure(result.error, name)

        result.on_done(end)
        return result

    def stop(self) -> None:
        """Close every story where it waits."""
        told, self._told = self._told, set()
        for result in told:
            result.cancel()


def all_of(pendings: Sequence[Pending[T]]) -> Pending[list[T]]:
    """Their values, in order, once the last one is done; the first error if there is any."""
    values: Pending[list[T]] = Pending()
    left = len(pendings) + 1

    def one_done(_: object) -> None:
        nonlocal left
        left -= 1
        if left:
            return
        for pending in pendings:
            if pending.error is not None:
                values.fail(pending.error)
                return
        values.resolve([pending.result() for pending in pendings])

    for pending in pendings:
        pending.on_done(one_done)
    one_done(None)
    return values


def sleep(scheduler: Scheduler, seconds: float) -> Pending[None]:
    """Done `seconds` from now; to cancel it takes the timer back."""
    slept: Pending[None] = Pending()
    handle = scheduler.call_later(seconds, lambda: slept.resolve(None))
    slept.on_cancel = handle.cancel
    return slept
