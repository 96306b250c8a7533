"""Planning a read: which bytes of which file hold the batches asked for. No byte is copied."""

from typing import TYPE_CHECKING, NamedTuple

from tierbroker.base.parts import FileSlice
from tierbroker.hot.damage import bytes_before, check_offset
from tierbroker.hot.segment import ReadableSegment

if TYPE_CHECKING:
    from tierbroker.hot.log import Log


class ReadResult(NamedTuple):
    """Bytes to send, whole batches but for a last one that `max_bytes` may cut."""

    slice: FileSlice | None
    size_bytes: int
    last_offset_hint: int
    """The last offset of the slice where it was cheap to know, else -1."""


EMPTY_READ = ReadResult(None, 0, -1)


def plan_read(
    log: "Log", offset: int, max_bytes: int, max_offset: int, min_one_batch: bool
) -> ReadResult:
    """The batches from the one that holds `offset` on, within one segment; see `Log.read`.

    `offset` is in the log and below `max_offset`. Raises OSError, CorruptMessageError, and
    KafkaStorageError for an offset that is damaged.
    """
    if log.damage:
        check_offset(log.damage, offset, log.topic_partition)
    active = log.segments.active
    if offset >= active.base_offset:
        found = active.find(offset)
        segment: ReadableSegment = active
        segment_end = log.log_end_offset
    else:
        segment, segment_end, found = _find_in_sealed(log, offset)
    if found is None:
        return EMPTY_READ
    position, first_size = found
    if max_offset < segment_end:
        length = segment.cut_position(max_offset) - position
        last_offset = max_offset - 1
    else:
        length = segment.size_bytes - position
        last_offset = segment_end - 1
    if segment.damage:
        length = bytes_before(segment.damage, position, length)
        last_offset = -1
    if length > max_bytes:
        last_offset = -1
        length = max_bytes
        if first_size > max_bytes:
            length = first_size if min_one_batch else 0
    if length <= 0:
        return EMPTY_READ
    handle = segment.handle
    return ReadResult(FileSlice(handle.acquire(), position, length, handle), length, last_offset)


def _find_in_sealed(log: "Log", offset: int) -> tuple[ReadableSegment, int, tuple[int, int] | None]:
    """Segment, its end offset, and (position, size) of the batch that holds `offset`."""
    segments = log.segments
    slot = segments.slot_of(offset)
    found = segments[slot].find(offset)
    # Compaction leaves holes at the end of a segment: a later one holds what comes next then.
    while found is None and slot < len(segments.sealed):
        slot += 1
        found = segments[slot].find(offset)
    end_offset = segments.end_of(slot)
    return segments[slot], log.log_end_offset if end_offset is None else end_offset, found
