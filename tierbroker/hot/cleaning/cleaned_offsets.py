"""How far each log of a directory is clean: Kafka's `cleaner-offset-checkpoint`.

A hint that saves work: what cannot be true of a log as it is now, or was said of one that had its
name before, does not count, and the log is cleaned from its start again.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tierbroker.base.executor import Executor, Outcome
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.file_names import PARTITION_METADATA_FILE
from tierbroker.hot.log import Log
from tierbroker.hot.log_dir import LogDir
from tierbroker.hot.segment import ReadableSegment

if TYPE_CHECKING:
    from tierbroker.base.ids import TopicPartition

logger = logging.getLogger(__name__)


class _Mark(NamedTuple):
    offset: int
    log: Log
    segment: ReadableSegment
    """The one that ends at the offset or holds it: cutting the log below replaces it."""


class CleanedOffsets:
    """The marks of one log directory. Loop thread only; the file is written on the executor."""

    def __init__(
        self,
        log_dir: LogDir,
        executor: Executor,
        on_failure: Callable[[LogDir, OSError], None],
    ) -> None:
        """`on_failure` is told when the disk fails."""
        self._dir = log_dir
        self._executor = executor
        self._on_failure = on_failure
        self._marks: dict[TopicPartition, _Mark] = {}
        self._found: dict[TopicPartition, int] = {}
        self._found_ms = 0
        self._busy = False
        self._again = False

    def load(self) -> None:
        """Take over the file; what it says of logs that are not there (yet) is kept.

        Raises OSError.
        """
        file = self._dir.cleaner_offsets
        self._found = file.read()
        if self._found:
            self._found_ms = self._dir.fs.mtime_ms(file.path)

    def of(self, log: Log) -> int | None:
        """Below which offset the log was cleaned; None when nothing is known that still holds.

        A log that was cut below since, or made anew under the name, has other segments.
        """
        slot = log.topic_partition
        known = slot in self._found and not self._is_of_another(slot)
        found = self._found.pop(slot, None)
        if found is not None and known and log.log_start_offset <= found <= log.log_end_offset:
            self.note(log, found)
        mark = self._marks.get(log.topic_partition)
        if mark is None or mark.log is not log or log.closed or mark.offset > log.log_end_offset:
            return None
        return mark.offset if _segment_below(log, mark.offset) is mark.segment else None

    def note(self, log: Log, offset: int) -> None:
        """The log is clean below the offset."""
        mark = _Mark(offset, log, _segment_below(log, offset))
        self._marks[log.topic_partition] = mark

    def write(self) -> None:
        """Write the file if a mark moved, once the write under way is done."""
        if self._busy:
            self._again = True
            return
        for slot in [slot for slot, mark in self._marks.items() if self.of(mark.log) is None]:
            del self._marks[slot]
        for slot in [slot for slot in self._found if self._is_of_another(slot)]:
            del self._found[slot]
        offsets = self._found | {slot: mark.offset for slot, mark in self._marks.items()}
        file = self._dir.cleaner_offsets
        if self._dir.offline or not file.changed(offsets):
            return
        self._busy = True
        self._executor.run(lambda: file.write(offsets), self._written)

    def _is_of_another(self, slot: "TopicPartition") -> bool:
        """Whether the partition was made after the file had been written: its topic was deleted
        and made again. To believe the file would keep old values whose tombstones then go."""
        try:
            path = f"{self._dir.path}/{slot}/{PARTITION_METADATA_FILE}"
            # Both within one tick of the kernel's clock: the worse is assumed.
            return self._dir.fs.mtime_ms(path) >= self._found_ms
        except OSError:
            return False

    def _written(self, outcome: Outcome[None]) -> None:
        self._busy = False
        if isinstance(outcome.error, OSError):
            if is_disk_failure(outcome.error):
                self._on_failure(self._dir, outcome.error)
            logger.warning("%s was not written: %s", self._dir.cleaner_offsets.path, outcome.error)
            return
        outcome.unwrap()
        if self._again:
            self._again = False
            self.write()


def _segment_below(log: Log, offset: int) -> ReadableSegment:
    segments = log.segments
    return segments[segments.slot_of(offset - 1)]
