"""The loops over records read what `record.iterate` reads, and only that."""

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import HEADER_BYTES, pack_header, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.key_scan import (
    highest_timestamp_delta,
    names_and_offsets,
    note_keys,
    shift_timestamps,
    survivors,
)
from tierbroker.records.key_table import name_of
from tierbroker.records.record import Record, iterate

LONG_KEY = b"long" * 40
RECORDS = [
    Record(100, 5_000, b"a", b"one", (("h", b"x"), ("n", None))),
    Record(101, 4_000, b"b", None),
    Record(102, 9_000, None, b"no key"),
    Record(203, 7_000, b"", b""),
    Record(20_000, 6_000, LONG_KEY, b"v" * 9_000),
    Record(20_001, 99_999_999, b"a", b"two"),
]
BATCH = build_batch(
    RECORDS, base_offset=100, offsets=[record.offset for record in RECORDS], last_offset=20_001
)
DATA = BATCH[HEADER_BYTES:]
LAST = {b"a": 20_001, b"b": 101, b"": 203, name_of(LONG_KEY): 20_000}


def test_the_last_offset_of_each_key_is_noted() -> None:
    recent: dict[bytes, int] = {}
    assert note_keys(DATA, 0, len(RECORDS), 100, recent) == len(DATA)
    assert recent == LAST


def test_bursts_continue_where_the_last_one_ended() -> None:
    recent: dict[bytes, int] = {}
    position = note_keys(DATA, 0, 2, 100, recent)
    assert recent == {b"a": 100, b"b": 101}
    assert note_keys(DATA, position, 4, 100, recent) == len(DATA)
    assert recent == LAST


def test_one_by_one() -> None:
    assert list(names_and_offsets(DATA, 0, len(RECORDS), 100)) == [
        (b"a", 100),
        (b"b", 101),
        (b"", 203),
        (name_of(LONG_KEY), 20_000),
        (b"a", 20_001),
    ]


def kept_offsets(latest_offset: int, *, keep_tombstones: bool = True) -> list[int]:
    found = survivors(
        DATA, 0, len(RECORDS), 100, latest_offset, LAST.get, keep_tombstones=keep_tombstones
    )
    starts = [start for start, _ in found.spans]
    bounds = [note_keys(DATA, 0, count, 100, {}) for count in range(len(RECORDS))]
    return [RECORDS[bounds.index(start)].offset for start in starts]


def test_survivors_are_last_records_with_a_key() -> None:
    assert kept_offsets(20_001) == [101, 203, 20_000, 20_001]


def test_a_tombstone_goes_when_its_time_is_over() -> None:
    assert kept_offsets(20_001, keep_tombstones=False) == [203, 20_000, 20_001]


def test_what_the_table_does_not_know_stays() -> None:
    assert kept_offsets(101) == [101, 102, 203, 20_000, 20_001]


def test_survivors_tell_of_tombstones_and_records_without_key() -> None:
    found = survivors(DATA, 0, len(RECORDS), 100, 20_001, LAST.get, keep_tombstones=True)
    assert found.tombstones
    assert found.without_key == 1
    assert not survivors(
        DATA, 0, len(RECORDS), 100, 20_001, LAST.get, keep_tombstones=False
    ).tombstones


def test_timestamps_are_shifted_and_nothing_else() -> None:
    spans = survivors(DATA, 0, len(RECORDS), 100, 99, LAST.get, keep_tombstones=True).spans
    assert highest_timestamp_delta(DATA, spans) == 99_999_999 - 5_000
    shifted = shift_timestamps(DATA, spans, -(10**12))
    header = read_header(BATCH)
    moved = header._replace(
        base_timestamp=header.base_timestamp + 10**12,
        batch_length=header.batch_length - len(DATA) + len(shifted),
    )
    assert list(iterate(pack_header(moved) + shifted)) == RECORDS


@pytest.mark.parametrize("cut", [1, 30, len(DATA) - 1])
def test_records_that_are_cut_short_are_refused(cut: int) -> None:
    with pytest.raises(CorruptMessageError):
        survivors(DATA[:cut], 0, len(RECORDS), 100, 20_001, LAST.get, keep_tombstones=True)


def test_bytes_behind_the_last_record_are_refused() -> None:
    with pytest.raises(CorruptMessageError):
        survivors(DATA + b"\x00", 0, len(RECORDS), 100, 20_001, LAST.get, keep_tombstones=True)


def test_an_endless_varint_is_refused() -> None:
    with pytest.raises(CorruptMessageError):
        note_keys(b"\x80" * 40, 0, 1, 0, {})
