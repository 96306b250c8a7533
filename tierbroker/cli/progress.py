"""A progress bar on standard error for long transfers, and nothing at all for short ones.

It appears after a second, only on a terminal, and vanishes when the work is done. rich is imported
when the bar appears.
"""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from tierbroker.base.clock import SystemClock

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHOW_AFTER_S = 1.0
REDRAW_EVERY_S = 0.1


class ProgressBar:
    """Counts records, and measures the way to `total` in units of the caller's choice."""

    def __init__(
        self, what: str, total: int | None, *, enabled: bool, noun: str = "records"
    ) -> None:
        """`noun` is what is counted where it is not records."""
        self._what = what
        self._noun = noun
        self._total = total
        self._enabled = enabled and sys.stderr.isatty()
        self._clock = SystemClock()
        self._next_draw = self._clock.monotonic() + SHOW_AFTER_S
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, records: int) -> None:
        """`done` of `total` is behind us, which were `records` records."""
        if not self._enabled:
            return
        now = self._clock.monotonic()
        if now < self._next_draw:
            return
        self._next_draw = now + REDRAW_EVERY_S
        if self._bar is None:
            self._start()
        assert self._bar is not None
        assert self._task is not None
        self._bar.update(self._task, completed=done, records=records, refresh=True)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(self._what),
            BarColumn(),
            TextColumn("{task.fields[records]:,} " + self._noun),
            *([TimeRemainingColumn()] if self._total is not None else []),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=self._total, records=0)
