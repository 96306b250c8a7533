"""Opening a partition's directory: after a clean stop, after a crash, or for the first time.

Clean: trust the files but check what is cheap. After a crash: read every batch from the recovery
point's segment on, cut a torn tail, rebuild indexes, epochs and producers from what is left. Never
cuts what was durable: damage raises CorruptLogError and leaves everything as it is (INV-11).
"""

import logging
import os
import random
from collections.abc import Callable

from tierbroker.base.clock import Clock
from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.batch_scan import MalformedHeader, scan_headers
from tierbroker.hot.config import FlushMode, LogConfig
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.file_names import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_file_name,
    parse_offset_file,
)
from tierbroker.hot.leader_epochs import LeaderEpochs, read_lineage
from tierbroker.hot.leftovers import clear_leftovers
from tierbroker.hot.log import Log
from tierbroker.hot.partition_metadata import read_topic_id, write_topic_id
from tierbroker.hot.producer_replay import rebuild_producers, recall_batches
from tierbroker.hot.producer_snapshots import ProducerSnapshots
from tierbroker.hot.producer_state import DEFAULT_EXPIRATION_MS, ProducerState
from tierbroker.hot.segment import SealedSegment
from tierbroker.hot.segment_list import SegmentList
from tierbroker.hot.segment_recovery import RecoveryNotes, recover_segment
from tierbroker.hot.trusted_segment import has_indexes, index_problem, load_trusted
from tierbroker.hot.txn_index_file import append_aborted
from tierbroker.records import epoch_lineage
from tierbroker.records.epoch_lineage import EpochEntry

logger = logging.getLogger(__name__)

MAX_OFFSET = (1 << 63) - 1


def open_log(
    cache: FileCache,
    directory: str,
    topic_partition: TopicPartition,
    config: LogConfig,
    *,
    clock: Clock,
    rng: random.Random,
    topic_id: Uuid | None = None,
    clean: bool = False,
    recovery_point: int = 0,
    log_start_offset: int = 0,
    producer_expiration_ms: int = DEFAULT_EXPIRATION_MS,
    on_offline: Callable[[Log, OSError], None] | None = None,
) -> Log:
    """Open the log in `directory`, making both if they are not there.

    `clean`: the last owner closed it in order. `recovery_point`: everything below was durable.
    `topic_id` is written if the directory does not have one. Raises CorruptLogError for damage
    that must not be cut away, and OSError.
    """
    loader = _Loader(cache, directory, topic_partition, config, clock)
    producers = ProducerState(producer_expiration_ms)
    try:
        created = loader.prepare_directory()
        loader.load(clean, recovery_point, log_start_offset)
        loader.load_producers(producers)
        loader.make_durable()
        topic_id = loader.settle_topic_id(topic_id)
    except (CorruptLogError, CorruptMessageError, MalformedHeader, OSError) as error:
        loader.close()
        if isinstance(error, CorruptLogError | OSError):
            raise
        raise CorruptLogError(directory, 0, str(error)) from error
    log = Log(
        topic_partition,
        topic_id,
        directory,
        config,
        clock=clock,
        rng=rng,
        segments=loader.segments,
        epochs=loader.epochs,
        producer_state=producers,
        snapshots=loader.snapshots,
        log_start_offset=loader.log_start_offset,
        log_end_offset=loader.end_offset,
        on_offline=on_offline,
    )
    for path in loader.unflushed_files:
        log.expect_flush(directory, path)
    if created:
        log.expect_flush(directory)
        log.expect_flush(os.path.dirname(directory))
        log.preallocate()
    return log


class _Loader:
    """The steps of opening one log, in the order of their methods."""

    def __init__(
        self,
        cache: FileCache,
        directory: str,
        topic_partition: TopicPartition,
        config: LogConfig,
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._fs = cache.fs
        self._directory = directory
        self._name = str(topic_partition)
        self._config = config
        self._clock = clock
        self._opened: list[ActiveSegment] = []
        self._rescanned_from: int | None = None
        self._notes = RecoveryNotes()
        self.unflushed_files: list[str] = []
        """What was written while opening and needs a flush."""
        self.end_offset = 0
        self.log_start_offset = 0
        self.segments: SegmentList
        self.epochs: LeaderEpochs
        self.snapshots: ProducerSnapshots

    def prepare_directory(self) -> bool:
        """Make the directory or clear leftovers from it; whether it is new, or empty as a first
        attempt without room left it: its name may not be durable either."""
        created = not self._fs.exists(self._directory)
        if created:
            self._fs.mkdir(self._directory)
        names = clear_leftovers(self._cache, self._directory)
        self.snapshots = ProducerSnapshots(self._fs, self._directory, names)
        parsed = [parse_offset_file(name) for name in names]
        self._bases = sorted(f.offset for f in parsed if f and f.suffix == LOG_SUFFIX)
        return created or not self._bases

    def load(self, clean: bool, recovery_point: int, log_start_offset: int) -> None:
        """Open all segments, find the log's end, settle start and epochs."""
        known = read_lineage(self._fs, self._directory)
        self._notes.lineage = known or ()
        if not self._bases:
            if recovery_point > log_start_offset and not clean:
                raise CorruptLogError(
                    self._directory,
                    0,
                    f"there is no segment, but offsets up to {recovery_point} were durable",
                )
            self._start_empty(log_start_offset)
        else:
            self._open_segments(clean, recovery_point)
            self.log_start_offset = max(log_start_offset, self._bases[0])
        if self.end_offset < self.log_start_offset:
            # Kafka's rule: all that is here was deleted by request, or belongs to an older life.
            logger.warning(
                "%s ends at %d, below its start %d: it begins anew there",
                self._name,
                self.end_offset,
                self.log_start_offset,
            )
            self.segments.restart(self.log_start_offset, self._config.index_interval_bytes)
            self.end_offset = self.log_start_offset
        self._settle_epochs(known)

    def _start_empty(self, offset: int) -> None:
        self._notes.lineage = ()
        active = self._active(offset, create=True)
        self.segments = SegmentList(self._cache, self._clock, self._directory, [], active)
        self.end_offset = self.log_start_offset = offset

    def _active(self, base_offset: int, *, create: bool = False) -> ActiveSegment:
        active = ActiveSegment(
            self._cache,
            self._directory,
            base_offset,
            index_interval_bytes=self._config.index_interval_bytes,
            created_ms=self._clock.now_ms(),
            create=create,
        )
        self._opened.append(active)
        active.size_bytes = self._fs.file_size(active.fd)
        return active

    def _open_segments(self, clean: bool, recovery_point: int) -> None:
        sealed: list[SealedSegment] = []
        active: ActiveSegment | None = None
        first_doubtful = self._first_doubtful(clean, recovery_point)
        for slot, base_offset in enumerate(self._bases):
            if slot == len(self._bases) - 1 and slot < first_doubtful:
                complete = has_indexes(self._fs, self._directory, base_offset)
                active = self._active(base_offset)
                end_offset = load_trusted(self._fs, active) if complete else None
                if end_offset is None:
                    self._retire(active)
                    first_doubtful = slot
                else:
                    self.end_offset = end_offset
            if slot >= first_doubtful:
                # After a clean stop every byte was durable: any fault is damage.
                active, torn = self._recover(slot, MAX_OFFSET if clean else recovery_point)
                if torn or self._ends_early(slot, recovery_point):
                    self._remove_later(slot)
                    break
                if slot < len(self._bases) - 1:
                    sealed.append(self._sealed_again(active))
            elif slot < len(self._bases) - 1:
                sealed.append(self._sealed(base_offset, self._bases[slot + 1], recovery_point))
        assert active is not None
        self.segments = SegmentList(self._cache, self._clock, self._directory, sealed, active)
        if self.end_offset < recovery_point:
            raise CorruptLogError(
                active.handle.path,
                active.size_bytes,
                f"the log ends at offset {self.end_offset}, but everything up to "
                f"{recovery_point} was durable. Restore the file from a replica or a backup",
            )

    def _first_doubtful(self, clean: bool, recovery_point: int) -> int:
        if clean:
            return len(self._bases)
        below = [base_offset for base_offset in self._bases if base_offset <= recovery_point]
        return max(len(below) - 1, 0)

    def _sealed(self, base_offset: int, end_offset: int, recovery_point: int) -> SealedSegment:
        """A segment that is not in doubt; its indexes are rebuilt if they are missing or wrong."""
        path = self._log_path(base_offset)
        size = self._fs.stat_size(path)
        segment = SealedSegment(self._cache, self._directory, base_offset, size)
        problem = index_problem(self._fs, segment, end_offset)
        if not problem:
            return segment
        logger.warning("%s: %s; the indexes are rebuilt", path, problem)
        active = self._active(base_offset)
        recover_segment(
            self._fs,
            active,
            recovery_point=max(recovery_point, end_offset),
            later_logs=[],
            each=lambda header: None,
        )
        return self._sealed_again(active)

    def _sealed_again(self, active: ActiveSegment) -> SealedSegment:
        active.write_last_entries()
        sealed = active.seal()
        self._opened.remove(active)
        active.handle.release()
        return sealed

    def _retire(self, active: ActiveSegment) -> None:
        self._opened.remove(active)
        active.retire()

    def close(self) -> None:
        """Let go of what was opened: the log cannot be."""
        for active in self._opened:
            active.retire()
        self._cache.close_idle()

    def _recover(self, slot: int, recovery_point: int) -> tuple[ActiveSegment, bool]:
        base_offset = self._bases[slot]
        if self._rescanned_from is None:
            self._rescanned_from = base_offset
            self._notes.lineage = epoch_lineage.truncated_from_end(
                self._notes.lineage, base_offset + 1
            )
        self._notes.expected = base_offset
        active = self._active(base_offset)
        later = [(base, self._log_path(base)) for base in self._bases[slot + 1 :]]
        judgement = recover_segment(
            self._fs,
            active,
            recovery_point=recovery_point,
            later_logs=later,
            each=self._notes.note,
        )
        self.end_offset = judgement.next_offset
        return active, judgement.torn

    def _ends_early(self, slot: int, recovery_point: int) -> bool:
        """Whether the segment stops short of the next one, its last batches never written.

        Compaction leaves such gaps too: where the log shows traces of it, a gap is none. A segment
        without bytes is no loss in any case.
        """
        if slot + 1 >= len(self._bases) or self._bases[slot + 1] == self.end_offset:
            return False
        path = self._log_path(self._bases[slot + 1])
        if self._bases[slot + 1] < self.end_offset:
            raise CorruptLogError(
                path,
                0,
                f"the segment begins below offset {self.end_offset}, where the one before it "
                f"ends. Restore the file from a replica or a backup",
            )
        if (self._config.compacted or self._notes.has_holes) and self._fs.stat_size(path):
            return False
        if self.end_offset < recovery_point:
            raise CorruptLogError(
                path,
                0,
                f"offsets {self.end_offset} to {self._bases[slot + 1] - 1} before it are missing, "
                f"though they were durable. Restore them from a replica or a backup",
            )
        logger.warning(
            "%s: offsets %d to %d were lost in a crash before they were durable; "
            "the log ends at offset %d",
            self._name,
            self.end_offset,
            self._bases[slot + 1] - 1,
            self.end_offset,
        )
        return True

    def _log_path(self, base_offset: int) -> str:
        return f"{self._directory}/{offset_file_name(base_offset, LOG_SUFFIX)}"

    def _remove_later(self, slot: int) -> None:
        """The log ends in this segment: what follows was never durable."""
        for base_offset in reversed(self._bases[slot + 1 :]):
            for suffix in (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX):
                path = f"{self._directory}/{offset_file_name(base_offset, suffix)}"
                if self._fs.exists(path):
                    self._fs.unlink(path)

    def _settle_epochs(self, known: tuple[EpochEntry, ...] | None) -> None:
        if (known is None or self._lags_behind()) and self.end_offset > self.log_start_offset:
            self._notes.lineage = ()
            for segment in self.segments:
                fd = segment.handle.acquire()
                try:
                    for _, header in scan_headers(self._fs, fd, 0, segment.size_bytes):
                        self._notes.note_epoch(header)
                finally:
                    segment.handle.release()
        lineage = epoch_lineage.truncated_from_end(self._notes.lineage, self.end_offset + 1)
        lineage = epoch_lineage.truncated_from_start(lineage, self.log_start_offset)
        self.epochs = LeaderEpochs(self._fs, self._directory, known or ())
        self.epochs.replace(lineage)

    def _lags_behind(self) -> bool:
        """Whether the last batch carries an epoch that the lineage does not know."""
        active = self.segments.active
        last = active.find(self.end_offset - 1) if active.size_bytes else None
        if last is None:
            return False
        for _, header in scan_headers(self._fs, active.fd, last[0], active.size_bytes):
            latest = self._notes.lineage[-1].epoch if self._notes.lineage else -1
            return header.partition_leader_epoch > latest
        return False

    def load_producers(self, producers: ProducerState) -> None:
        """Producer state from the newest snapshot and the batches after it."""
        self.snapshots.remove_above(self.end_offset)
        rebuild_producers(producers, self.segments, self.snapshots, self.end_offset)
        if self._rescanned_from is not None:
            recall_batches(producers, self.segments, self.end_offset)
            self._rebuild_txn_indexes(self._rescanned_from)

    def _rebuild_txn_indexes(self, first_offset: int) -> None:
        """Find the aborted transactions of rescanned segments again."""
        for segment in self.segments:
            path = segment.path(TXN_INDEX_SUFFIX)
            if segment.base_offset >= first_offset and self._fs.exists(path):
                self._fs.unlink(path)
        if not self._notes.has_markers:
            return
        scratch = ProducerState()
        for segment, txn in rebuild_producers(
            scratch, self.segments, self.snapshots, self.end_offset, first_offset
        ):
            if segment.base_offset >= first_offset:
                append_aborted(self._fs, segment, [txn])

    def make_durable(self) -> None:
        """Sync what a crash of the process left in the page cache: readers will rely on it.

        Waits for the disk; only a start after a crash does this.
        """
        if self._rescanned_from is None or self._config.flush_mode is FlushMode.NONE:
            return
        for segment in self.segments:
            if segment.base_offset >= self._rescanned_from:
                fd = segment.handle.acquire()
                try:
                    self._fs.fdatasync(fd)
                finally:
                    segment.handle.release()
        self._fs.fsync_dir(self._directory)

    def settle_topic_id(self, topic_id: Uuid | None) -> Uuid:
        """The directory's topic id; the given one is written where there is none."""
        found = read_topic_id(self._fs, self._directory)
        if found is not None:
            return found
        if topic_id is None:
            return ZERO_UUID
        self.unflushed_files.append(write_topic_id(self._fs, self._directory, topic_id))
        return topic_id
