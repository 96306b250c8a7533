"""Objects to be deleted, packed."""

from tests.tier_state import segment
from tierbroker.records.tier.garbage import NEVER_MS, GarbageArray, GarbageObject
from tierbroker.records.tier.segment import ObjectKind, SegmentArray

ONE = GarbageObject(ObjectKind.SEGMENT, 0, 9, 1, 2, 0, 1000, 50, 300)
OTHER = GarbageObject(ObjectKind.MANIFEST, 10, 19, 1, 3, 65_535, NEVER_MS, 51, 1 << 40, True)


def test_garbage_comes_back_as_it_was() -> None:
    assert list(GarbageArray.of([ONE, OTHER])) == [ONE, OTHER]
    assert GarbageArray.of([ONE, OTHER]).kinds == {0, 1}
    assert list(GarbageArray.of([ONE, OTHER]).intent_offsets()) == [2, 3]


def test_some_of_it_is_gone() -> None:
    array = GarbageArray.of([ONE, OTHER])
    assert list(array.without({2, 99})) == [OTHER]
    assert list(array.without({2, 3})) == []
    assert array.without({99}) is array


def test_segments_become_garbage_as_they_are() -> None:
    segments = [
        segment(0, 9, 7),
        segment(
            1 << 60,
            (1 << 62) - 1,
            1 << 61,
            leader_epoch=1 << 30,
            incarnation=65_535,
            object_bytes=(1 << 32) - 1,
            has_aborted=True,
        ),
    ]
    assert list(GarbageArray.of_segments(SegmentArray.of(segments), 5, 6)) == [
        GarbageObject(
            ObjectKind.SEGMENT,
            entry.base_offset,
            entry.end_offset,
            entry.leader_epoch,
            entry.intent_offset,
            entry.incarnation,
            5,
            6,
            entry.object_bytes,
        )
        for entry in segments
    ]
    assert len(GarbageArray.of_segments(SegmentArray(), 5, 6)) == 0
