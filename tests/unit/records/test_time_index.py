"""`.timeindex`."""

import pytest

from tierbroker.records import time_index
from tierbroker.records.errors import CorruptIndexError

BASE = 1_000
ENTRIES = [(50, 1_009), (60, 1_019), (2**40, 1_500)]
DATA = b"".join(time_index.pack_entry(BASE, stamp, offset) for stamp, offset in ENTRIES)


def test_the_bytes_of_an_entry() -> None:
    assert DATA[:12].hex() == "0000000000000032" + "00000009"


def test_reading_entries() -> None:
    assert list(time_index.entries(DATA, BASE)) == ENTRIES
    assert list(time_index.entries(DATA + b"cut", BASE)) == ENTRIES
    assert time_index.entry_count(DATA) == 3
    assert time_index.entry(DATA, BASE, 1) == ENTRIES[1]


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        (-1, (-1, BASE)),
        (49, (-1, BASE)),
        (50, ENTRIES[0]),
        (59, ENTRIES[0]),
        (60, ENTRIES[1]),
        (2**40 - 1, ENTRIES[1]),
        (2**62, ENTRIES[2]),
    ],
)
def test_lookup(stamp: int, found: tuple[int, int]) -> None:
    assert time_index.lookup(DATA, BASE, stamp) == found
    assert time_index.lookup(memoryview(DATA), BASE, stamp) == found


def test_lookup_in_an_empty_index() -> None:
    assert time_index.lookup(b"", BASE, 5) == (-1, BASE)


def test_offsets_that_do_not_fit() -> None:
    with pytest.raises(CorruptIndexError, match="does not fit"):
        time_index.pack_entry(BASE, 1, BASE - 1)


def test_check() -> None:
    time_index.check(b"", BASE)
    time_index.check(DATA, BASE)
    first = time_index.pack_entry(BASE, 5, BASE + 5)
    for data in (DATA[:-1], first + first, first + bytes(12), DATA + first):
        with pytest.raises(CorruptIndexError):
            time_index.check(data, BASE)
