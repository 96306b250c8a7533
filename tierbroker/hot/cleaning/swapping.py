"""The swap of one round: group after group, with a sync of the directory between the steps.

Loop thread only, but for the syncs. Before each group the log is looked at: if it was cut, dropped
from, deleted or found damaged meanwhile, the rest of the round is void. Groups go by rising
offsets: the end of a tombstone must never come before the end of what it deletes.
"""

import logging
from collections.abc import Callable, Sequence

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import Executor, Outcome
from tierbroker.hot.cleaning.job import NewSegment
from tierbroker.hot.cleaning.swap import discard, name_swap, replace, still_there
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.log import Log
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.segment import SealedSegment

logger = logging.getLogger(__name__)


class Swapping:
    """One log's replacement under way; `done` is told once whether all of it took place."""

    def __init__(
        self,
        log: Log,
        inputs: Sequence[SealedSegment],
        groups: Sequence[NewSegment],
        executor: Executor,
        logs: LogManager,
        done: Callable[[bool], None],
    ) -> None:
        self._log = log
        self._inputs = list(inputs)
        self._groups = list(groups)
        self._executor = executor
        self._logs = logs
        self._done = done
        self._aside: list[str] = []
        self._cancelled = False

    def begin(self) -> None:
        """Go on with the next group, or end."""
        log = self._log
        if not still_there(log, self._inputs):
            self._void("it has changed meanwhile")
            return
        if not self._groups:
            self._end(complete=True)
            return
        try:
            name_swap(log.fs, log.dir, self._groups[0])
        except OSError as error:
            self._void(str(error))
            self._report(error)
            return
        self._sync(self._named)

    def cancel(self) -> None:
        """Do no more, and leave nothing that a start would finish. The broker stops."""
        self._cancelled = True
        discard_unfinished(self._log)

    def _named(self) -> None:
        log = self._log
        if not still_there(log, self._inputs):
            self._void("it has changed meanwhile")
            return
        new = self._groups.pop(0)
        slot = [segment.base_offset for segment in self._inputs].index(new.replaces[0])
        end = slot + len(new.replaces)
        try:
            self._aside += replace(log, self._inputs[slot:end], new)
        except KafkaStorageError:
            # The log is offline and has said so.
            self._done(False)
            return
        first = log.segments.slot_of(new.base_offset)
        self._inputs[slot:end] = log.segments.sealed[first : first + 1]
        self.begin()

    def _void(self, reason: str) -> None:
        logger.info("What compaction made of %s is dropped: %s", self._log.topic_partition, reason)
        discard_unfinished(self._log)
        self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        """What was set aside may be removed once it is durable that something else is there."""
        log = self._log
        if not self._aside or log.closed or log.offline:
            self._done(complete)
            return

        def synced() -> None:
            due_ms = log.now_ms() + log.config.file_delete_delay_ms
            log.segments.remove_later(self._aside, due_ms)
            self._done(complete)

        self._sync(synced)

    def _sync(self, then: Callable[[], None]) -> None:
        fs, directory = self._log.fs, self._log.dir

        def synced(outcome: Outcome[None]) -> None:
            if self._cancelled:
                return
            if isinstance(outcome.error, OSError):
                if not self._log.closed:
                    self._report(outcome.error)
                    logger.warning("%s cannot be synced: %s", directory, outcome.error)
                    discard_unfinished(self._log)
                self._done(False)
                return
            outcome.unwrap()
            then()

        self._executor.run(lambda: fs.fsync_dir(directory), synced)

    def _report(self, error: OSError) -> None:
        """A failed sync is never tried again: the disk is given up with all its logs."""
        if is_disk_failure(error):
            self._logs.take_offline(self._logs.log_dir_of(self._log), error)


def discard_unfinished(log: Log) -> None:
    """Remove what a round has left in the log's directory, if that is still of use.

    What cannot be removed is, at the next start.
    """
    if log.closed or log.offline:
        return
    try:
        discard(log.fs, log.dir)
    except OSError as error:
        logger.warning("%s keeps files of a compaction: %s", log.dir, error)
