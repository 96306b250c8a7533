"""What is on its way from the store: pieces of segments, what lies behind them, manifests.

Each is asked for once, however many wait for it, and goes on when they wait no more. All requests
together stay within a share of the memory for cold reads: what a reader needs now waits for its
turn, what it may need later is not asked for. Bytes that are wrong are asked for once more before
anybody hears of it.
"""

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories, until
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import ObjectDamagedError, StoreError, StoreUnavailableError
from tierbroker.cold.keys import MANIFEST_SUFFIX, SEGMENT_SUFFIX, ObjectName, object_key
from tierbroker.cold.manifest import Manifest, parse_manifest
from tierbroker.cold.pieces import ObjectId, Piece, PieceCache, check_piece
from tierbroker.cold.ports import ObjectReader, TierView
from tierbroker.cold.segment_object import Tail, check_identity, parse_tail
from tierbroker.cold.tails import Fetched, pass_on
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_QUEUED = 1024


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


class _Download:
    """A piece that is wanted."""

    __slots__ = ("done", "end", "ends_with_batch", "position", "segment", "tail", "tier")

    def __init__(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, end: int
    ) -> None:
        self.ends_with_batch = end == segment.log_bytes or tail.position_until(end) == end
        self.tier = tier
        self.segment = segment
        self.tail = tail
        self.position = position
        self.end = end
        self.done: Pending[Piece] = Pending()


class Downloads:
    """All that one broker has and wants of its cold tier. Loop thread only."""

    def __init__(
        self,
        store: ObjectReader,
        ledger: TierView,
        stories: Stories,
        scheduler: Scheduler,
        *,
        cluster_id: str,
        cache_bytes: int,
        index_cache_bytes: int,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._stories = stories
        self._scheduler = scheduler
        self._cluster_id = cluster_id
        self._budget_bytes = cache_bytes // 2
        self._pieces = PieceCache(cache_bytes)
        self._described: Fetched[Tail | Manifest] = Fetched(index_cache_bytes)
        self._wanted: dict[ObjectId, list[_Download]] = {}
        self._queue: deque[_Download] = deque()
        self.counts = ReadCounts()

    # -- what is here ----------------------------------------------------------------------------

    def piece(self, object_id: ObjectId, position: int) -> Piece | None:
        """The piece that holds the byte at `position` of the segment."""
        return self._pieces.find(object_id, position)

    def tail(self, segment: TierSegment) -> Tail | None:
        """What lies behind the segment's records."""
        found = self._described.get(id_of(segment))
        assert not isinstance(found, Manifest)
        return found

    def manifest(self, spilled: TierSlice) -> Manifest | None:
        """The segments of a spilled slice."""
        found = self._described.get(id_of(spilled))
        assert not isinstance(found, Tail)
        return found

    def coming_end(self, object_id: ObjectId, position: int) -> tuple[int, bool] | None:
        """Where the piece ends that is wanted already and should hold the byte, and whether a
        batch ends there for sure; None without one."""
        download = self._coming(object_id, position)
        return None if download is None else (download.end, download.ends_with_batch)

    # -- what is brought -------------------------------------------------------------------------

    def fetch_tail(self, tier: PartitionTier, segment: TierSegment) -> Pending[Tail]:
        """What lies behind the segment's records; fails with StoreError."""
        key = self._key(tier, segment)
        name = _name(tier, segment)

        async def attempt() -> Tail:
            size = segment.object_bytes - segment.log_bytes
            data = await self._get(key, segment.log_bytes, size)
            try:
                check_identity(data, segment.object_bytes, name)
                return parse_tail(data, segment.base_offset, segment.log_bytes)
            except ObjectDamagedError as error:
                raise ObjectDamagedError(f"{key}: {error}") from error

        found: Any = self._described.fetch(id_of(segment), lambda: self._once_more(key, attempt))
        return found  # type: ignore[no-any-return]

    def fetch_manifest(self, tier: PartitionTier, spilled: TierSlice) -> Pending[Manifest]:
        """The segments of a spilled slice; fails with StoreError."""
        key = self._key(tier, spilled)

        async def attempt() -> Manifest:
            data = await self._get(key, 0, spilled.object_bytes)
            if crc64nvme(data) != spilled.checksum:
                raise ObjectDamagedError(f"{key} is not the manifest that was written there")
            return parse_manifest(data)

        found: Any = self._described.fetch(id_of(spilled), lambda: self._once_more(key, attempt))
        return found  # type: ignore[no-any-return]

    def fetch_piece(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, end: int
    ) -> Pending[Piece]:
        """The batches from `position` to about `end`, or a piece that holds the first of them and
        is on its way. Waits for its turn; fails with StoreError."""
        mine: Pending[Piece] = Pending()
        download = self._coming(id_of(segment), position)
        if download is None:
            download = self._want(tier, segment, tail, position, end)
            if not self._queue and self._has_room(end - position):
                self._start(download)
            else:
                self._queue.append(download)
                if len(self._queue) > MAX_QUEUED:
                    self._give_up(self._queue.popleft())
        download.done.on_done(lambda done: pass_on(done, mine))
        return mine

    def fetch_ahead(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, end: int
    ) -> bool:
        """The same for what is not needed yet; False if there is no room for it."""
        if self._queue or not self._has_room(end - position):
            return False
        self._start(self._want(tier, segment, tail, position, end))
        return True

    def _coming(self, object_id: ObjectId, position: int) -> _Download | None:
        for download in self._wanted.get(object_id, ()):
            if download.position <= position < download.end:
                return download
        return None

    def _want(
        self, tier: PartitionTier, segment: TierSegment, tail: Tail, position: int, end: int
    ) -> _Download:
        download = _Download(tier, segment, tail, position, end)
        self._wanted.setdefault(id_of(segment), []).append(download)
        return download

    def _has_room(self, size_bytes: int) -> bool:
        under_way = self._pieces.under_way_bytes
        return not under_way or under_way + size_bytes <= self._budget_bytes

    def _start(self, download: _Download) -> None:
        segment = download.segment
        self._stories.begin(
            self._bring(download),
            f"read of byte {download.position} of the segment at {segment.base_offset}",
        )

    def _give_up(self, download: _Download) -> None:
        self._forget(download)
        download.done.fail(StoreUnavailableError("too many reads wait for the store"))

    def _forget(self, download: _Download) -> None:
        wanted = self._wanted[id_of(download.segment)]
        wanted.remove(download)
        if not wanted:
            del self._wanted[id_of(download.segment)]

    async def _bring(self, download: _Download) -> None:
        error: StoreError | None = None
        piece: Piece | None = None
        self._pieces.expect(download.end - download.position)
        try:
            key = self._key(download.tier, download.segment)
            piece = await self._once_more(key, lambda: self._batches(key, download))
        except StoreError as failure:
            error = failure
        finally:
            self._pieces.expect(download.position - download.end)
            self._forget(download)
        if piece is not None:
            self._pieces.add(id_of(download.segment), piece)
        # Those that wait for their turn come before what the reader of this piece may want next.
        while self._queue and self._has_room(self._queue[0].end - self._queue[0].position):
            self._start(self._queue.popleft())
        if piece is not None:
            download.done.resolve(piece)
        else:
            assert error is not None
            self.counts.failures += 1
            download.done.fail(error)

    async def _batches(self, key: str, download: _Download) -> Piece:
        segment, tail, position = download.segment, download.tail, download.position
        while True:
            data = await self._get(key, position, download.end - position)
            piece, wanted = await check_piece(
                self._scheduler,
                data,
                position,
                base_offset=segment.base_offset,
                end_offset=segment.end_offset,
                is_last=download.end == segment.log_bytes,
                lineage=tail.lineage,
                what=key,
            )
            if piece.positions:
                for slot in (0, -1):
                    at, first_offset, last_offset = piece.batch(slot)
                    if not tail.allows(at, first_offset, last_offset):
                        raise ObjectDamagedError(
                            f"{key}: offsets {first_offset} to {last_offset} are not what is at "
                            f"byte {at}"
                        )
                return piece
            # A batch larger than what was asked for; not one that the index says is smaller.
            limit = tail.position_after(position) or segment.log_bytes
            if position + wanted > limit or position + wanted <= download.end:
                raise ObjectDamagedError(f"{key}: no whole batch at byte {position}")
            self._pieces.expect(position + wanted - download.end)
            download.end = position + wanted

    async def _once_more(self, key: str, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What is damaged may have been so on its way only; the caller tells of what stays so."""
        try:
            return await attempt()
        except ObjectDamagedError as error:
            logger.info("%s is read once more: %s", key, error)
            return await attempt()

    async def _get(self, key: str, position: int, length: int) -> memoryview:
        self.counts.requests += 1
        data = await until(self._store.get_range(key, position, length))
        if len(data) != length:
            raise ObjectDamagedError(f"{key}: {len(data)} bytes came and not {length}")
        self.counts.bytes += length
        return memoryview(data)

    def _key(self, tier: PartitionTier, entry: TierSegment | TierSlice) -> str:
        incarnation = self._ledger.state.incarnations[entry.incarnation]
        suffix = MANIFEST_SUFFIX if isinstance(entry, TierSlice) else SEGMENT_SUFFIX
        return object_key(self._cluster_id, incarnation, _name(tier, entry), suffix)


def id_of(entry: TierSegment | TierSlice) -> ObjectId:
    """Tells the object from every other one."""
    return entry.incarnation, entry.intent_offset


def piece_end(
    segment: TierSegment, tail: Tail, position: int, piece_bytes: int
) -> tuple[int, bool]:
    """Where the piece of about `piece_bytes` that begins at `position` should end, and whether a
    batch ends there for sure."""
    if segment.log_bytes - position <= piece_bytes + piece_bytes // 4:
        return segment.log_bytes, True
    end = tail.position_after(position + piece_bytes - 1)
    if end is None or end - position > 2 * piece_bytes:
        return min(position + piece_bytes, segment.log_bytes), False
    return end, True


def _name(tier: PartitionTier, entry: TierSegment | TierSlice) -> ObjectName:
    return ObjectName(
        tier.topic_id,
        tier.partition,
        entry.base_offset,
        entry.end_offset,
        entry.leader_epoch,
        entry.intent_offset,
    )
