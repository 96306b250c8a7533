import errno
import random
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_records
from tierbroker.base.errors import KafkaStorageError, OffsetOutOfRangeError
from tierbroker.hot.log import Log


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


def filled(setup: LogSetup, batches: int = 30) -> Log:
    log = setup.open()
    for index in range(batches):
        batch = make_batch(
            [b"x" * 400] * 2, times=NOW_MS + index, producer_id=1, sequence=2 * index
        )
        log.append([batch], index // 10)
    return log


def log_files(setup: LogSetup) -> list[int]:
    return sorted(int(path.stem) for path in Path(setup.directory).glob("*.log"))


@pytest.mark.parametrize("offset", [0, 1, 2, 19, 20, 31, 58, 59])
@pytest.mark.parametrize("reopen", [False, True])
def test_truncation_takes_whole_batches_and_their_state(
    setup: LogSetup, offset: int, reopen: bool
) -> None:
    log = filled(setup)
    expected = read_records(log)
    end = offset // 2 * 2
    assert log.truncate_to(offset)
    if reopen:
        log.close()
        log = setup.open(clean=True, recovery_point=end)
    assert log.log_end_offset == end
    assert read_records(log) == expected[:end]
    assert log.latest_epoch == ((end - 1) // 20 if end else -1)
    state = log.producer_state.get(1)
    assert (state.last_sequence if state else -1) == end - 1
    if end:
        newest = log.offset_of_max_timestamp(end)
        assert newest is not None
        assert newest.timestamp_ms == NOW_MS + end // 2 - 1


def test_truncation_at_the_end_changes_nothing(setup: LogSetup) -> None:
    log = filled(setup)
    assert not log.truncate_to(60)
    assert not log.truncate_to(99)
    assert log.log_end_offset == 60


def test_starting_over(setup: LogSetup) -> None:
    log = filled(setup)
    log.truncate_fully_and_start_at(500)
    assert (log.log_start_offset, log.log_end_offset, log.size_bytes) == (500, 500, 0)
    assert log_files(setup) == [500]
    assert log.producer_state.get(1) is None
    assert log.latest_epoch == -1
    log.append([make_batch()], 9)
    assert [record.offset for record in read_records(log)] == [500]


def test_deleting_records_drops_whole_segments(setup: LogSetup) -> None:
    log = filled(setup)
    before = log_files(setup)
    gone = log.advance_log_start(25)
    assert [segment.base_offset for segment in gone] == [b for b in before if b < 24]
    assert log.log_start_offset == 25
    assert log_files(setup) == [base for base in before if base >= 24]
    assert [record.offset for record in read_records(log)] == list(range(25, 60))
    assert log.advance_log_start(10) == []
    assert log.log_start_offset == 25
    assert log.size_bytes == sum(p.stat().st_size for p in Path(setup.directory).glob("*.log"))
    with pytest.raises(OffsetOutOfRangeError):
        log.advance_log_start(61)


def test_deleting_all_records(setup: LogSetup) -> None:
    log = filled(setup)
    log.advance_log_start(60)
    assert (log.log_start_offset, log.log_end_offset) == (60, 60)
    assert read_records(log) == []
    log.append([make_batch([b"new"])], 2)
    assert [record.value for record in read_records(log)] == [b"new"]


def test_deleted_files_wait_for_their_delay(setup: LogSetup) -> None:
    setup.values["file.delete.delay.ms"] = 1000
    log = filled(setup)
    log.advance_log_start(25)
    assert log.take_deleted_files(setup.clock.now_ms()) == []
    names = log.take_deleted_files(setup.clock.now_ms() + 1000)
    assert names
    assert all(name.endswith(".deleted") and Path(name).exists() for name in names)
    assert log.take_deleted_files(setup.clock.now_ms() + 9000) == []


def test_retention_by_time(setup: LogSetup) -> None:
    setup.values["retention.ms"] = 1000
    log = filled(setup)
    newest = [segment.max_timestamp()[0] for segment in log.segments]
    assert len(log.delete_old_segments(newest[2] + 1000)) == 2
    assert len(log.delete_old_segments(newest[2] + 1001)) == 1
    assert log.log_start_offset == log.segments.first.base_offset > 0
    assert log.delete_old_segments(newest[2] + 1001) == []


def test_retention_by_time_rolls_an_old_active_segment(setup: LogSetup) -> None:
    setup.values["retention.ms"] = 1000
    log = filled(setup)
    log.delete_old_segments(NOW_MS + 10**6)
    assert (log.log_start_offset, log.log_end_offset, log.size_bytes) == (60, 60, 0)
    assert log_files(setup) == [60]
    assert log.delete_old_segments(NOW_MS + 10**9) == []


def test_retention_by_size_keeps_at_least_that_much(setup: LogSetup) -> None:
    setup.values["retention.bytes"] = 10_000
    log = filled(setup)
    first = log.segments.first.size_bytes
    log.delete_old_segments(NOW_MS)
    assert 10_000 <= log.size_bytes < 10_000 + first


def test_retention_stops_at_the_high_watermark(setup: LogSetup) -> None:
    setup.values["retention.ms"] = 1000
    log = filled(setup)
    third = log_files(setup)[2]
    gone = log.delete_old_segments(NOW_MS + 10**6, third + 1)
    assert len(gone) == 2
    assert log.log_start_offset == third


def test_a_compacted_log_has_no_retention(setup: LogSetup) -> None:
    setup.values.update({"retention.ms": 1000, "cleanup.policy": ("compact",)})
    log = filled(setup)
    assert log.delete_old_segments(NOW_MS + 10**6) == []


def test_a_cut_that_fails_takes_the_log_offline(setup: LogSetup) -> None:
    log = filled(setup)
    setup.fs.fail_next("unlink", errno.EIO)
    with pytest.raises(KafkaStorageError):
        log.truncate_to(5)
    assert log.offline


@pytest.mark.parametrize("seed", range(30))
def test_what_producers_did_outlives_the_segments_that_went(tmp_path: Path, seed: int) -> None:
    """Power fails right after retention took everything: a repeated batch is still known."""
    setup = LogSetup(str(tmp_path / "t-0"), values={"retention.ms": 1000})
    log = filled(setup, 3)
    log.flush()
    setup.clock.advance(10_000)
    assert log.delete_old_segments(setup.clock.now_ms(), 6)
    setup.crash(random.Random(seed))
    again = setup.open(recovery_point=6)
    assert again.log_end_offset == 6
    state = again.producer_state.get(1)
    assert state is not None
    assert state.last_sequence == 5
