"""Segments and slices, packed."""

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.tier_state import segment
from tierbroker.cold.spiller import SLICE_SEGMENTS
from tierbroker.records.tier.errors import CorruptTierEventError
from tierbroker.records.tier.packed import OffsetRuns
from tierbroker.records.tier.segment import (
    ENTRY_BYTES,
    SLICE_BYTES,
    SegmentArray,
    SliceArray,
    TierSegment,
    TierSlice,
)

LARGEST = TierSegment(
    base_offset=(1 << 62),
    end_offset=(1 << 63) - 2,
    leader_epoch=(1 << 31) - 1,
    intent_offset=(1 << 63) - 1,
    incarnation=(1 << 16) - 1,
    log_bytes=(1 << 32) - 1,
    object_bytes=(1 << 32) - 1,
    max_timestamp_ms=(1 << 63) - 1,
    checksum=(1 << 64) - 1,
    has_aborted=True,
)
SLICE = TierSlice(5, 99, -1, 1 << 40, 1000, 7, 1 << 50, 2, 56_000, (1 << 64) - 1)


def run(*ends: int) -> SegmentArray:
    """Segments that follow each other, from offset 10 on, up to these ends."""
    base, entries = 10, []
    for end in ends:
        entries.append(segment(base, end))
        base = end + 1
    return SegmentArray.of(entries)


def test_entries_are_small() -> None:
    assert ENTRY_BYTES == 56
    assert SLICE_BYTES <= 200


@pytest.mark.parametrize("entry", [LARGEST, segment(0, 0, max_timestamp_ms=-1)])
def test_a_segment_comes_back_as_it_was(entry: TierSegment) -> None:
    array = SegmentArray().appended(entry)
    assert list(array) == [entry]
    assert len(array.data) == ENTRY_BYTES
    assert array[0] == array[-1] == array.first == array.last == entry


def test_a_slice_comes_back_as_it_was() -> None:
    array = SliceArray.of([SLICE])
    assert list(array) == [SLICE]
    assert SLICE.log_bytes == array.log_bytes == 1 << 40
    assert SLICE.count == 1000


def test_the_layout_is_fixed() -> None:
    """What is in logs and buckets already must stay readable."""
    entry = TierSegment(1, 2, 3, 4, 5, 6, 7, 8, 9, True)
    assert SegmentArray.of([entry]).data == struct.pack(">qqqqQIIiHH", 1, 3, 4, 8, 9, 6, 7, 3, 5, 1)
    spilled = TierSlice(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert SliceArray.of([spilled]).data == struct.pack(
        ">qqqqQqqiiHH", 1, 3, 7, 3, 10, 4, 9, 6, 5, 8, 0
    )


def test_lookup() -> None:
    array = run(19, 19 + 5, 100)
    assert [array.slot_of(offset) for offset in (9, 10, 19, 20, 24, 25, 100, 101)] == [
        -1, 0, 0, 1, 1, 2, 2, -1
    ]  # fmt: skip
    assert (array.start_offset, array.end_offset) == (10, 100)


def test_how_many_lie_below() -> None:
    array = run(19, 24, 100)
    assert [array.count_below(offset) for offset in (0, 10, 19, 20, 25, 100, 101, 999)] == [
        0, 0, 0, 1, 2, 2, 3, 3
    ]  # fmt: skip


def test_nothing_in_an_empty_array() -> None:
    empty = SegmentArray()
    assert (empty.start_offset, empty.end_offset, len(empty), empty.log_bytes) == (-1, -1, 0, 0)
    assert (empty.slot_of(0), empty.count_below(5)) == (-1, 0)
    assert empty.first is empty.last is None
    assert empty.fault() is None
    assert not empty


def test_changes_leave_the_old_array_alone() -> None:
    one = run(19)
    two = one.appended(segment(20, 29))
    assert (len(one), len(two)) == (1, 2)
    assert list(two.without_front(1)) == [segment(20, 29)]
    assert two.front(1) == one
    assert one.joined(two.without_front(1).data) == two
    assert two.without_front(0) is two
    assert hash(two.front(1)) == hash(one)
    assert two.front(1) != SliceArray()


def test_slots_out_of_range() -> None:
    array = run(19, 24)
    assert array[-2] == array[0]
    for slot in (2, -3):
        with pytest.raises(IndexError):
            array[slot]
    assert list(array.from_slot(1)) == [segment(20, 24)]


def test_sums_over_many() -> None:
    sizes = [1, 255, 256, 65_535, (1 << 32) - 1]
    array = SegmentArray.of([segment(i, i, log_bytes=size) for i, size in enumerate(sizes)])
    assert array.log_bytes == sum(sizes)


@pytest.mark.parametrize(
    "array",
    [
        SegmentArray.of([segment(0, 9), segment(11, 19)]),
        SegmentArray.of([segment(0, 9), segment(9, 19)]),
        SegmentArray.of([segment(0, 9), segment(266, 270)]),
        SegmentArray.of([segment(5, 4)]),
        SegmentArray.of([segment(-5, 4)]),
        SegmentArray.of([segment(0, 9), segment(10, 5)]),
    ],
)
def test_what_is_no_run_is_found(array: SegmentArray) -> None:
    assert array.fault() is not None


def test_a_run_has_no_fault() -> None:
    assert run(*range(19, 2000, 7)).fault() is None


def test_bytes_that_are_no_entries() -> None:
    with pytest.raises(CorruptTierEventError, match="57 bytes"):
        SegmentArray(bytes(57))


def test_what_it_looks_like() -> None:
    assert repr(run(19)).startswith("SegmentArray.of([TierSegment(base_offset=10,")


def test_memory_of_a_partition_is_bounded() -> None:
    """With all that Python adds: 64 bytes a segment, 200 a slice of a thousand."""

    def grown(make: Callable[[int], OffsetRuns[Any]], count: int) -> float:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept = [make(number) for number in range(20)]
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert all(len(entries) == count for entries in kept)
        return (after - before) / len(kept) / count

    segments = SegmentArray.of(segment(10 * n, 10 * n + 9, n) for n in range(1000))
    covered = SLICE_SEGMENTS * 10
    slices = SliceArray.of(
        TierSlice(covered * n, covered * (n + 1) - 1, 5, 9, SLICE_SEGMENTS, 3, n, 0, 56_000, 7)
        for n in range(10)
    )
    assert grown(lambda _: SegmentArray(bytes(bytearray(segments.data))), 1000) <= 64
    assert grown(lambda _: SliceArray(bytes(bytearray(slices.data))), 10) <= 200
    assert SLICE_SEGMENTS >= 1000
