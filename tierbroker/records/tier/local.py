"""What the hot log hands to the cold tier: a closed segment, as facts and as content."""

from collections.abc import Sequence
from typing import NamedTuple

from tierbroker.base.parts import Part
from tierbroker.records.txn_index import AbortedTxn


class LocalSegment(NamedTuple):
    """A closed segment of the hot log, as a planner sees it."""

    base_offset: int
    end_offset: int
    """Inclusive: the next segment's base - 1."""
    size_bytes: int
    max_timestamp_ms: int
    """Highest timestamp; the time of its file where no record has one."""


class SegmentContent(NamedTuple):
    """All that goes into a segment's object. Slices of `log` lease a file until released."""

    log: Sequence[Part]
    log_bytes: int
    offset_index: bytes
    time_index: bytes
    aborted: list[AbortedTxn]
    """Every aborted transaction that overlaps the segment, by first offset."""
    producers: bytes
    """Producer snapshot (Kafka's file format) as of the segment's end; empty where unknown."""
    lineage: bytes
    """Leader epochs (text of leader-epoch-checkpoint) up to the segment's end."""
