from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch
from tierbroker.hot.log import Log
from tierbroker.hot.log_search import TimestampOffset


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


@pytest.fixture
def log(setup: LogSetup) -> Log:
    """Ten segments' worth of batches of four records, ten milliseconds apart."""
    log = setup.open()
    for index in range(50):
        times = [NOW_MS + 40 * index + 10 * record for record in range(4)]
        log.append([make_batch([b"x" * 150] * 4, times=times)], index // 10)
    assert len(log.segments) > 5
    return log


def test_the_exact_record_inside_a_batch(log: Log) -> None:
    for time, offset in ((-100, 0), (0, 0), (1, 1), (10, 1), (995, 100), (1000, 100), (1990, 199)):
        found = log.offset_for_timestamp(NOW_MS + time, 200)
        assert found == TimestampOffset(offset, NOW_MS + 10 * offset, offset // 40)


def test_nothing_after_the_last_record_or_beyond_the_limit(log: Log) -> None:
    assert log.offset_for_timestamp(NOW_MS + 1991, 200) is None
    assert log.offset_for_timestamp(NOW_MS + 1000, 100) is None
    assert log.offset_for_timestamp(NOW_MS + 1000, 101) is not None


def test_a_search_begins_at_the_log_start(log: Log) -> None:
    log.advance_log_start(101)
    found = log.offset_for_timestamp(NOW_MS, 200)
    assert found is not None
    assert found.offset == 101


def test_times_that_fall(setup: LogSetup) -> None:
    log = setup.open()
    for time in (5, 50, 20, 40, 60, 10):
        log.append([make_batch([b"x" * 400] * 2, times=[NOW_MS, NOW_MS + time])], 0)
    for time, offset in ((5, 1), (6, 3), (20, 3), (51, 9), (60, 9)):
        found = log.offset_for_timestamp(NOW_MS + time, 12)
        assert found is not None
        assert found.offset == offset
    assert log.offset_of_max_timestamp(12) == TimestampOffset(9, NOW_MS + 60, 0)
    assert log.offset_of_max_timestamp(8) == TimestampOffset(3, NOW_MS + 50, 0)


def test_stamped_batches_answer_their_first_offset(setup: LogSetup) -> None:
    log = setup.open()
    log.append([make_batch([b"a", b"b"], log_append_time_ms=NOW_MS + 7)], 2)
    assert log.offset_for_timestamp(NOW_MS + 3, 2) == TimestampOffset(0, NOW_MS + 7, 2)
    assert log.offset_of_max_timestamp(2) == TimestampOffset(0, NOW_MS + 7, 2)


def test_an_empty_log_has_no_times(setup: LogSetup) -> None:
    log = setup.open()
    assert log.offset_for_timestamp(0, 0) is None
    assert log.offset_of_max_timestamp(0) is None
