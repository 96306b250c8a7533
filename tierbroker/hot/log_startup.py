"""Opens every partition found on the log directories when the broker starts.

After a clean shutdown a log is opened from its last state; otherwise everything above its recovery
point is read again. A log that cannot be opened is left exactly as it is and reported; it never
stops the others. Nothing is deleted here but what had been marked for deletion before.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from tierbroker.base.clock import Clock
from tierbroker.base.errors import DataDirError
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid
from tierbroker.hot.clean_shutdown import NO_BROKER_EPOCH
from tierbroker.hot.config import LogConfig
from tierbroker.hot.disk_errors import hits_process_limit
from tierbroker.hot.errors import CorruptLogError
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
        self._found: dict[TopicPartition, str] = {}
        self._report = StartReport()

    def run(self) -> StartReport:
        """Open everything.

        Raises DataDirError when a partition lies in two directories, or when the process may not
        open as many files as there are partitions.
        """
        started = self._clock.monotonic()
        for log_dir in self._manager.dirs.online:
            try:
                self._open_dir(log_dir)
            except OSError as error:
                if hits_process_limit(error):
                    raise _too_many(log_dir, error) from error
                self._manager.take_offline(log_dir, error)
        report = self._report
        report.elapsed_ms = int((self._clock.monotonic() - started) * 1000)
        logger.info(
            "Opened %d logs (%d recovered, %d stray, %d damaged) in %d ms",
            report.opened,
            report.recovered,
            report.stray,
            report.failed,
            report.elapsed_ms,
        )
        return report

    def _open_dir(self, log_dir: LogDir) -> None:
        names = log_dir.partition_dirs()
        previous = log_dir.take_clean_shutdown()
        self._report.broker_epochs.add(previous.broker_epoch)
        if not previous.clean and any(slot.topic != METADATA_TOPIC for slot, _ in names.values()):
            logger.warning(
                "%s was not closed in order: its logs are recovered from their recovery points",
                log_dir.path,
            )
        points = log_dir.recovery_points.read()
        starts = log_dir.log_starts.read()
        self._manager.note_checkpoints(log_dir, points, starts)
        for name, (slot, state) in names.items():
            path = f"{log_dir.path}/{name}"
            if state is DirState.DELETE:
                self._manager.remove_later(log_dir, path, self._clock.now_ms())
                self._report.awaiting_removal += 1
            elif state is DirState.LIVE and slot.topic != METADATA_TOPIC:
                self._open_one(
                    log_dir,
                    slot,
                    clean=previous.clean,
                    recovery_point=points.get(slot, 0),
                    log_start_offset=starts.get(slot, 0),
                )
        if names and not previous.clean:
            # What recovery read may lie in the page cache alone. It counts as flushed from here on
            # and consumers will see it, so it has to be on the disk first (D-6).
            log_dir.sync()

    def _open_one(
        self,
        log_dir: LogDir,
        slot: TopicPartition,
        *,
        clean: bool,
        recovery_point: int,
        log_start_offset: int,
    ) -> None:
        manager = self._manager
        path = f"{log_dir.path}/{slot}"
        topic_id = read_topic_id(log_dir.fs, path)
        expected = self._expected_topic_id(slot)
        if expected is None or topic_id not in (None, expected):
            manager.set_stray(log_dir, slot, topic_id or ZERO_UUID)
            self._report.stray += 1
            return
        self._refuse_second_copy(slot, path)
        try:
            log = manager.open_log(
                path,
                slot,
                expected,
                self._config_of(slot.topic),
                clean=clean,
                recovery_point=recovery_point,
                log_start_offset=log_start_offset,
            )
        except CorruptLogError as error:
            logger.error("%s stays offline: %s", slot, error)
            manager.note_damaged(log_dir, slot, error, recovery_point, log_start_offset)
            self._report.failed += 1
            return
        manager.add(log_dir, log)
        self._report.opened += 1
        self._report.recovered += not clean

    def _refuse_second_copy(self, slot: TopicPartition, path: str) -> None:
        other = self._found.setdefault(slot, path)
        if other != path:
            raise DataDirError(
                f"{slot} lies in both {other} and {path}. Move the one that is not wanted out of "
                f"its log directory, then start again."
            )


def _too_many(log_dir: LogDir, error: OSError) -> DataDirError:
    return DataDirError(
        f"The logs in {log_dir.path} need more than this process may use: {error}. Raise the limit "
        f"of open files (ulimit -n 100000), then start again."
    )
