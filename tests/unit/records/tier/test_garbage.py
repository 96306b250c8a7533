"""Objects to be deleted, packed."""

from tierbroker.records.tier.garbage import NEVER_MS, GarbageArray, GarbageObject
from tierbroker.records.tier.segment import ObjectKind

DATED = GarbageObject(ObjectKind.SEGMENT, 0, 9, 1, 2, 0, 1000, 50, 300)
UNDATED = GarbageObject(ObjectKind.MANIFEST, 10, 19, 1, 3, 65_535, NEVER_MS, 51, 1 << 40, True)


def test_garbage_comes_back_as_it_was() -> None:
    assert list(GarbageArray.of([DATED, UNDATED])) == [DATED, UNDATED]
    assert GarbageArray.of([DATED, UNDATED]).kinds == {0, 1}


def test_a_date_is_given_to_what_has_none() -> None:
    array = GarbageArray.of([DATED, UNDATED]).dated(7777)
    assert list(array) == [DATED, UNDATED._replace(since_ms=7777)]
    assert list(GarbageArray().dated(1)) == []
