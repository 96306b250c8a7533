"""Reads cold records: exact range first, then ahead of the reader, several requests at once.

Level-triggered, because a fetch never waits here: `read` answers what is in memory, or None and
begins to bring it; whoever asked is told when it has come, and asks again. So a download goes on
when the client's request ran out of time, and its next one finds the records. Readers that go on
where they stopped get what follows in advance, over the borders of segments, as far as the memory
goes round among those that read at the same time.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories
from tierbroker.cold.downloads import Downloads, ReadCounts, id_of, piece_end
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError
from tierbroker.cold.manifest import Manifest
from tierbroker.cold.outage_log import OutageLog
from tierbroker.cold.pieces import ObjectId, Piece
from tierbroker.cold.ports import ObjectReader, TierView
from tierbroker.cold.segment_object import Tail
from tierbroker.cold.time_search import ColdOffset, first_since
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier
from tierbroker.records.txn_index import AbortedTxn

MAX_CURSORS = 1024
MAX_FAILURES = 1024
LEAST_BYTES = 64 * 1024
"""A request for less costs a store as much."""
WHOLE_TAIL = -1
"""Stands for a position, where not a piece but what lies behind the records is wanted."""

Waiter = tuple[TopicPartition, tuple[ObjectId, int]]
"""A partition that waits, and for what: an object and a position in it."""
T = TypeVar("T")


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


@dataclass(slots=True)
class _Cursor:
    """A reader that goes through a partition."""

    depth: int = 1
    object_id: ObjectId | None = None
    position: int = 0
    """Where the batch behind the last one that it was given begins, in which object."""
    waited: bool = False
    """Its next records were not here when they were asked for."""
    seen_at: int = 0
    """How many bytes the store had given when it was here last: the clock of the cache."""


class TierReader:
    """The cold reads of one broker. Loop thread only."""

    def __init__(
        self,
        store: ObjectReader,
        ledger: TierView,
        stories: Stories,
        scheduler: Scheduler,
        *,
        cluster_id: str,
        limits: ReadLimits,
        on_arrival: Callable[[TopicPartition], None],
        outage: OutageLog | None = None,
    ) -> None:
        """`on_arrival` is called when a read of the partition is worth another try.

        `outage` puts failures into the log, where those who read are not to see to that.
        """
        self._ledger = ledger
        self._stories = stories
        self._limits = limits
        self._on_arrival = on_arrival
        self._outage = outage
        self._downloads = Downloads(
            store,
            ledger,
            stories,
            scheduler,
            cluster_id=cluster_id,
            cache_bytes=limits.cache_bytes,
            index_cache_bytes=limits.index_cache_bytes,
        )
        self._waiting: set[Waiter] = set()
        self._failed: OrderedDict[Waiter, str] = OrderedDict()
        self._telling: Waiter | None = None
        self._told = False
        self._tails_ahead: set[ObjectId] = set()
        self._cursors: OrderedDict[tuple[TopicPartition, int], _Cursor] = OrderedDict()

    @property
    def counts(self) -> ReadCounts:
        """What was done since the start."""
        return self._downloads.counts

    def read(
        self, tier: PartitionTier, place: TopicPartition, offset: int, max_bytes: int
    ) -> ColdRead | None:
        """Records from `offset` on, which the tier holds; None while they are on their way.

        At most `max_bytes`, but at least one batch. No records, but a next offset, where none of
        the tier is at or above `offset`. Raises KafkaStorageError, once for each attempt of the
        store that failed: the next call tries again.
        """
        while True:
            segment = self._segment_at(tier, place, offset)
            tail = None if segment is None else self._tail_of(tier, place, segment)
            if segment is None or tail is None:
                return None
            cursor = self._cursors.get((place, offset))
            known = cursor is not None and cursor.object_id == id_of(segment)
            if cursor is not None and known:
                position = cursor.position
            else:
                position = tail.position_of(offset)
                known = offset == segment.base_offset
            found, position = self._find(segment, position, offset, max_bytes)
            if found is None and position >= segment.log_bytes:
                # No batch reaches so far: what is left of the segment's offsets has no record.
                offset = segment.end_offset + 1
                if offset > tier.end_offset:
                    return ColdRead(memoryview(b""), offset, ())
                continue
            cursor = self._cursors.pop((place, offset), None) or _Cursor()
            if found is not None:
                piece, records, next_offset, cursor.position = found
                cursor.object_id = id_of(segment)
                self.counts.hits += not cursor.waited
                self._keep_cursor(place, next_offset, cursor)
                depth = min(cursor.depth, self._share())
                self._read_ahead(tier, segment, tail, piece.end_position, depth)
                cursor.depth = min(2 * cursor.depth, self._limits.depth)
                cursor.waited = False
                return ColdRead(records, next_offset, _aborted(tail, offset, next_offset))
            self.counts.misses += not cursor.waited
            cursor.waited = True
            self._keep_cursor(place, offset, cursor)
            latest = position if known else tail.position_after(position) or position
            end = self._first_end(segment, tail, latest, max_bytes)
            fetch = partial(self._downloads.fetch_piece, tier, segment, tail, position, end)
            if self._await(tier, place, segment, position, fetch) is None:
                return None

    def offset_for_timestamp(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int, start_offset: int
    ) -> Pending[ColdOffset | None]:
        """The first record at or after the time, from `start_offset` on; None if the tier has none.

        Fails with KafkaStorageError.
        """
        answer: Pending[ColdOffset | None] = Pending()

        async def search() -> None:
            try:
                found = await first_since(
                    self._downloads,
                    self._ledger,
                    tier,
                    place,
                    timestamp_ms,
                    start_offset,
                    self._limits.piece_bytes,
                )
            except KafkaStorageError as error:
                # For who asked; a story of ours that fails would be a bug.
                answer.fail(error)
            else:
                answer.resolve(found)

        self._stories.begin(search(), f"search of {place} for time {timestamp_ms}")
        return answer

    def last_tail(self, tier: PartitionTier) -> Pending[Tail]:
        """What lies behind the records of the newest segment; fails with StoreError.

        Spilled segments are never the newest.
        """
        segment = tier.segments.last
        assert segment is not None, "a tier without segments has no tail"
        return self._downloads.fetch_tail(tier, segment)

    # -- what is here ----------------------------------------------------------------------------

    def _find(
        self, segment: TierSegment, position: int, offset: int, max_bytes: int
    ) -> tuple[tuple[Piece, memoryview, int, int] | None, int]:
        """The piece with the batches from `offset` on; or None, and where to read on for them.

        They begin at `position` or a little behind it.
        """
        while (piece := self._downloads.piece(id_of(segment), position)) is not None:
            batches = piece.batches(offset, max_bytes)
            if batches is not None:
                return (piece, *batches), position
            position = piece.end_position  # the index is sparse: its batch begins in the next one
        return None, position

    def _segment_at(
        self, tier: PartitionTier, place: TopicPartition, offset: int
    ) -> TierSegment | None:
        found = tier.find(offset)
        if found is None:
            raise KafkaStorageError(f"{place} has no offset {offset} in the cold tier")
        if isinstance(found, TierSegment):
            return found
        manifest = self._downloads.manifest(found)
        if manifest is None:
            fetch = partial(self._downloads.fetch_manifest, tier, found)
            manifest = self._await(tier, place, found, WHOLE_TAIL, fetch)
        return None if manifest is None else _listed(manifest, place, offset)

    def _tail_of(
        self, tier: PartitionTier, place: TopicPartition, segment: TierSegment
    ) -> Tail | None:
        tail = self._downloads.tail(segment)
        if tail is None:
            fetch = partial(self._downloads.fetch_tail, tier, segment)
            tail = self._await(tier, place, segment, WHOLE_TAIL, fetch)
        return tail

    # -- who waits -------------------------------------------------------------------------------

    def _await(
        self,
        tier: PartitionTier,
        place: TopicPartition,
        entry: TierSegment | TierSlice,
        position: int,
        fetch: Callable[[], Pending[T]],
    ) -> T | None:
        """What is fetched; None while it is on its way. Raises KafkaStorageError once it failed."""
        key = place, (id_of(entry), position)
        self._raise_failure(key)
        if key in self._waiting:
            return None
        coming = fetch()
        if coming.done and coming.error is None:
            self._worked()
            return coming.result()
        self._waiting.add(key)
        coming.on_done(lambda done: self._arrived(tier, entry, key, done))
        self._raise_failure(key)
        return None

    def _arrived(
        self, tier: PartitionTier, entry: TierSegment | TierSlice, key: Waiter, done: Pending[Any]
    ) -> None:
        """All who wait are told in this turn, and each hears of a failure; else the next one."""
        self._waiting.discard(key)
        error = done.error
        if error is not None and not self._is_gone(tier, entry, error):
            if self._outage is not None:
                self._outage.failed(f"a read of {key[0]} in the cold tier failed: {error}")
            self._failed[key] = str(error)
            if len(self._failed) > MAX_FAILURES:
                self._failed.popitem(last=False)
        elif error is None:
            self._worked()
        self._telling, self._told = key, False
        self._on_arrival(key[0])
        if self._told:
            self._failed.pop(key, None)
        self._telling = None

    def _worked(self) -> None:
        if self._outage is not None:
            self._outage.worked()

    def _raise_failure(self, key: Waiter) -> None:
        reason = self._failed.get(key)
        if reason is None:
            return
        if key == self._telling:
            self._told = True
        else:
            del self._failed[key]
        raise KafkaStorageError(f"{key[0]} in the cold tier: {reason}")

    def _is_gone(
        self, tier: PartitionTier, entry: TierSegment | TierSlice, error: BaseException
    ) -> bool:
        """Whether an object is missing because it counts no more: the next read finds another."""
        if not isinstance(error, ObjectNotFoundError):
            return False
        now = self._ledger.state.partition(tier.topic_id, tier.partition)
        found = None if now is None else now.find(entry.base_offset)
        if isinstance(found, TierSlice) and isinstance(entry, TierSegment):
            return False  # spilled: its manifest names it
        return found is None or id_of(found) != id_of(entry)

    def _keep_cursor(self, place: TopicPartition, offset: int, cursor: _Cursor) -> None:
        cursor.seen_at = self.counts.bytes
        self._cursors[place, offset] = cursor
        if len(self._cursors) > MAX_CURSORS:
            self._cursors.popitem(last=False)

    # -- what is brought -------------------------------------------------------------------------

    def _first_end(self, segment: TierSegment, tail: Tail, latest: int, max_bytes: int) -> int:
        """What was asked for and no more, so that the first answer comes soon.

        `latest` is where its first batch begins at the latest: the index is sparse.
        """
        wanted = min(max(max_bytes, LEAST_BYTES), self._limits.piece_bytes)
        if segment.log_bytes - latest <= wanted:
            return segment.log_bytes
        end = tail.position_until(latest + wanted)
        if end is None or end <= latest:  # a large batch, or an index that knows little
            return piece_end(segment, tail, latest, wanted)[0]
        return end

    def _share(self) -> int:
        """How many pieces one reader may have ahead, so that none goes before it is read.

        All count that were here since the store gave as much as the cache holds.
        """
        limits = self._limits
        room = limits.cache_bytes * 3 // 4 // limits.piece_bytes
        since = self.counts.bytes - limits.cache_bytes
        readers = 0
        for cursor in reversed(self._cursors.values()):
            if cursor.seen_at < since or readers == room:
                break
            readers += 1
        return min(limits.depth, room // max(readers, 1) - 1)

    def _read_ahead(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, depth: int
    ) -> None:
        """Have `depth` pieces behind `position` in memory or on their way."""
        downloads = self._downloads
        while depth > 0:
            if position >= segment.log_bytes:
                following = self._segment_after(tier, segment)
                if following is None:
                    return
                following_tail = downloads.tail(following)
                if following_tail is None:
                    self._bring_tail_ahead(tier, following, depth)
                    return
                segment, tail, position = following, following_tail, 0
                continue
            depth -= 1
            piece = downloads.piece(id_of(segment), position)
            if piece is not None:
                position = piece.end_position
                continue
            coming = downloads.coming_end(id_of(segment), position)
            if coming is None:
                coming = piece_end(segment, tail, position, self._limits.piece_bytes)
                if not downloads.fetch_ahead(tier, segment, tail, position, coming[0]):
                    return
            end, ends_with_batch = coming
            if not ends_with_batch:
                return  # where the next batch begins is known when this piece is here
            position = end

    def _segment_after(self, tier: PartitionTier, segment: TierSegment) -> TierSegment | None:
        following = segment.end_offset + 1
        if following > tier.end_offset:
            return None
        found = tier.find(following)
        if isinstance(found, TierSlice):
            manifest = self._downloads.manifest(found)
            return None if manifest is None else manifest.find(following)
        return found

    def _bring_tail_ahead(self, tier: PartitionTier, segment: TierSegment, depth: int) -> None:
        object_id = id_of(segment)
        if object_id in self._tails_ahead:
            return

        def arrived(done: Pending[Tail]) -> None:
            self._tails_ahead.discard(object_id)
            if done.error is None:
                self._read_ahead(tier, segment, done.result(), 0, depth)

        self._tails_ahead.add(object_id)
        self._downloads.fetch_tail(tier, segment).on_done(arrived)


def _listed(manifest: Manifest, place: TopicPartition, offset: int) -> TierSegment:
    try:
        return manifest.find(offset)
    except ObjectDamagedError as error:
        raise KafkaStorageError(f"{place} in the cold tier: {error}") from error


def _aborted(tail: Tail, offset: int, next_offset: int) -> tuple[AbortedTxn, ...]:
    return tuple(
        txn for txn in tail.aborted if txn.last_offset >= offset and txn.first_offset < next_offset
    )
