"""Which log is cleaned next, and how far: Kafka's rules (LogCleanerManager, LogToClean).

Pure but for timestamps, which come from the indexes and first headers of segments that a lag
setting makes interesting. Nothing here changes a log.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tierbroker.hot.log import Log
from tierbroker.hot.segment import SealedSegment

NEVER_MS = (1 << 63) - 1

NewestMs = Callable[[SealedSegment], int]
"""The highest timestamp of a segment; of one without, when its file was written last."""
OldestMs = Callable[[SealedSegment], int]
"""The timestamp of a segment's first batch, below 1 without one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A log that could be cleaned. `segments` are all below `end_offset`, from the log start."""

    log: Log
    segments: tuple[SealedSegment, ...]
    first_dirty_offset: int
    end_offset: int
    clean_bytes: int
    dirty_bytes: int
    overdue: bool
    """Whether max.compaction.lag.ms asks for it now."""

    @property
    def dirty_ratio(self) -> float:
        """Share of what was never cleaned."""
        total = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / total if total else 0.0

    @property
    def due(self) -> bool:
        """Whether it is worth a round."""
        if self.overdue and self.dirty_bytes > 0:
            return True
        return self.dirty_ratio > self.log.config.min_cleanable_dirty_ratio


def first_dirty(log: Log, checkpoint: int | None) -> int:
    """Where cleaning goes on; a checkpoint that cannot be true of this log does not count."""
    if checkpoint is None or not log.log_start_offset <= checkpoint <= log.log_end_offset:
        return log.log_start_offset
    return checkpoint


def candidate(
    log: Log,
    first_dirty_offset: int,
    stable_offset: int,
    now_ms: int,
    newest_ms: NewestMs,
    oldest_ms: OldestMs,
) -> Candidate | None:
    """What a round would read now; None when there is no segment for it.

    `stable_offset`: everything below is durable, replicated and decided. Raises OSError and
    MalformedHeader where timestamps must be read.
    """
    segments = log.segments
    limit = min(stable_offset, segments.active.base_offset)
    count = min(segments.slot_of(limit), len(segments.sealed))
    dirty_slot = min(segments.slot_of(first_dirty_offset), count)
    lag_ms = log.config.min_compaction_lag_ms
    if lag_ms > 0:
        count = _older_than(segments.sealed, dirty_slot, count, now_ms - lag_ms, newest_ms)
    if count <= dirty_slot:
        return None
    end_offset = segments[count].base_offset
    sealed = segments.sealed
    dirty = sealed[dirty_slot:count]
    if first_dirty_offset >= end_offset:
        return None
    max_lag_ms = log.config.max_compaction_lag_ms
    overdue = False
    if max_lag_ms < NEVER_MS:
        oldest = [time for segment in sealed[dirty_slot:] if (time := oldest_ms(segment)) > 0]
        overdue = bool(oldest) and min(oldest) < now_ms - max_lag_ms
    return Candidate(
        log,
        tuple(sealed[:count]),
        first_dirty_offset,
        end_offset,
        sum(segment.size_bytes for segment in sealed[:dirty_slot]),
        sum(segment.size_bytes for segment in dirty),
        overdue,
    )


def _older_than(
    sealed: Sequence[SealedSegment], start: int, end: int, limit_ms: int, newest_ms: NewestMs
) -> int:
    for slot in range(start, end):
        if newest_ms(sealed[slot]) > limit_ms:
            return slot
    return end


def filthiest(candidates: Iterable[Candidate]) -> Candidate | None:
    """The one to clean next, of those that are due."""
    due = [each for each in candidates if each.due]
    return max(due, key=lambda each: each.dirty_ratio, default=None)
