"""Blocking work of a store as a `Pending`: on a worker thread, the outcome on the loop thread."""

from collections.abc import Callable
from typing import TypeVar

from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.pending import Pending

T = TypeVar("T")


def begin(
    executor: Executor, work: Callable[[], T], on_cancel: Callable[[], None] | None = None
) -> Pending[T]:
    """Start the work. It goes on when the `Pending` is cancelled; `on_cancel` may stop it."""
    pending: Pending[T] = Pending(on_cancel)

    def done(outcome: Outcome[T]) -> None:
        if outcome.error is not None:
            pending.fail(outcome.error)
        else:
            pending.resolve(outcome.unwrap())

    executor.run(work, done)
    return pending
