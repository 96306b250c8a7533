"""Is a segment's object what it should be? Takes its bytes in order, and keeps none of them.

Checked are the whole object's checksum, its frame and what it says of itself, every batch (CRC,
place, offsets, leader epoch), the index against the batches, and the list of aborted transactions
against the markers in the data. It judges and reads nothing by itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import Uuid, uuid_text
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import ContentKind, SectionKind, read_sections
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.segment_object import Tail, parse_tail, read_about
from tierbroker.records import epoch_lineage, offset_index, time_index
from tierbroker.records.batch import BatchHeader, crc_valid, walk
from tierbroker.records.control import ControlType, read_marker
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.errors import CorruptIndexError
from tierbroker.records.tier.segment import TierSegment

if TYPE_CHECKING:
    from tierbroker.records.txn_index import AbortedTxn


@dataclass(frozen=True, slots=True)
class Ended:
    """A transaction that ends in the segment."""

    producer_id: int
    first_offset: int
    """-1 if it began before the segment, or has no records in the partition at all."""
    marker_offset: int
    aborted: bool
    listed: bool
    """Among the aborted transactions of the segment."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What a segment says that its neighbours must agree with."""

    lineage: tuple[EpochEntry, ...]
    ended: tuple[Ended, ...]
    open_transactions: dict[int, bool] = field(default_factory=dict)
    """Producers with a transaction that goes on behind the segment; whether it is listed as
    aborted."""


class SegmentCheck:
    """The check of one object. Raises ObjectDamagedError at the first thing that is wrong."""

    def __init__(
        self, segment: TierSegment, topic_id: Uuid, partition: int, tail: bytes | memoryview
    ) -> None:
        """`tail` is all that follows the records."""
        self._segment = segment
        self._tail_bytes = tail
        if len(tail) != segment.object_bytes - segment.log_bytes:
            raise ObjectDamagedError(f"{len(tail)} bytes follow the records")
        self.tail: Tail = parse_tail(tail, segment.base_offset, segment.log_bytes)
        self._check_identity(topic_id, partition)
        self._index: Iterator[tuple[int, int]] = _index_entries(self.tail)
        self._expected = next(self._index, None)
        self._rest = b""
        self._position = 0
        """Of the first byte that belongs to no batch yet."""
        self._checksum = 0
        self._previous_offset = segment.base_offset - 1
        self._max_timestamp_ms = -1
        self._open: dict[int, int] = {}
        self._ended: list[Ended] = []

    def _check_identity(self, topic_id: Uuid, partition: int) -> None:
        segment = self._segment
        sections = read_sections(self._tail_bytes, segment.object_bytes, ContentKind.SEGMENT)
        if SectionKind.ABOUT in sections:
            about = read_about(self._tail_bytes, segment.object_bytes)
            expected = {
                "topic_id": uuid_text(topic_id),
                "partition": partition,
                "base_offset": segment.base_offset,
                "end_offset": segment.end_offset,
                "leader_epoch": segment.leader_epoch,
                "intent_offset": segment.intent_offset,
            }
            for name, value in expected.items():
                if name in about and about[name] != value:
                    raise ObjectDamagedError(
                        f"it is another object: its {name} is {about[name]}, not {value}"
                    )
        if segment.has_aborted != bool(self.tail.aborted):
            raise ObjectDamagedError(
                f"it lists {len(self.tail.aborted)} aborted transactions, and was committed as "
                f"one that lists {'some' if segment.has_aborted else 'none'}"
            )
        for txn in self.tail.aborted:
            if txn.first_offset > segment.end_offset or txn.last_offset < segment.base_offset:
                raise ObjectDamagedError(f"it lists {txn}, which is not of its offsets")

    def take(self, data: bytes | memoryview) -> None:
        """The next bytes of the records."""
        self._checksum = crc64nvme(data, self._checksum)
        buffer = memoryview(self._rest + bytes(data) if self._rest else data)
        end = 0
        try:
            for at, header in walk(buffer):
                self._check_batch(buffer, at, header)
                end = at + header.size_bytes
        except CorruptMessageError as error:
            raise ObjectDamagedError(f"at byte {self._position + end}: {error.message}") from error
        self._position += end
        self._rest = bytes(buffer[end:])

    def _check_batch(self, buffer: memoryview, at: int, header: BatchHeader) -> None:
        position = self._position + at
        if header.base_offset <= self._previous_offset or (
            header.last_offset > self._segment.end_offset
        ):
            raise ObjectDamagedError(
                f"the batch at byte {position} has the offsets {header.base_offset} to "
                f"{header.last_offset}, after {self._previous_offset} and within "
                f"{self._segment.end_offset}"
            )
        if not crc_valid(buffer, at, header):
            raise ObjectDamagedError(
                f"the batch at byte {position}, offset {header.base_offset}, fails its CRC"
            )
        epoch = epoch_lineage.epoch_at(self.tail.lineage, header.base_offset)
        if epoch >= 0 and header.partition_leader_epoch != epoch:
            raise ObjectDamagedError(
                f"the batch at byte {position} is of leader epoch "
                f"{header.partition_leader_epoch}, its offset {header.base_offset} of {epoch}"
            )
        self._check_index(position, header)
        self._previous_offset = header.last_offset
        self._max_timestamp_ms = max(self._max_timestamp_ms, header.max_timestamp)
        if header.control:
            self._note_marker(buffer[at : at + header.size_bytes], header)
        elif header.transactional:
            self._open.setdefault(header.producer_id, header.base_offset)

    def _check_index(self, position: int, header: BatchHeader) -> None:
        while self._expected is not None and self._expected[1] <= position:
            offset, at = self._expected
            if at != position or offset < header.base_offset:
                raise ObjectDamagedError(
                    f"the index says that offset {offset} is at byte {at}, where no batch with "
                    "it begins"
                )
            self._expected = next(self._index, None)

    def _note_marker(self, batch: memoryview, header: BatchHeader) -> None:
        marker = read_marker(batch)
        if marker is not None:
            first = self._open.pop(header.producer_id, -1)
            aborted = marker.control_type is ControlType.ABORT
            listed = any(
                (txn.producer_id, txn.last_offset) == (header.producer_id, header.base_offset)
                for txn in self.tail.aborted
            )
            self._ended.append(
                Ended(header.producer_id, first, header.base_offset, aborted, listed)
            )

    def finish(self) -> SegmentFacts:
        """After the last byte."""
        segment = self._segment
        if self._rest or self._position != segment.log_bytes:
            raise ObjectDamagedError(f"the records end within a batch, at byte {self._position}")
        if crc64nvme(self._tail_bytes, self._checksum) != segment.checksum:
            raise ObjectDamagedError("it does not match the checksum that was committed")
        if self._expected is not None:
            raise ObjectDamagedError(
                f"the index names byte {self._expected[1]}, behind the last batch"
            )
        if self._max_timestamp_ms > segment.max_timestamp_ms:
            raise ObjectDamagedError(
                f"it has a record of time {self._max_timestamp_ms}, and was committed with "
                f"{segment.max_timestamp_ms} as its latest"
            )
        try:
            time_index.check(self.tail.time_index, segment.base_offset)
        except CorruptIndexError as error:
            raise ObjectDamagedError(str(error)) from error
        if self.tail.producers:
            self.tail.producer_entries()
        self._check_aborted()
        return SegmentFacts(
            self.tail.lineage,
            tuple(self._ended),
            {
                producer_id: any(
                    txn.producer_id == producer_id and txn.last_offset > segment.end_offset
                    for txn in self.tail.aborted
                )
                for producer_id in self._open
            },
        )

    def _check_aborted(self) -> None:
        """Every abort marker whose transaction has records is listed, and nothing else is."""
        base, end = self._segment.base_offset, self._segment.end_offset
        listed: dict[int, list[AbortedTxn]] = defaultdict(list)
        for txn in self.tail.aborted:
            listed[txn.producer_id].append(txn)
        for ended in self._ended:
            entry = next(
                (
                    txn
                    for txn in listed[ended.producer_id]
                    if txn.last_offset == ended.marker_offset
                ),
                None,
            )
            if entry is None:
                # Without records here it may have none at all, and is not listed then.
                if ended.aborted and ended.first_offset >= 0:
                    raise ObjectDamagedError(
                        f"the abort of producer {ended.producer_id} at offset "
                        f"{ended.marker_offset} is not listed"
                    )
                continue
            listed[ended.producer_id].remove(entry)
            wrong = ended.first_offset >= 0 and not (
                entry.first_offset == ended.first_offset or entry.first_offset < base
            )
            if not ended.aborted or wrong:
                raise ObjectDamagedError(
                    f"{entry} is listed; in the data that transaction of the producer is "
                    f"{'aborted' if ended.aborted else 'committed'} and begins at "
                    f"{ended.first_offset}"
                )
        for txn in (txn for left in listed.values() for txn in left):
            if txn.last_offset <= end:
                raise ObjectDamagedError(f"{txn} is listed, but no abort marker is there")


def _index_entries(tail: Tail) -> Iterator[tuple[int, int]]:
    count = len(tail.offset_index) // offset_index.ENTRY_BYTES
    for slot in range(count):
        yield offset_index.entry(tail.offset_index, tail.base_offset, slot)


class Neighbours:
    """What segments of a partition that follow each other must agree on."""

    def __init__(self) -> None:
        self._lineage: Sequence[EpochEntry] = ()
        self._open: dict[int, bool] = {}

    def forget(self) -> None:
        """The next segment does not follow the last one that was seen."""
        self._lineage = ()
        self._open = {}

    def disagreement(self, facts: SegmentFacts) -> str | None:
        """What the next segment contradicts of those before; None if nothing."""
        known = {entry.epoch: entry.start_offset for entry in self._lineage}
        # The first entry may have been moved to where the log began.
        for entry in facts.lineage[1:]:
            if known.get(entry.epoch, entry.start_offset) != entry.start_offset:
                return (
                    f"leader epoch {entry.epoch} begins at {entry.start_offset}, by the segments "
                    f"before at {known[entry.epoch]}"
                )
        told = None
        for ended in facts.ended:
            was_listed = self._open.pop(ended.producer_id, None)
            if was_listed is not None and not was_listed == ended.listed == ended.aborted:
                told = (
                    f"the transaction of producer {ended.producer_id} that ends at "
                    f"{ended.marker_offset} was {'aborted' if ended.aborted else 'committed'}; as "
                    f"aborted it is {'' if was_listed else 'not '}listed before this segment, and "
                    f"{'' if ended.listed else 'not '}in it"
                )
        self._open.update(facts.open_transactions)
        self._lineage = facts.lineage
        return told
