"""Objects that count no more: what is needed to remove them, and since when.

An object becomes garbage through the metadata log, and is forgotten there once it is deleted. In
between a grace period passes, and a bucket checkpoint that no longer names the object.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from struct import Struct
from typing import NamedTuple

from tierbroker.records.tier.packed import PackedArray
from tierbroker.records.tier.segment import ObjectKind, SegmentArray

NEVER_MS = (1 << 63) - 1
"""Since when an object is garbage that became it with its whole topic: the record that deletes a
topic is Kafka's and has no time. `PurgedTopic.since_ms` has it, once it is known."""

_EXPAND = 1
_GARBAGE = Struct(
    ">qqqqqqiHBB"
)  # base, next, intent, since, metadata, bytes, epoch, inc, kind, flags
_INTENT = Struct(">16xq32x")
_AS_IN_A_SEGMENT = (*range(24), *range(44, 54))
"""Bytes of an entry that mean the same at the same place in a packed segment: offsets and intent,
then the size of the object (the lower half of ours), leader epoch and incarnation."""


class GarbageObject(NamedTuple):
    """An object to be deleted, if it exists at all."""

    kind: ObjectKind
    base_offset: int
    end_offset: int
    leader_epoch: int
    intent_offset: int
    incarnation: int
    since_ms: int
    """May be NEVER_MS."""
    since_metadata_offset: int
    """The first metadata record after which nothing names the object: a checkpoint as of this
    offset or later no longer does."""
    object_bytes: int = 0
    """0 where it is not known: an upload that was given up."""
    expand: bool = False
    """A manifest whose segments are garbage too: they go first, then the manifest. A manifest
    without this was given up, and the segments that it lists are alive."""


class GarbageArray(PackedArray[GarbageObject]):
    """Garbage of a partition in the order in which it became that; 56 bytes each."""

    __slots__ = ()

    ENTRY_BYTES = _GARBAGE.size

    @staticmethod
    def _packed(entry: GarbageObject) -> bytes:
        return _GARBAGE.pack(
            entry.base_offset,
            entry.end_offset + 1,
            entry.intent_offset,
            entry.since_ms,
            entry.since_metadata_offset,
            entry.object_bytes,
            entry.leader_epoch,
            entry.incarnation,
            entry.kind,
            _EXPAND if entry.expand else 0,
        )

    @staticmethod
    def _unpacked(data: bytes, position: int) -> GarbageObject:
        base, after, intent, since_ms, since, object_bytes, epoch, slot, kind, flags = (
            _GARBAGE.unpack_from(data, position)
        )
        return GarbageObject(
            ObjectKind(kind),
            base,
            after - 1,
            epoch,
            intent,
            slot,
            since_ms,
            since,
            object_bytes,
            bool(flags & _EXPAND),
        )

    @classmethod
    def of_segments(
        cls, segments: SegmentArray, since_ms: int, since_metadata_offset: int
    ) -> "GarbageArray":
        """The segments as garbage. Column by column, since a topic may have a million of them."""
        size = cls.ENTRY_BYTES
        blank = _GARBAGE.pack(
            0, 0, 0, since_ms, since_metadata_offset, 0, 0, 0, ObjectKind.SEGMENT, 0
        )
        data = bytearray(blank * len(segments))
        for byte in _AS_IN_A_SEGMENT:
            data[byte::size] = segments.data[byte::size]
        return cls(bytes(data))

    @property
    def kinds(self) -> set[int]:
        """The kinds of object that occur, known or not."""
        return set(self.data[54 :: self.ENTRY_BYTES])

    def intent_offsets(self) -> Iterator[int]:
        """The intent of each object."""
        return (intent for (intent,) in _INTENT.iter_unpack(self.data))

    def without(self, intent_offsets: Collection[int]) -> "GarbageArray":
        """Without the objects of these intents."""
        data, size = self.data, self.ENTRY_BYTES
        # The oldest go first, mostly all at once: the rest need not be looked at then.
        front = tuple(islice(self.intent_offsets(), len(intent_offsets)))
        if len(front) == len(intent_offsets) and all(map(intent_offsets.__contains__, front)):
            return self.without_front(len(front))
        kept = [
            data[slot * size : (slot + 1) * size]
            for slot, intent in enumerate(self.intent_offsets())
            if intent not in intent_offsets
        ]
        return GarbageArray(b"".join(kept)) if len(kept) < len(self) else self
