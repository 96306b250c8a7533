"""The broker's side of compaction: picks a log, has a child process clean it, swaps the result in.

One round at a time. The child reads and writes; the loop thread alone changes a log, after a look
whether it still is what the round was about (D-11). Whatever fails costs the round, and at most
the compaction of that log until the next start (Kafka: uncleanable partitions).

A round begins with a flush of its log if there is something to flush, whatever `flush.mode` says.
What it swaps in is durable, so all that decided about it has to be as well: the marker of a
transaction may lie far behind the segments that are cleaned, in the active one, and where
acknowledgements do not wait for the disk a power cut may take it. The transaction would be open
again and could end the other way, with its records gone, or with what they replaced gone.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from itertools import count

from tierbroker.base.background import Background
from tierbroker.base.child_process import Child, Children
from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.executor import Executor
from tierbroker.hot.cleaning.cleaned_offsets import CleanedOffsets
from tierbroker.hot.cleaning.config import CleanerConfig
from tierbroker.hot.cleaning.job import (
    ActiveProducer,
    CleanError,
    CleanJob,
    CleanProgress,
    CleanResult,
    SegmentFile,
    decode_reply,
    encode_job,
)
from tierbroker.hot.cleaning.schedule import (
    NEVER_MS,
    Candidate,
    candidate,
    filthiest,
    first_dirty,
)
from tierbroker.hot.cleaning.swap import still_there
from tierbroker.hot.cleaning.swapping import Swapping, discard_unfinished
from tierbroker.hot.disk_errors import is_full
from tierbroker.hot.flush import FlushCallback
from tierbroker.hot.log import Log
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.segment import SealedSegment, scan_segment

logger = logging.getLogger(__name__)

WORKER = (sys.executable, "-P", "-m", "tierbroker.hot.cleaning.worker")
IDLE_S = 60.0
"""How long a child without work is kept."""
FULL_DISK_S = 60.0
"""How long nothing is cleaned after a disk was full."""


class Cleaner:
    """The rounds of one broker. `tick` now and then; `stop` before the logs are closed."""

    def __init__(
        self,
        logs: LogManager,
        config: CleanerConfig,
        children: Children,
        executor: Executor,
        clock: Clock,
        background: Background,
        stable_offset: Callable[[Log], int],
        flush: Callable[[Log, FlushCallback], None],
    ) -> None:
        """`stable_offset`: below it, everything in the log is durable, replicated and decided.

        `flush` makes all that is in a log now durable, then calls back: `GroupFlusher.request`.
        """
        self._logs = logs
        self._config = config
        self._children = children
        self._executor = executor
        self._clock = clock
        self._background = background
        self._stable_offset = stable_offset
        self._flush = flush
        self._job_ids = count(1)
        self._offsets: dict[str, CleanedOffsets] = {}
        self._uncleanable: dict[Log, str] = {}
        self._with_leftovers: dict[Log, None] = {}
        self._oldest_ms: dict[SealedSegment, int] = {}
        self._look: Iterator[None] | None = None
        self._child: Child | None = None
        self._leaving: list[Child] = []
        self._idle_since = 0.0
        self._rest_until = 0.0
        self._flushing: Candidate | None = None
        self._round: Candidate | None = None
        self._job_id = 0
        self._swapping: Swapping | None = None
        self._stopped = False
        self.rounds = self.read_bytes = self.kept_bytes = 0
        """Rounds that replaced segments, bytes that they read, bytes of these that are left."""

    @property
    def busy(self) -> bool:
        """Whether a look, the flush behind it or a round is under way."""
        return (self._look or self._flushing or self._round) is not None

    @property
    def uncleanable(self) -> dict[Log, str]:
        """The logs that are not compacted until the next start, and why."""
        return dict(self._uncleanable)

    def tick(self) -> None:
        """Look whether there is something to do, and let go of what is not needed."""
        if self._stopped:
            return
        now_ms = self._clock.now_ms()
        for log in list(self._with_leftovers):
            if log.closed or log.offline or not log.segments.awaits_removal:
                del self._with_leftovers[log]
            else:
                self._logs.remove_deleted_files(log, now_ms)
        current = self._round
        if (
            current is not None
            and self._swapping is None
            and (current.log.closed or current.log.offline)
        ):
            # The child may be stuck in a disk that does not answer, or in another log's directory.
            self._drop_child()
            self._end_round()
        flushing = self._flushing
        if flushing is not None and (flushing.log.closed or flushing.log.offline):
            # The flush may be stuck in a disk that does not answer, too.
            self._flushing = None
        now = self._clock.monotonic()
        if self._child is not None and not self.busy and now - self._idle_since >= IDLE_S:
            self._child.end()
            self._leaving.append(self._child)
            self._child = None
        if not self.busy and now >= self._rest_until:
            self._begin_look()

    def stop(self) -> None:
        """End the child and leave no half-finished replacement. Waits some milliseconds."""
        self._stopped = True
        if self._look is not None:
            self._background.cancel(self._look)
        self._drop_child()
        for child in self._leaving:
            child.kill()
        if self._swapping is not None:
            self._swapping.cancel()
        elif self._round is not None:
            discard_unfinished(self._round.log)

    # -- choosing ------------------------------------------------------------------------------

    def _begin_look(self) -> None:
        self._look = self._looking()
        self._background.begin(self._look)

    def _looking(self) -> Iterator[None]:
        """Look at all logs and begin a round, in short steps."""
        best: Candidate | None = None
        known, self._oldest_ms = self._oldest_ms, {}
        for log in self._logs:
            if log.config.compacted and self._may_clean(log):
                yield from self._read_timestamps(log, known)
                found = self._candidate(log)
                best = filthiest([each for each in (best, found) if each is not None])
            yield
        if best is not None:
            files: list[SegmentFile] = []
            for segment in best.segments:
                if best.log.closed or best.log.offline:
                    break
                modified_ms = self._modified_ms(best.log, segment)
                files.append(SegmentFile(segment.base_offset, segment.size_bytes, modified_ms))
                yield
            if still_there(best.log, best.segments):
                self._look = None
                self._begin_flushed(best, files)
                return
        self._look = None

    def _modified_ms(self, log: Log, segment: SealedSegment) -> int:
        try:
            return log.fs.mtime_ms(segment.handle.path)
        except OSError:
            # It has just been removed; the generation check finds that.
            return 0

    def _may_clean(self, log: Log) -> bool:
        if log.offline or log.closed or log in self._uncleanable or not log.segments.sealed:
            return False
        if log.config.deletes_by_retention and log in self._logs.awaiting_retention:
            return False
        return not self._logs.log_dir_of(log).below_reserve

    def _read_timestamps(self, log: Log, known: dict[SealedSegment, int]) -> Iterator[None]:
        """Have in memory what the lag settings ask for: a log may have thousands of segments."""
        config = log.config
        if config.max_compaction_lag_ms == NEVER_MS and not config.min_compaction_lag_ms:
            return
        for segment in list(log.segments.sealed):
            if log.closed or log.offline:
                return
            try:
                segment.max_timestamp()
                if config.max_compaction_lag_ms < NEVER_MS:
                    oldest = known.get(segment)
                    if oldest is None:
                        oldest = _first_timestamp(log, segment)
                    self._oldest_ms[segment] = oldest
            except (OSError, ApiError) as error:
                if still_there(log, [segment]):
                    self._give_up(log, str(error))
                return
            yield

    def _candidate(self, log: Log) -> Candidate | None:
        """What could be cleaned of the log, if it may be."""
        if not self._may_clean(log):
            return None

        def newest_ms(segment: SealedSegment) -> int:
            newest = segment.max_timestamp()[0]
            return newest if newest >= 0 else log.fs.mtime_ms(segment.handle.path)

        try:
            found = candidate(
                log,
                first_dirty(log, self._offsets_of(log).of(log)),
                self._stable_offset(log),
                self._clock.now_ms(),
                newest_ms,
                lambda segment: self._oldest_ms.get(segment, 0),
            )
        except (OSError, ApiError) as error:
            self._give_up(log, str(error))
            return None
        if found is not None and any(segment.damage for segment in found.segments):
            self._give_up(log, "a part of it is damaged")
            return None
        return found

    def _offsets_of(self, log: Log) -> CleanedOffsets:
        """The checkpoint of the log's directory. Raises OSError when it cannot be read."""
        log_dir = self._logs.log_dir_of(log)
        offsets = self._offsets.get(log_dir.path)
        if offsets is None:
            offsets = CleanedOffsets(log_dir, self._executor, self._logs.take_offline)
            offsets.load()
            self._offsets[log_dir.path] = offsets
        return offsets

    # -- a round -------------------------------------------------------------------------------

    def _begin_flushed(self, chosen: Candidate, files: list[SegmentFile]) -> None:
        """Begin the round once every marker that it relies on is durable: all are there now."""
        log = chosen.log
        if not log.has_unflushed:
            self._begin_round(chosen, files)
            return
        self._flushing = chosen

        def flushed(error: OSError | None) -> None:
            if self._flushing is not chosen:
                return
            self._flushing = None
            # Of a failed flush whoever made it sees to the log directory.
            if error is None and not self._stopped and still_there(log, chosen.segments):
                self._begin_round(chosen, files)

        self._flush(log, flushed)

    def _begin_round(self, chosen: Candidate, files: list[SegmentFile]) -> None:
        self._round = chosen
        self._logs.in_compaction = chosen.log
        self._job_id = next(self._job_ids)
        # What is left of a round that nobody ended, as when the log's name was another one's: a
        # start would take it for a sign that what this round swaps in is not complete.
        discard_unfinished(chosen.log)
        if self._child is None:
            self._child = self._start_child()
        self._child.send(encode_job(self._job(chosen, files)))

    def _start_child(self) -> Child:
        def ended(how: str) -> None:
            if child in self._leaving:
                self._leaving.remove(child)
            else:
                self._on_end(how)

        child = self._children.start((*WORKER, str(os.getpid())), self._on_line, ended)
        return child

    def _job(self, chosen: Candidate, files: list[SegmentFile]) -> CleanJob:
        log, settings = chosen.log, self._config
        topic_config = log.config
        count_below = len(chosen.segments)
        later = [segment.base_offset for segment in log.segments][count_below:]
        return CleanJob(
            job_id=self._job_id,
            directory=log.dir,
            topic=log.topic_partition.topic,
            partition=log.topic_partition.partition,
            segments=tuple(files),
            later_segments=tuple(later),
            first_dirty_offset=chosen.first_dirty_offset,
            end_offset=chosen.end_offset,
            producers=_producers(log, chosen.end_offset),
            now_ms=self._clock.now_ms(),
            delete_retention_ms=topic_config.delete_retention_ms,
            table_bytes=settings.table_bytes,
            load_factor=settings.load_factor,
            segment_bytes=topic_config.segment_bytes,
            index_bytes=topic_config.segment_index_bytes,
            index_interval_bytes=topic_config.index_interval_bytes,
            max_message_bytes=topic_config.max_message_bytes,
            io_buffer_bytes=settings.io_buffer_bytes,
            io_bytes_per_second=settings.io_bytes_per_second,
        )

    def _on_line(self, line: bytes) -> None:
        try:
            reply = decode_reply(line)
        except (ValueError, KeyError, TypeError) as error:
            self._drop_child()
            self._fail(f"the cleaning process said {line[:100]!r}: {error}")
            return
        if self._round is None or reply.job_id != self._job_id or isinstance(reply, CleanProgress):
            return
        if isinstance(reply, CleanError):
            self._judge(reply)
        else:
            self._swap(self._round, reply)

    def _on_end(self, how: str) -> None:
        """The child has ended: as it was told to, or in the middle of a round."""
        self._child = None
        if self._round is not None and self._swapping is None:
            discard_unfinished(self._round.log)
            self._fail(f"the cleaning process {how}")

    def _judge(self, error: CleanError) -> None:
        assert self._round is not None
        log = self._round.log
        if not still_there(log, self._round.segments):
            self._end_round()
        elif is_full(OSError(error.errno, error.message)):
            logger.warning("%s was not compacted: %s", log.topic_partition, error.message)
            self._rest_until = self._clock.monotonic() + FULL_DISK_S
            self._end_round()
        else:
            where = f" ({error.file}, byte {error.position})" if error.file else ""
            self._fail(error.message + where)

    def _fail(self, reason: str) -> None:
        if self._round is not None:
            self._give_up(self._round.log, reason)
            self._end_round()

    def _give_up(self, log: Log, reason: str) -> None:
        logger.error(
            "%s is not compacted any more until the next start: %s", log.topic_partition, reason
        )
        self._uncleanable[log] = reason

    def _swap(self, chosen: Candidate, result: CleanResult) -> None:
        def done(complete: bool) -> None:
            self._swapping = None
            if self._stopped:
                return
            if complete:
                self._note(chosen, result)
            if chosen.log.segments.awaits_removal:
                self._with_leftovers[chosen.log] = None
            self._end_round()
            if complete:
                self._begin_look()

        self._swapping = Swapping(
            chosen.log, chosen.segments, result.segments, self._executor, self._logs, done
        )
        self._swapping.begin()

    def _note(self, chosen: Candidate, result: CleanResult) -> None:
        log, statistics = chosen.log, result.statistics
        if result.cleaned_end_offset <= chosen.first_dirty_offset:
            self._give_up(log, "a round came no further: log.cleaner.dedupe.buffer.size is small")
            return
        offsets = self._offsets_of(log)
        offsets.note(log, result.cleaned_end_offset)
        offsets.write()
        self.rounds += 1
        self.read_bytes += statistics.bytes_before
        self.kept_bytes += statistics.bytes_after
        logger.info(
            "Compacted %s from offset %d to %d: %d of %d records and %d of %d bytes are left",
            log.topic_partition,
            chosen.first_dirty_offset,
            result.cleaned_end_offset,
            statistics.records_kept,
            statistics.records_read,
            statistics.bytes_after,
            statistics.bytes_before,
        )

    def _end_round(self) -> None:
        self._round = self._logs.in_compaction = None
        self._idle_since = self._clock.monotonic()
        # What is gone needs no place here.
        self._uncleanable = {
            log: reason for log, reason in self._uncleanable.items() if not log.closed
        }

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


def _producers(log: Log, end_offset: int) -> tuple[ActiveProducer, ...]:
    """The last entries of producers; those beyond the round's end have none of theirs in it."""
    return tuple(
        [
            ActiveProducer(entry.producer_id, entry.producer_epoch, entry.last_offset)
            for entry in log.producer_state.entries()
            if entry.last_offset < end_offset
        ]
    )


def _first_timestamp(log: Log, segment: SealedSegment) -> int:
    for _, header in scan_segment(log.fs, segment, 0):
        return header.max_timestamp
    return 0
