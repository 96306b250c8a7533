"""The first pass: which keys are noted, and where it ends when the table is full."""

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.compaction import Transactions
from tierbroker.records.compression import Codec
from tierbroker.records.key_notes import KeyNotes
from tierbroker.records.key_table import NO_OFFSET, KeyTable
from tierbroker.records.record import Record
from tierbroker.records.txn_index import AbortedTxn


def batch_of(base_offset: int, *keys: bytes | None, producer_id: int = -1) -> bytes:
    records = [Record(0, 5, key, b"v") for key in keys]
    return build_batch(
        records,
        base_offset=base_offset,
        producer_id=producer_id,
        transactional=producer_id >= 0,
        codec=Codec.GZIP,
    )


def noted(
    *batches: bytes,
    first_dirty: int = 0,
    memory_bytes: int = 10_000,
    aborted: tuple[AbortedTxn, ...] = (),
) -> tuple[KeyNotes, dict[bytes, int]]:
    table = KeyTable(memory_bytes, 0.9)
    notes = KeyNotes(table, Transactions(aborted), first_dirty)
    for batch in batches:
        if not notes.full:
            notes.note(read_header(batch), batch)
    lookup = table.seal()
    keys = [b"%d" % number for number in range(1000)] + [b"a", b"b", b"c"]
    return notes, {key: lookup(key, NO_OFFSET) for key in keys if lookup(key, NO_OFFSET) >= 0}


def test_last_offsets() -> None:
    notes, keys = noted(batch_of(0, b"a", b"b", None), batch_of(3, b"a"))
    assert keys == {b"a": 3, b"b": 1}
    assert notes.latest_offset == 3
    notes.end_segment(50)
    assert notes.latest_offset == 49


def test_records_below_the_dirty_part_are_passed() -> None:
    notes, keys = noted(batch_of(0, b"a", b"b"), batch_of(2, b"b", b"c"), first_dirty=3)
    assert keys == {b"c": 3}
    assert notes.latest_offset == 3


def test_aborted_records_do_not_count() -> None:
    aborted = (AbortedTxn(7, 1, 2, 2),)
    _, keys = noted(batch_of(0, b"a"), batch_of(1, b"a", producer_id=7), aborted=aborted)
    assert keys == {b"a": 0}


def test_a_full_table_ends_the_round_within_a_batch() -> None:
    many = [b"%d" % number for number in range(100)]
    notes, keys = noted(batch_of(0, *many[:20]), batch_of(20, *many[20:]), memory_bytes=1_000)
    assert notes.full
    assert notes.latest_offset == len(keys) - 1 > 20
    notes.end_segment(100)
    assert notes.latest_offset == len(keys) - 1


def test_a_single_batch_may_be_too_much() -> None:
    many = [b"%d" % number for number in range(100)]
    notes, keys = noted(batch_of(0, *many), memory_bytes=1_000)
    assert notes.full
    assert notes.latest_offset == len(keys) - 1 >= 0


def test_malformed_records_are_refused() -> None:
    batch = build_batch([Record(0, 1, b"a", b"v"), Record(1, 1, b"b", b"v")])
    notes = KeyNotes(KeyTable(10_000, 0.9), Transactions(()), 0)
    with pytest.raises(CorruptMessageError):
        notes.note(read_header(batch), batch + b"\x00")
