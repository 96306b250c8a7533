"""Work that leaves the loop thread: flushes, reads that may block, hashing, compression.

Only calls that release the GIL belong on these threads (D-11). `done` always runs on the loop
thread, so that the loop alone changes state.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

T = TypeVar("T")


class Outcome(Generic[T]):
    """What a piece of work came to: a value or the exception it raised."""

    __slots__ = ("error", "value")

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error

    def unwrap(self) -> T:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)

    @classmethod
    def of(cls, work: Callable[[], T]) -> "Outcome[T]":
        """Run the work and keep what it returns or raises."""
        try:
            return cls(value=work())
        except Exception as error:  # noqa: BLE001 - carried to the loop thread, where unwrap() raises it
            return cls(error=error)


class Executor(Protocol):
    """Runs work elsewhere and reports on the loop thread."""

    def run(self, work: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Start `work`; `done` gets its outcome, never before `run` has been called."""


class InlineExecutor:
    """Runs everything in the caller: for tools and tests."""

    def run(self, work: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Run the work and report, now."""
        done(Outcome.of(work))


class ManualExecutor:
    """Keeps work until it is told to run it: for tests of what happens in between."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def run(self, work: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Keep the work."""
        self._waiting.append(lambda: done(Outcome.of(work)))

    def run_one(self) -> None:
        """Run the oldest piece of work and report."""
        self._waiting.popleft()()

    def run_all(self) -> None:
        """Run until nothing waits, including what the work itself starts."""
        while self._waiting:
            self.run_one()


class ThreadExecutor:
    """A few worker threads; outcomes go back through `post` (`loop.call_soon_threadsafe`)."""

    def __init__(self, threads: int, post: Callable[[Callable[[], None]], object]) -> None:
        self._post = post
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def run(self, work: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Queue the work; a thread is started when all that exist are busy."""

        def finish(outcome: Outcome[T]) -> None:
            self._busy -= 1
            done(outcome)

        def job() -> None:
            outcome = Outcome.of(work)
            self._post(lambda: finish(outcome))

        assert self._limit > 0, "the executor is closed"
        self._busy += 1
        if self._busy > len(self._threads) < self._limit:
            thread = threading.Thread(
                target=self._serve, name=f"worker-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._queue.put(job)

    def close(self) -> None:
        """Let the queued work finish and join the threads. Outcomes may still be posted."""
        self._limit = 0
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            job()
