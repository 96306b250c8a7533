"""What lies in the object store for a partition: segments, and slices of spilled ones.

Values and their packed form (version 1 of both; the version travels with the event that holds
them). Nothing here knows where an object lies or how it is read.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from tierbroker.records.tier.packed import OffsetRuns

_HAS_ABORTED = 1

_SEGMENT = Struct(
    ">qqqqQIIiHH"
)  # base, next, intent, time, checksum, log, object, epoch, inc, flags
_SLICE = Struct(">qqqqQqqiiHH")  # base, next, intent, time, checksum, log, object, epoch, n, inc, 0

ENTRY_BYTES = _SEGMENT.size
SLICE_BYTES = _SLICE.size
MAX_SEGMENT_BYTES = (1 << 32) - 1
"""Largest object of one segment."""


class ObjectKind(IntEnum):
    """What an object holds."""

    SEGMENT = 0
    MANIFEST = 1


class TierSegment(NamedTuple):
    """One segment of a partition's log in one object."""

    base_offset: int
    end_offset: int
    """Inclusive: the next segment's base - 1."""
    leader_epoch: int
    """Of the leader that uploaded it."""
    intent_offset: int
    """Of its intent in the metadata log; never used twice within an incarnation."""
    incarnation: int
    """Index into TierState.incarnations."""
    log_bytes: int
    """Bytes [0, log_bytes) of the object are the segment in Kafka's format."""
    object_bytes: int
    """The whole object with tail and footer."""
    max_timestamp_ms: int
    checksum: int
    """CRC-64/NVME of the whole object."""
    has_aborted: bool
    """Aborted transactions overlap it: its tail lists them."""


class TierSlice(NamedTuple):
    """A run of segments whose entries lie in a manifest object."""

    base_offset: int
    end_offset: int
    """Inclusive."""
    max_timestamp_ms: int
    log_bytes_total: int
    """Sum over the segments."""
    count: int  # type: ignore[assignment]  # nobody counts how often a value occurs in it
    """Segments."""
    leader_epoch: int
    """Of the leader that wrote the manifest; this and what follows concern the manifest itself."""
    intent_offset: int
    incarnation: int
    object_bytes: int
    checksum: int
    """CRC-64/NVME of the manifest."""

    @property
    def log_bytes(self) -> int:
        """Bytes of log, by the name that they have in a segment."""
        return self.log_bytes_total


class SegmentArray(OffsetRuns[TierSegment]):
    """Segments that follow each other, oldest first; 56 bytes each."""

    __slots__ = ()

    ENTRY_BYTES = ENTRY_BYTES

    @staticmethod
    def _packed(entry: TierSegment) -> bytes:
        return _SEGMENT.pack(
            entry.base_offset,
            entry.end_offset + 1,
            entry.intent_offset,
            entry.max_timestamp_ms,
            entry.checksum,
            entry.log_bytes,
            entry.object_bytes,
            entry.leader_epoch,
            entry.incarnation,
            _HAS_ABORTED if entry.has_aborted else 0,
        )

    @staticmethod
    def _unpacked(data: bytes, position: int) -> TierSegment:
        base, after, intent, time_ms, checksum, log_bytes, object_bytes, epoch, slot, flags = (
            _SEGMENT.unpack_from(data, position)
        )
        return TierSegment(
            base,
            after - 1,
            epoch,
            intent,
            slot,
            log_bytes,
            object_bytes,
            time_ms,
            checksum,
            bool(flags & _HAS_ABORTED),
        )

    @property
    def log_bytes(self) -> int:
        """Sum over the segments; reads every entry."""
        return self._column_sum(40, 4)


class SliceArray(OffsetRuns[TierSlice]):
    """Spilled slices that follow each other, oldest first; 68 bytes each."""

    __slots__ = ()

    ENTRY_BYTES = SLICE_BYTES

    @staticmethod
    def _packed(entry: TierSlice) -> bytes:
        return _SLICE.pack(
            entry.base_offset,
            entry.end_offset + 1,
            entry.intent_offset,
            entry.max_timestamp_ms,
            entry.checksum,
            entry.log_bytes_total,
            entry.object_bytes,
            entry.leader_epoch,
            entry.count,
            entry.incarnation,
            0,
        )

    @staticmethod
    def _unpacked(data: bytes, position: int) -> TierSlice:
        base, after, intent, time_ms, checksum, log_bytes, object_bytes, epoch, count, slot, _ = (
            _SLICE.unpack_from(data, position)
        )
        return TierSlice(
            base,
            after - 1,
            time_ms,
            log_bytes,
            count,
            epoch,
            intent,
            slot,
            object_bytes,
            checksum,
        )

    @property
    def log_bytes(self) -> int:
        """Sum over the slices' segments; reads every entry."""
        return self._column_sum(40, 8)
