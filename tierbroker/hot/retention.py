"""Which segments retention lets go: the one rule, for the broker that deletes and for `topic why`.

Kafka's (UnifiedLog.deleteOldSegments): oldest first; by age of the highest timestamp, then by size
as long as the rest still holds retention.bytes, then those below the log start. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from tierbroker.hot.config import LogConfig


class SegmentFacts(NamedTuple):
    """What the rule needs to know of a segment."""

    end_offset: int
    """The offset after its last record, or where the next segment begins."""
    size_bytes: int
    newest_ms: Callable[[], int]
    """Its highest timestamp; the time of its file where no record has one. Asked when needed."""
    active: bool


def goes_by_age(segment: SegmentFacts, config: LogConfig, now_ms: int) -> bool:
    """Whether retention.ms is over for it."""
    return config.retention_ms >= 0 and now_ms - segment.newest_ms() > config.retention_ms


def goes_by_size(segment: SegmentFacts, config: LogConfig, from_here_bytes: int) -> bool:
    """Whether the segments behind it hold retention.bytes; `from_here_bytes` counts it, too."""
    excess = from_here_bytes - config.retention_bytes
    return config.retention_bytes >= 0 and excess >= segment.size_bytes


def deletable(segment: SegmentFacts, max_offset: int) -> bool:
    """Whether the high watermark is past it; an active one without a record is left alone."""
    return segment.end_offset <= max_offset and not (segment.active and not segment.size_bytes)


def count_deletable(
    segments: Sequence[SegmentFacts],
    config: LogConfig,
    now_ms: int,
    log_start_offset: int,
    max_offset: int,
) -> int:
    """How many of the oldest segments go now; `max_offset` is the high watermark."""
    count = 0
    if config.deletes_by_retention:
        while count < len(segments) and goes_by_age(segments[count], config, now_ms):
            if not deletable(segments[count], max_offset):
                break
            count += 1
        left_bytes = sum(segment.size_bytes for segment in segments[count:])
        while count < len(segments) and goes_by_size(segments[count], config, left_bytes):
            if not deletable(segments[count], max_offset):
                break
            left_bytes -= segments[count].size_bytes
            count += 1
    while count < len(segments) and not segments[count].active:
        if segments[count].end_offset > log_start_offset:
            break
        count += 1
    return count


def local_part(config: LogConfig) -> LogConfig:
    """The settings with local.retention.ms and .bytes in the place of those for the whole log."""
    return replace(
        config,
        retention_ms=config.effective_local_retention_ms,
        retention_bytes=config.effective_local_retention_bytes,
    )


def count_evictable(
    segments: Sequence[SegmentFacts], config: LogConfig, now_ms: int, max_offset: int
) -> int:
    """How many of the oldest segments of a tiered log need not be kept on this disk any more.

    Kafka's local.retention.ms and local.retention.bytes (KIP-405), the same rule as above. Never
    the active one, and nothing at or above `max_offset`: only what lies safe in the cold tier.
    """
    local = local_part(config)
    closed = [segment for segment in segments if not segment.active]
    left_bytes = sum(segment.size_bytes for segment in segments)
    count = 0
    for segment in closed:
        by_age = goes_by_age(segment, local, now_ms)
        if segment.end_offset > max_offset or not (
            by_age or goes_by_size(segment, local, left_bytes)
        ):
            break
        left_bytes -= segment.size_bytes
        count += 1
    return count
