"""A promise that lives on the loop thread.

Most requests are answered at once; those that wait for a flush or for data need something that
can be kept in a list and resolved. A `Pending` costs a fraction of an asyncio Future: callbacks
run in `resolve`, in the caller's turn, without a trip through the loop. It must never be touched
from another thread.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Pending(Generic[T]):
    """A value of type `T` that comes later, or an error."""

    __slots__ = ("_callbacks", "_error", "_value", "done", "on_cancel")

    def __init__(self, on_cancel: Callable[[], None] | None = None) -> None:
        self.done = False
        self.on_cancel = on_cancel
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Pending[T]], object]] = []

    def result(self) -> T:
        """The value; raises the error it failed with. Only once `done`."""
        assert self.done, "result() of a Pending that has none yet"
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    @property
    def error(self) -> BaseException | None:
        """The error it failed with, or None."""
        return self._error

    def resolve(self, value: T) -> None:
        """Set the value and run the callbacks, in the order in which they were added."""
        assert not self.done, "a Pending is resolved once"
        self._value = value
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Set the error and run the callbacks."""
        assert not self.done, "a Pending is resolved once"
        self._error = error
        self._finish()

    def on_done(self, callback: "Callable[[Pending[T]], object]") -> None:
        """Call back when done; at once if that is so already."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def cancel(self) -> None:
        """Nobody waits for it any more: callbacks are dropped, the owner may clean up."""
        self._callbacks.clear()
        if not self.done and self.on_cancel is not None:
            on_cancel, self.on_cancel = self.on_cancel, None
            on_cancel()

    def _finish(self) -> None:
        self.done = True
        self.on_cancel = None
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            # Only code that already runs under asyncio awaits; the import costs nothing there.
            import asyncio

            future = asyncio.get_running_loop().create_future()
            self.on_done(lambda _: None if future.done() else future.set_result(None))
            yield from future
        return self.result()


def when_all_done(pendings: Sequence[Pending[Any]], then: Callable[[], None]) -> None:
    """Call `then` once, when the last of them is done, well or not; at once if all are."""
    left = len(pendings) + 1

    def one_done(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            then()

    for pending in pendings:
        pending.on_done(one_done)
    one_done(None)
