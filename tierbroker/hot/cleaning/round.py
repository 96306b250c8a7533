"""One cleaning round of one log: first which offset is the last of each key, then what stays.

The first pass reads the dirty part into the key table until its end or until the table is full.
The second reads all segments below that end, asks the retain rule about each batch, and writes
`.cleaned` segments. Runs in a process of its own. Never changes or replaces a file of the log.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from tierbroker.base.errors import ApiError
from tierbroker.base.fs import FileSystem
from tierbroker.hot.cleaning.cleaned_writer import CleanedWriter
from tierbroker.hot.cleaning.grouping import InputSegment, group_segments
from tierbroker.hot.cleaning.job import (
    CleanJob,
    CleanProgress,
    CleanResult,
    CleanStatistics,
    NewSegment,
)
from tierbroker.hot.cleaning.segment_reader import DamagedSegment, SegmentReader
from tierbroker.hot.cleaning.throttle import Throttle
from tierbroker.hot.file_names import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_file_name,
)
from tierbroker.records import offset_index, txn_index
from tierbroker.records.batch import SIZE_OVERHEAD, BatchHeader, pack_header
from tierbroker.records.compaction import (
    Action,
    LastEntry,
    LiveOffsets,
    RetainRule,
    Transactions,
    Verdict,
)
from tierbroker.records.errors import CorruptIndexError
from tierbroker.records.key_notes import KeyNotes
from tierbroker.records.key_table import KeyTable
from tierbroker.records.txn_index import AbortedTxn

# Of the memory for the key table: what the flags of `LiveOffsets` may take.
_FLAGS_SHARE = 8
_PROGRESS_INTERVAL_S = 1.0
_LOOK_INTERVAL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a round needs of the world. Times are in seconds."""

    fs: FileSystem
    monotonic: Callable[[], float]
    cpu_seconds: Callable[[], float]
    pause: Callable[[float], None]
    report: Callable[[CleanProgress], None]


@dataclass(slots=True)
class _Counts:
    records_read: int = 0
    records_kept: int = 0
    records_without_key: int = 0
    bytes_written: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    batches_copied: int = 0
    batches_rebuilt: int = 0


class CleaningRound:
    """The round; `run` does all of it."""

    def __init__(self, job: CleanJob, surroundings: Surroundings) -> None:
        """Raises ValueError when the key table is too small for a single key."""
        self._job = job
        self._fs = surroundings.fs
        self._surroundings = surroundings
        self._throttle = Throttle(
            job.io_bytes_per_second, surroundings.monotonic, surroundings.pause
        )
        flags_bytes = job.table_bytes // _FLAGS_SHARE
        self._flags_bytes = flags_bytes
        self._table = KeyTable(job.table_bytes - flags_bytes, job.load_factor)
        self._counts = _Counts()
        self._bytes_done = 0
        self._bytes_total = 0
        self._last_report = surroundings.monotonic()
        self._next_look = 0
        self._writers: list[CleanedWriter] = []

    def run(self) -> CleanResult:
        """Leave `.cleaned` segments and say what they replace.

        Raises DamagedSegment at what is no valid batch, and OSError; then no file is left behind.
        """
        cpu_start, start = self._surroundings.cpu_seconds(), self._surroundings.monotonic()
        inputs = self._inputs()
        aborted = self._aborted_transactions()
        self._bytes_total = 2 * sum(segment.size_bytes for segment in inputs)
        try:
            notes = self._note_last_offsets(inputs, aborted)
            keys = len(self._table)
            indexed = self._surroundings.monotonic()
            segments = self._clean(inputs, aborted, notes.latest_offset)
        except BaseException:
            for writer in self._writers:
                writer.discard()
            raise
        counts = self._counts
        statistics = CleanStatistics(
            bytes_read=self._throttle.total_bytes - counts.bytes_written,
            bytes_written=counts.bytes_written,
            bytes_before=counts.bytes_before,
            bytes_after=counts.bytes_after,
            records_read=counts.records_read,
            records_kept=counts.records_kept,
            records_without_key=counts.records_without_key,
            keys_in_table=keys,
            table_slots=self._table.slots,
            table_full=notes.full,
            batches_copied=counts.batches_copied,
            batches_rebuilt=counts.batches_rebuilt,
            index_seconds=indexed - start,
            clean_seconds=self._surroundings.monotonic() - indexed,
            cpu_seconds=self._surroundings.cpu_seconds() - cpu_start,
        )
        return CleanResult(self._job.job_id, tuple(segments), notes.latest_offset + 1, statistics)

    def _inputs(self) -> list[InputSegment]:
        segments = self._job.segments
        ends = [segment.base_offset for segment in segments[1:]] + [self._job.end_offset]
        return [
            InputSegment(
                segment.base_offset,
                end_offset,
                segment.size_bytes,
                self._size_of(segment.base_offset, INDEX_SUFFIX),
                self._size_of(segment.base_offset, TIME_INDEX_SUFFIX),
                segment.last_modified_ms,
            )
            for segment, end_offset in zip(segments, ends, strict=True)
        ]

    def _aborted_transactions(self) -> list[AbortedTxn]:
        """Those that overlap the segments; one is indexed where its marker is, perhaps later."""
        bases = [segment.base_offset for segment in self._job.segments]
        aborted: list[AbortedTxn] = []
        for base_offset in (*bases, *self._job.later_segments):
            path = self._path(base_offset, TXN_INDEX_SUFFIX)
            if not self._fs.exists(path):
                continue
            data = self._fs.read_file(path)
            # The active segment's may be growing: transactions that end now began later.
            whole = data[: len(data) // txn_index.ENTRY_BYTES * txn_index.ENTRY_BYTES]
            try:
                aborted += (
                    txn
                    for txn in txn_index.entries(whole)
                    if txn.first_offset < self._job.end_offset
                )
            except CorruptIndexError as error:
                raise DamagedSegment(path.rsplit("/", 1)[-1], 0, str(error)) from error
        return aborted

    def _note_last_offsets(
        self, inputs: Sequence[InputSegment], aborted: Sequence[AbortedTxn]
    ) -> KeyNotes:
        """Fill the table from the dirty part."""
        first_dirty = self._job.first_dirty_offset
        transactions = Transactions(txn for txn in aborted if txn.last_offset >= first_dirty)
        notes = KeyNotes(self._table, transactions, first_dirty)
        for segment in inputs:
            if segment.end_offset <= first_dirty:
                self._bytes_total -= segment.size_bytes
                continue
            with closing(self._open(segment)) as reader:
                position = self._start_position(segment, first_dirty)
                self._bytes_total -= position
                for batch in reader.batches(position, _has_records):
                    try:
                        notes.note(batch.header, batch.data)
                    except ApiError as error:
                        raise reader.damage(batch.position, str(error)) from error
                    if notes.full:
                        return notes
                    self._advance(batch.header)
            notes.end_segment(segment.end_offset)
        return notes

    def _start_position(self, segment: InputSegment, offset: int) -> int:
        """Where to begin to read for `offset`, by the segment's index."""
        if offset <= segment.base_offset:
            return 0
        path = self._path(segment.base_offset, INDEX_SUFFIX)
        index = self._fs.read_file(path) if self._fs.exists(path) else b""
        return offset_index.lookup(index, segment.base_offset, offset)[1]

    def _clean(
        self, inputs: Sequence[InputSegment], aborted: Sequence[AbortedTxn], latest_offset: int
    ) -> list[NewSegment]:
        job = self._job
        live = LiveOffsets(
            self._table, job.first_dirty_offset, latest_offset, memory_bytes=self._flags_bytes
        )
        transactions = Transactions(aborted)
        rule = RetainRule(
            live,
            self._table,
            transactions,
            producers={
                producer.producer_id: LastEntry(producer.epoch, producer.last_data_offset)
                for producer in job.producers
            },
            end_offset=job.end_offset,
            now_ms=job.now_ms,
            delete_retention_ms=job.delete_retention_ms,
        )
        groups = group_segments(
            [segment for segment in inputs if segment.base_offset <= latest_offset],
            segment_bytes=job.segment_bytes,
            index_bytes=job.index_bytes,
        )
        cleaned = [self._clean_group(group, rule, transactions) for group in groups]
        return [segment for segment in cleaned if segment is not None]

    def _clean_group(
        self, group: Sequence[InputSegment], rule: RetainRule, transactions: Transactions
    ) -> NewSegment | None:
        """Write one segment from a group; None, and no file, when it would be the same again."""
        writer = CleanedWriter(
            self._fs,
            self._job.directory,
            group[0].base_offset,
            index_interval_bytes=self._job.index_interval_bytes,
            buffer_bytes=self._job.io_buffer_bytes,
            throttle=self._note_written,
        )
        self._writers.append(writer)
        counts = self._counts
        untouched = len(group) == 1
        for segment in group:
            with closing(self._open(segment)) as reader:
                for batch in reader.batches(0, rule.needs_records):
                    header = batch.header
                    try:
                        verdict = rule.judge(header, batch.data)
                    except ApiError as error:
                        raise reader.damage(batch.position, str(error)) from error
                    self._count(header, verdict)
                    if verdict.action is not Action.COPY:
                        untouched = False
                    if verdict.action is not Action.DROP:
                        data = verdict.data or batch.data or _header_alone(header)
                        writer.add(data, header.last_offset, verdict.max_timestamp)
                    if header.control:
                        writer.add_aborted(transactions.take_still_marked())
                    self._advance(header)
        before = sum(segment.size_bytes for segment in group)
        counts.bytes_before += before
        counts.bytes_after += writer.size_bytes
        if untouched:
            writer.discard()
            return None
        return NewSegment(
            base_offset=group[0].base_offset,
            replaces=tuple(segment.base_offset for segment in group),
            files=writer.finish(),
            size_bytes=writer.size_bytes,
            next_offset=writer.next_offset,
            max_timestamp_ms=writer.max_timestamp,
            last_modified_ms=group[-1].last_modified_ms,
        )

    def _count(self, header: BatchHeader, verdict: Verdict) -> None:
        counts = self._counts
        counts.records_read += header.record_count
        counts.records_kept += verdict.kept
        counts.records_without_key += verdict.without_key
        if verdict.action is Action.COPY:
            counts.batches_copied += 1
        elif verdict.action is Action.REPLACE:
            counts.batches_rebuilt += 1

    def _note_written(self, size_bytes: int) -> None:
        self._counts.bytes_written += size_bytes
        self._throttle.add(size_bytes)

    def _advance(self, header: BatchHeader) -> None:
        """Account for a batch that is done, and say so from time to time."""
        self._bytes_done += header.batch_length + SIZE_OVERHEAD
        if self._bytes_done < self._next_look:
            return
        self._next_look = self._bytes_done + _LOOK_INTERVAL_BYTES
        now = self._surroundings.monotonic()
        if now - self._last_report >= _PROGRESS_INTERVAL_S:
            self._last_report = now
            self._surroundings.report(
                CleanProgress(self._job.job_id, self._bytes_done, self._bytes_total)
            )

    def _open(self, segment: InputSegment) -> SegmentReader:
        return SegmentReader(
            self._fs,
            self._path(segment.base_offset, LOG_SUFFIX),
            segment.base_offset,
            segment.size_bytes,
            window_bytes=self._job.io_buffer_bytes,
            throttle=self._throttle.add,
        )

    def _path(self, base_offset: int, suffix: str) -> str:
        return f"{self._job.directory}/{offset_file_name(base_offset, suffix)}"

    def _size_of(self, base_offset: int, suffix: str) -> int:
        path = self._path(base_offset, suffix)
        return self._fs.stat_size(path) if self._fs.exists(path) else 0


def _has_records(header: BatchHeader) -> bool:
    return header.record_count > 0


def _header_alone(header: BatchHeader) -> bytes:
    """A batch without records that is copied."""
    return pack_header(header)
