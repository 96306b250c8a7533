"""Opening a partition's directory: after a clean stop, after a crash, or for the first time.

Clean: trust the files but check what is cheap. After a crash: read every batch from the recovery
point's segment on, cut a torn tail, rebuild indexes, epochs and producers from what is left. Never
cuts what was durable: damage becomes a region that is kept, reported and not served (INV-11).
"""

import logging
import os
import random
from collections.abc import Callable

from tierbroker.base.clock import Clock
from tierbroker.base.disk_faults import is_unreadable
from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid
from tierbroker.hot.active_segment import ActiveSegment
from tierbroker.hot.batch_scan import MAX_OFFSET, MalformedHeader, scan_headers
from tierbroker.hot.config import FlushMode, LogConfig
from tierbroker.hot.damage import (
    Damage,
    Notice,
    Regions,
    of_segment,
    read_notices,
    report,
    write_note,
)
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.file_names import (
    DAMAGED_REGIONS_FILE,
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
from tierbroker.hot.producer_replay import rebuild_aborted, rebuild_producers, recall_batches
from tierbroker.hot.producer_snapshots import ProducerSnapshots, SnapshotContents
from tierbroker.hot.producer_state import DEFAULT_EXPIRATION_MS, ProducerState
from tierbroker.hot.segment import SealedSegment
from tierbroker.hot.segment_list import SegmentList
from tierbroker.hot.segment_recovery import (
    Bounds,
    RecoveryNotes,
    is_mended,
    nothing_follows,
    recover_segment,
)
from tierbroker.hot.trusted_segment import has_indexes, index_problem, load_trusted
from tierbroker.hot.txn_index_file import sync_aborted
from tierbroker.records import epoch_lineage
from tierbroker.records.epoch_lineage import EpochEntry

logger = logging.getLogger(__name__)

REPORTED_REGIONS = 10
"""Damaged regions of a log that are reported one by one at a start."""


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
    refuse_damage: bool = False,
) -> Log:
    """Open the log in `directory`, making both if they are not there.

    `clean`: the last owner closed it in order. `recovery_point`: everything below was durable.
    `topic_id` is written if the directory does not have one. `refuse_damage`: the log is of no
    use with a part missing. Raises CorruptLogError for that and for a log that is gone altogether,
    and OSError.
    """
    producers = ProducerState(producer_expiration_ms)
    for doubt_all in (False, True):
        loader = _Loader(cache, directory, topic_partition, config, clock, refuse_damage, doubt_all)
        try:
            created = loader.prepare_directory()
            loader.load(clean, recovery_point, log_start_offset)
            loader.load_producers(producers)
            loader.make_durable()
            held_id = loader.settle_topic_id(topic_id)
            break
        except CorruptLogError:
            loader.close()
            raise
        except (CorruptMessageError, MalformedHeader, OSError) as error:
            # Damage in what was trusted: everything is read, so that the damage has bounds.
            loader.close()
            if isinstance(error, OSError) and (loader.is_final or not is_unreadable(error)):
                raise
            if doubt_all:
                raise CorruptLogError(directory, 0, str(error)) from error
            logger.warning("%s: %s; the whole log is read", topic_partition, error)
    log = Log(
        topic_partition,
        held_id,
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
        damage=loader.damage,
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
        refuse_damage: bool,
        doubt_all: bool,
    ) -> None:
        self._refuse_damage = refuse_damage
        self._doubt_all = doubt_all
        self._known: Regions = ()
        self.damage: dict[Damage, Notice] = {}
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
        self.is_final = doubt_all
        """To read everything is no answer to an error of the disk: that was done, or the error is
        that of a sync, which is never tried again."""
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
        if DAMAGED_REGIONS_FILE in names:
            self.damage = read_notices(self._fs, self._directory)
            self._known = tuple(self.damage)
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
            # What was found damaged was durable once, whatever the recovery point says.
            lost = [region.next_offset for region in self._known if region.segment in self._bases]
            self._open_segments(clean, max([recovery_point, *lost]))
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
        self._settle_damage()
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
                if of_segment(self._known, base_offset):
                    complete = False
                end_offset = load_trusted(self._fs, active) if complete else None
                if end_offset is None or end_offset < recovery_point:
                    self._retire(active)
                    first_doubtful = slot
                else:
                    self.end_offset = end_offset
            if slot >= first_doubtful:
                # After a clean stop every byte was durable: any fault is damage.
                cut_from = MAX_OFFSET if clean else recovery_point
                active, torn = self._recover(slot, recovery_point, cut_from)
                if torn or self._ends_early(active, slot, recovery_point):
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
        if self._doubt_all:
            return 0
        if clean:
            return len(self._bases)
        # Of a segment that ends at the recovery point the indexes may not be flushed yet.
        below = [base_offset for base_offset in self._bases if base_offset < recovery_point]
        return max(len(below) - 1, 0)

    def _sealed(self, base_offset: int, end_offset: int, recovery_point: int) -> SealedSegment:
        """A segment that is not in doubt; its indexes are rebuilt if they are missing or wrong."""
        path = self._log_path(base_offset)
        size = self._fs.stat_size(path)
        damage = self._still_damaged(base_offset, size)
        segment = SealedSegment(self._cache, self._directory, base_offset, size, damage=damage)
        problem = index_problem(self._fs, segment, end_offset)
        if not problem:
            return segment
        logger.warning("%s: %s; the indexes are rebuilt", path, problem)
        active = self._active(base_offset)
        bounds = Bounds(max(recovery_point, end_offset), MAX_OFFSET, end_offset)
        notes = RecoveryNotes()
        notes.expected = base_offset
        found = recover_segment(
            self._fs, active, bounds, notes, refuse_damage=self._refuse_damage
        ).next_offset
        if found < end_offset and not self._config.compacted and not notes.has_holes:
            self._take_gap(active, notes, found, end_offset)
        self._notes.damage += notes.damage
        return self._sealed_again(active)

    def _still_damaged(self, base_offset: int, size_bytes: int) -> Regions:
        """The known regions of a segment, but for those that somebody has mended since."""
        known = of_segment(self._known, base_offset)
        if not known:
            return ()
        fd = self._fs.open(self._log_path(base_offset), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return tuple([r for r in known if not is_mended(self._fs, fd, size_bytes, r)])
        finally:
            self._fs.close(fd)

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

    def _recover(self, slot: int, recovery_point: int, cut_from: int) -> tuple[ActiveSegment, bool]:
        base_offset = self._bases[slot]
        if self._rescanned_from is None:
            self._rescanned_from = base_offset
            self._notes.lineage = epoch_lineage.truncated_from_end(
                self._notes.lineage, base_offset + 1
            )
        self._notes.expected = base_offset
        active = self._active(base_offset)
        bounds = self._bounds(slot, recovery_point, cut_from)
        refuse = self._refuse_damage
        judged = recover_segment(self._fs, active, bounds, self._notes, refuse_damage=refuse)
        self.end_offset = judged.next_offset
        return active, judged.torn

    def _bounds(self, slot: int, recovery_point: int, cut_from: int) -> Bounds:
        later = tuple([(base, self._log_path(base)) for base in self._bases[slot + 1 :]])
        return Bounds(recovery_point, cut_from, later[0][0] if later else None, later)

    def _ends_early(self, active: ActiveSegment, slot: int, recovery_point: int) -> bool:
        """Whether the segment stops short of the next one, its last batches never written.

        Compaction leaves such gaps too: where the log shows traces of it, a gap is none that a
        batch follows, or that was durable as it is.
        """
        if slot + 1 >= len(self._bases) or self._bases[slot + 1] == self.end_offset:
            return False
        following = self._bases[slot + 1]
        if self._config.compacted or self._notes.has_holes:
            bounds = self._bounds(slot, recovery_point, recovery_point)
            if recovery_point >= following or not nothing_follows(self._fs, bounds):
                return False
        if self.end_offset < recovery_point:
            self._take_gap(active, self._notes, self.end_offset, following)
            self.end_offset = following
            return False
        logger.warning(
            "%s ends at offset %d: up to offset %d all was lost in a crash before it was durable",
            self._name,
            self.end_offset,
            following - 1,
        )
        return True

    def _take_gap(
        self, active: ActiveSegment, notes: RecoveryNotes, first_offset: int, next_offset: int
    ) -> None:
        """The end of a segment is missing, though it was durable."""
        reason = f"the file ends before offset {next_offset}, though that was durable"
        position = active.size_bytes
        if self._refuse_damage:
            raise CorruptLogError(active.handle.path, position, reason)
        region = Damage(active.base_offset, position, position, first_offset, next_offset)
        active.damage = (*active.damage, region)
        notes.note_damage(region, reason)

    def _settle_damage(self) -> None:
        """Report and note what is damaged; a damaged segment is never appended to."""
        regions, now_ms = self.segments.damage, self._clock.now_ms()
        noticed = {region: Notice(now_ms, reason) for region, reason in self._notes.damage}
        noticed |= self.damage
        self.damage = {region: noticed[region] for region in regions}
        for region in regions[:REPORTED_REGIONS]:
            report(self._name, self._log_path(region.segment), region, noticed[region].reason)
        if len(regions) > REPORTED_REGIONS:
            logger.error(
                "%s: %d more regions are damaged; %s/%s names them all",
                self._name,
                len(regions) - REPORTED_REGIONS,
                self._directory,
                DAMAGED_REGIONS_FILE,
            )
        if regions != self._known:
            write_note(self._fs, self._directory, self.damage)
        active = self.segments.active
        if active.damage and self.end_offset > active.base_offset:
            self.segments.roll(self.end_offset, self._config.index_interval_bytes)
            self._opened = [self.segments.active]
            for handle in active.handles():
                handle.release()

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
                    size = segment.size_bytes
                    for _, header in scan_headers(self._fs, fd, 0, size, segment.damage):
                        self._notes.note_epoch(header)
                finally:
                    segment.handle.release()
        lineage = epoch_lineage.truncated_from_end(self._notes.lineage, self.end_offset + 1)
        if not self._config.remote_storage_enable:
            lineage = epoch_lineage.truncated_from_start(lineage, self.log_start_offset)
        self.epochs = LeaderEpochs(self._fs, self._directory, known or ())
        self.epochs.replace(lineage)

    def _lags_behind(self) -> bool:
        """Whether the last batch carries an epoch that the lineage does not know."""
        active = self.segments.active
        last = active.find(self.end_offset - 1) if active.size_bytes else None
        if last is None:
            return False
        size = active.size_bytes
        for _, header in scan_headers(self._fs, active.fd, last[0], size, active.damage):
            latest = self._notes.lineage[-1].epoch if self._notes.lineage else -1
            return header.partition_leader_epoch > latest
        return False

    def load_producers(self, producers: ProducerState) -> None:
        """Producer state from the newest snapshot and the batches after it.

        A start after a crash writes the snapshots that were lost in it (so does Kafka's); where
        none was lost it passes no segment's beginning.
        """
        segments, snapshots, end_offset = self.segments, self.snapshots, self.end_offset
        snapshots.remove_above(end_offset)
        lost = SnapshotContents()
        rebuild_producers(producers, segments, snapshots, end_offset, passed=lost)
        first = self._rescanned_from
        if first is not None:
            recall_batches(producers, segments, end_offset)
            markers = self._notes.has_markers
            rebuild_aborted(segments, snapshots, end_offset, first, has_markers=markers)
            # Not before: one that this lets go of may be what the indexes were rebuilt from.
            needed_from = segments.first.base_offset if self._config.remote_storage_enable else None
            snapshots.restore(lost, needed_from)
            snapshots.doubt(min([first, *lost]))

    def make_durable(self) -> None:
        """Sync what a crash of the process left in the page cache: readers will rely on it.

        Waits for the disk; only a start after a crash does this.
        """
        if self._rescanned_from is None or self._config.flush_mode is FlushMode.NONE:
            return
        self.is_final = True
        for segment in self.segments:
            if segment.base_offset >= self._rescanned_from:
                fd = segment.handle.acquire()
                try:
                    self._fs.fdatasync(fd)
                finally:
                    segment.handle.release()
                sync_aborted(self._fs, segment)
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
