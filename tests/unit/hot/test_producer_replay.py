"""What a start after a crash must know of producers: all that they may send again."""

import errno
import os
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch
from tierbroker.hot.log import AppendResult, Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records import producer_snapshot
from tierbroker.records.batch import read_header
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.producer_snapshot import ProducerEntry


@pytest.mark.parametrize("before_roll", [1, 2, 4, 5])
def test_batches_in_flight_across_a_roll_are_still_known_after_a_kill(
    tmp_path: Path, before_roll: int
) -> None:
    """A snapshot keeps one batch of a producer; up to five may come again (KIP-360 clients end
    themselves over an OUT_OF_ORDER_SEQUENCE_NUMBER)."""
    setup = LogSetup(str(tmp_path / "t-0"))
    log = setup.open()
    for number in range(12):
        if number == 12 - 5 + before_roll:
            log.roll()
            log.flush()
            recovery_point = log.recovery_point
        log.append([make_batch(producer_id=7, sequence=number)], 0)
    if before_roll == 5:
        log.roll()
        log.flush()
        recovery_point = log.recovery_point
    setup.kill()
    log = setup.open(recovery_point=recovery_point)
    for number in range(7, 12):
        (result,) = log.append([make_batch(producer_id=7, sequence=number)], 1)
        assert isinstance(result, AppendResult), (number, result)
        assert (result.base_offset, result.duplicate) == (number, True)


def test_a_snapshot_below_all_segments_is_too_old_to_go_by(tmp_path: Path) -> None:
    """Retention took every segment, and a power cut the snapshot that was written with it."""
    setup = LogSetup(str(tmp_path / "t-0"), values={"retention.ms": 1000})
    log = setup.open()
    for number in range(6):
        log.append([make_batch(producer_id=7, sequence=number)], 0)
        if number == 2:
            log.roll()
    log.flush()
    recovery_point = log.recovery_point
    setup.clock.advance(10_000)
    log.delete_old_segments(setup.clock.now_ms(), log.log_end_offset)
    assert log.log_start_offset == 6
    newest = max(path for path in setup.fs.listdir(setup.directory) if path.endswith(".snapshot"))
    setup.fs.unlink(f"{setup.directory}/{newest}")
    setup.kill()
    log = setup.open(recovery_point=recovery_point, log_start_offset=6)
    (result,) = log.append([make_batch(producer_id=7, sequence=6)], 1)
    assert isinstance(result, AppendResult), result


def _write_snapshot(setup: LogSetup, offset: int, data: bytes = b"") -> None:
    """Durably. An empty one is what a power cut leaves that came before the content's flush."""
    path = f"{setup.directory}/{offset:020}.snapshot"
    fd = setup.fs.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    setup.fs.pwrite(fd, data, 0)
    setup.fs.fdatasync(fd)
    setup.fs.close(fd)
    setup.fs.fsync_dir(setup.directory)


def _snapshots(setup: LogSetup) -> list[int]:
    names = setup.fs.listdir(setup.directory)
    return sorted(int(name[:20]) for name in names if name.endswith(".snapshot"))


def _filled(setup: LogSetup, segments: int) -> Log:
    """A segment for each batch of producer 7, and an empty one behind them."""
    log = setup.open()
    for number in range(segments):
        log.append([make_batch(producer_id=7, sequence=number)], 0)
        log.roll()
    return log


def _retain(setup: LogSetup, log: Log, up_to: int) -> None:
    """Delete the segments below for good."""
    setup.clock.advance(10_000)
    log.delete_old_segments(setup.clock.now_ms(), up_to)
    assert log.segments.first.base_offset == up_to
    setup.fs.fsync_dir(setup.directory)


def _last_offset_of_seven(log: Log) -> int:
    producer = log.producer_state.get(7)
    assert producer is not None
    return producer.batches[-1].last_offset


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"), values={"retention.ms": 1000})


def test_producers_survive_a_lost_snapshot_retention_and_a_cut_to_the_log_start(
    setup: LogSetup,
) -> None:
    """A power cut came between the roll and the flush that covers its snapshot."""
    log = setup.open()
    log.append([make_batch(), make_batch(producer_id=7)], 0)
    target = log.dirty_files()
    log.append([make_batch()], 0)
    log.roll()
    for directory in target.new_dirs:
        setup.fs.fsync_dir(directory)
    for fd in target.fds:
        setup.fs.fdatasync(fd)
    setup.crash()
    log = setup.open(recovery_point=2)
    assert log.log_end_offset == log.segments.active.base_offset == 3
    log.append([make_batch(times=setup.clock.now_ms() + 10_000)], 1)
    _retain(setup, log, 3)
    log.truncate_to(3)
    assert _last_offset_of_seven(log) == 1
    setup.crash()
    log = setup.open(recovery_point=3, log_start_offset=3)
    assert _last_offset_of_seven(log) == 1


def test_a_start_after_a_crash_writes_the_last_snapshots_that_are_lost(setup: LogSetup) -> None:
    _filled(setup, 6).flush()
    for offset in (4, 5, 6):
        _write_snapshot(setup, offset)
    setup.crash()
    log = setup.open(recovery_point=6)
    assert _snapshots(setup) == [4, 5, 6]
    log.append([make_batch(times=setup.clock.now_ms() + 10_000)], 1)
    _retain(setup, log, 4)
    log.truncate_to(4)
    assert _last_offset_of_seven(log) == 3


def test_a_start_after_a_crash_that_took_no_snapshot_writes_none(setup: LogSetup) -> None:
    _filled(setup, 6).flush()
    setup.crash()
    setup.fs.fail_next("rename", errno.EIO, path_part=".snapshot")
    setup.open(recovery_point=6)
    assert _snapshots(setup) == [4, 5, 6]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_without_room_for_a_lost_snapshot_the_log_starts_and_the_error_is_told(
    setup: LogSetup, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    _filled(setup, 2).flush()
    _write_snapshot(setup, 2)
    setup.crash()
    op = "write" if number == errno.ENOSPC else "open"
    setup.fs.fail_next(op, number, path_part=f"{2:020}.snapshot.tmp")
    log = setup.open(recovery_point=2)
    assert (log.log_end_offset, _last_offset_of_seven(log)) == (2, 1)
    assert f"{2:020}.snapshot was lost in a crash and cannot be restored" in caplog.text
    assert os.strerror(number) in caplog.text
    setup.kill()
    setup.open(recovery_point=2)
    assert _snapshots(setup) == [1, 2]


def test_snapshots_that_a_kill_left_unflushed_are_durable_before_segments_are_deleted(
    setup: LogSetup,
) -> None:
    log = _filled(setup, 2)
    setup.kill()
    log = setup.open()
    log.append([make_batch(times=setup.clock.now_ms() + 10_000)], 1)
    _retain(setup, log, 2)
    setup.crash()
    log = setup.open(recovery_point=2, log_start_offset=2)
    assert _last_offset_of_seven(log) == 1


def test_aborts_are_found_again_by_the_snapshot_that_restored_ones_replace(
    setup: LogSetup,
) -> None:
    """The transaction began in a segment that is gone: one snapshot alone knows of it."""
    log = setup.open()
    log.append([make_batch(producer_id=7, transactional=True)], 0)
    log.roll()
    log.append([make_batch(times=setup.clock.now_ms() + 10_000)], 0)
    _retain(setup, log, 1)
    marker = EndTxnMarker(ControlType.ABORT, 0)
    data = bytearray(
        build_marker_batch(marker, timestamp_ms=NOW_MS, producer_id=7, producer_epoch=0)
    )
    log.append([(data, read_header(data))], 0, [AppendOrigin.COORDINATOR])
    for _ in range(3):
        log.roll()
        log.append([make_batch(times=setup.clock.now_ms() + 10_000)], 0)
    log.flush()
    aborted = log.aborted_transactions(0, 10)
    assert len(aborted) == 1
    # As in a power cut that took all that was rolled: the oldest one was kept by it.
    for offset in _snapshots(setup):
        _write_snapshot(setup, offset)
    entry = ProducerEntry(7, 0, 0, 0, 0, NOW_MS, 0, 0)
    _write_snapshot(setup, 1, producer_snapshot.encode([entry]))
    setup.crash()
    log = setup.open(recovery_point=2, log_start_offset=1)
    assert log.aborted_transactions(0, 10) == aborted
    assert _snapshots(setup) == [3, 4, 5]
