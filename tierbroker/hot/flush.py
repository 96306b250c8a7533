"""Making appends durable: one flush for everything that waits (D-6).

`GroupFlusher` runs on the loop thread and never touches the disk; a `FlushStrategy` does, on a
worker thread. A flush that failed is never repeated: its log directory is lost to this process.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.histogram import Histogram
from tierbroker.base.parts import Lease

FLUSH_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

FlushCallback = Callable[[OSError | None], None]
"""Called on the loop thread with None once durable, or with the error of the log directory. What it
raises keeps no other one from being called; the first such error then comes out of the flusher."""


class FlushableLog(Protocol):
    """What a flush needs of a log."""

    @property
    def dir(self) -> str:
        """The partition's directory; its parent is the log directory."""

    def dirty_files(self) -> "FlushTarget":
        """What a flush must sync to cover the log end as it is now."""

    def mark_flushed(self, offset: int) -> None:
        """All offsets below are durable now."""


@dataclass(frozen=True, slots=True)
class FlushTarget:
    """What must reach the disk so that `log` is durable up to `end_offset` (exclusive)."""

    log: FlushableLog
    fds: tuple[int, ...]
    """Descriptors with unflushed data, to be fdatasynced."""
    new_dirs: tuple[str, ...]
    """Directories that hold names not yet durable, to be fsynced first."""
    end_offset: int
    """The log end offset when the target was taken."""
    leases: tuple[Lease, ...] = ()
    """What keeps the descriptors open while a worker uses them; the flusher releases each once,
    on the loop thread, after the flush. A log must not close a descriptor it gave out before."""


class FlushStrategy(Protocol):
    """Makes all targets durable; called on a worker thread, never twice at once per log dir."""

    def flush(self, targets: Sequence[FlushTarget]) -> None:
        """Return once everything is durable; raises OSError when that is not certain."""

    def close(self) -> None:
        """Let go of threads and descriptors."""


class GroupFlusher:
    """Group commit: one flush in flight per log directory; what arrives meanwhile forms the next.

    `on_failure` gets a log directory and the error, once, before any waiting callback does.
    `defer` (`loop.call_soon`) puts the start of a flush behind the appends of the same turn, so
    that they share it; without it a flush starts in `request`.
    """

    def __init__(
        self,
        strategy: FlushStrategy,
        executor: Executor,
        on_failure: Callable[[str, OSError], None],
        defer: Callable[[Callable[[], None]], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._strategy = strategy
        self._executor = executor
        self._on_failure = on_failure
        self._defer = defer
        self._lanes: dict[str, _Lane] = {}
        self._now = _no_clock if clock is None else clock.monotonic
        self.seconds = Histogram(FLUSH_BOUNDS_S)
        """How long flushes took that succeeded, from the start of one to its end on the loop."""

    def request(self, log: FlushableLog, callback: FlushCallback | None = None) -> None:
        """Make everything appended to `log` so far durable, then call back.

        On a failed log directory the callback gets the error at once.
        """
        path = log.dir.rpartition(os.sep)[0]
        lane = self._lanes.get(path)
        if lane is None:
            lane = self._lanes[path] = _Lane(path)
        if lane.error is not None:
            if callback is not None:
                callback(lane.error)
            return
        callbacks = lane.waiting.get(log)
        if callbacks is None:
            callbacks = lane.waiting[log] = []
        if callback is not None:
            callbacks.append(callback)
        if not lane.busy:
            lane.busy = True
            if self._defer is None:
                self._start(lane)
            else:
                self._defer(lambda: self._start(lane))

    def fail(self, log_dir: str, error: OSError) -> None:
        """The log directory was found broken elsewhere: fail what waits, refuse what comes."""
        lane = self._lanes.setdefault(log_dir, _Lane(log_dir))
        if lane.error is None:
            lane.error = error
            waiting, lane.waiting = lane.waiting, {}
            _call_all(waiting, error)

    def has_failed(self, log: FlushableLog) -> bool:
        """Whether the log's directory was given up."""
        lane = self._lanes.get(log.dir.rpartition(os.sep)[0])
        return lane is not None and lane.error is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight and nothing waits."""
        return not any(lane.busy for lane in self._lanes.values())

    def _start(self, lane: "_Lane") -> None:
        group, lane.waiting = lane.waiting, {}
        if not group:
            lane.busy = False
            return
        targets = [log.dirty_files() for log in group]
        flush = self._strategy.flush
        lane.began = self._now()
        self._executor.run(
            lambda: flush(targets),
            lambda outcome: self._finish(lane, group, targets, outcome),
        )

    def _finish(
        self,
        lane: "_Lane",
        group: dict[FlushableLog, list[FlushCallback]],
        targets: list[FlushTarget],
        outcome: Outcome[None],
    ) -> None:
        for target in targets:
            for lease in target.leases:
                lease.release()
        error = outcome.error
        if error is None:
            if lane.error is not None:
                # fail() came while this flush was under way: its success cannot be relied upon.
                lane.busy = False
                _call_all(group, lane.error)
                return
            self.seconds.observe(self._now() - lane.began)
            for target in targets:
                target.log.mark_flushed(target.end_offset)
            # The disk works on the next group while the callbacks of this one run.
            self._start(lane)
            _call_all(group, None)
            return
        lane.busy = False
        if not isinstance(error, OSError):
            raise error
        steps = [partial(_call_all, group, error)]
        if lane.error is None:
            offline = partial(self._on_failure, lane.path, error)
            steps = [offline, partial(self.fail, lane.path, error), *steps]
        _do_all(steps)


class _Lane:
    """The requests of one log directory."""

    __slots__ = ("began", "busy", "error", "path", "waiting")

    def __init__(self, path: str) -> None:
        self.path = path
        self.busy = False
        """A flush is in flight, or about to start."""
        self.began = 0.0
        self.error: OSError | None = None
        self.waiting: dict[FlushableLog, list[FlushCallback]] = {}


def _no_clock() -> float:
    return 0.0


def _call_all(group: dict[FlushableLog, list[FlushCallback]], error: OSError | None) -> None:
    _do_all(partial(callback, error) for callbacks in group.values() for callback in callbacks)


def _do_all(steps: Iterable[Callable[[], None]]) -> None:
    """One after the other, whatever becomes of each; then the first error is raised."""
    failure: Exception | None = None
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - raised below
            failure = failure or error
    if failure is not None:
        raise failure
