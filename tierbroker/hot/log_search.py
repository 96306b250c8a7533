"""Finding offsets by time: time index, offset index, a walk over headers, then one batch's records.

The only place of the log where records are opened (D-1), and only those of one batch.
"""

from typing import TYPE_CHECKING, NamedTuple

from tierbroker.base.errors import KafkaStorageError
from tierbroker.hot.segment import ReadableSegment, read_batch, scan_segment
from tierbroker.records.batch import NO_TIMESTAMP, BatchHeader
from tierbroker.records.record import iterate

if TYPE_CHECKING:
    from tierbroker.hot.log import Log


class TimestampOffset(NamedTuple):
    """A record found by time."""

    offset: int
    timestamp_ms: int
    leader_epoch: int


def offset_for_timestamp(log: "Log", timestamp_ms: int, max_offset: int) -> TimestampOffset | None:
    """The first record at or after the time, from the log start up to `max_offset` (exclusive).

    None without one. Raises CorruptMessageError on damage, KafkaStorageError when the disk fails.
    """
    try:
        for slot in range(log.segments.slot_of(log.log_start_offset), len(log.segments)):
            segment = log.segments[slot]
            if segment.base_offset >= max_offset:
                return None
            if segment.max_timestamp()[0] < timestamp_ms:
                continue
            found = _first_at_or_after(log, segment, timestamp_ms)
            if found is not None:
                return found if found.offset < max_offset else None
    except OSError as error:
        raise KafkaStorageError(f"{log.topic_partition} cannot be searched: {error}") from error
    return None


def _first_at_or_after(
    log: "Log", segment: ReadableSegment, timestamp_ms: int
) -> TimestampOffset | None:
    start = max(segment.time_lookup(timestamp_ms), log.log_start_offset)
    for position, header in scan_segment(log.fs, segment, segment.start_position(start)):
        if header.max_timestamp >= timestamp_ms and header.last_offset >= log.log_start_offset:
            found = _record_at_or_after(log, segment, position, header, timestamp_ms)
            if found is not None:
                return found
    return None


def offset_of_max_timestamp(log: "Log", max_offset: int) -> TimestampOffset | None:
    """The first record that has the highest timestamp below `max_offset`; None without records.

    Raises CorruptMessageError on damage, KafkaStorageError when the disk fails.
    """
    try:
        for trusting in (True, False):
            best: tuple[int, ReadableSegment, int] | None = None
            for slot in range(log.segments.slot_of(log.log_start_offset), len(log.segments)):
                segment = log.segments[slot]
                highest = _highest_below(log, segment, max_offset, trusting)
                if highest is not None and (best is None or highest[0] > best[0]):
                    best = highest[0], segment, highest[1]
            found = _first_record_with(log, *best) if best is not None else None
            if found is not None or best is None:
                return found
            # Compaction has emptied the batch that an index names: all headers are looked at.
    except OSError as error:
        raise KafkaStorageError(f"{log.topic_partition} cannot be searched: {error}") from error
    return None


def _first_record_with(
    log: "Log", timestamp_ms: int, segment: ReadableSegment, last_offset: int
) -> TimestampOffset | None:
    for position, header in scan_segment(log.fs, segment, segment.start_position(last_offset)):
        if header.last_offset == last_offset:
            return _record_at_or_after(log, segment, position, header, timestamp_ms)
    return None


def _highest_below(
    log: "Log", segment: ReadableSegment, max_offset: int, trusting: bool
) -> tuple[int, int] | None:
    """(highest timestamp, last offset of the first batch with it) of what counts of a segment.

    `trusting` the time index, if that names a batch in range.
    """
    if segment.base_offset >= max_offset or not segment.size_bytes:
        return None
    if trusting:
        timestamp_ms, last_offset = segment.max_timestamp()
        if timestamp_ms > NO_TIMESTAMP and log.log_start_offset <= last_offset < max_offset:
            return timestamp_ms, last_offset
    highest: tuple[int, int] | None = None
    for _, header in scan_segment(log.fs, segment, 0):
        if header.last_offset >= max_offset:
            break
        in_log = header.last_offset >= log.log_start_offset and header.record_count > 0
        if in_log and header.max_timestamp > (highest[0] if highest else NO_TIMESTAMP):
            highest = header.max_timestamp, header.last_offset
    return highest


def _record_at_or_after(
    log: "Log", segment: ReadableSegment, position: int, header: BatchHeader, timestamp_ms: int
) -> TimestampOffset | None:
    epoch = header.partition_leader_epoch
    if not header.record_count:
        return None
    if header.log_append_time and header.record_count == header.last_offset_delta + 1:
        offset = max(header.base_offset, log.log_start_offset)
        return TimestampOffset(offset, header.max_timestamp, epoch)
    batch = read_batch(log.fs, segment, position, header.size_bytes)
    for record in iterate(memoryview(batch)):
        if record.timestamp_ms >= timestamp_ms and record.offset >= log.log_start_offset:
            return TimestampOffset(record.offset, record.timestamp_ms, epoch)
    return None
