"""A segment that comes in pieces is checked like one that comes whole."""

import pytest

from tests.cold_store import ABORTED, ORDERS, golden_store
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.segment_check import Ended, Neighbours, SegmentCheck, SegmentFacts
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.tier.segment import TierSegment


def aborted_segment() -> tuple[TierSegment, bytes]:
    made = golden_store()
    segment = made.tier().segments[0]
    (key,) = (key for key in made.objects if "041-" in key)
    return segment, made.objects[key]


def check_of(segment: TierSegment, data: bytes, step: int) -> SegmentFacts:
    check = SegmentCheck(segment, ORDERS, 0, data[segment.log_bytes :])
    for start in range(0, segment.log_bytes, step):
        check.take(data[start : min(start + step, segment.log_bytes)])
    return check.finish()


@pytest.mark.parametrize("step", [1, 7, 61, 1000, 1 << 20])
def test_pieces_of_any_size(step: int) -> None:
    segment, data = aborted_segment()
    facts = check_of(segment, data, step)
    assert facts.ended == (Ended(7, 41, ABORTED.last_offset, aborted=True, listed=True),)
    assert facts.lineage == (EpochEntry(3, 0),)
    assert facts.open_transactions == {}


def test_records_that_end_too_early() -> None:
    segment, data = aborted_segment()
    check = SegmentCheck(segment, ORDERS, 0, data[segment.log_bytes :])
    check.take(data[: segment.log_bytes - 1])
    with pytest.raises(ObjectDamagedError, match="end within a batch"):
        check.finish()


def test_a_time_that_was_not_committed() -> None:
    segment, data = aborted_segment()
    with pytest.raises(ObjectDamagedError, match="as its latest"):
        check_of(segment._replace(max_timestamp_ms=5), data, 100)


def test_neighbours_agree_on_leader_epochs() -> None:
    neighbours = Neighbours()
    first = SegmentFacts((EpochEntry(1, 0), EpochEntry(3, 40)), ())
    assert neighbours.disagreement(first) is None
    # The beginning is cut off with the log's; what follows stays where it is.
    assert neighbours.disagreement(SegmentFacts((EpochEntry(1, 20), EpochEntry(3, 40)), ())) is None
    told = neighbours.disagreement(SegmentFacts((EpochEntry(1, 20), EpochEntry(3, 41)), ()))
    assert told == "leader epoch 3 begins at 41, by the segments before at 40"


def test_neighbours_agree_on_transactions() -> None:
    neighbours = Neighbours()
    ended = Ended(7, -1, 50, aborted=True, listed=True)
    assert neighbours.disagreement(SegmentFacts((), (), {7: True, 8: False})) is None
    assert neighbours.disagreement(SegmentFacts((), (ended,))) is None
    committed = Ended(8, -1, 60, aborted=False, listed=False)
    assert neighbours.disagreement(SegmentFacts((), (committed,))) is None
    neighbours.disagreement(SegmentFacts((), (), {7: False}))
    assert "producer 7" in str(neighbours.disagreement(SegmentFacts((), (ended,))))
    neighbours.disagreement(SegmentFacts((), (), {7: True}))
    neighbours.forget()
    assert neighbours.disagreement(SegmentFacts((), (ended,))) is None
