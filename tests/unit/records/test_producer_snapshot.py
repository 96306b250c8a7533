"""`.snapshot`."""

import struct

import pytest
from crc32c import crc32c

from tierbroker.records import producer_snapshot
from tierbroker.records.errors import CorruptSnapshotError
from tierbroker.records.producer_snapshot import ProducerEntry

PRODUCERS = [
    ProducerEntry(1, 0, 99, 1_000, 9, 1_700_000_000_000, -1, -1),
    ProducerEntry(2**40, 5, 2**31 - 1, 2_000, 0, -1, 7, 1_990),
]


def test_the_layout() -> None:
    data = producer_snapshot.encode(PRODUCERS)
    assert len(data) == 10 + 2 * 46
    version, crc, count = struct.unpack_from(">hIi", data)
    assert (version, count) == (1, 2)
    assert crc == crc32c(data[6:])
    assert struct.unpack_from(">qhiqiqiq", data, 10) == PRODUCERS[0]


@pytest.mark.parametrize("producers", [[], PRODUCERS])
def test_round_trip(producers: list[ProducerEntry]) -> None:
    data = producer_snapshot.encode(producers)
    assert producer_snapshot.decode(data) == producers
    assert producer_snapshot.decode(memoryview(data)) == producers


def test_first_offset_of_the_last_batch() -> None:
    assert PRODUCERS[0].first_offset == 991


def test_any_flipped_bit_and_any_cut_is_noticed() -> None:
    data = producer_snapshot.encode(PRODUCERS)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises(CorruptSnapshotError):
            producer_snapshot.decode(damaged)
        with pytest.raises(CorruptSnapshotError):
            producer_snapshot.decode(data[:position])
    with pytest.raises(CorruptSnapshotError):
        producer_snapshot.decode(data + b"x")


@pytest.mark.parametrize("count", [-1, 0, 2, 2**31 - 1])
def test_a_count_that_the_size_contradicts(count: int) -> None:
    body = struct.pack(">i", count) + bytes(46)
    data = struct.pack(">hI", 1, crc32c(body)) + body
    with pytest.raises(CorruptSnapshotError, match="cannot hold"):
        producer_snapshot.decode(data)
