"""`.index`."""

import pytest

from tierbroker.records import offset_index
from tierbroker.records.errors import CorruptIndexError

BASE = 1_000
ENTRIES = [(1_009, 4_200), (1_019, 8_400), (1_500, 12_600)]
DATA = b"".join(offset_index.pack_entry(BASE, offset, position) for offset, position in ENTRIES)


def test_the_bytes_of_an_entry() -> None:
    assert DATA[:8].hex() == "00000009" + "00001068"


def test_reading_entries() -> None:
    assert list(offset_index.entries(DATA, BASE)) == ENTRIES
    assert list(offset_index.entries(memoryview(DATA + b"cut"), BASE)) == ENTRIES
    assert offset_index.entry_count(DATA) == 3
    assert offset_index.entry(DATA, BASE, 2) == ENTRIES[2]


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (0, (BASE, 0)),
        (1_000, (BASE, 0)),
        (1_008, (BASE, 0)),
        (1_009, ENTRIES[0]),
        (1_018, ENTRIES[0]),
        (1_019, ENTRIES[1]),
        (1_499, ENTRIES[1]),
        (1_500, ENTRIES[2]),
        (10**15, ENTRIES[2]),
    ],
)
def test_lookup(target: int, found: tuple[int, int]) -> None:
    assert offset_index.lookup(DATA, BASE, target) == found
    assert offset_index.lookup(memoryview(DATA), BASE, target) == found


def test_lookup_in_an_empty_index() -> None:
    assert offset_index.lookup(b"", BASE, 5_000) == (BASE, 0)
    assert offset_index.slot_of(b"", BASE, 5_000) == -1


@pytest.mark.parametrize("offset", [BASE - 1, BASE + 2**31])
def test_offsets_that_do_not_fit(offset: int) -> None:
    with pytest.raises(CorruptIndexError, match="does not fit"):
        offset_index.pack_entry(BASE, offset, 0)


def test_check() -> None:
    offset_index.check(b"", BASE, 0)
    offset_index.check(DATA, BASE, 12_601)
    first = offset_index.pack_entry(BASE, BASE + 5, 100)
    faults = [
        DATA + b"x",
        bytes(8),
        first + first,
        first + offset_index.pack_entry(BASE, BASE + 6, 100),
        first + bytes(8),
    ]
    for data in faults:
        with pytest.raises(CorruptIndexError):
            offset_index.check(data, BASE)
    with pytest.raises(CorruptIndexError, match="12600"):
        offset_index.check(DATA, BASE, 12_600)
