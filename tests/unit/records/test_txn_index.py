"""`.txnindex`."""

import pytest

from tierbroker.records import txn_index
from tierbroker.records.errors import CorruptIndexError
from tierbroker.records.txn_index import AbortedTxn

TXNS = [AbortedTxn(1, 10, 20, 15), AbortedTxn(2, 15, 30, 31), AbortedTxn(1, 40, 50, 51)]
DATA = b"".join(txn_index.pack_entry(txn) for txn in TXNS)


def test_entries_have_34_bytes() -> None:
    assert len(DATA) == 3 * 34
    assert DATA[:34].hex() == "0000" + "".join(f"{number:016x}" for number in (1, 10, 20, 15))
    assert list(txn_index.entries(memoryview(DATA))) == TXNS


@pytest.mark.parametrize(
    ("fetch_offset", "upper_bound", "found", "complete"),
    [
        (0, 10, [], True),
        (0, 11, TXNS[:1], True),
        (0, 16, TXNS[:2], True),
        (20, 32, TXNS[:2], True),
        (21, 41, TXNS[1:], True),
        (31, 52, TXNS[2:], False),
        (51, 60, [], False),
    ],
)
def test_overlapping(
    fetch_offset: int, upper_bound: int, found: list[AbortedTxn], complete: bool
) -> None:
    assert txn_index.overlapping(DATA, fetch_offset, upper_bound) == (found, complete)


def test_an_empty_index_leaves_the_question_to_the_next_segment() -> None:
    assert txn_index.overlapping(b"", 0, 10) == ([], False)


def test_truncation_keeps_what_ended_below() -> None:
    assert txn_index.truncated(DATA, 31) == DATA[:68]
    assert txn_index.truncated(DATA, 30) == DATA[:34]
    assert txn_index.truncated(DATA, 0) == b""
    assert txn_index.truncated(DATA, 100) == DATA


def test_damage() -> None:
    with pytest.raises(CorruptIndexError, match="cut"):
        list(txn_index.entries(DATA[:-1]))
    with pytest.raises(CorruptIndexError, match="version 1"):
        list(txn_index.entries(b"\x00\x01" + DATA[2:34]))
    with pytest.raises(CorruptIndexError, match="does not fit"):
        txn_index.check(DATA, 21)
    with pytest.raises(CorruptIndexError, match="does not fit"):
        txn_index.check(txn_index.pack_entry(AbortedTxn(1, 9, 8, 9)), 0)
    txn_index.check(DATA, 0)
