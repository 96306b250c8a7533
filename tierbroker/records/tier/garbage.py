"""Objects that count no more: what is needed to remove them, and since when.

An object becomes garbage through the metadata log, and is forgotten there once it is deleted. In
between a grace period passes, and a bucket checkpoint that no longer names the object.
"""

from struct import Struct
from typing import NamedTuple

from tierbroker.records.tier.packed import PackedArray
from tierbroker.records.tier.segment import ObjectKind

_EXPAND = 1
_TIME = Struct(">q")
_GARBAGE = Struct(
    ">qqqqqqiHBB"
)  # base, end, intent, since, metadata, bytes, epoch, inc, kind, flags


NEVER_MS = (1 << 63) - 1
"""Since when an object is garbage whose topic was deleted, until the first checkpoint without the
topic says a time: the record that deletes a topic is Kafka's and has none."""


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
            entry.end_offset,
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
        base, end, intent, since_ms, since, object_bytes, epoch, slot, kind, flags = (
            _GARBAGE.unpack_from(data, position)
        )
        return GarbageObject(
            ObjectKind(kind),
            base,
            end,
            epoch,
            intent,
            slot,
            since_ms,
            since,
            object_bytes,
            bool(flags & _EXPAND),
        )

    @property
    def kinds(self) -> set[int]:
        """The kinds of object that occur, known or not."""
        return set(self.data[54 :: self.ENTRY_BYTES])

    def dated(self, now_ms: int) -> "GarbageArray":
        """With this time in place of each NEVER_MS."""
        data, size = self.data, self.ENTRY_BYTES
        never, now = _TIME.pack(NEVER_MS), _TIME.pack(now_ms)
        pieces = []
        for start in range(0, len(data), size):
            entry = data[start : start + size]
            if entry[24:32] == never:
                entry = entry[:24] + now + entry[32:]
            pieces.append(entry)
        return GarbageArray(b"".join(pieces))
