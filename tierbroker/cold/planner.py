"""What the tier should do next: pure decisions over facts of a moment.

Level-triggered: a plan follows from what is, never from what happened, so that a restart or a
missed event changes nothing. Nothing here waits, reads a clock or knows a store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.records.tier.local import LocalSegment
from tierbroker.records.tier.state import PartitionTier


@dataclass(frozen=True, slots=True)
class TierConfig:
    """A tiered topic's settings, as far as they matter here. Milliseconds and bytes."""

    copies: bool
    """remote.storage.enable, and not remote.log.copy.disable."""
    copy_lag_ms: int
    copy_lag_bytes: int
    retention_ms: int
    retention_bytes: int


class Candidate(NamedTuple):
    """A closed segment that may go to the store now."""

    topic_partition: TopicPartition
    topic_id: Uuid
    leader_epoch: int
    segment: LocalSegment
    waits_since_ms: int
    """The time of its newest record: who waits longest goes first."""


def next_upload(
    tier: PartitionTier | None,
    closed: Sequence[LocalSegment],
    upload_limit: int,
    local_end_bytes: int,
    config: TierConfig,
    now_ms: int,
) -> LocalSegment | None:
    """The segment that continues the tiered part of a partition, once it may go.

    `closed` begins with the segment that holds the offset after the tiered end, or the log start
    where nothing is tiered; `local_end_bytes` is what the active segment holds. Only what lies
    below `upload_limit` goes. With copy lags (KIP-1241) a segment waits until its newest record
    is old enough, or enough bytes have come after it, whichever is first.
    """
    if not config.copies or not closed:
        return None
    segment = closed[0]
    if tier is not None and tier.end_offset >= 0 and segment.base_offset != tier.end_offset + 1:
        return None
    if segment.end_offset >= upload_limit:
        return None
    waits_ms, waits_bytes = config.copy_lag_ms > 0, config.copy_lag_bytes > 0
    if not waits_ms and not waits_bytes:
        return segment
    if waits_ms and now_ms - segment.max_timestamp_ms >= config.copy_lag_ms:
        return segment
    behind_bytes = local_end_bytes + sum(later.size_bytes for later in closed[1:])
    if waits_bytes and behind_bytes >= config.copy_lag_bytes:
        return segment
    return None


def in_order(candidates: Iterable[Candidate], free_places: int) -> list[Candidate]:
    """Those that go first when there are only so many places: who waits longest."""
    return sorted(candidates, key=_waits_since)[: max(free_places, 0)]


def _waits_since(candidate: Candidate) -> int:
    return candidate.waits_since_ms


def retention_start(
    tier: PartitionTier, local_only_bytes: int, config: TierConfig, now_ms: int
) -> int | None:
    """Where the log should start by retention.ms and retention.bytes; None if nothing goes.

    Only whole cold segments go here, oldest first (Kafka: RemoteLogManager's expiration);
    `local_only_bytes` is what lies behind the tiered end. What the metadata spilled to the bucket
    goes slice by slice.
    """
    excess_bytes = tier.size_bytes + local_only_bytes - config.retention_bytes
    start: int | None = None
    parts = chain(
        ((s.end_offset, s.log_bytes_total, s.max_timestamp_ms) for s in tier.slices),
        ((s.end_offset, s.log_bytes, s.max_timestamp_ms) for s in tier.segments),
    )
    for end_offset, size_bytes, newest_ms in parts:
        gone_before = end_offset < tier.log_start_offset
        by_age = config.retention_ms >= 0 and now_ms - newest_ms > config.retention_ms
        by_size = config.retention_bytes >= 0 and excess_bytes >= size_bytes
        if not (gone_before or by_age or by_size):
            break
        excess_bytes -= size_bytes
        if not gone_before:
            start = end_offset + 1
    return start
