"""What the tier should do next: pure decisions over facts of a moment.

Level-triggered: a plan follows from what is, never from what happened, so that a restart or a
missed event changes nothing. Nothing here waits, reads a clock or knows a store.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
    tier: PartitionTier | None,
    behind: Sequence[LocalSegment],
    active_bytes: int,
    log_start_offset: int,
    max_offset: int,
    config: TierConfig,
    now_ms: int,
) -> int | None:
    """Where the log should start by retention.ms and retention.bytes; None if nothing goes.

    Whole segments go, oldest first: those of the cold tier, then the closed ones `behind` its end,
    below `max_offset`, the high watermark. So what could not be uploaded goes in its time, too.
    What the metadata spilled to the bucket goes slice by slice: such a slice is at least a thousand
    segments, and stays until the newest of them is due.
    """
    held_bytes = active_bytes + sum(s.size_bytes for s in behind)
    held_bytes += 0 if tier is None else tier.size_bytes
    excess_bytes = held_bytes - config.retention_bytes
    start: int | None = None
    for end_offset, size_bytes, newest_ms in _parts(tier, behind):
        if end_offset >= max_offset:
            break
        gone_before = end_offset < log_start_offset
        by_age = config.retention_ms >= 0 and now_ms - newest_ms > config.retention_ms
        by_size = config.retention_bytes >= 0 and excess_bytes >= size_bytes
        if not (gone_before or by_age or by_size):
            break
        excess_bytes -= size_bytes
        if not gone_before:
            start = end_offset + 1
    return start


def _parts(
    tier: PartitionTier | None, behind: Sequence[LocalSegment]
) -> Iterator[tuple[int, int, int]]:
    """End offset, bytes and newest time of all that may go, oldest first; read as far as needed."""
    if tier is not None:
        for spilled in tier.slices:
            yield spilled.end_offset, spilled.log_bytes_total, spilled.max_timestamp_ms
        for segment in tier.segments:
            yield segment.end_offset, segment.log_bytes, segment.max_timestamp_ms
    for local in behind:
        yield local.end_offset, local.size_bytes, local.max_timestamp_ms
