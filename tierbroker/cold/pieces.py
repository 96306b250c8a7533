"""Pieces of cold segments in memory: whole batches, checked on arrival, found by offset.

A piece is what one request to the store brought. Its batches have been checked (position, length,
CRC, order, leader epoch) before anybody sees one: the CRC of a batch does not cover its base
offset (D-8). Memory is bounded; what is read once, by a scan of old records, goes before what is
read again.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from struct import Struct

from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import until
from tierbroker.base.turns import next_turn
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.records import epoch_lineage
from tierbroker.records.batch import CRC_START, MAGIC_V2, MIN_BATCH_LENGTH, SIZE_OVERHEAD
from tierbroker.records.checksum import crc32c
from tierbroker.records.epoch_lineage import EpochEntry

ObjectId = tuple[int, int]
"""(incarnation, intent offset): tells an object from every other one of the cluster."""
MAX_OFFSET = (1 << 63) - 1
JUDGED_A_TURN_BYTES = 512 * 1024
JUDGED_A_TURN_BATCHES = 128
"""A tenth of a millisecond or two, whichever comes first: what others wait for a scan (D-11)."""
# Base offset, length, leader epoch, magic, CRC and last offset's delta of a batch's header.
_JUDGED = Struct(">qiiBI2xi")
_unpack_judged = _JUDGED.unpack_from


class Piece:
    """Consecutive batches of one segment."""

    __slots__ = ("data", "end_position", "last_offsets", "position", "positions", "used")

    def __init__(
        self, data: memoryview, position: int, positions: list[int], last_offsets: list[int]
    ) -> None:
        self.data = data
        self.position = position
        """Of its first byte in the segment."""
        self.end_position = position + len(data)
        self.positions = positions
        """Of each batch, in `data`."""
        self.last_offsets = last_offsets
        self.used = False
        """A reader has been through to its end."""

    def batch(self, slot: int) -> tuple[int, int, int]:
        """Position in the segment, first and last offset of one batch."""
        at = self.positions[slot]
        first_offset = int.from_bytes(self.data[at : at + 8], "big")
        return self.position + at, first_offset, self.last_offsets[slot]

    def batches(self, offset: int, max_bytes: int) -> tuple[memoryview, int, int] | None:
        """Batches from the one that holds `offset` on; the offset after the last of them, and the
        position in the segment behind it.

        At most `max_bytes`, but always one. None when they all end before `offset`.
        """
        first = bisect_left(self.last_offsets, offset)
        if first == len(self.positions):
            return None
        start, count = self.positions[first], len(self.positions)
        limit = start + max_bytes
        last = count - 1
        if len(self.data) > limit:
            last = max(bisect_right(self.positions, limit) - 2, first)
        stop = self.positions[last + 1] if last + 1 < count else len(self.data)
        if last == len(self.positions) - 1:
            self.used = True
        return self.data[start:stop], self.last_offsets[last] + 1, self.position + stop


async def check_piece(
    scheduler: Scheduler,
    data: memoryview,
    position: int,
    *,
    base_offset: int,
    end_offset: int,
    is_last: bool,
    lineage: Sequence[EpochEntry],
    what: str,
) -> tuple[Piece, int]:
    """The whole batches in bytes that begin at `position` of a segment's object; and how many
    bytes the first batch that is not whole would need, 0 if there is none. A story, in short turns.

    `is_last`: the segment ends with these bytes. Raises ObjectDamagedError, which names `what`.
    """
    positions: list[int] = []
    last_offsets: list[int] = []
    end, size = 0, len(data)
    previous = base_offset - 1
    epoch, epoch_end = -1, base_offset
    turn_bytes, turn_batches = JUDGED_A_TURN_BYTES, JUDGED_A_TURN_BATCHES
    # All of a scan comes through here, on the loop's thread: one unpacking, no header objects.
    while size - end >= _JUDGED.size:
        first, length, leader_epoch, magic, crc, delta = _unpack_judged(data, end)
        at, end = end, end + length + SIZE_OVERHEAD
        if length < MIN_BATCH_LENGTH or magic != MAGIC_V2:
            raise ObjectDamagedError(
                f"{what} at byte {position + at}: no v2 batch: length {length}, magic {magic}"
            )
        if end > size:
            end = at
            break
        last = first + delta
        if first <= previous or last > end_offset:
            raise ObjectDamagedError(
                f"{what}: a batch of offsets {first} to {last} at byte {position + at} does not "
                f"follow {previous} within {end_offset}"
            )
        if crc32c(data[at + CRC_START : end]) != crc:
            raise ObjectDamagedError(f"{what}: wrong CRC of the batch at byte {position + at}")
        if first >= epoch_end:
            epoch, epoch_end = _epoch_at(lineage, first)
        if leader_epoch != epoch >= 0:
            raise ObjectDamagedError(
                f"{what}: the batch at byte {position + at} is of leader epoch {leader_epoch}, "
                f"offset {first} of {epoch}"
            )
        positions.append(at)
        last_offsets.append(last)
        previous = last
        if end >= turn_bytes or len(positions) >= turn_batches:
            turn_bytes = end + JUDGED_A_TURN_BYTES
            turn_batches = len(positions) + JUDGED_A_TURN_BATCHES
            await until(next_turn(scheduler))
    rest = len(data) - end
    if is_last and rest:
        raise ObjectDamagedError(f"{what}: {rest} bytes at its end are no whole batch")
    wanted = 0
    if rest >= 12 and not positions:
        wanted = int.from_bytes(data[8:12], "big") + 12
    return Piece(data[:end], position, positions, last_offsets), wanted


def _epoch_at(lineage: Sequence[EpochEntry], offset: int) -> tuple[int, int]:
    """The leader epoch under which `offset` was written, and the offset where the next begins."""
    later = (entry.start_offset for entry in lineage if entry.start_offset > offset)
    return epoch_lineage.epoch_at(lineage, offset), min(later, default=MAX_OFFSET)


class PieceCache:
    """Pieces by segment and position, within `capacity_bytes`. Loop thread only."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.size_bytes = 0
        self.under_way_bytes = 0
        """Of requests that are not answered yet. They need memory too: pieces go for them, but
        never more than half of what there may be."""
        self._by_object: dict[ObjectId, list[Piece]] = {}
        self._once: OrderedDict[tuple[ObjectId, int], Piece] = OrderedDict()
        self._again: OrderedDict[tuple[ObjectId, int], Piece] = OrderedDict()
        self._again_bytes = 0

    def find(self, object_id: ObjectId, position: int) -> Piece | None:
        """The piece that holds the byte at `position` of the segment."""
        pieces = self._by_object.get(object_id)
        if not pieces:
            return None
        slot = bisect_right(pieces, position, key=_position_of) - 1
        if slot < 0 or position >= pieces[slot].end_position:
            return None
        piece = pieces[slot]
        key = object_id, piece.position
        if key in self._again:
            self._again.move_to_end(key)
        elif piece.used:
            # Somebody was through with it, and here is somebody again.
            del self._once[key]
            piece.used = False
            self._again[key] = piece
            self._again_bytes += len(piece.data)
        return piece

    def add(self, object_id: ObjectId, piece: Piece) -> None:
        """Keep a piece; others go if there is no room."""
        pieces = self._by_object.setdefault(object_id, [])
        slot = bisect_left(pieces, piece.position, key=_position_of)
        if slot < len(pieces) and pieces[slot].position == piece.position:
            self._drop(object_id, pieces[slot])
            pieces = self._by_object.setdefault(object_id, [])
        pieces.insert(slot, piece)
        self._once[object_id, piece.position] = piece
        self.size_bytes += len(piece.data)
        self._make_room(piece)

    def expect(self, size_bytes: int) -> None:
        """So much has been asked for; less than nothing when it has come, or will not."""
        self.under_way_bytes += size_bytes
        if size_bytes > 0:
            self._make_room(None)

    def _make_room(self, spared: Piece | None) -> None:
        room = max(self.capacity_bytes - self.under_way_bytes, self.capacity_bytes // 2)
        while self.size_bytes > room and len(self._once) + len(self._again) > 1:
            self._evict_one(spared, room)

    def forget(self, object_id: ObjectId) -> None:
        """The object does not count any more, or is damaged."""
        for piece in list(self._by_object.get(object_id, ())):
            self._drop(object_id, piece)

    def _evict_one(self, spared: Piece | None, room: int) -> None:
        # What scans have read goes first, unless nothing but the newest piece is of that kind. But
        # what is read again may take half of the room: the rest is for what readers need next,
        # which would be gone before they come.
        queues = (self._once, self._again)
        for queue in reversed(queues) if self._again_bytes > room // 2 else queues:
            for (object_id, _), piece in queue.items():
                if piece is not spared:
                    self._drop(object_id, piece)
                    return

    def _drop(self, object_id: ObjectId, piece: Piece) -> None:
        key = object_id, piece.position
        if self._once.pop(key, None) is None:
            del self._again[key]
            self._again_bytes -= len(piece.data)
        pieces = self._by_object[object_id]
        pieces.remove(piece)
        if not pieces:
            del self._by_object[object_id]
        self.size_bytes -= len(piece.data)


def _position_of(piece: Piece) -> int:
    return piece.position
