"""Records of the cold tier found by their time: which objects are asked, and what changes do."""

import pytest

from tests.cold_reading import PLACE, ColdReading
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.pending import Pending
from tierbroker.cold.time_search import NEWEST, ColdOffset
from tierbroker.records.record import iterate


@pytest.fixture
def cold() -> ColdReading:
    """Four segments of 16 records each; every record's time is its offset."""
    made = ColdReading()
    for _ in range(4):
        made.add()
    return made


def search(cold: ColdReading, timestamp_ms: int, start: int = 0) -> Pending[ColdOffset | None]:
    return cold.reader.offset_for_timestamp(cold.tier, PLACE, timestamp_ms, start)


def test_every_time_finds_its_record(cold: ColdReading) -> None:
    for time in range(64):
        found = search(cold, time).result()
        assert found == ColdOffset(time, time, 5 if time >= 52 else 3)
    assert search(cold, 64).result() is None
    assert search(cold, 3, 21).result() == ColdOffset(21, 21, 3)


def test_only_the_segment_that_may_hold_it_is_asked_for(cold: ColdReading) -> None:
    search(cold, 40).result()
    assert {key for key, _, _ in cold.store.ranges} == {cold.keys[2]}
    assert len(cold.store.ranges) == 2
    search(cold, 41).result()
    assert len(cold.store.ranges) == 2


def test_a_spilled_segment_is_found_by_its_manifest(cold: ColdReading) -> None:
    cold.made.spill(2)
    cold.sync()
    assert search(cold, 20).result() == ColdOffset(20, 20, 3)
    assert len(cold.store.ranges) == 3


def test_what_is_retired_under_a_search_is_not_missed(cold: ColdReading) -> None:
    cold.store.hold("get_range")
    waiting = search(cold, 5)
    cold.retire(32)
    cold.store.release()
    assert waiting.result() == ColdOffset(32, 32, 3)


def test_an_object_that_is_missing_is_an_error(cold: ColdReading) -> None:
    cold.store.inner.delete(cold.keys[0]).result()
    with pytest.raises(KafkaStorageError, match="cannot be searched by time"):
        search(cold, 5).result()
    assert not cold.failures
    assert search(cold, 20).result() == ColdOffset(20, 20, 3)


# -- the newest record -------------------------------------------------------------------------


def naive_newest(cold: ColdReading, start: int) -> tuple[int, int] | None:
    """(time, offset) of the first of those with the highest time."""
    found: tuple[int, int] | None = None
    for batch in cold.batches:
        for record in iterate(memoryview(batch)):
            if record.offset >= start and record.timestamp_ms > (found[0] if found else -1):
                found = record.timestamp_ms, record.offset
    return found


TIMES = {
    "rise": lambda offset: offset,
    "fall": lambda offset: 100 - offset,
    "stand": lambda _: 7,
    "none": lambda _: -1,
    "wander": lambda offset: offset * 37 % 64,
    "repeat": lambda offset: offset % 6,
}


@pytest.mark.parametrize("spilled", [0, 3])
@pytest.mark.parametrize("kind", TIMES)
def test_the_newest_record_is_one_that_can_be_read(kind: str, spilled: int) -> None:
    cold = ColdReading(piece_bytes=300)
    for _ in range(4):
        cold.add(time_of=TIMES[kind])
    if spilled:
        cold.made.spill(spilled)
        cold.sync()
    for start in range(65):
        found = search(cold, NEWEST, start).result()
        expected = naive_newest(cold, start)
        assert (found and (found.timestamp_ms, found.offset)) == expected, start


def test_the_newest_record_costs_one_search_in_one_segment(cold: ColdReading) -> None:
    assert search(cold, NEWEST, 5).result() == ColdOffset(63, 63, 5)
    assert {key for key, _, _ in cold.store.ranges} == {cold.keys[3]}
    cold = ColdReading(piece_bytes=300)
    cold.add(time_of=lambda offset: 1000 if offset == 2 else offset)
    cold.add(time_of=lambda _: 1)
    assert search(cold, NEWEST, 3).result() == ColdOffset(15, 15, 3)
    assert {key for key, _, _ in cold.store.ranges} == {cold.keys[0]}
