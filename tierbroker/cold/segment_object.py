"""A segment's object: its bytes as they lie in the hot log, then all that reading it needs (D-7).

Index entries, aborted transactions, producers and leader epochs travel with the records, so that a
reader, a restore and an archive without a broker need nothing but the object. Pure bytes.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierbroker.base.ids import uuid_text
from tierbroker.cold.container import ContentKind, SectionKind, build_end, read_sections
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.keys import ObjectName
from tierbroker.records import epoch_lineage, offset_index, producer_snapshot, txn_index
from tierbroker.records.batch import Buffer
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.errors import (
    CorruptCheckpointError,
    CorruptIndexError,
    CorruptSnapshotError,
)
from tierbroker.records.producer_snapshot import ProducerEntry
from tierbroker.records.tier.local import SegmentContent
from tierbroker.records.txn_index import AbortedTxn


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the records in a segment's object. Indexes stay packed, as they came."""

    base_offset: int
    offset_index: memoryview
    time_index: memoryview
    aborted: tuple[AbortedTxn, ...]
    """Every aborted transaction that overlaps the segment, by first offset."""
    producers: memoryview
    """A producer snapshot as of the segment's end; `producer_entries` reads it."""
    lineage: tuple[EpochEntry, ...]

    def position_of(self, offset: int) -> int:
        """A position at or before the batch that holds `offset`, the start of a batch."""
        return offset_index.lookup(self.offset_index, self.base_offset, offset)[1]

    def position_after(self, position: int) -> int | None:
        """The next position that the index knows behind `position`; None when it knows none."""
        count = len(self.offset_index) // offset_index.ENTRY_BYTES

        def position_at(slot: int) -> int:
            return offset_index.entry(self.offset_index, self.base_offset, slot)[1]

        slot = bisect_left(range(count), position + 1, key=position_at)
        return position_at(slot) if slot < count else None

    def position_until(self, position: int) -> int | None:
        """The last position that the index knows at or before it; None when it knows none."""
        count = len(self.offset_index) // offset_index.ENTRY_BYTES

        def position_at(slot: int) -> int:
            return offset_index.entry(self.offset_index, self.base_offset, slot)[1]

        slot = bisect_right(range(count), position, key=position_at) - 1
        return position_at(slot) if slot >= 0 else None

    def allows(self, position: int, first_offset: int, last_offset: int) -> bool:
        """Whether a batch of these offsets may lie at the position, as far as the index knows.

        An entry names the last offset of what was appended at once and where that begins. So a
        batch ends before what the next entry names, and begins after what the entry names that is
        one before its own.
        """
        count = len(self.offset_index) // offset_index.ENTRY_BYTES

        def entry_at(slot: int) -> tuple[int, int]:
            return offset_index.entry(self.offset_index, self.base_offset, slot)

        following = bisect_right(range(count), position, key=lambda slot: entry_at(slot)[1])
        if following < count and last_offset >= entry_at(following)[0]:
            return False
        return following < 2 or first_offset > entry_at(following - 2)[0]

    def producer_entries(self) -> list[ProducerEntry]:
        """The producers as of the segment's end; raises ObjectDamagedError."""
        try:
            return producer_snapshot.decode(self.producers)
        except CorruptSnapshotError as error:
            raise ObjectDamagedError(f"the producers of a segment's object: {error}") from error

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, nearly."""
        packed = len(self.offset_index) + len(self.time_index) + len(self.producers)
        return packed + 120 * len(self.aborted) + 80 * len(self.lineage) + 400


def build_tail(name: ObjectName, content: SegmentContent, about: Mapping[str, Any]) -> bytes:
    """The bytes that follow the segment's in its object.

    `about` says in JSON, beside the object's name, what a person would ask: topic, cluster,
    incarnation, maker. An object that was moved can be put back where it belongs.
    """
    facts = {
        **about,
        "topic_id": uuid_text(name.topic_id),
        "partition": name.partition,
        "base_offset": name.base_offset,
        "end_offset": name.end_offset,
        "leader_epoch": name.leader_epoch,
        "intent_offset": name.intent_offset,
    }
    return build_end(
        ContentKind.SEGMENT,
        (
            (SectionKind.OFFSET_INDEX, content.offset_index),
            (SectionKind.TIME_INDEX, content.time_index),
            (SectionKind.ABORTED, b"".join(map(txn_index.pack_entry, content.aborted))),
            (SectionKind.PRODUCERS, content.producers),
            (SectionKind.LINEAGE, content.lineage),
            (SectionKind.ABOUT, json.dumps(facts, sort_keys=True).encode()),
        ),
        content.log_bytes,
    )


def parse_tail(data: Buffer, base_offset: int, log_bytes: int) -> Tail:
    """Read what lies behind the records; raises ObjectDamagedError."""
    sections = read_sections(data, log_bytes + len(data), ContentKind.SEGMENT)
    nothing = memoryview(b"")
    lineage = sections.get(SectionKind.LINEAGE, nothing)
    try:
        index = sections.get(SectionKind.OFFSET_INDEX, nothing)
        if len(index) % offset_index.ENTRY_BYTES:
            raise CorruptIndexError(f"an offset index of {len(index)} bytes")
        return Tail(
            base_offset,
            index,
            sections.get(SectionKind.TIME_INDEX, nothing),
            tuple(txn_index.entries(sections.get(SectionKind.ABORTED, nothing))),
            sections.get(SectionKind.PRODUCERS, nothing),
            epoch_lineage.decode(bytes(lineage)) if lineage else (),
        )
    except (CorruptIndexError, CorruptCheckpointError) as error:
        raise ObjectDamagedError(f"behind the records of a segment's object: {error}") from error


def check_identity(data: Buffer, object_bytes: int, name: ObjectName) -> None:
    """Raise ObjectDamagedError when the last bytes of an object say that it is another one.

    Two objects may well have the same size, and a list of aborted transactions says nothing of
    where it belongs.
    """
    facts = read_about(data, object_bytes)
    wanted = (uuid_text(name.topic_id), name.partition, name.base_offset, name.intent_offset)
    found = tuple(
        facts.get(field) for field in ("topic_id", "partition", "base_offset", "intent_offset")
    )
    if found != wanted:
        raise ObjectDamagedError(f"an object says that it is {found}, and not {wanted}")


def read_about(data: Buffer, object_bytes: int) -> Mapping[str, Any]:
    """What the object says of itself, from its last bytes; raises ObjectDamagedError."""
    about = read_sections(data, object_bytes, ContentKind.SEGMENT).get(SectionKind.ABOUT)
    if about is None:
        raise ObjectDamagedError("the object says nothing about itself")
    try:
        facts = json.loads(bytes(about))
    except ValueError as error:
        raise ObjectDamagedError(f"what the object says about itself: {error}") from error
    if not isinstance(facts, dict):
        raise ObjectDamagedError("what the object says about itself is no list of facts")
    return facts
