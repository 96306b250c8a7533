"""Producer state from the disk: the newest valid snapshot, and the batches after it."""

from tierbroker.base.fs import FileSystem
from tierbroker.hot.batch_scan import scan_headers
from tierbroker.hot.file_names import TXN_INDEX_SUFFIX
from tierbroker.hot.producer_snapshots import KEPT_SNAPSHOTS, ProducerSnapshots, SnapshotContents
from tierbroker.hot.producer_state import ProducerState
from tierbroker.hot.segment import ReadableSegment
from tierbroker.hot.segment_list import SegmentList
from tierbroker.hot.txn_index_file import append_aborted
from tierbroker.records.batch import CONTROL_BIT, BatchHeader
from tierbroker.records.control import read_marker
from tierbroker.records.txn_index import AbortedTxn

_RECALLED_BYTES = 8 * 1024 * 1024
"""Five batches of the usual limit of 1 MiB, and what others wrote in between."""


def rebuild_producers(
    state: ProducerState,
    segments: SegmentList,
    snapshots: ProducerSnapshots,
    end_offset: int,
    replay_from: int | None = None,
    passed: SnapshotContents | None = None,
) -> list[tuple[ReadableSegment, AbortedTxn]]:
    """Bring `state` to `end_offset`; answers the aborted transactions met on the way.

    All batches from `replay_from` on are read, if it is given, whatever snapshots say of them.
    `passed` takes what belongs into the snapshots that are missing where the last segments begin.
    Raises OSError, and MalformedHeader where the log is damaged.
    """
    snapshot = snapshots.newest_valid(
        end_offset if replay_from is None else min(replay_from, end_offset)
    )
    if snapshot is None or snapshot[0] < segments.first.base_offset:
        # What lies between such a snapshot and the first segment is gone, and with it the latest
        # sequences: an old one would refuse the next batch, an unknown producer may go on.
        start = segments.first.base_offset
        state.clear(start)
    else:
        start = snapshot[0]
        state.load(snapshot[1], start)
    aborted: list[tuple[ReadableSegment, AbortedTxn]] = []
    if start < end_offset:
        for slot in range(segments.slot_of(start), len(segments)):
            segment = segments[slot]
            is_late = slot >= len(segments) - KEPT_SNAPSHOTS and segment.base_offset > start
            if passed is not None and is_late:
                passed[segment.base_offset] = state.entries()
            aborted += _replay(segments.cache.fs, segment, state, start, end_offset)
    state.end_offset = end_offset
    return aborted


def recall_batches(state: ProducerState, segments: SegmentList, end_offset: int) -> None:
    """Remember the last batches of each producer, of which a snapshot keeps only one.

    For a start after a crash: a producer then sends again all that it had in flight, up to five
    batches, and some of those may lie before the last snapshots. Raises as `rebuild_producers`.
    """
    first = len(segments) - 1
    size = segments[first].size_bytes
    while first > 0 and size < _RECALLED_BYTES:
        first -= 1
        size += segments[first].size_bytes
    recent = ProducerState()
    for slot in range(first, len(segments)):
        segment = segments[slot]
        _replay(segments.cache.fs, segment, recent, segment.base_offset, end_offset)
    state.recall(recent)


def rebuild_aborted(
    segments: SegmentList,
    snapshots: ProducerSnapshots,
    end_offset: int,
    first_offset: int,
    *,
    has_markers: bool,
) -> None:
    """Write the transaction indexes of the segments from `first_offset` on again.

    `has_markers`: whether a transaction ends in one of them. Raises as `rebuild_producers`.
    """
    fs = segments.cache.fs
    for segment in segments:
        path = segment.path(TXN_INDEX_SUFFIX)
        if segment.base_offset >= first_offset and fs.exists(path):
            fs.unlink(path)
    if not has_markers:
        return
    scratch = ProducerState()
    for segment, txn in rebuild_producers(scratch, segments, snapshots, end_offset, first_offset):
        if segment.base_offset >= first_offset:
            append_aborted(fs, segment, [txn])


def _replay(
    fs: FileSystem, segment: ReadableSegment, state: ProducerState, start: int, end_offset: int
) -> list[tuple[ReadableSegment, AbortedTxn]]:
    aborted: list[tuple[ReadableSegment, AbortedTxn]] = []
    position = segment.start_position(start) if start > segment.base_offset else 0
    fd = segment.handle.acquire()
    try:
        for at, header in scan_headers(fs, fd, position, segment.size_bytes, segment.damage):
            if header.base_offset >= end_offset:
                break
            if header.producer_id < 0 or header.base_offset < start:
                continue
            aborted += [(segment, txn) for txn in _apply(fs, fd, at, header, state)]
    finally:
        segment.handle.release()
    return aborted


def _apply(
    fs: FileSystem, fd: int, position: int, header: BatchHeader, state: ProducerState
) -> list[AbortedTxn]:
    staged = state.stage()
    if header.attributes & CONTROL_BIT:
        marker = read_marker(fs.pread(fd, header.size_bytes, position))
        if marker is not None:
            staged.end_transaction(header, marker, header.base_offset)
    else:
        staged.accept(header, header.base_offset)
    aborted = state.aborted_by(staged)
    state.commit(staged)
    # What is read back from the disk is below every high watermark.
    state.ended.clear()
    return aborted
