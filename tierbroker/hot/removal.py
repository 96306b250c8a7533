"""Removing what was set aside, some time later and off the loop: unlinking a large file is slow.

A removal that fails wastes space and nothing else: it is logged, and tried again at the next start.
"""

import heapq
import logging
from collections.abc import Callable, Sequence
from functools import partial

from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.fs import FileSystem
from tierbroker.hot.log_dir import LogDir

logger = logging.getLogger(__name__)


class DelayedRemoval:
    """Directories by the time they are due. One removal is under way at a time."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: list[tuple[int, str, FileSystem]] = []
        self._busy = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, log_dir: LogDir, path: str, due_ms: int) -> None:
        """Remove the directory from `due_ms` on."""
        heapq.heappush(self._waiting, (due_ms, path, log_dir.fs))

    def run(self, now_ms: int) -> None:
        """Remove what is due."""
        if self._busy or not self._waiting or self._waiting[0][0] > now_ms:
            return
        due: list[Callable[[], None]] = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, path, fs = heapq.heappop(self._waiting)
            due.append(partial(_remove_tree, fs, path))
        self._busy = True
        self._executor.run(lambda: _all_of(due), self._done)

    def unlink(self, log_dir: LogDir, paths: Sequence[str]) -> None:
        """Remove files now."""
        fs = log_dir.fs
        self._executor.run(lambda: _all_of([partial(_unlink, fs, path) for path in paths]), _check)

    def _done(self, outcome: Outcome[None]) -> None:
        self._busy = False
        outcome.unwrap()


def _all_of(works: Sequence[Callable[[], None]]) -> None:
    for work in works:
        work()


def _remove_tree(fs: FileSystem, path: str) -> None:
    try:
        fs.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("Cannot remove %s: %s", path, error)


def _unlink(fs: FileSystem, path: str) -> None:
    try:
        fs.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("Cannot remove %s: %s", path, error)


def _check(outcome: Outcome[None]) -> None:
    outcome.unwrap()
