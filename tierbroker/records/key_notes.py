"""The first pass of a cleaning round: the last offset of each key of the dirty part. Pure.

Records of aborted transactions do not count: a key's last record is its last committed one
(Kafka: Cleaner.buildOffsetMap).
"""

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import BatchHeader
from tierbroker.records.compaction import Transactions, payload
from tierbroker.records.key_scan import names_and_offsets, note_keys
from tierbroker.records.key_table import KeyTable


class KeyNotes:
    """Fills a key table batch by batch, until there are no more or the table is full."""

    def __init__(
        self, table: KeyTable, transactions: Transactions, first_dirty_offset: int
    ) -> None:
        """`transactions`: those that overlap what is read; records below the offset are passed."""
        self._table = table
        self._transactions = transactions
        self._first_dirty_offset = first_dirty_offset
        self.latest_offset = first_dirty_offset - 1
        """Every key up to here is in the table."""
        self.full = False

    def note(self, header: BatchHeader, batch: bytes | None) -> None:
        """Note a batch; `batch` may be None if it has no records. Not to be called once `full`.

        Raises CorruptMessageError on malformed records, and what decompression raises.
        """
        if header.control:
            self._transactions.marks_nothing(header, batch)
        elif (
            not self._transactions.aborts(header)
            and batch is not None
            and header.next_offset > self._first_dirty_offset
        ):
            self._note_records(header, *payload(batch, header))
            if self.full:
                return
        self.latest_offset = max(self.latest_offset, header.last_offset)

    def end_segment(self, end_offset: int) -> None:
        """No more batches come below `end_offset`, even if the last one ended earlier."""
        if not self.full:
            self.latest_offset = max(self.latest_offset, end_offset - 1)

    def _note_records(self, header: BatchHeader, records: bytes, position: int) -> None:
        table, count = self._table, header.record_count
        if header.base_offset < self._first_dirty_offset or not table.has_room(count):
            self._note_one_by_one(header, records, position)
            return
        for done in range(0, count, table.recent_limit):
            burst = min(table.recent_limit, count - done)
            position = note_keys(records, position, burst, header.base_offset, table.recent)
            table.pour_when_grown()
        if position != len(records):
            raise CorruptMessageError(f"the records end at {position} of {len(records)} bytes")

    def _note_one_by_one(self, header: BatchHeader, records: bytes, position: int) -> None:
        """For a batch that may not fit, or of which a former round noted the first records."""
        table = self._table
        for name, offset in names_and_offsets(
            records, position, header.record_count, header.base_offset
        ):
            if offset < self._first_dirty_offset:
                continue
            if not table.has_room(1):
                self.full = True
                return
            table.recent[name] = offset
            table.pour_when_grown()
            self.latest_offset = offset
