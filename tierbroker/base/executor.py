"""Work that leaves the loop thread: flushes, reads that may block, hashing, compression.

Only calls that release the GIL belong on these threads (D-11). `done` always runs on the loop
thread, so that the loop alone changes state.
"""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from tierbroker.base.clock import SystemClock

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
    """A few worker threads; outcomes go back through `post` (`loop.call_soon_threadsafe`).

    Each thread waits on a lock of its own and the one that finished last works next. On a queue
    that all wait on, every piece of work wakes a second thread for nothing, which then competes
    with the loop for the interpreter: a tenth of the CPU of a flushed produce request.
    """

    def __init__(self, threads: int, post: Callable[[Callable[[], None]], object]) -> None:
        self._post = post
        self._limit = threads
        self._lock = threading.Lock()
        """Guards what follows; held for a few instructions only, because the loop waits for it."""
        self._idle: list[_Worker] = []
        self._backlog: deque[_Job] = deque()
        self._threads: list[threading.Thread] = []
        self._given_up = False

    def run(self, work: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Start the work, on a new thread when all that exist are busy; queue it when there may be
        no more of them."""
        job = _Job(work, done)
        with self._lock:
            assert self._limit > 0, "the executor is closed"
            if self._idle:
                worker = self._idle.pop()
                worker.job = job
                worker.wake.release()
            elif len(self._threads) < self._limit:
                self._start(job)
            else:
                self._backlog.append(job)

    def close(self, give_up_after_s: float | None = None) -> int:
        """Let the queued work finish and join the threads. Outcomes may still be posted.

        With `give_up_after_s` that takes no longer: work that is queued by then never begins, and
        threads in the middle of something are left alone. They post nothing any more, and do not
        keep the process from its end. Returns how much work was given up.
        """
        with self._lock:
            self._limit = 0
            for worker in self._idle:
                worker.wake.release()
            self._idle.clear()
        if give_up_after_s is None:
            for thread in self._threads:
                thread.join()
        else:
            clock = SystemClock()
            deadline = clock.monotonic() + give_up_after_s
            for thread in self._threads:
                thread.join(max(0.0, deadline - clock.monotonic()))
        with self._lock:
            left = sum(thread.is_alive() for thread in self._threads)
            self._given_up = left > 0
            given_up = left + len(self._backlog)
            self._backlog.clear()
        self._threads.clear()
        return given_up

    def _start(self, job: "_Job") -> None:
        worker = _Worker(job)
        thread = threading.Thread(
            target=self._serve, args=(worker,), name=f"worker-{len(self._threads)}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _serve(self, worker: "_Worker") -> None:
        while (job := worker.job) is not None:
            outcome = Outcome.of(job.work)
            with self._lock:
                worker.job = self._backlog.popleft() if self._backlog else None
                waits = worker.job is None and self._limit > 0
                if waits:
                    self._idle.append(worker)
                if self._given_up:
                    return  # the loop that would hear of it may be closed
            self._post(partial(job.done, outcome))
            del job, outcome  # what they hold is not kept until the next one comes
            if waits:
                worker.wake.acquire()


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: Callable[[Outcome[Any]], None]


class _Worker:
    """A thread as others see it: what it is to do when it is woken; None to end."""

    __slots__ = ("job", "wake")

    def __init__(self, job: _Job) -> None:
        self.job: _Job | None = job
        self.wake = threading.Lock()
        self.wake.acquire()
