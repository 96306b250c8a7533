"""Why compaction has not rewritten a segment yet, or has: each segment of a compacted log.

Pure: facts in, reasons out, by the rules of `hot.cleaning.schedule`, which chooses the rounds.
Must never touch a disk or the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tierbroker.hot.cleaning.schedule import NEVER_MS
from tierbroker.hot.config import LogConfig


class CompactionRule(StrEnum):
    """What compaction makes of a segment."""

    ACTIVE = "active"
    """It is still written, and only closed segments are compacted."""
    CLEANED = "compacted"
    """Below the cleaner point: what is left are the last values of keys, and fresh tombstones."""
    DUE = "compaction-due"
    """The next round reads it."""
    DUE_BY_LAG = "max-compaction-lag"
    """The next round reads it, because something in the log waits for too long."""
    DIRTY_RATIO = "dirty-ratio"
    """Too little of the log is new for a round to be worth it."""
    MIN_LAG = "min-compaction-lag"
    """A record of it, or of a segment before it, is too young."""
    OPEN_TRANSACTION = "open-transaction"
    """It reaches beyond the first record of a transaction that is open."""
    NOT_STABLE = "not-stable"
    """Its end is not durable on every replica yet."""
    DAMAGED = "damaged"
    """A part of what a round would read is damaged."""
    CLEANER_OFF = "cleaner-off"
    """The broker compacts nothing."""


@dataclass(frozen=True, slots=True)
class CompactedSegment:
    """What the rules need to know of a segment; times in milliseconds since 1970."""

    base_offset: int
    end_offset: int
    size_bytes: int
    first_ms: int
    """Timestamp of its first batch; below 1 without one."""
    newest_ms: int
    active: bool
    damaged: bool


@dataclass(frozen=True, slots=True)
class CompactionReason:
    """Why one segment is as it is."""

    rule: CompactionRule
    setting: str | None
    """The setting that decides; None where none does."""
    until_ms: int | None
    """When the rule lets it go into a round at the latest; None when no time does."""
    until_more_bytes: int | None
    """How many bytes must come into closed segments for that; None when no size does."""


@dataclass(frozen=True, slots=True)
class CompactionView:
    """A compacted log as the next round would find it."""

    cleaned_to: int
    """The cleaner point: everything below was compacted."""
    dirty_ratio: float | None
    """Share of what was never compacted; None when there is nothing for a round."""
    reasons: tuple[CompactionReason, ...]


def explain_compaction(
    segments: Sequence[CompactedSegment],
    config: LogConfig,
    now_ms: int,
    *,
    log_start_offset: int,
    cleaned_to: int | None,
    decided_offset: int,
    durable_offset: int,
    enabled: bool = True,
) -> CompactionView:
    """A reason for each segment, oldest first, the last one being active.

    `cleaned_to` is the checkpoint of the cleaner, `decided_offset` the first offset of an open
    transaction or the log end, `durable_offset` what is flushed and replicated.
    """
    end_offset = segments[-1].end_offset if segments else 0
    first_dirty = cleaned_to
    if first_dirty is None or not log_start_offset <= first_dirty <= end_offset:
        first_dirty = log_start_offset
    sealed = [segment for segment in segments if not segment.active]
    stable = min(decided_offset, durable_offset)
    ready = [segment for segment in sealed if segment.end_offset <= stable]
    dirty_slot = sum(segment.end_offset <= first_dirty for segment in ready)
    young = _first_young(ready, dirty_slot, config, now_ms)
    clean_bytes = sum(segment.size_bytes for segment in ready[:dirty_slot])
    dirty = ready[dirty_slot:young]
    dirty_bytes = sum(segment.size_bytes for segment in dirty)
    total = clean_bytes + dirty_bytes
    waiting = _Waiting.of(sealed[dirty_slot:], config, clean_bytes, dirty_bytes)
    damaged = bool(dirty) and any(segment.damaged for segment in ready[:young])
    reasons: list[CompactionReason] = []
    for slot, segment in enumerate(segments):
        if segment.active:
            reason = _active(segment, config)
        elif not enabled:
            reason = _plain(CompactionRule.CLEANER_OFF, "log.cleaner.enable")
        elif segment.end_offset <= first_dirty:
            reason = _plain(CompactionRule.CLEANED, "cleanup.policy")
        elif segment.end_offset > stable:
            undecided = segment.end_offset > decided_offset
            rule = CompactionRule.OPEN_TRANSACTION if undecided else CompactionRule.NOT_STABLE
            reason = _plain(rule, None)
        elif slot >= young:
            until_ms = max(each.newest_ms for each in ready[young : slot + 1])
            until_ms += config.min_compaction_lag_ms
            setting = "min.compaction.lag.ms"
            reason = CompactionReason(CompactionRule.MIN_LAG, setting, until_ms, None)
        elif damaged:
            reason = _plain(CompactionRule.DAMAGED, None)
        else:
            reason = waiting.reason(config, now_ms)
        reasons.append(reason)
    return CompactionView(first_dirty, dirty_bytes / total if dirty else None, tuple(reasons))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What could be compacted now, and when it will be."""

    ratio: float
    forced_ms: int | None
    """From when on max.compaction.lag.ms asks for a round."""
    missing_bytes: int | None
    """What the dirty part lacks; None where no size is enough."""

    @classmethod
    def of(
        cls,
        dirty: Sequence[CompactedSegment],
        config: LogConfig,
        clean_bytes: int,
        dirty_bytes: int,
    ) -> "_Waiting":
        """`dirty`: all closed segments that were not compacted, young and unstable ones too."""
        forced_ms = None
        times = [segment.first_ms for segment in dirty if segment.first_ms > 0]
        if config.max_compaction_lag_ms < NEVER_MS and times:
            forced_ms = min(times) + config.max_compaction_lag_ms + 1
        total, limit = clean_bytes + dirty_bytes, config.min_cleanable_dirty_ratio
        missing = None
        if limit < 1:
            # The share must exceed the limit: dirty > limit * (clean + dirty).
            missing = max(int(limit * clean_bytes / (1 - limit)) - dirty_bytes + 1, 0)
        return cls(dirty_bytes / total if total else 0.0, forced_ms, missing)

    def reason(self, config: LogConfig, now_ms: int) -> CompactionReason:
        if self.forced_ms is not None and self.forced_ms <= now_ms:
            rule, setting = CompactionRule.DUE_BY_LAG, "max.compaction.lag.ms"
        elif self.ratio > config.min_cleanable_dirty_ratio:
            rule, setting = CompactionRule.DUE, "min.cleanable.dirty.ratio"
        else:
            setting = "min.cleanable.dirty.ratio"
            return CompactionReason(
                CompactionRule.DIRTY_RATIO, setting, self.forced_ms, self.missing_bytes
            )
        return CompactionReason(rule, setting, None, None)


def _first_young(
    ready: Sequence[CompactedSegment], start: int, config: LogConfig, now_ms: int
) -> int:
    if config.min_compaction_lag_ms > 0:
        for slot in range(start, len(ready)):
            if ready[slot].newest_ms > now_ms - config.min_compaction_lag_ms:
                return slot
    return len(ready)


def _active(segment: CompactedSegment, config: LogConfig) -> CompactionReason:
    """It is closed by a record later than this, or when it is full."""
    left_bytes = max(config.segment_bytes - segment.size_bytes, 0)
    setting, until_ms = "segment.bytes", None
    if segment.first_ms > 0:
        shorter = config.max_compaction_lag_ms < config.segment_ms
        setting = "max.compaction.lag.ms" if shorter else "segment.ms"
        until_ms = segment.first_ms + config.max_segment_ms
    return CompactionReason(CompactionRule.ACTIVE, setting, until_ms, left_bytes)


def _plain(rule: CompactionRule, setting: str | None) -> CompactionReason:
    return CompactionReason(rule, setting, None, None)
