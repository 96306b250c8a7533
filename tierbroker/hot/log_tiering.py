"""What a tiered log gives to the cold tier, and what it takes back from it.

The log itself stays what it is, the local part; that older records lie elsewhere is known in
`replication`. Closed segments are lent with everything that reading them needs. Never decides
what is to go: the tier's planner and `hot.retention` do.
"""

from typing import TYPE_CHECKING

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.parts import FileSlice
from tierbroker.hot import log_cutting
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.segment import SealedSegment
from tierbroker.records import epoch_lineage
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.tier.local import LocalSegment, SegmentContent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tierbroker.hot.log import Log
    from tierbroker.records.producer_snapshot import ProducerEntry


def closed_segments(log: "Log", from_offset: int) -> list[LocalSegment]:
    """The closed segments that hold `from_offset` or come later, oldest first.

    Raises KafkaStorageError when the disk does not answer.
    """
    segments = log.segments
    found: list[LocalSegment] = []
    try:
        for slot in range(segments.slot_of(from_offset), len(segments.sealed)):
            segment = segments.sealed[slot]
            next_base = segments[slot + 1].base_offset
            if next_base <= from_offset:
                continue
            newest_ms = log_cutting.newest_ms(log, segment)
            found.append(
                LocalSegment(segment.base_offset, next_base - 1, segment.size_bytes, newest_ms)
            )
    except OSError as error:
        raise KafkaStorageError(f"{log.topic_partition} cannot be read: {error}") from error
    return found


def open_segment(log: "Log", base_offset: int) -> SegmentContent:
    """Lend a closed segment; whoever takes it releases the slices.

    Raises LookupError when no closed segment begins there, KafkaStorageError when a part of it is
    damaged or the disk does not answer.
    """
    segments = log.segments
    slot = segments.slot_of(base_offset)
    if slot >= len(segments.sealed) or segments.sealed[slot].base_offset != base_offset:
        raise LookupError(f"{log.topic_partition} has no closed segment at {base_offset}")
    segment = segments.sealed[slot]
    next_base = segments[slot + 1].base_offset
    if log.offline or segment.damage:
        raise KafkaStorageError(f"{segment.handle.path} cannot be read whole")
    try:
        offset_index, time_index = _indexes(log, segment)
        lineage = epoch_lineage.truncated_from_end(log.epochs.lineage, next_base)
        aborted = log.aborted_transactions(base_offset, next_base)
        producers = log.snapshots.content_of(next_base)
        fd = segment.handle.acquire()
    except OSError as error:
        raise KafkaStorageError(f"{segment.handle.path} cannot be read: {error}") from error
    return SegmentContent(
        log=[FileSlice(fd, 0, segment.size_bytes, segment.handle)],
        log_bytes=segment.size_bytes,
        offset_index=offset_index,
        time_index=time_index,
        aborted=aborted,
        producers=producers,
        lineage=epoch_lineage.encode(lineage),
    )


def _indexes(log: "Log", segment: SealedSegment) -> tuple[bytes, bytes]:
    contents: list[bytes] = []
    for handle in segment.index_handles():
        fd = handle.acquire()
        try:
            contents.append(log.fs.pread(fd, log.fs.file_size(fd), 0))
        finally:
            handle.release()
    return contents[0], contents[1]


def start_at(
    log: "Log",
    offset: int,
    lineage: tuple[EpochEntry, ...],
    producers: "Sequence[ProducerEntry]",
) -> None:
    """Let an empty or outdated local part go on at `offset`, behind what the cold tier holds.

    All local records go. Leader epochs and producers are what the tier knows at that offset.
    Raises KafkaStorageError.
    """
    log.truncate_fully_and_start_at(offset)
    try:
        log.epochs.replace(lineage)
        log.producer_state.load(producers, offset)
        log.expect_flush(log.dir, log.snapshots.write(offset, list(producers)))
    except OSError as error:
        raise log.go_offline(error) from error


def cut_lineage(log: "Log", start_offset: int) -> None:
    """Forget the leader epochs that end below the start of the whole log, wherever it lies.

    Raises KafkaStorageError.
    """
    try:
        log.epochs.cut_start(start_offset)
    except OSError as error:
        # A full disk: what is in memory counts, and a later change writes it.
        if is_disk_failure(error):
            raise log.go_offline(error) from error


def roll_if_quiet(log: "Log", now_ms: int) -> bool:
    """Close the active segment of a tiered log when it is older than tier.max.lag.ms.

    Whether that happened. Raises KafkaStorageError.
    """
    config = log.config
    active = log.segments.active
    if (
        not config.remote_storage_enable
        or config.remote_log_copy_disable
        or config.tier_max_lag_ms < 0
        or not active.size_bytes
        or now_ms - active.created_ms < config.tier_max_lag_ms
    ):
        return False
    log.roll()
    return True
