"""Compaction against a plain model: the last committed value of each key, whatever was written.

A log grows by data batches of plain and transactional producers and by markers, time passes, and
it is cleaned again and again, with key tables so small that a round ends early. What a
read_committed reader finds is compared with a dictionary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tierbroker.records.batch import BatchHeader, crc_valid, patch_offsets, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.compaction import (
    Action,
    LastEntry,
    LiveOffsets,
    RetainRule,
    Transactions,
)
from tierbroker.records.compression import Codec
from tierbroker.records.control import (
    ControlType,
    EndTxnMarker,
    build_marker_batch,
    read_marker,
)
from tierbroker.records.key_notes import KeyNotes
from tierbroker.records.key_table import KeyTable
from tierbroker.records.record import Record, iterate
from tierbroker.records.txn_index import AbortedTxn

DELETE_RETENTION_MS = 1_000
PLAIN_PRODUCER = -1
IDEMPOTENT_PRODUCER = 5
ROOMY, TIGHT = 1 << 16, 400
KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"", b"k" * 50, None])
VALUES = st.sampled_from([b"", b"x", b"y" * 80, None])


@dataclass
class PlainLog:
    """Batches with their offsets, and what the model remembers of them."""

    batches: list[bytes] = field(default_factory=list)
    aborted: list[AbortedTxn] = field(default_factory=list)
    open_since: dict[int, int] = field(default_factory=dict)
    pending: dict[int, list[Record]] = field(default_factory=dict)
    committed: dict[bytes, Record] = field(default_factory=dict)
    written: dict[int, Record] = field(default_factory=dict)
    last_entries: dict[int, LastEntry] = field(default_factory=dict)
    first_cleaned_ms: dict[int, int] = field(default_factory=dict)
    end: int = 0
    now_ms: int = 10_000
    cleaned_end: int = 0

    def append(
        self, producer: int, content: Sequence[tuple[bytes | None, bytes | None]], codec: int
    ) -> None:
        transactional = producer > IDEMPOTENT_PRODUCER
        records = [
            Record(self.end + number, self.now_ms + number % 3, key, value)
            for number, (key, value) in enumerate(content)
        ]
        self._add(
            build_batch(
                records,
                codec=codec,
                producer_id=producer,
                producer_epoch=0 if producer >= 0 else -1,
                base_sequence=self.end if producer >= 0 else -1,
                transactional=transactional,
            )
        )
        self.written.update((record.offset, record) for record in records)
        if producer >= 0:
            self.last_entries[producer] = LastEntry(0, records[-1].offset)
        if transactional:
            self.open_since.setdefault(producer, records[0].offset)
            self.pending.setdefault(producer, []).extend(records)
        else:
            self._commit(records)

    def end_transaction(self, producer: int, *, commit: bool) -> None:
        if producer not in self.open_since:
            return
        marker = EndTxnMarker(ControlType.COMMIT if commit else ControlType.ABORT, 0)
        offset = self._add(
            build_marker_batch(
                marker, timestamp_ms=self.now_ms, producer_id=producer, producer_epoch=0
            )
        )
        first = self.open_since.pop(producer)
        records = self.pending.pop(producer)
        if commit:
            self._commit(records)
        else:
            self.aborted.append(AbortedTxn(producer, first, offset, offset))

    def _add(self, batch: bytes) -> int:
        writable = bytearray(batch)
        patch_offsets(writable, 0, self.end, 0)
        self.batches.append(bytes(writable))
        offset = self.end
        self.end += read_header(writable).last_offset_delta + 1
        return offset

    def _commit(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.key is None:
                continue
            known = self.committed.get(record.key)
            if known is None or known.offset < record.offset:
                self.committed[record.key] = record

    @property
    def stable_end(self) -> int:
        return min(self.open_since.values(), default=self.end)

    def clean(self, table_bytes: int) -> bool:
        """One round up to the last stable offset; whether it came to that end."""
        end = self.stable_end
        below = [batch for batch in self.batches if read_header(batch).base_offset < end]
        notes = KeyNotes(
            table := KeyTable(table_bytes, 0.9),
            Transactions(txn for txn in self.aborted if txn.last_offset >= self.cleaned_end),
            self.cleaned_end,
        )
        for batch in below:
            header = read_header(batch)
            if header.next_offset > self.cleaned_end:
                notes.note(header, batch)
                if notes.full:
                    break
        notes.end_segment(end)
        live = LiveOffsets(table, self.cleaned_end, notes.latest_offset, memory_bytes=5)
        transactions = Transactions(self.aborted)
        rule = RetainRule(
            live,
            table,
            transactions,
            producers=self.last_entries,
            end_offset=end,
            now_ms=self.now_ms,
            delete_retention_ms=DELETE_RETENTION_MS,
        )
        kept: list[bytes] = []
        for batch in below:
            header = read_header(batch)
            if header.base_offset <= notes.latest_offset:
                verdict = rule.judge(header, batch if rule.needs_records(header) else None)
                if verdict.action is Action.DROP:
                    continue
                kept.append(verdict.data or batch)
                self._check_replacement(header, kept[-1], verdict.kept)
            else:
                kept.append(batch)
        beyond = [txn for txn in self.aborted if txn.last_offset > notes.latest_offset]
        self.aborted = [
            *(txn for txn in transactions.take_still_marked() if txn not in beyond),
            *beyond,
        ]
        self._check_tombstones(kept, notes.latest_offset)
        self.batches = kept + self.batches[len(below) :]
        self.cleaned_end = max(notes.latest_offset + 1, self.cleaned_end)
        return not notes.full

    def _check_replacement(self, header: BatchHeader, batch: bytes, kept: int) -> None:
        now = read_header(batch)
        assert now.size_bytes == len(batch)
        assert crc_valid(batch, 0, now)
        assert now.record_count == kept
        assert (now.base_offset, now.last_offset) == (header.base_offset, header.last_offset)
        assert now.base_sequence == header.base_sequence
        assert now.producer_id == header.producer_id

    def _check_tombstones(self, kept: Sequence[bytes], latest_offset: int) -> None:
        """A key's last record, if a tombstone, stays a while after a round first met it."""
        offsets = {record.offset for batch in kept for record in iterate(batch)}
        for record in self.committed.values():
            if record.value is not None or record.offset > latest_offset:
                continue
            met = self.first_cleaned_ms.setdefault(record.offset, self.now_ms)
            if self.now_ms < met + DELETE_RETENTION_MS:
                assert record.offset in offsets

    def read_committed(self) -> list[Record]:
        """As a consumer does: by the list of aborted transactions and the markers."""
        seen: list[Record] = []
        waiting = sorted(self.aborted, key=lambda txn: txn.first_offset)
        aborting: set[int] = set()
        for batch in self.batches:
            header = read_header(batch)
            if header.base_offset >= self.stable_end:
                break
            while waiting and waiting[0].first_offset <= header.last_offset:
                aborting.add(waiting.pop(0).producer_id)
            if header.control:
                marker = read_marker(batch) if header.record_count else None
                if marker and marker.control_type == ControlType.ABORT:
                    aborting.discard(header.producer_id)
            elif not (header.transactional and header.producer_id in aborting):
                seen += iterate(batch)
        return seen

    def check(self, *, complete: bool) -> None:
        headers = [read_header(batch) for batch in self.batches]
        for before, after in pairwise(headers):
            assert before.last_offset < after.base_offset
        found: dict[bytes, list[Record]] = {}
        for record in self.read_committed():
            assert record == self.written[record.offset]
            if record.key is not None:
                found.setdefault(record.key, []).append(record)
        for key, last in self.committed.items():
            if last.offset >= self.stable_end:
                continue
            records = found.pop(key, [])
            if last.value is not None or records:
                assert records[-1] == last
            if complete:
                assert len([each for each in records if each.offset < self.cleaned_end]) <= 1
        assert all(records[-1].offset < self.stable_end for records in found.values())
        if complete:
            ends = {header.last_offset for header in headers}
            assert not self.cleaned_end or self.cleaned_end - 1 in ends
            for last_entry in self.last_entries.values():
                assert last_entry.last_data_offset in ends


Steps = list[tuple[object, ...]]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"),
            st.sampled_from([PLAIN_PRODUCER, IDEMPOTENT_PRODUCER, 6, 7, 8]),
            st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=6),
            st.sampled_from([Codec.NONE, Codec.NONE, Codec.GZIP, Codec.ZSTD]),
        ),
        st.tuples(st.just("end"), st.sampled_from([6, 7, 8]), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 700)),
        st.tuples(st.just("clean"), st.sampled_from([ROOMY, TIGHT])),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_a_reader_finds_the_last_committed_value_of_each_key(steps: Steps) -> None:
    log = PlainLog()
    for step in steps:
        match step:
            case ("append", int(producer), list(content), int(codec)):
                log.append(producer, content, codec)
            case ("end", int(producer), bool(commit)):
                log.end_transaction(producer, commit=commit)
            case ("wait", int(elapsed_ms)):
                log.now_ms += elapsed_ms
            case ("clean", int(table_bytes)):
                log.check(complete=log.clean(table_bytes))
    while not log.clean(TIGHT):
        log.check(complete=False)
    log.check(complete=True)


@settings(max_examples=100)
@given(STEPS)
def test_nothing_but_last_values_is_left_in_the_end(steps: Steps) -> None:
    """After the time of tombstones and markers the log is as small as it can be."""
    log = PlainLog()
    for step in steps:
        match step:
            case ("append", int(producer), list(content), int(codec)):
                log.append(producer, content, codec)
            case ("end", int(producer), bool(commit)):
                log.end_transaction(producer, commit=commit)
            case _:
                pass
    for producer in 6, 7, 8:
        log.end_transaction(producer, commit=True)
    for _ in range(3):
        assert log.clean(ROOMY)
        log.now_ms += DELETE_RETENTION_MS
    log.last_entries.clear()
    log.append(PLAIN_PRODUCER, [(b"last", b"value")], Codec.NONE)
    assert log.clean(ROOMY)
    left = {
        record.offset
        for batch in log.batches
        for record in iterate(batch)
        if not read_header(batch).control
    }
    wanted = {last.offset for last in log.committed.values() if last.value is not None}
    assert left == wanted
