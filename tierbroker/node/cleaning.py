"""Compaction on this node: its cleaner, made when the first log that it may concern is there.

Nothing of it is imported, and no process started, for a broker without compacted logs.
"""

from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.executor import Executor
from tierbroker.hot.config import FlushMode
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.log import Log
from tierbroker.hot.log_manager import LogManager
from tierbroker.replication.partitions import Partitions

if TYPE_CHECKING:
    import asyncio

    from tierbroker.hot.cleaning.cleaner import Cleaner


class Cleaning:
    """The chore of the upkeep, and the end of it."""

    def __init__(
        self,
        values: ConfigValues,
        logs: LogManager,
        partitions: Partitions,
        flusher: GroupFlusher,
        executor: Executor,
        clock: Clock,
        loop: "asyncio.AbstractEventLoop",
    ) -> None:
        self._values = values
        self._logs = logs
        self._partitions = partitions
        self._flusher = flusher
        self._executor = executor
        self._clock = clock
        self._loop = loop
        self._cleaner: Cleaner | None = None

    @property
    def every_s(self) -> float:
        """How often to tick, when nothing is found to do."""
        return self._values.integer("log.cleaner.backoff.ms") / 1000

    @property
    def cleaner(self) -> "Cleaner | None":
        """What compacts, once there was something to compact."""
        return self._cleaner

    def tick(self) -> None:
        """Look for work if there can be any."""
        if self._cleaner is None and self._values.flag("log.cleaner.enable"):
            # A log with one segment has nothing that may be cleaned.
            if not any(log.segments.sealed and log.config.compacted for log in self._logs):
                return
            self._cleaner = self._make()
        if self._cleaner is not None:
            self._cleaner.tick()

    def stop(self) -> None:
        """End the child process and what is under way, before the logs are closed."""
        if self._cleaner is not None:
            self._cleaner.stop()

    def _make(self) -> "Cleaner":
        from tierbroker.base.background import Background
        from tierbroker.base.child_process import ProcessChildren
        from tierbroker.hot.cleaning.cleaner import Cleaner
        from tierbroker.hot.cleaning.config import CleanerConfig

        return Cleaner(
            self._logs,
            CleanerConfig.from_values(self._values),
            ProcessChildren(self._loop.call_soon_threadsafe),
            self._executor,
            self._clock,
            Background(self._clock, self._loop.call_soon),
            self._stable_offset,
            self._flusher.request,
        )

    def _stable_offset(self, log: Log) -> int:
        """Below it everything is decided and, where that is promised, durable.

        What decided it, the markers, is below the high watermark: the cleaner flushes that first.
        """
        partition = self._partitions.find(log.topic_partition)
        if partition is None or partition.log is not log:
            return log.log_start_offset
        stable = partition.last_stable_offset
        if log.config.flush_mode is FlushMode.NONE:
            return stable
        return min(stable, log.recovery_point)
