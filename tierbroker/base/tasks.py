"""Supervised asyncio tasks: the only place that starts one, and the only one that catches all.

A task that fails is a bug or a lost disk; going on as if nothing had happened would hide both.
The supervisor logs the failure and tells its owner, who stops the node.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class TaskSupervisor:
    """Holds the tasks of one node; `on_failure` is called once, with the first failure."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failure: BaseException | None = None

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run the coroutine as a task of this node."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def fail(self, error: BaseException, what: str) -> None:
        """Report a failure that happened outside a task, in a callback of the loop."""
        if self.failure is None:
            self.failure = error
            logger.critical("%s failed: the node stops", what, exc_info=error)
            self._on_failure(error)

    async def stop(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error, task.get_name())
