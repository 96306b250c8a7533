"""Writes the checkpoint files of one log directory while the logs go on.

A recovery point says "everything below is on the disk": it is taken from what a flush has covered
and never runs ahead of it. The numbers are collected on the loop thread, the file is written on the
executor, one write at a time.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.ids import TopicPartition
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.log import Log
from tierbroker.hot.log_dir import LogDir

logger = logging.getLogger(__name__)

Offsets = dict[TopicPartition, int]


class CheckpointWriter:
    """Recovery points, log starts and high watermarks of the logs in one directory."""

    def __init__(
        self,
        log_dir: LogDir,
        executor: Executor,
        on_failure: Callable[[LogDir, OSError], None],
    ) -> None:
        """`on_failure` is told when the disk fails; whatever else refuses is tried again."""
        self._dir = log_dir
        self._executor = executor
        self._on_failure = on_failure
        self._points: Offsets = {}
        self._starts: Offsets = {}
        self._kept_points: Offsets = {}
        self._kept_starts: Offsets = {}
        self._under_way: Offsets = {}
        self._busy = False
        self._marks_busy = False
        self._turn = 0
        self._lock = threading.Lock()
        self._written_turn = 0

    def keep(self, slot: TopicPartition, recovery_point: int, log_start_offset: int) -> None:
        """A log that could not be opened keeps what the files say of it (INV-11)."""
        self._kept_points[slot] = recovery_point
        self._kept_starts[slot] = log_start_offset

    def release(self, slot: TopicPartition) -> None:
        """The log speaks for itself from now on, or is gone."""
        self._kept_points.pop(slot, None)
        self._kept_starts.pop(slot, None)

    def note_found(self, points: Offsets, starts: Offsets) -> None:
        """What the files said at the start."""
        self._points, self._starts = dict(points), dict(starts)

    def forget(self, slot: TopicPartition, logs: Iterable[Log]) -> None:
        """A new log takes this name: what the files say of an earlier one must not outlive it.

        After a crash its start would be taken for the start of the new log, whose records below
        would be cut away. Waits for the disk, but only if the files name the partition still, that
        is within a second of its deletion. Raises OSError.
        """
        self._kept_points.pop(slot, None)
        self._kept_starts.pop(slot, None)
        if slot not in self._points and slot not in self._starts and slot not in self._under_way:
            return
        points, starts = self._collect(logs)
        self._turn += 1
        self._write_files(self._turn, points, starts)
        self._points, self._starts = points, starts

    def write(self, logs: Iterable[Log]) -> None:
        """Write what moved since the last time, unless a write is still under way."""
        if self._busy:
            return
        points, starts = self._collect(logs)
        if points == self._points and starts == self._starts:
            return
        self._busy = True
        self._under_way = points | starts
        self._turn += 1
        turn = self._turn
        self._executor.run(
            lambda: self._write_files(turn, points, starts),
            lambda outcome: self._written(turn, points, starts, outcome),
        )

    def write_last(self, logs: Iterable[Log]) -> None:
        """Write that everything of these closed, synced logs is durable. Raises OSError."""
        log_list = list(logs)
        points = self._kept_points | {log.topic_partition: log.log_end_offset for log in log_list}
        self._turn += 1
        self._write_files(self._turn, points, self._log_starts(log_list))

    def write_high_watermarks(self, marks: Mapping[TopicPartition, int]) -> None:
        """Write the high watermarks if they changed."""
        file = self._dir.high_watermarks
        if self._marks_busy or not file.changed(marks):
            return
        self._marks_busy = True

        def done(outcome: Outcome[None]) -> None:
            self._marks_busy = False
            self._judge(outcome)

        self._executor.run(lambda: file.write(marks), done)

    def sync_directory(self) -> None:
        """Make a renamed partition directory's name durable."""
        log_dir = self._dir
        self._executor.run(lambda: log_dir.fs.fsync_dir(log_dir.path), self._note_synced)

    def _collect(self, logs: Iterable[Log]) -> tuple[Offsets, Offsets]:
        log_list = list(logs)
        written = self._points
        points = dict(self._kept_points)
        for log in log_list:
            slot = log.topic_partition
            point = log.recovery_point
            before = written.get(slot)
            if point != before and not _indexes_written(log):
                # Better an older point than one whose index entries are not there.
                point = min(point, before or 0)
            points[slot] = point
        return points, self._log_starts(log_list)

    def _log_starts(self, logs: Iterable[Log]) -> Offsets:
        """Of every log that does not begin at 0.

        Kafka leaves out those that begin at their first segment; but a power cut may bring back the
        segments before it, whose removal was not durable yet, and with them what was deleted.
        """
        starts = dict(self._kept_starts)
        for log in logs:
            if log.log_start_offset > 0:
                starts[log.topic_partition] = log.log_start_offset
        return starts

    def _write_files(self, turn: int, points: Offsets, starts: Offsets) -> None:
        # A worker that comes late must not put back what `forget` took out on the loop thread.
        with self._lock:
            if turn > self._written_turn:
                self._dir.recovery_points.write(points)
                self._dir.log_starts.write(starts)
                self._written_turn = turn

    def _written(self, turn: int, points: Offsets, starts: Offsets, outcome: Outcome[None]) -> None:
        self._busy = False
        self._under_way = {}
        if self._judge(outcome) and turn == self._turn:
            self._points, self._starts = points, starts

    def _note_synced(self, outcome: Outcome[None]) -> None:
        self._judge(outcome)

    def _judge(self, outcome: Outcome[None]) -> bool:
        """Whether it worked; a failed disk is reported, a bug is raised."""
        error = outcome.error
        if error is None:
            return True
        if not isinstance(error, OSError):
            raise error
        if is_disk_failure(error):
            self._on_failure(self._dir, error)
        else:
            logger.warning("The checkpoints of %s wait: %s", self._dir.path, error)
        return False


def _indexes_written(log: Log) -> bool:
    try:
        log.write_indexes()
    except KafkaStorageError as error:
        logger.warning("Recovery point of %s stays: %s", log.topic_partition, error)
        return False
    return True
