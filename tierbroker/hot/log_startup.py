"""Opens every partition found on the log directories when the broker starts.

Either all at once (`run`), or in batches on a worker thread while the broker serves what is open
already: until its turn comes a partition counts as `pending`, and nobody else makes or deletes it.

After a clean shutdown a log is opened from its last state; otherwise everything above its recovery
point is read again. A log that cannot be opened is left exactly as it is and reported; it never
stops the others. Nothing is deleted here but what had been marked for deletion before.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import NamedTuple

from tierbroker.base.clock import Clock
from tierbroker.base.errors import DataDirError
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid
from tierbroker.hot.clean_shutdown import NO_BROKER_EPOCH
from tierbroker.hot.config import LogConfig
from tierbroker.hot.disk_errors import hits_process_limit
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_dir import LogDir
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.partition_dirs import METADATA_TOPIC, DirState
from tierbroker.hot.partition_metadata import read_topic_id

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StartReport:
    """What was found, for the log and for tests."""

    opened: int = 0
    recovered: int = 0
    """Of those opened, the ones without a clean shutdown."""
    stray: int = 0
    failed: int = 0
    awaiting_removal: int = 0
    elapsed_ms: int = 0
    broker_epochs: set[int] = field(default_factory=set)
    """The epoch that each directory's clean-shutdown note names, -1 where there is none."""

    @property
    def previous_broker_epoch(self) -> int:
        """The broker epoch of the last run if every directory was closed in order, else -1."""
        return min(self.broker_epochs) if len(self.broker_epochs) == 1 else NO_BROKER_EPOCH


class FoundLog(NamedTuple):
    """A partition's directory, and what the checkpoints of its log directory say of it."""

    log_dir: LogDir
    slot: TopicPartition
    clean: bool
    recovery_point: int
    log_start: int


Opened = Log | CorruptLogError | OSError | Uuid
"""What came of opening a log; a topic id: it is not the log that the metadata knows."""


class OpenedBatch(NamedTuple):
    """What a worker opened, the cache that it did so with, and what it had no time for."""

    cache: FileCache
    opened: list[tuple[FoundLog, Opened]]
    left: list[FoundLog]


class LogStartup:
    """One start of a `LogManager`."""

    def __init__(
        self,
        manager: LogManager,
        config_of: Callable[[str], LogConfig],
        expected_topic_id: Callable[[TopicPartition], Uuid | None],
        clock: Clock,
    ) -> None:
        """`config_of` a topic by name; `expected_topic_id` of a partition that this broker holds
        according to the metadata, None for any other."""
        self._manager = manager
        self._config_of = config_of
        self._expected_topic_id = expected_topic_id
        self._clock = clock
        self._paths: dict[TopicPartition, str] = {}
        self._queue: deque[FoundLog] = deque()
        self._to_sync: list[LogDir] = []
        self._abandoned = False
        self._started = clock.monotonic()
        self._report = StartReport()
        self.total = self.done = 0
        """Logs found, and those of them whose turn has come."""

    @property
    def report(self) -> StartReport:
        """What was found so far."""
        return self._report

    @property
    def left(self) -> int:
        """Logs that still have to be opened."""
        return len(self._queue)

    def run(self) -> StartReport:
        """Open everything.

        Raises DataDirError when a partition lies in two directories, or when the process may not
        open as many files as there are partitions.
        """
        self.prepare()
        self.open_now(math.inf)
        self.finish(self.sync())
        return self._report

    def prepare(self, first: Container[str] = ()) -> None:
        """Look at what there is; logs of the topics `first` come first. Raises as `run`."""
        for log_dir in self._manager.dirs.online:
            try:
                self._look_into(log_dir)
            except OSError as error:
                self._give_up(log_dir, error)
        self._queue = deque(sorted(self._queue, key=lambda f: (f.slot.topic not in first, f.slot)))
        self.total = len(self._queue)

    def open_now(self, seconds: float, first: Container[str] = ()) -> None:
        """Open logs in the caller until the time is up, those of `first` in any case.

        Raises as `run`.
        """
        until = self._clock.monotonic() + seconds
        while self._queue:
            if self._queue[0].slot.topic not in first and self._clock.monotonic() >= until:
                return
            found = self._queue.popleft()
            self._settle(found, self._open(found, self._manager.cache))

    def take_batch(self, most: int) -> list[FoundLog]:
        """The logs that are next, for `open_batch`; none when all are open."""
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def open_batch(self, batch: list[FoundLog], seconds: float) -> OpenedBatch:
        """Open them on a worker thread, as many as the time allows."""
        until = self._clock.monotonic() + seconds
        cache = FileCache(self._manager.cache.fs)
        opened: list[tuple[FoundLog, Opened]] = []
        for slot, found in enumerate(batch):
            opened.append((found, self._open(found, cache)))
            if self._clock.monotonic() >= until:
                return OpenedBatch(cache, opened, batch[slot + 1 :])
        return OpenedBatch(cache, opened, [])

    def take_over(self, batch: OpenedBatch) -> list[TopicPartition]:
        """What a worker opened is in use from now on; answers the partitions whose turn it was.

        Raises as `run`.
        """
        batch.cache.join(self._manager.cache)
        if not self._abandoned:
            self._queue.extendleft(reversed(batch.left))
        for found, opened in batch.opened:
            self._settle(found, opened)
        return [found.slot for found, _ in batch.opened]

    def abandon(self) -> None:
        """The broker ends before all are open: what is not stays as it is, pending for ever."""
        self._abandoned = True
        self._queue.clear()

    def sync(self) -> list[tuple[LogDir, OSError]]:
        """Wait for the disk where there was a crash; answers what failed. For any thread.

        The records that were read again are durable already; what recovery wrote beside them may
        lie in the page cache alone.
        """
        failed: list[tuple[LogDir, OSError]] = []
        for log_dir in self._to_sync:
            try:
                log_dir.sync()
            except OSError as error:
                failed.append((log_dir, error))
        return failed

    def finish(self, failed: list[tuple[LogDir, OSError]]) -> None:
        """All logs have been opened, and `sync` has answered."""
        for log_dir, error in failed:
            self._manager.take_offline(log_dir, error)
        report = self._report
        report.elapsed_ms = int((self._clock.monotonic() - self._started) * 1000)
        logger.info(
            "Opened %d logs (%d recovered, %d stray, %d damaged) in %d ms",
            report.opened,
            report.recovered,
            report.stray,
            report.failed,
            report.elapsed_ms,
        )

    def _look_into(self, log_dir: LogDir) -> None:
        names = log_dir.partition_dirs()
        previous = log_dir.take_clean_shutdown()
        self._report.broker_epochs.add(previous.broker_epoch)
        if not previous.clean and any(slot.topic != METADATA_TOPIC for slot, _ in names.values()):
            logger.warning(
                "%s was not closed in order: its logs are recovered from their recovery points",
                log_dir.path,
            )
        if names and not previous.clean:
            self._to_sync.append(log_dir)
        points = log_dir.recovery_points.read()
        starts = log_dir.log_starts.read()
        self._manager.note_checkpoints(log_dir, points, starts)
        for name, (slot, state) in names.items():
            path = f"{log_dir.path}/{name}"
            if state is DirState.DELETE:
                self._manager.remove_later(log_dir, path, self._clock.now_ms())
                self._report.awaiting_removal += 1
            elif state is DirState.LIVE and slot.topic != METADATA_TOPIC:
                found = FoundLog(
                    log_dir, slot, previous.clean, points.get(slot, 0), starts.get(slot, 0)
                )
                self._queue.append(found)
                self._manager.note_pending(log_dir, slot, found.recovery_point, found.log_start)

    def _open(self, found: FoundLog, cache: FileCache) -> Opened:
        """Open one log. May run on a worker thread, with a cache of its own."""
        log_dir, slot = found.log_dir, found.slot
        path = f"{log_dir.path}/{slot}"
        try:
            topic_id = read_topic_id(log_dir.fs, path)
            expected = self._expected_topic_id(slot)
            if expected is None or topic_id not in (None, expected):
                return topic_id or ZERO_UUID
            return self._manager.open_log(
                path,
                slot,
                expected,
                self._config_of(slot.topic),
                clean=found.clean,
                recovery_point=found.recovery_point,
                log_start_offset=found.log_start,
                cache=cache,
            )
        except (CorruptLogError, OSError) as error:
            return error

    def _settle(self, found: FoundLog, opened: Opened) -> None:
        """Take over what came of opening a log, or set its directory aside."""
        manager, (log_dir, slot, clean, recovery_point, log_start) = self._manager, found
        wanted = manager.end_pending(log_dir, slot)
        self.done += 1
        if isinstance(opened, Log | CorruptLogError):
            self._refuse_second_copy(slot, log_dir, opened)
        if isinstance(opened, Log):
            manager.add(log_dir, opened)
            self._report.opened += 1
            self._report.recovered += not clean
            if not wanted:
                manager.delete_log(slot)
        elif isinstance(opened, CorruptLogError):
            logger.error("%s stays offline: %s", slot, opened)
            manager.note_damaged(log_dir, slot, opened, recovery_point, log_start)
            self._report.failed += 1
        elif isinstance(opened, OSError):
            manager.failed[slot] = opened
            self._give_up(log_dir, opened)
        else:
            manager.set_stray(log_dir, slot, opened)
            self._report.stray += 1

    def _give_up(self, log_dir: LogDir, error: OSError) -> None:
        """The disk does not answer: its other logs are not tried."""
        if hits_process_limit(error):
            raise _too_many(log_dir, error) from error
        for found in [found for found in self._queue if found.log_dir is log_dir]:
            self._queue.remove(found)
            self._manager.end_pending(log_dir, found.slot)
            self._manager.failed[found.slot] = error
        self._to_sync = [other for other in self._to_sync if other is not log_dir]
        self._manager.take_offline(log_dir, error)

    def _refuse_second_copy(
        self, slot: TopicPartition, log_dir: LogDir, opened: Log | CorruptLogError
    ) -> None:
        path = f"{log_dir.path}/{slot}"
        other = self._paths.setdefault(slot, path)
        if other != path:
            if isinstance(opened, Log):
                opened.close(clean=False)
            raise DataDirError(
                f"{slot} lies in both {other} and {path}. Move the one that is not wanted out of "
                f"its log directory, then start again."
            )


def _too_many(log_dir: LogDir, error: OSError) -> DataDirError:
    return DataDirError(
        f"The logs in {log_dir.path} need more than this process may use: {error}. Raise the limit "
        f"of open files (ulimit -n 100000), then start again."
    )
