"""Reads cold records: exact range first, then ahead of the reader, several requests at once.

Level-triggered, because a fetch never waits here: `read` answers what is in memory, or None and
begins to bring it; whoever asked is told when it has come, and asks again. So a download goes on
when the client's request ran out of time, and its next one finds the records. Readers that go on
where they stopped get what follows in advance, over the borders of segments.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.story import Stories, until
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError, StoreError
from tierbroker.cold.keys import MANIFEST_SUFFIX, SEGMENT_SUFFIX, ObjectName, object_key
from tierbroker.cold.manifest import Manifest, parse_manifest
from tierbroker.cold.pieces import ObjectId, Piece, PieceCache, check_piece
from tierbroker.cold.ports import ObjectStore, TierView
from tierbroker.cold.segment_object import Tail, parse_tail
from tierbroker.cold.tails import Fetched
from tierbroker.records import time_index
from tierbroker.records.batch import walk
from tierbroker.records.record import iterate
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier
from tierbroker.records.txn_index import AbortedTxn

logger = logging.getLogger(__name__)

MAX_CURSORS = 1024
SLACK_BYTES = 64 * 1024
"""Read beyond what a first fetch asks for: the batch it ends in is likely whole then."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Memory and requests of cold reading."""

    cache_bytes: int = 96 << 20
    index_cache_bytes: int = 16 << 20
    piece_bytes: int = 4 << 20
    depth: int = 8
    """Pieces that are under way or waiting ahead of one reader."""


class ColdRead(NamedTuple):
    """Records that are here."""

    records: memoryview
    """Whole batches, from the one that holds the offset on."""
    next_offset: int
    aborted: tuple[AbortedTxn, ...]
    """Every aborted transaction that touches the batches, by first offset."""


class ColdOffset(NamedTuple):
    """A record found by time."""

    offset: int
    timestamp_ms: int
    leader_epoch: int


@dataclass(slots=True)
class ReadCounts:
    """What was done since the start."""

    requests: int = 0
    bytes: int = 0
    failures: int = 0
    hits: int = 0
    """Reads that found their records in memory."""
    misses: int = 0
    """Reads that had to wait for the store, each counted once."""


@dataclass(slots=True)
class _Cursor:
    """A reader that goes through a partition."""

    depth: int = 1
    waited: bool = False
    """Its next records were not here when they were asked for."""


class TierReader:
    """The cold reads of one broker. Loop thread only."""

    def __init__(
        self,
        store: ObjectStore,
        ledger: TierView,
        stories: Stories,
        *,
        cluster_id: str,
        limits: ReadLimits,
        on_arrival: Callable[[TopicPartition], None],
    ) -> None:
        """`on_arrival` is called when a read of the partition is worth another try."""
        self._store = store
        self._ledger = ledger
        self._stories = stories
        self._cluster_id = cluster_id
        self._limits = limits
        self._on_arrival = on_arrival
        self._pieces = PieceCache(limits.cache_bytes)
        self._tails: Fetched[Tail] = Fetched(limits.index_cache_bytes)
        self._manifests: Fetched[Manifest] = Fetched(limits.index_cache_bytes)
        self._under_way: dict[tuple[ObjectId, int], set[TopicPartition]] = {}
        self._failed: dict[TopicPartition, str] = {}
        self._cursors: OrderedDict[tuple[TopicPartition, int], _Cursor] = OrderedDict()
        self.counts = ReadCounts()

    def read(
        self, tier: PartitionTier, place: TopicPartition, offset: int, max_bytes: int
    ) -> ColdRead | None:
        """Records from `offset` on, which the tier holds; None while they are on their way.

        At most `max_bytes`, but at least one batch. Raises KafkaStorageError, once for each
        attempt of the store that failed: the next call tries again.
        """
        reason = self._failed.pop(place, None)
        if reason is not None:
            raise KafkaStorageError(f"{place} at offset {offset} in the cold tier: {reason}")
        segment = self._segment_at(tier, place, offset)
        tail = None if segment is None else self._tail_of(tier, place, segment)
        if segment is None or tail is None:
            return None
        object_id = segment.incarnation, segment.intent_offset
        found, position = self._find(object_id, tail, offset, max_bytes)
        if found is None and position >= segment.log_bytes:
            # No batch reaches so far: what is left of the segment's offsets holds no record.
            if segment.end_offset >= tier.end_offset:
                return ColdRead(memoryview(b""), segment.end_offset + 1, ())
            return self.read(tier, place, segment.end_offset + 1, max_bytes)
        cursor = self._cursors.pop((place, offset), None) or _Cursor()
        if found is None:
            self.counts.misses += not cursor.waited
            cursor.waited = True
            self._keep_cursor(place, offset, cursor)
            if not self._is_coming(object_id, position, place):
                self._bring_first(tier, place, segment, tail, position, max_bytes)
            return None
        piece, records, next_offset = found
        self.counts.hits += not cursor.waited
        cursor.waited = False
        cursor.depth = min(2 * cursor.depth, self._limits.depth)
        self._keep_cursor(place, next_offset, cursor)
        self._read_ahead(tier, place, segment, tail, piece.end_position, cursor.depth)
        aborted = tuple(
            txn
            for txn in tail.aborted
            if txn.last_offset >= offset and txn.first_offset < next_offset
        )
        return ColdRead(records, next_offset, aborted)

    def offset_for_timestamp(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int, start_offset: int
    ) -> Pending[ColdOffset | None]:
        """The first record at or after the time, from `start_offset` on; None if the tier has none.

        Fails with KafkaStorageError.
        """
        return self._stories.begin(
            self._search(tier, place, timestamp_ms, start_offset),
            f"search of {place} for time {timestamp_ms}",
        )

    def last_tail(self, tier: PartitionTier) -> Pending[Tail]:
        """What lies behind the records of the newest segment; fails with StoreError.

        Spilled segments are never the newest.
        """
        segment = tier.segments.last
        assert segment is not None, "a tier without segments has no tail"
        return self._fetch_tail(tier, segment)

    # -- what is here ----------------------------------------------------------------------------

    def _find(
        self, object_id: ObjectId, tail: Tail, offset: int, max_bytes: int
    ) -> tuple[tuple[Piece, memoryview, int] | None, int]:
        """The piece with the batches from `offset` on; or None, and where to read on for them."""
        position = tail.position_of(offset)
        while (piece := self._pieces.find(object_id, position)) is not None:
            batches = piece.batches(offset, max_bytes)
            if batches is not None:
                return (piece, *batches), position
            position = piece.end_position  # the index is sparse: its batch begins in the next one
        return None, position

    def _is_coming(self, object_id: ObjectId, position: int, place: TopicPartition) -> bool:
        """Whether a piece that begins at or a little before the position is under way."""
        for (coming, start), waiting in self._under_way.items():
            if coming == object_id and start <= position < start + 2 * self._limits.piece_bytes:
                waiting.add(place)
                return True
        return False

    def _segment_at(
        self, tier: PartitionTier, place: TopicPartition, offset: int
    ) -> TierSegment | None:
        found = tier.find(offset)
        if not isinstance(found, TierSlice):
            if found is None:
                raise KafkaStorageError(f"{place} has no offset {offset} in the cold tier")
            return found
        manifest = self._manifests.get((found.incarnation, found.intent_offset))
        if manifest is None:
            self._await(place, self._fetch_manifest(tier, found))
            return None
        return manifest.find(offset)

    def _tail_of(
        self, tier: PartitionTier, place: TopicPartition, segment: TierSegment
    ) -> Tail | None:
        tail = self._tails.get((segment.incarnation, segment.intent_offset))
        if tail is None:
            self._await(place, self._fetch_tail(tier, segment))
        return tail

    def _await(self, place: TopicPartition, coming: Pending[Any]) -> None:
        def arrived(done: Pending[Any]) -> None:
            if done.error is not None:
                self._note_failure(place, done.error)
            self._on_arrival(place)

        coming.on_done(arrived)

    def _keep_cursor(self, place: TopicPartition, offset: int, cursor: _Cursor) -> None:
        self._cursors[place, offset] = cursor
        if len(self._cursors) > MAX_CURSORS:
            self._cursors.popitem(last=False)

    # -- what is brought -------------------------------------------------------------------------

    def _bring_first(
        self,
        tier: PartitionTier,
        place: TopicPartition,
        segment: TierSegment,
        tail: Tail,
        position: int,
        max_bytes: int,
    ) -> None:
        """What was asked for and little more, so that the first answer comes soon."""
        wanted = min(max(max_bytes, SLACK_BYTES) + SLACK_BYTES, self._limits.piece_bytes)
        end = tail.position_after(position + wanted - 1)
        if end is None or end - position > 2 * self._limits.piece_bytes:
            end = min(position + wanted, segment.log_bytes)
        self._bring(tier, place, segment, tail, position, end)

    def _read_ahead(
        self,
        tier: PartitionTier,
        place: TopicPartition,
        segment: TierSegment | None,
        tail: Tail | None,
        position: int,
        depth: int,
    ) -> None:
        """Have `depth` pieces behind `position` in memory or on their way."""
        limits = self._limits
        while depth > 0 and segment is not None and tail is not None:
            object_id = segment.incarnation, segment.intent_offset
            if position >= segment.log_bytes:
                segment = self._segment_after(tier, segment)
                if segment is None:
                    return
                object_id = segment.incarnation, segment.intent_offset
                tail = self._tails.get(object_id)
                if tail is None:
                    self._bring_tail_ahead(tier, place, segment, depth)
                    return
                position = 0
                continue
            depth -= 1
            piece = self._pieces.find(object_id, position)
            if piece is not None:
                position = piece.end_position
                continue
            end = self._edge(segment, tail, position)
            if (object_id, position) not in self._under_way:
                held = self._pieces.under_way_bytes + (end - position)
                if held > limits.cache_bytes // 2:
                    return
                self._bring(tier, place, segment, tail, position, end)
            position = end

    def _edge(self, segment: TierSegment, tail: Tail, position: int) -> int:
        """Where the piece that begins at `position` should end: where a batch begins."""
        piece_bytes = self._limits.piece_bytes
        if segment.log_bytes - position <= piece_bytes + piece_bytes // 4:
            return segment.log_bytes
        end = tail.position_after(position + piece_bytes - 1)
        if end is None or end - position > 2 * piece_bytes:
            return min(position + piece_bytes, segment.log_bytes)
        return end

    def _segment_after(self, tier: PartitionTier, segment: TierSegment) -> TierSegment | None:
        following = segment.end_offset + 1
        if following > tier.end_offset:
            return None
        found = tier.find(following)
        if isinstance(found, TierSlice):
            manifest = self._manifests.get((found.incarnation, found.intent_offset))
            return None if manifest is None else manifest.find(following)
        return found

    def _bring_tail_ahead(
        self, tier: PartitionTier, place: TopicPartition, segment: TierSegment, depth: int
    ) -> None:
        def arrived(done: Pending[Tail]) -> None:
            if done.error is None:
                self._read_ahead(tier, place, segment, done.result(), 0, depth)

        self._fetch_tail(tier, segment).on_done(arrived)

    def _bring(
        self,
        tier: PartitionTier,
        place: TopicPartition,
        segment: TierSegment,
        tail: Tail,
        position: int,
        end: int,
    ) -> None:
        object_id = segment.incarnation, segment.intent_offset
        self._under_way[object_id, position] = {place}
        self._pieces.expect(end - position)
        self._stories.begin(
            self._fetch_piece(tier, segment, tail, position, end),
            f"read of {place} at byte {position} of segment {segment.base_offset}",
        )

    async def _fetch_piece(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, end: int
    ) -> None:
        object_id = segment.incarnation, segment.intent_offset
        error: Exception | None = None
        try:
            piece = await self._fetch_batches(tier, segment, tail, position, end)
            self._pieces.add(object_id, piece)
        except StoreError as failure:
            error = failure
        finally:
            self._pieces.expect(position - end)
            waiting = self._under_way.pop((object_id, position))
        for place in waiting:
            if error is not None:
                self._note_failure(place, error)
            self._on_arrival(place)

    async def _fetch_batches(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, end: int
    ) -> Piece:
        key = self._key(tier, segment)
        while True:
            data = await self._get(key, position, end - position)
            piece, wanted = check_piece(
                data,
                position,
                base_offset=segment.base_offset,
                end_offset=segment.end_offset,
                is_last=end == segment.log_bytes,
                lineage=tail.lineage,
                what=key,
            )
            if piece.positions:
                return piece
            # A batch larger than what was asked for.
            if position + wanted > segment.log_bytes or position + wanted <= end:
                raise ObjectDamagedError(f"{key}: no whole batch at byte {position}")
            end = position + wanted

    def _fetch_tail(self, tier: PartitionTier, segment: TierSegment) -> Pending[Tail]:
        async def fetch() -> Tail:
            size = segment.object_bytes - segment.log_bytes
            data = await self._get(self._key(tier, segment), segment.log_bytes, size)
            return parse_tail(data, segment.base_offset, segment.log_bytes)

        return self._tails.fetch((segment.incarnation, segment.intent_offset), fetch)

    def _fetch_manifest(self, tier: PartitionTier, spilled: TierSlice) -> Pending[Manifest]:
        async def fetch() -> Manifest:
            key = self._key(tier, spilled)
            data = await self._get(key, 0, spilled.object_bytes)
            if crc64nvme(data) != spilled.checksum:
                raise ObjectDamagedError(f"{key} is not the manifest that was written there")
            return parse_manifest(data)

        return self._manifests.fetch((spilled.incarnation, spilled.intent_offset), fetch)

    async def _get(self, key: str, position: int, length: int) -> memoryview:
        self.counts.requests += 1
        data = await until(self._store.get_range(key, position, length))
        self.counts.bytes += length
        return memoryview(data)

    def _key(self, tier: PartitionTier, entry: TierSegment | TierSlice) -> str:
        incarnation: Uuid = self._ledger.state.incarnations[entry.incarnation]
        name = ObjectName(
            tier.topic_id,
            tier.partition,
            entry.base_offset,
            entry.end_offset,
            entry.leader_epoch,
            entry.intent_offset,
        )
        suffix = MANIFEST_SUFFIX if isinstance(entry, TierSlice) else SEGMENT_SUFFIX
        return object_key(self._cluster_id, incarnation, name, suffix)

    def _note_failure(self, place: TopicPartition, error: BaseException) -> None:
        self.counts.failures += 1
        self._failed[place] = str(error)
        # A vanished object was retired meanwhile, most likely: the next read looks it up again.
        level = logging.DEBUG if isinstance(error, ObjectNotFoundError) else logging.WARNING
        logger.log(level, "a read of %s in the cold tier failed: %s", place, error)

    # -- searching -------------------------------------------------------------------------------

    async def _search(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int, start_offset: int
    ) -> ColdOffset | None:
        try:
            for entry in tier.segments_from(start_offset):
                if entry.max_timestamp_ms < timestamp_ms:
                    continue
                if isinstance(entry, TierSlice):
                    manifest = await until(self._fetch_manifest(tier, entry))
                    segments = tuple(manifest.segments)
                else:
                    segments = (entry,)
                for segment in segments:
                    if segment.max_timestamp_ms < timestamp_ms or segment.end_offset < start_offset:
                        continue
                    found = await self._search_segment(tier, segment, timestamp_ms, start_offset)
                    if found is not None:
                        return found
        except StoreError as error:
            self.counts.failures += 1
            raise KafkaStorageError(f"{place} cannot be searched by time: {error}") from error
        return None

    async def _search_segment(
        self, tier: PartitionTier, segment: TierSegment, timestamp_ms: int, start_offset: int
    ) -> ColdOffset | None:
        tail = await until(self._fetch_tail(tier, segment))
        first = time_index.lookup(tail.time_index, segment.base_offset, timestamp_ms - 1)[1]
        position = tail.position_of(max(first, start_offset, segment.base_offset))
        while position < segment.log_bytes:
            object_id = segment.incarnation, segment.intent_offset
            piece = self._pieces.find(object_id, position)
            if piece is None:
                end = self._edge(segment, tail, position)
                piece = await self._fetch_batches(tier, segment, tail, position, end)
                self._pieces.add(object_id, piece)
            found = _first_at_or_after(piece, timestamp_ms, start_offset)
            if found is not None:
                return found
            position = piece.end_position
        return None


def _first_at_or_after(piece: Piece, timestamp_ms: int, start_offset: int) -> ColdOffset | None:
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
