"""A log as its files tell, beside the log that is open."""

import pathlib

import pytest

from tests.cleaning_world import compacted, end_transaction, fill, put
from tests.log_setup import LogSetup
from tierbroker.hot.segments_on_disk import (
    OpenTransaction,
    look_at_removed,
    look_at_segments,
    look_at_transactions,
)


@pytest.fixture
def setup(tmp_path: pathlib.Path) -> LogSetup:
    return compacted(str(tmp_path / "t-0"))


def test_segments_are_those_of_the_log(setup: LogSetup) -> None:
    log = setup.open()
    fill(log)
    found = look_at_segments(log.fs, log.dir)
    assert [s.base_offset for s in found] == [s.base_offset for s in log.segments]
    assert [s.size_bytes for s in found] == [s.size_bytes for s in log.segments]
    assert found[-1].end_offset == log.log_end_offset
    assert [s.active for s in found] == [False] * (len(found) - 1) + [True]
    assert all(s.first_ms > 0 and s.newest_ms >= s.first_ms for s in found if s.size_bytes)


def test_transactions_without_an_end_are_found(setup: LogSetup) -> None:
    log = setup.open()
    assert look_at_transactions(log.fs, log.dir) == []
    fill(log)
    first = put(log, (b"a", b"1"), producer_id=9)
    put(log, (b"b", b"2"), producer_id=8)
    put(log, (b"a", b"3"), producer_id=9)
    end_transaction(log, 8, commit=False)
    expected = [OpenTransaction(9, first)]
    assert look_at_transactions(log.fs, log.dir) == expected
    # Rolled into a snapshot, and on behind it.
    log.roll()
    second = put(log, (b"c", b"4"), producer_id=5)
    assert look_at_transactions(log.fs, log.dir) == [*expected, OpenTransaction(5, second)]
    end_transaction(log, 9, commit=True)
    assert look_at_transactions(log.fs, log.dir) == [OpenTransaction(5, second)]


def test_what_was_let_go_is_there_until_its_files_are(setup: LogSetup) -> None:
    log = setup.open()
    fill(log)
    before = look_at_segments(log.fs, log.dir)
    assert look_at_removed(log.fs, log.dir) == []
    log.advance_log_start(before[2].base_offset)
    removed = look_at_removed(log.fs, log.dir)
    assert [r.base_offset for r in removed] == [s.base_offset for s in before[:2]]
    assert [r.size_bytes for r in removed] == [s.size_bytes for s in before[:2]]
