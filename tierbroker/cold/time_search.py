"""Finds a record of the cold tier by its time: which segments, where in them, which batch, which
record. A story; reads through `Downloads` as all cold reads do, and opens records.

Also the newest record of all. What entries say of their newest one is enough for that, but for the
one segment that the start of the log cuts: there the headers from the start on are read, if that
segment's newest record, wherever it lies in it, would be the newest.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import until
from tierbroker.cold.downloads import Downloads, id_of, piece_end
from tierbroker.cold.errors import ObjectNotFoundError, StoreError
from tierbroker.cold.pieces import Piece
from tierbroker.cold.ports import TierView
from tierbroker.cold.segment_object import Tail
from tierbroker.records import time_index
from tierbroker.records.batch import NO_TIMESTAMP, walk
from tierbroker.records.record import iterate
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier

NEWEST = -3
"""Instead of a time: the highest that a record has (KIP-734 writes it like this, too)."""
SEARCHES = 3
"""How often the tier may change under a search before that is an error."""


class ColdOffset(NamedTuple):
    """A record found by time."""

    offset: int
    timestamp_ms: int
    leader_epoch: int


async def first_since(
    downloads: Downloads,
    ledger: TierView,
    tier: PartitionTier,
    place: TopicPartition,
    timestamp_ms: int,
    start_offset: int,
    piece_bytes: int,
) -> ColdOffset | None:
    """The first record at or after the time, from `start_offset` on; None if the tier has none.

    With `NEWEST` the first of those with the highest time. Objects that vanish were retired
    meanwhile, most likely: what the tier holds then is searched. Raises KafkaStorageError.
    """
    for left in range(SEARCHES - 1, -1, -1):
        try:
            if timestamp_ms == NEWEST:
                return await _search_newest(downloads, tier, start_offset, piece_bytes)
            return await _search(downloads, tier, timestamp_ms, start_offset, piece_bytes)
        except StoreError as error:
            now = ledger.state.partition(tier.topic_id, tier.partition)
            if not left or not isinstance(error, ObjectNotFoundError) or now is tier:
                raise KafkaStorageError(f"{place} cannot be searched by time: {error}") from error
            if now is None or now.empty:
                return None
            tier, start_offset = now, max(start_offset, now.log_start_offset)
    raise AssertionError("the last attempt answers or raises")


async def _search(
    downloads: Downloads,
    tier: PartitionTier,
    timestamp_ms: int,
    start_offset: int,
    piece_bytes: int,
) -> ColdOffset | None:
    for entry in tier.segments_from(start_offset):
        if entry.max_timestamp_ms < timestamp_ms:
            continue
        if isinstance(entry, TierSlice):
            manifest = await until(downloads.fetch_manifest(tier, entry))
            segments = tuple(manifest.segments)
        else:
            segments = (entry,)
        for segment in segments:
            if segment.max_timestamp_ms < timestamp_ms or segment.end_offset < start_offset:
                continue
            found = await _search_segment(
                downloads, tier, segment, timestamp_ms, start_offset, piece_bytes
            )
            if found is not None:
                return found
    return None


async def _search_newest(
    downloads: Downloads, tier: PartitionTier, start_offset: int, piece_bytes: int
) -> ColdOffset | None:
    newest, cut = _newest_of(tier.segments_from(start_offset), start_offset)
    if isinstance(cut, TierSlice) and cut.max_timestamp_ms > newest:
        manifest = await until(downloads.fetch_manifest(tier, cut))
        of_slice, cut = _newest_of(manifest.segments, start_offset)
        newest = max(newest, of_slice)
    if isinstance(cut, TierSegment) and cut.max_timestamp_ms > newest:
        found = await _search_cut(downloads, tier, cut, start_offset, piece_bytes)
        # Of equal ones the first, which is this one.
        if found is not None and found.timestamp_ms >= newest:
            return found
    if newest == NO_TIMESTAMP:
        return None
    return await _search(downloads, tier, newest, start_offset, piece_bytes)


def _newest_of(
    entries: Iterable[TierSegment | TierSlice], start_offset: int
) -> tuple[int, TierSegment | TierSlice | None]:
    """The highest time of those wholly behind the start, and the one that the start cuts."""
    newest, cut = NO_TIMESTAMP, None
    for entry in entries:
        if entry.base_offset >= start_offset:
            newest = max(newest, entry.max_timestamp_ms)
        elif entry.end_offset >= start_offset:
            cut = entry
    return newest, cut


async def _search_cut(
    downloads: Downloads,
    tier: PartitionTier,
    segment: TierSegment,
    start_offset: int,
    piece_bytes: int,
) -> ColdOffset | None:
    """The newest record of a segment's part from the start on."""
    tail = await until(downloads.fetch_tail(tier, segment))
    highest_ms = segment.max_timestamp_ms
    if time_index.lookup(tail.time_index, segment.base_offset, highest_ms)[1] >= start_offset:
        # Its newest record is still there, most likely: no need to read them all.
        found = await _search_segment(
            downloads, tier, segment, highest_ms, start_offset, piece_bytes
        )
        if found is not None:
            return found
    newest, newest_at = NO_TIMESTAMP, start_offset
    position = tail.position_of(start_offset)
    while position < segment.log_bytes:
        piece = await _piece_at(downloads, tier, segment, tail, position, piece_bytes)
        for time_ms, offset in _times_in(piece, start_offset):
            if time_ms > newest:
                newest, newest_at = time_ms, offset
        position = piece.end_position
    if newest == NO_TIMESTAMP:
        return None
    return await _search_segment(downloads, tier, segment, newest, newest_at, piece_bytes)


def _times_in(piece: Piece, start_offset: int) -> Iterator[tuple[int, int]]:
    """The highest time of each batch and where that begins, as far as it lies behind the start."""
    for at, header in walk(piece.data):
        if header.last_offset < start_offset:
            continue
        if header.base_offset >= start_offset or header.log_append_time:
            yield header.max_timestamp, max(header.base_offset, start_offset)
        else:
            records = iterate(piece.data[at : at + header.size_bytes])
            times = (record.timestamp_ms for record in records if record.offset >= start_offset)
            yield max(times, default=NO_TIMESTAMP), start_offset


async def _piece_at(
    downloads: Downloads,
    tier: PartitionTier,
    segment: TierSegment,
    tail: Tail,
    position: int,
    piece_bytes: int,
) -> Piece:
    piece = downloads.piece(id_of(segment), position)
    if piece is not None:
        return piece
    end = piece_end(segment, tail, position, piece_bytes)[0]
    return await until(downloads.fetch_piece(tier, segment, tail, position, end))


async def _search_segment(
    downloads: Downloads,
    tier: PartitionTier,
    segment: TierSegment,
    timestamp_ms: int,
    start_offset: int,
    piece_bytes: int,
) -> ColdOffset | None:
    tail = await until(downloads.fetch_tail(tier, segment))
    first = time_index.lookup(tail.time_index, segment.base_offset, timestamp_ms - 1)[1]
    position = tail.position_of(max(first, start_offset, segment.base_offset))
    while position < segment.log_bytes:
        piece = await _piece_at(downloads, tier, segment, tail, position, piece_bytes)
        found = _first_in(piece, timestamp_ms, start_offset)
        if found is not None:
            return found
        position = piece.end_position
    return None


def _first_in(piece: Piece, timestamp_ms: int, start_offset: int) -> ColdOffset | None:
    for at, header in walk(piece.data):
        if header.max_timestamp < timestamp_ms or header.last_offset < start_offset:
            continue
        epoch = header.partition_leader_epoch
        if header.log_append_time:
            return ColdOffset(max(header.base_offset, start_offset), header.max_timestamp, epoch)
        for record in iterate(piece.data[at : at + header.size_bytes]):
            if record.timestamp_ms >= timestamp_ms and record.offset >= start_offset:
                return ColdOffset(record.offset, record.timestamp_ms, epoch)
    return None
