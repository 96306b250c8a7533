"""How far the cold tier is behind a partition's log, and why: for metrics and for people.

Pure, over the same facts as the planner. Must agree with `planner.next_upload` on what may go.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tierbroker.cold.planner import TierConfig, next_upload
from tierbroker.records.tier.local import LocalSegment
from tierbroker.records.tier.state import PartitionTier

DUE = "it is next: a place for it has to be free"


class UploadLag(NamedTuple):
    """What of the closed segments is not in the store yet (Kafka: RemoteCopyLagBytes)."""

    size_bytes: int
    segments: int
    oldest: LocalSegment | None
    """The one that has to go first."""
    reason: str | None
    """Why that one is not there yet; None when there is none."""

    def waits_ms(self, now_ms: int) -> int:
        """How old the newest record of the oldest segment is; 0 when nothing waits."""
        if self.oldest is None:
            return 0
        return max(0, now_ms - self.oldest.max_timestamp_ms)


NO_LAG = UploadLag(0, 0, None, None)


def first_not_uploaded(tier: PartitionTier | None, log_start_offset: int) -> int:
    """Where what is not in the store begins."""
    tiered_end = -1 if tier is None else tier.end_offset
    return tiered_end + 1 if tiered_end >= 0 else log_start_offset


def upload_lag(
    tier: PartitionTier | None,
    closed: Sequence[LocalSegment],
    upload_limit: int,
    local_end_bytes: int,
    config: TierConfig,
    now_ms: int,
) -> UploadLag:
    """The lag of a partition; `closed` begins with what `first_not_uploaded` is in."""
    if not closed:
        return NO_LAG
    size_bytes = sum(segment.size_bytes for segment in closed)
    due = next_upload(tier, closed, upload_limit, local_end_bytes, config, now_ms)
    reason = DUE
    if due is None:
        reason = _why_not(tier, closed, upload_limit, config, now_ms)
    return UploadLag(size_bytes, len(closed), closed[0], reason)


def _why_not(
    tier: PartitionTier | None,
    closed: Sequence[LocalSegment],
    upload_limit: int,
    config: TierConfig,
    now_ms: int,
) -> str:
    first = closed[0]
    if not config.copies:
        return "remote.log.copy.disable=true: nothing new is uploaded"
    if tier is not None and tier.end_offset >= 0 and first.base_offset != tier.end_offset + 1:
        return (
            f"it begins at offset {first.base_offset}, and the cold part ends at {tier.end_offset}"
        )
    if first.end_offset >= upload_limit:
        return (
            f"records from offset {upload_limit} on are not final: in an open transaction, or not "
            "on disk yet"
        )
    waits = []
    if config.copy_lag_ms > 0:
        left_s = (config.copy_lag_ms - (now_ms - first.max_timestamp_ms)) / 1000
        waits.append(f"remote.copy.lag.ms={config.copy_lag_ms} for another {left_s:.0f} s")
    if config.copy_lag_bytes > 0:
        waits.append(f"remote.copy.lag.bytes={config.copy_lag_bytes} until more has come after it")
    return f"it is kept back by {', '.join(waits)}"
