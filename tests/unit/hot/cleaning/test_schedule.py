"""Which log is cleaned next and how far, by Kafka's rules."""

import pathlib

import pytest

from tests.cleaning_world import compacted, end_transaction, fill, put
from tests.log_setup import NOW_MS, LogSetup
from tierbroker.hot.cleaning.schedule import Candidate, candidate, filthiest, first_dirty
from tierbroker.hot.log import Log


@pytest.fixture
def setup(tmp_path: pathlib.Path) -> LogSetup:
    return compacted(str(tmp_path / "t-0"))


def look(log: Log, first: int = 0, stable: int | None = None) -> Candidate | None:
    return candidate(
        log,
        first,
        log.log_end_offset if stable is None else stable,
        NOW_MS,
        lambda segment: segment.max_timestamp()[0],
        lambda _: NOW_MS - 1000,
    )


def test_all_below_the_active_segment_may_be_cleaned(setup: LogSetup) -> None:
    log = setup.open()
    assert look(log) is None
    fill(log)
    found = look(log)
    assert found is not None
    assert found.end_offset == log.segments.active.base_offset
    assert list(found.segments) == log.segments.sealed
    assert (found.clean_bytes, found.dirty_ratio, found.due) == (0, 1.0, True)


def test_what_was_cleaned_counts_against_what_was_not(setup: LogSetup) -> None:
    log = setup.open()
    fill(log)
    third = log.segments.sealed[2].base_offset
    found = look(log, third)
    assert found is not None
    assert found.clean_bytes == sum(s.size_bytes for s in log.segments.sealed[:2])
    assert found.dirty_bytes == log.segments.size_bytes - found.clean_bytes - (
        log.segments.active.size_bytes
    )
    assert look(log, log.segments.active.base_offset) is None


def test_the_ratio_decides_and_the_lag_overrules_it(setup: LogSetup) -> None:
    setup.values["min.cleanable.dirty.ratio"] = 0.9
    log = setup.open()
    fill(log)
    last = log.segments.sealed[-1].base_offset
    found = look(log, last)
    assert found is not None
    assert not found.due
    assert filthiest([found]) is None
    setup.values["max.compaction.lag.ms"] = 999
    log.config = setup.config
    found = look(log, last)
    assert found is not None
    assert found.overdue
    assert filthiest([found]) is found


def test_young_segments_wait(setup: LogSetup) -> None:
    setup.values["min.compaction.lag.ms"] = 5000
    log = setup.open()
    while len(log.segments.sealed) < 2:
        put(log, (b"k", b"old" * 20), time=NOW_MS - 6000)
    old = log.segments.active.base_offset
    while len(log.segments.sealed) < 5:
        put(log, (b"k", b"new" * 20), time=NOW_MS - 4000)
    found = look(log)
    assert found is not None
    assert found.end_offset <= old
    assert len(found.segments) == 2


def test_undecided_records_are_out_of_bounds(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, rounds=4)
    open_at = put(log, (b"k", b"v"), producer_id=3)
    fill(log, rounds=4)
    found = look(log, stable=open_at)
    assert found is not None
    slot = log.segments.slot_of(open_at)
    assert found.end_offset == log.segments[slot].base_offset
    assert look(log, stable=0) is None
    end_transaction(log, 3, commit=True)


@pytest.mark.parametrize(("checkpoint", "first"), [(None, 20), (19, 20), (25, 25), (900, 20)])
def test_a_checkpoint_out_of_the_log_does_not_count(
    setup: LogSetup, checkpoint: int | None, first: int
) -> None:
    log = setup.open()
    fill(log)
    log.advance_log_start(20)
    assert first_dirty(log, checkpoint) == first


def test_the_filthiest_goes_first(tmp_path: pathlib.Path) -> None:
    logs = [compacted(str(tmp_path / f"{name}-0")).open() for name in "ab"]
    for log in logs:
        fill(log)
    found = [look(logs[0], logs[0].segments.sealed[1].base_offset), look(logs[1])]
    assert filthiest([each for each in found if each is not None]) is found[1]
