"""Appending: one write for many batches, and nothing remembered that was not written.

The path of every produced byte. Order: judge sequences on staged producer state, patch offsets,
write, and only then account for the batches and commit the staged state (INV-8). Batches stay
opaque but for their headers.
"""

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tierbroker.base.errors import (
    ApiError,
    CorruptMessageError,
    KafkaStorageError,
    RecordListTooLargeError,
)
from tierbroker.hot.producer_state import AppendOrigin, RememberedBatch, StagedProducers
from tierbroker.records.batch import (
    CONTROL_BIT,
    LOG_APPEND_TIME_BIT,
    NO_TIMESTAMP,
    SIZE_OVERHEAD,
    BatchHeader,
    Buffer,
    WritableBuffer,
    crc_valid,
    patch_offsets,
    walk,
)
from tierbroker.records.control import read_marker

if TYPE_CHECKING:
    from tierbroker.hot.log import Log

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_CLIENT = AppendOrigin.CLIENT
_MAX_BUFFERS = 1024
"""IOV_MAX of Linux: buffers of one pwritev."""


class AppendResult(NamedTuple):
    """Where a batch went; for a repeat, where the original went."""

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    """-1 unless the topic stamps records, or the batch is a repeat (Kafka answers its time)."""
    log_start_offset: int
    duplicate: bool


# (last offset, size, max timestamp, base offset, leader epoch) of a batch about to be written.
_Note = tuple[int, int, int, int, int]


def append(
    log: "Log",
    batches: Sequence[tuple[WritableBuffer, BatchHeader]],
    leader_epoch: int,
    origins: Sequence[AppendOrigin] | None,
) -> list[AppendResult | ApiError]:
    """Append validated batches; see `Log.append`."""
    results: list[AppendResult | ApiError] = []
    buffers: list[Buffer] = []
    notes: list[_Note] = []
    staged: StagedProducers | None = None
    rolling = log.rolling
    log_start_offset = log.log_start_offset
    next_offset = log.log_end_offset
    active = log.segments.active
    position = active.size_bytes
    for batch, header in batches:
        size = header.batch_length + SIZE_OVERHEAD
        last_offset = next_offset + header.last_offset_delta
        max_timestamp = header.max_timestamp
        if size > rolling.segment_bytes:
            results.append(
                RecordListTooLargeError(
                    f"a batch of {size} bytes exceeds segment.bytes={rolling.segment_bytes}"
                )
            )
            continue
        if rolling.must_roll(active, position, size, max_timestamp, last_offset):
            # What came before belongs to the old segment.
            error = _write(log, buffers, notes, staged) or log.roll_at(next_offset)
            if error is not None:
                return _refused(log, results, len(batches), error)
            buffers, notes = [], []
            staged = None if staged is None else log.producer_state.stage(after=staged)
            active = log.segments.active
            position = 0
        if header.producer_id >= 0:
            if staged is None:
                staged = log.producer_state.stage()
            # There is one result for each batch before this one.
            origin = _CLIENT if origins is None else origins[len(results)]
            try:
                if header.attributes & CONTROL_BIT:
                    _stage_marker(staged, batch, header, next_offset, origin)
                    original = None
                else:
                    original = staged.admit(header, next_offset, origin)
            except ApiError as refusal:
                results.append(refusal)
                continue
            if original is not None:
                results.append(_repeated(log, original))
                continue
        patch_offsets(batch, 0, next_offset, leader_epoch)
        buffers.append(batch)
        notes.append((last_offset, size, max_timestamp, next_offset, leader_epoch))
        time_ms = max_timestamp if header.attributes & LOG_APPEND_TIME_BIT else NO_TIMESTAMP
        results.append(AppendResult(next_offset, last_offset, time_ms, log_start_offset, False))
        position += size
        next_offset = last_offset + 1
    error = _write(log, buffers, notes, staged)
    if error is not None:
        return _refused(log, results, len(batches), error)
    return results


def append_as_follower(log: "Log", data: Buffer) -> AppendResult:
    """Append whole batches as they are; see `Log.append_as_follower`."""
    view = memoryview(data)
    judged = _judged(view, log.log_end_offset)
    buffers: list[Buffer] = []
    notes: list[_Note] = []
    staged = log.producer_state.stage()
    position = log.segments.active.size_bytes
    for at, header in judged:
        size = header.size_bytes
        base_offset, last_offset, timestamp = (
            header.base_offset,
            header.last_offset,
            header.max_timestamp,
        )
        if log.rolling.must_roll(log.segments.active, position, size, timestamp, last_offset):
            error = _write(log, buffers, notes, staged) or log.roll_at(base_offset)
            if error is not None:
                raise error
            buffers, notes, staged = [], [], log.producer_state.stage()
            position = 0
        batch = view[at : at + size]
        if header.producer_id >= 0:
            _stage_known(staged, batch, header)
        buffers.append(batch)
        notes.append((last_offset, size, timestamp, base_offset, header.partition_leader_epoch))
        position += size
    error = _write(log, buffers, notes, staged)
    if error is not None:
        raise error
    first_offset = judged[0][1].base_offset if judged else -1
    return AppendResult(
        first_offset, log.log_end_offset - 1, NO_TIMESTAMP, log.log_start_offset, False
    )


def _judged(view: memoryview, next_offset: int) -> list[tuple[int, BatchHeader]]:
    """(position, header) of each batch; CorruptMessageError unless all may be appended."""
    judged = []
    for at, header in walk(view):
        if header.base_offset < next_offset or not crc_valid(view, at, header):
            raise CorruptMessageError(
                f"the batch at offset {header.base_offset} has a wrong CRC, "
                f"or lies below the log end {next_offset}"
            )
        next_offset = header.next_offset
        judged.append((at, header))
    return judged


def _stage_marker(
    staged: StagedProducers,
    batch: Buffer,
    header: BatchHeader,
    offset: int,
    origin: AppendOrigin,
) -> None:
    """Judge and stage a leader's control batch, if it is a transaction's marker."""
    marker = read_marker(batch)
    if marker is not None:
        staged.judge_marker(header, marker, origin)
        staged.end_transaction(header, marker, offset)


def _repeated(log: "Log", original: RememberedBatch) -> AppendResult:
    """The answer to a repeat: where the original went."""
    return AppendResult(
        original.first_offset,
        original.last_offset,
        original.timestamp_ms,
        log.log_start_offset,
        True,
    )


def _stage_known(staged: StagedProducers, batch: Buffer, header: BatchHeader) -> None:
    if header.attributes & CONTROL_BIT:
        marker = read_marker(batch)
        if marker is not None:
            staged.end_transaction(header, marker, header.base_offset)
    else:
        staged.accept(header, header.base_offset)


def _write(
    log: "Log", buffers: list[Buffer], notes: list[_Note], staged: StagedProducers | None
) -> KafkaStorageError | None:
    """Write the batches behind each other and only then account for them."""
    if not buffers:
        return None
    active = log.segments.active
    start = active.size_bytes
    size = notes[0][1] if len(notes) == 1 else sum([note[1] for note in notes])
    try:
        written = log.fs.pwritev(
            active.fd, buffers if len(buffers) <= _MAX_BUFFERS else buffers[:_MAX_BUFFERS], start
        )
        if written != size:
            _write_rest(log, buffers, start, written)
        if staged is not None and staged.ended:
            # Before the marker counts: without its entry the aborted records would be shown.
            aborted = log.producer_state.aborted_by(staged)
            if aborted:
                log.aborted.append(active, aborted)
                log.expect_flush_of_aborted(active)
    except OSError as error:
        return _write_failed(log, error, start)
    latest_epoch = log.epochs.latest
    for last_offset, batch_size, max_timestamp, base_offset, epoch in notes:
        active.note_batch(last_offset, batch_size, max_timestamp)
        if epoch > latest_epoch:
            latest_epoch = epoch
            log.assign_epoch_start(epoch, base_offset)
    log.log_end_offset = log.producer_state.end_offset = last_offset + 1
    log.size_bytes += size
    log.appended_bytes += size
    if start == 0:
        log.rolling.plan(log.config, active)
    if staged is not None:
        log.producer_state.commit(staged)
    return None


def _write_rest(log: "Log", buffers: list[Buffer], start: int, written: int) -> None:
    """Go on after a short write, until everything is there or the disk says why not."""
    fd = log.segments.active.fd
    rest = memoryview(b"".join(buffers))[written:]
    position = start + written
    while rest:
        written = log.fs.pwritev(fd, [rest], position)
        if written == 0:
            raise OSError(errno.ENOSPC, "the file system takes no more bytes")
        rest = rest[written:]
        position += written


def _write_failed(log: "Log", error: OSError, size_before: int) -> KafkaStorageError:
    """Back to the end before the write if the disk is merely full, else offline."""
    if error.errno not in NO_ROOM:
        return log.go_offline(error)
    try:
        log.fs.ftruncate(log.segments.active.fd, size_before)
    except OSError as second:
        return log.go_offline(second)
    return KafkaStorageError(f"{log.topic_partition}: no space left in {log.dir}")


def _refused(
    log: "Log", results: list[AppendResult | ApiError], count: int, error: KafkaStorageError
) -> list[AppendResult | ApiError]:
    """All that is not in the log gets the error, also repeats of what is not."""
    end_offset = log.log_end_offset
    for slot, result in enumerate(results):
        if isinstance(result, AppendResult) and result.last_offset >= end_offset:
            results[slot] = error
    results.extend([error] * (count - len(results)))
    return results
