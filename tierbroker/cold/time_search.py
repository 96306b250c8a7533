"""Finds a record of the cold tier by its time: which segments, where in them, which batch, which
record. A story; reads through `Downloads` as all cold reads do, and opens records.
"""

from typing import NamedTuple

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import until
from tierbroker.cold.downloads import Downloads, id_of, piece_end
from tierbroker.cold.errors import ObjectNotFoundError, StoreError
from tierbroker.cold.pieces import Piece
from tierbroker.cold.ports import TierView
from tierbroker.records import time_index
from tierbroker.records.batch import walk
from tierbroker.records.record import iterate
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier

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

    Objects that vanish were retired meanwhile, most likely: what the tier holds then is searched.
    Raises KafkaStorageError.
    """
    for left in range(SEARCHES - 1, -1, -1):
        try:
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
        piece = downloads.piece(id_of(segment), position)
        if piece is None:
            end = piece_end(segment, tail, position, piece_bytes)[0]
            piece = await until(downloads.fetch_piece(tier, segment, tail, position, end))
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
