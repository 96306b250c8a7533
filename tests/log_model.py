"""A partition as a plain list of batches, by the rules in their plainest form.

Kept beside a real log, it says what must be found there. It never looks at the log.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tests.log_setup import Batch
from tierbroker.records.batch import MAX_SEQUENCE, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.record import Record

FIRST_SEQUENCE = MAX_SEQUENCE - 3
"""Close to the end of the numbers, so that they wrap. Transactions begin with 0: a broker that saw
their producer's marker alone takes nothing else."""


@dataclass(frozen=True)
class Kept:
    """A batch: records with their offsets, or the marker that ends a transaction."""

    base_offset: int
    records: tuple[Record, ...]
    producer_id: int = -1
    sequence: int = -1
    leader_epoch: int = 0
    transactional: bool = False
    marker: ControlType | None = None
    marker_of: int = -1
    """First offset of the transaction that the marker ends, -1 when it ends none."""

    @property
    def next_offset(self) -> int:
        """That of the batch behind it."""
        return self.base_offset + len(self.records)

    @property
    def last_offset(self) -> int:
        """Of its records."""
        return self.next_offset - 1

    def to_bytes(self) -> Batch:
        """As a producer, or the coordinator, sends it."""
        if self.marker is not None:
            data = build_marker_batch(
                EndTxnMarker(self.marker, 0),
                timestamp_ms=self.records[0].timestamp_ms,
                producer_id=self.producer_id,
                producer_epoch=0,
            )
        else:
            data = build_batch(
                [record._replace(offset=slot) for slot, record in enumerate(self.records)],
                producer_id=self.producer_id,
                producer_epoch=0 if self.producer_id >= 0 else -1,
                base_sequence=self.sequence,
                transactional=self.transactional,
            )
        return bytearray(data), read_header(data)


@dataclass
class LogModel:
    """The batches in order, of which compaction may have taken records and whole batches."""

    batches: list[Kept] = field(default_factory=list)
    start: int = 0
    end: int = 0
    cleaned: set[int] = field(default_factory=set)
    """Offsets of records that compaction took."""
    dropped: set[int] = field(default_factory=set)
    """Base offsets of the batches that it took whole."""
    unknown_below: dict[int, int] = field(default_factory=dict)
    """By producer: of its batches below that offset a log need know nothing any more."""

    def keep(self, batch: Kept, leader_epoch: int) -> Kept:
        """Append it; answers it with its offsets."""
        records = tuple(
            record._replace(offset=self.end + slot) for slot, record in enumerate(batch.records)
        )
        marker_of = -1
        if batch.marker is not None:
            marker_of = self.open_transactions().get(batch.producer_id, -1)
        kept = replace(
            batch,
            base_offset=self.end,
            records=records,
            leader_epoch=leader_epoch,
            marker_of=marker_of,
        )
        self.batches.append(kept)
        self.end = kept.next_offset
        return kept

    def forget_from(self, offset: int) -> None:
        """What reaches the offset or lies beyond it is gone, the batches as wholes."""
        self.batches = [batch for batch in self.batches if batch.next_offset <= offset]
        self.end = offset
        self.start = min(self.start, offset)

    def lose(self, base_offsets: Collection[int]) -> None:
        """These batches were never durable, and others behind them are there: it is as if they had
        never been."""
        left = [batch for batch in self.batches if batch.base_offset not in base_offsets]
        self.batches = []
        for batch in left:
            began = self.open_transactions().get(batch.producer_id, -1)
            marker_of = -1 if batch.marker is None else began
            self.batches.append(replace(batch, marker_of=marker_of))

    def note_cleaned(self, left: Mapping[int, Collection[int]], end: int) -> None:
        """Take what compaction took, if it may. `left` are the batches that are there by base
        offset, with the offsets of their records; nothing at `end` or beyond was to be taken.
        """
        last = {record.key: record.offset for record in self.committed() if record.offset < end}
        aborted = {record.offset for record in self.aborted_records()}
        for batch in self.present():
            if batch.next_offset <= self.start:
                continue
            offsets = left.get(batch.base_offset)
            for record in batch.records:
                offset = record.offset
                if offset in self.cleaned or offset < self.start or offset in (offsets or ()):
                    continue
                if batch.marker is not None:
                    self.cleaned.add(offset)
                    continue
                superseded = last.get(record.key, -1) > offset or record.value is None
                assert offset < end, f"{offset} is lost, it was not to be cleaned"
                assert superseded or offset in aborted, f"{record.key!r} at {offset} is lost"
                self.cleaned.add(offset)
            if offsets is None:
                assert batch.base_offset < end, f"the batch at {batch.base_offset} is lost"
                self.dropped.add(batch.base_offset)

    # -- what readers find ---------------------------------------------------------------------

    def present(self) -> Iterator[Kept]:
        """The batches that are there, below the log start too."""
        return (batch for batch in self.batches if batch.base_offset not in self.dropped)

    def records(self) -> Iterator[Record]:
        """All that are left from the log start on; the markers' too."""
        for batch in self.present():
            for record in batch.records:
                if record.offset >= self.start and record.offset not in self.cleaned:
                    yield record

    def data(self) -> list[Record]:
        """What a consumer of everything sees."""
        markers = {batch.base_offset for batch in self.batches if batch.marker is not None}
        return [record for record in self.records() if record.offset not in markers]

    def committed(self) -> list[Record]:
        """What a consumer of committed records sees."""
        aborted = {record.offset for record in self.aborted_records()}
        stable = self.stable_offset()
        return [r for r in self.data() if r.offset < stable and r.offset not in aborted]

    # -- transactions and producers ------------------------------------------------------------

    def open_transactions(self) -> dict[int, int]:
        """First offset of the open transaction of each producer."""
        opened: dict[int, int] = {}
        for batch in self.batches:
            if batch.marker is not None:
                opened.pop(batch.producer_id, None)
            elif batch.transactional:
                opened.setdefault(batch.producer_id, batch.base_offset)
        return opened

    def stable_offset(self) -> int:
        """Below it every transaction has ended."""
        return min([self.end, *self.open_transactions().values()])

    def aborts(self) -> list[Kept]:
        """The markers that end a transaction so."""
        return [
            batch
            for batch in self.batches
            if batch.marker is ControlType.ABORT and batch.marker_of >= 0
        ]

    def aborted_records(self) -> Iterator[Record]:
        """Those of transactions that were aborted."""
        for marker in self.aborts():
            for batch in self.batches:
                if (
                    batch.producer_id == marker.producer_id
                    and marker.marker_of <= batch.base_offset < marker.base_offset
                ):
                    yield from batch.records

    def of(self, producer_id: int) -> list[Kept]:
        """The batches that the producer sent."""
        return [
            batch
            for batch in self.batches
            if batch.producer_id == producer_id
            and batch.marker is None
            and batch.base_offset >= self.unknown_below.get(producer_id, 0)
        ]

    def next_sequence(self, producer_id: int, *, transactional: bool = False) -> int:
        """Of its next batch."""
        known = self.of(producer_id)
        if producer_id < 0:
            return -1
        if not known:
            began = transactional or producer_id in self.unknown_below
            return 0 if began else FIRST_SEQUENCE
        return (known[-1].sequence + len(known[-1].records)) & MAX_SEQUENCE
