"""Taking records away: truncation at the end, DeleteRecords and retention at the start.

Each function changes files first and the log's numbers with them; a disk that refuses takes the
log offline, because half a cut must not be appended to. Never touches what a reader leases.
"""

from functools import partial
from typing import TYPE_CHECKING

from tierbroker.base.errors import KafkaStorageError, OffsetOutOfRangeError
from tierbroker.hot.config import FlushMode
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.log_damage import settle_damage
from tierbroker.hot.producer_replay import rebuild_producers
from tierbroker.hot.retention import SegmentFacts, count_deletable, count_evictable
from tierbroker.hot.segment import ReadableSegment, SealedSegment
from tierbroker.hot.txn_index_file import cut_aborted

if TYPE_CHECKING:
    from tierbroker.hot.log import Log


def truncate_to(log: "Log", offset: int) -> bool:
    """Remove every batch that reaches `offset` or beyond; False if there is none.

    A batch that spans the offset goes as a whole. Raises KafkaStorageError.
    """
    if offset >= log.log_end_offset:
        return False
    if offset < log.log_start_offset:
        restart_at(log, offset)
        return True
    try:
        segments = log.segments
        end_offset = segments.cut(offset, log.config.index_interval_bytes)
        cut_aborted(segments.cache.fs, segments.active, end_offset)
        log.snapshots.remove_above(end_offset)
        log.epochs.cut_end(end_offset)
        rebuild_producers(log.producer_state, segments, log.snapshots, end_offset)
    except OSError as error:
        raise log.go_offline(error) from error
    log.log_start_offset = min(log.log_start_offset, end_offset)
    log.note_cut(end_offset)
    settle_damage(log)
    return True


def restart_at(log: "Log", offset: int) -> None:
    """Remove everything; the log is empty and goes on at `offset`. Raises KafkaStorageError."""
    try:
        log.segments.restart(offset, log.config.index_interval_bytes)
        log.snapshots.remove_above(-1)
        log.epochs.replace(())
    except OSError as error:
        raise log.go_offline(error) from error
    log.producer_state.clear(offset)
    log.log_start_offset = offset
    log.note_cut(offset)
    settle_damage(log)


def advance_log_start(log: "Log", offset: int) -> list[SealedSegment]:
    """Records below `offset` are gone (DeleteRecords); whole segments below it go at once.

    Answers the segments that went; an offset below the log start changes nothing. Raises
    OffsetOutOfRangeError above the log end, KafkaStorageError when the disk refuses.
    """
    if offset > log.log_end_offset:
        raise OffsetOutOfRangeError(f"offset {offset} is above the log end {log.log_end_offset}")
    if offset <= log.log_start_offset:
        return []
    log.log_start_offset = offset
    count = 0
    while count < len(log.segments.sealed) and log.segments[count + 1].base_offset <= offset:
        count += 1
    return _drop_front(log, count)


def delete_old_segments(log: "Log", now_ms: int, max_offset: int) -> list[SealedSegment]:
    """Let retention.ms and retention.bytes remove whole segments; answers those that went.

    The rule is `hot.retention`'s. Never beyond `max_offset`, the high watermark. The active segment
    goes too, after a roll, when it is old. Raises KafkaStorageError.
    """
    segments = log.segments
    facts = [_facts(log, slot, segment) for slot, segment in enumerate(segments)]
    count = count_deletable(facts, log.config, now_ms, log.log_start_offset, max_offset)
    if count == len(segments):
        try:
            log.roll()
        except KafkaStorageError:
            if log.offline:
                raise
            # No room for a new segment: let the others make some.
            count -= 1
    return _drop_front(log, count)


def evict_segments(log: "Log", now_ms: int, max_offset: int) -> list[SealedSegment]:
    """Let local retention remove whole closed segments below `max_offset`, which the cold tier
    has; answers those that went. Raises KafkaStorageError.
    """
    facts = [_facts(log, slot, segment) for slot, segment in enumerate(log.segments)]
    return _drop_front(log, count_evictable(facts, log.config, now_ms, max_offset))


def overdue_segments(log: "Log", now_ms: int, max_offset: int) -> list[SealedSegment]:
    """What local retention would let go if the cold tier had it, which it has up to `max_offset`.

    Raises OSError.
    """
    facts = [_facts(log, slot, segment) for slot, segment in enumerate(log.segments)]
    due = count_evictable(facts, log.config, now_ms, log.log_end_offset)
    return [
        segment
        for segment, known in zip(log.segments.sealed[:due], facts, strict=False)
        if known.end_offset > max_offset
    ]


def evict_below(log: "Log", offset: int) -> list[SealedSegment]:
    """Let all closed segments go that end below `offset`, whatever local retention says.

    The cold tier has them. Raises KafkaStorageError.
    """
    count = 0
    while count < len(log.segments.sealed) and log.segments[count + 1].base_offset <= offset:
        count += 1
    return _drop_front(log, count)


def _facts(log: "Log", slot: int, segment: ReadableSegment) -> SegmentFacts:
    end_offset = log.segments.end_of(slot)
    return SegmentFacts(
        log.log_end_offset if end_offset is None else end_offset,
        segment.size_bytes,
        partial(newest_ms, log, segment),
        active=end_offset is None,
    )


def newest_ms(log: "Log", segment: ReadableSegment) -> int:
    """A segment's highest timestamp, by which retention goes; raises OSError."""
    timestamp_ms = segment.max_timestamp()[0]
    if timestamp_ms >= 0:
        return timestamp_ms
    # Records without time: how old the file is (Kafka: LogSegment.largestTimestamp).
    return log.segments.cache.fs.mtime_ms(segment.handle.path)


def _make_snapshot_durable(log: "Log", count: int) -> None:
    """Before the `count` oldest segments go: what producers did in them is in a snapshot alone.

    A flush has covered it long ago, unless the segment behind them has just begun, or a start after
    a crash left it to the page cache. Raises OSError.
    """
    if not count or log.config.flush_mode is not FlushMode.FSYNC:
        return
    following = log.segments[count].base_offset
    waited = log.snapshots.settle(following)
    path = log.snapshots.path_of(following)
    for handle in log.unflushed_files:
        if handle.path == path:
            log.fs.fdatasync(handle.fd)
            waited = True
    if waited:
        log.fs.fsync_dir(log.dir)


def _drop_front(log: "Log", count: int) -> list[SealedSegment]:
    due_ms = log.now_ms() + log.config.file_delete_delay_ms
    try:
        _make_snapshot_durable(log, count)
        dropped = log.segments.drop_front(count, due_ms)
    except OSError as error:
        raise log.go_offline(error) from error
    log.size_bytes -= sum(segment.size_bytes for segment in dropped)
    log.aborted.forget()
    log.log_start_offset = max(log.log_start_offset, log.segments.first.base_offset)
    if log.damage:
        settle_damage(log)
    try:
        if log.config.remote_storage_enable:
            # The epochs of what is in the cold tier are asked for as ever.
            log.snapshots.remove_below(log.segments.first.base_offset)
        else:
            log.epochs.cut_start(log.log_start_offset)
    except OSError as error:
        # A full disk: a start cuts the file's lineage too, and a later change writes it.
        if is_disk_failure(error):
            raise log.go_offline(error) from error
    return dropped
