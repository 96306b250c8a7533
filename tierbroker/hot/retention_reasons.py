"""Why each segment of a log is still there, until when, and by which setting.

Pure: facts in, reasons out. Whether a segment goes is asked of `hot.retention`, which deletion
asks too. Must never touch a disk or the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tierbroker.hot.config import LogConfig
from tierbroker.hot.retention import (
    SegmentFacts,
    count_deletable,
    count_evictable,
    deletable,
    local_part,
)

FAR_MS = 24 * 3_600_000
"""A record newer than the clock by more than this was given a wrong time, most likely."""


class Rule(StrEnum):
    """What keeps a segment, or lets it go."""

    DUE = "due"
    """The next check removes it."""
    LOG_START = "log-start"
    """All of it lies below the log start: the next check removes it, whatever the policy."""
    HIGH_WATERMARK = "high-watermark"
    """It is old enough, but its end is not durable on every replica yet."""
    OLDER_FIRST = "older-first"
    """Segments go oldest first, and one before it stays longer."""
    AGE = "age"
    SIZE = "size"
    FOREVER = "forever"
    """Neither age nor size limits the topic."""
    NOT_IN_STORE = "not-in-store"
    """A tiered topic's: due to leave this disk, but no checkpoint in the store names it yet."""
    COMPACTION = "compaction"
    """Not cleanup.policy=delete: cleaning rewrites it, retention never removes it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one segment is there."""

    rule: Rule
    setting: str | None
    """The topic setting that decides; None where none does."""
    until_ms: int | None
    """When retention.ms lets it go, as milliseconds since 1970; None when no time does."""
    until_more_bytes: int | None
    """How much must be written until retention.bytes lets it go; None when no size does."""
    from_the_future: bool
    """Its newest record is more than a day ahead of the clock."""


def explain(
    segments: Sequence[SegmentFacts],
    config: LogConfig,
    now_ms: int,
    log_start_offset: int,
    max_offset: int,
    in_store_to: int | None = None,
) -> list[Reason]:
    """A reason for each segment, oldest first; `max_offset` is the high watermark.

    Of a tiered topic `in_store_to` is the offset below which a checkpoint in the store has all;
    local.retention.* decide there what stays on this disk, and nothing else does.
    """
    gone = count_deletable(segments, config, now_ms, log_start_offset, max_offset)
    settings = _SETTINGS
    if in_store_to is not None:
        gone = max(gone, count_evictable(segments, config, now_ms, in_store_to))
        max_offset = in_store_to
        config, settings = local_part(config), _LOCAL_SETTINGS
    left_bytes = sum(segment.size_bytes for segment in segments)
    until_ms: int | None = None
    reasons: list[Reason] = []
    for slot, segment in enumerate(segments):
        left_bytes -= segment.size_bytes
        by_age = by_size = None
        newest_ms = segment.newest_ms()
        older_stays = False
        if config.deletes_by_retention:
            if config.retention_ms >= 0:
                by_age = newest_ms + config.retention_ms + 1
                older_stays = until_ms is not None and until_ms > by_age
                by_age = until_ms = max(by_age, until_ms or 0)
            if config.retention_bytes >= 0:
                by_size = max(config.retention_bytes - left_bytes, 0)
        setting: str | None = None
        if slot < gone:
            rule, by = _let_go_by(by_age, by_size, now_ms)
            setting = by and settings[by]
        elif (by_size == 0 or (by_age or now_ms + 1) <= now_ms) and not deletable(
            segment, max_offset
        ):
            rule = Rule.HIGH_WATERMARK if in_store_to is None else Rule.NOT_IN_STORE
        else:
            rule = _kept_by(config, older_stays=older_stays)
        setting = setting or settings[rule]
        ahead = newest_ms > now_ms + FAR_MS
        reasons.append(Reason(rule, setting, by_age, by_size, from_the_future=ahead))
    return reasons


def _let_go_by(by_age: int | None, by_size: int | None, now_ms: int) -> tuple[Rule, Rule | None]:
    """The rule, and the one of the two limits that decides."""
    if by_age is not None and by_age <= now_ms:
        return Rule.DUE, Rule.AGE
    return (Rule.DUE, Rule.SIZE) if by_size == 0 else (Rule.LOG_START, None)


def _kept_by(config: LogConfig, *, older_stays: bool) -> Rule:
    if not config.deletes_by_retention:
        return Rule.COMPACTION
    if older_stays:
        return Rule.OLDER_FIRST
    if config.retention_ms >= 0:
        return Rule.AGE
    return Rule.SIZE if config.retention_bytes >= 0 else Rule.FOREVER


_SETTINGS: dict[Rule, str | None] = {
    Rule.DUE: None,
    Rule.LOG_START: None,
    Rule.HIGH_WATERMARK: None,
    Rule.OLDER_FIRST: "retention.ms",
    Rule.AGE: "retention.ms",
    Rule.SIZE: "retention.bytes",
    Rule.FOREVER: "retention.ms",
    Rule.NOT_IN_STORE: "remote.storage.enable",
    Rule.COMPACTION: "cleanup.policy",
}
_LOCAL_SETTINGS = _SETTINGS | {
    rule: f"local.{setting}"
    for rule, setting in _SETTINGS.items()
    if setting is not None and setting.startswith("retention.")
}
