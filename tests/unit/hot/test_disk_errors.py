"""What a full disk or a lack of descriptors may cost a log: one operation, nothing more."""

import errno
import os
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_records
from tierbroker.base.errors import ApiError
from tierbroker.hot.log import Log


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


def filled(setup: LogSetup, batches: int = 30) -> Log:
    log = setup.open()
    for _ in range(batches):
        log.append([make_batch([b"x" * 400])], 0)
    log.flush()
    return log


def accepts(log: Log) -> bool:
    return not any(isinstance(r, ApiError) for r in log.append([make_batch([b"y" * 40])], 0))


def test_retention_makes_room_on_a_full_disk(setup: LogSetup) -> None:
    """The leader epoch file cannot be written then, nor the active segment rolled."""
    setup.values = {"retention.ms": 1000}
    log = filled(setup)
    sealed = len(log.segments.sealed)
    assert sealed > 2
    setup.fs.capacity_bytes = setup.fs.used_bytes
    dropped = log.delete_old_segments(NOW_MS + 5000)
    assert len(dropped) == sealed
    assert not log.offline
    assert log.log_start_offset == log.segments.active.base_offset
    for path in log.take_deleted_files(NOW_MS + 5000):
        setup.fs.unlink(path)
    assert accepts(log)
    # What the file could not be told is found out at the next start.
    log.close()
    log = setup.open(clean=True, recovery_point=31)
    assert log.epochs.lineage[0].start_offset == log.log_start_offset


def test_records_can_be_deleted_on_a_full_disk(setup: LogSetup) -> None:
    log = filled(setup)
    setup.fs.capacity_bytes = setup.fs.used_bytes
    log.advance_log_start(20)
    assert (log.offline, log.log_start_offset) == (False, 20)
    assert read_records(log)


def test_no_descriptor_for_a_new_segment_refuses_one_append(setup: LogSetup) -> None:
    log = filled(setup, 3)
    setup.fs.fail_next("open", errno.EMFILE, times=2, path_part=".log")
    results = [log.append([make_batch([b"x" * 1000])], 0)[0] for _ in range(5)]
    refused = [result for result in results if isinstance(result, ApiError)]
    assert len(refused) == 1
    assert os.strerror(errno.EMFILE) in refused[0].message
    assert not log.offline
    assert log.log_end_offset == 3 + 4
    assert len(read_records(log)) == 7


def test_a_power_cut_after_a_roll_during_a_flush_leaves_whole_indexes(setup: LogSetup) -> None:
    """All records of the sealed segment are durable then, but its index files are not."""
    log = setup.open()
    while log.segments.active.size_bytes < 3500:
        log.append([make_batch([b"x" * 200], times=NOW_MS + log.log_end_offset)], 0)
        if log.log_end_offset == 8:
            log.write_indexes()
            setup.fs.syncfs(log.segments.active.fd)
    target = log.dirty_files()
    end_offset = log.log_end_offset
    log.append([make_batch([b"x" * 1000], times=NOW_MS + end_offset)], 0)
    assert len(log.segments.sealed) == 1
    for directory in target.new_dirs:
        setup.fs.fsync_dir(directory)
    for fd in target.fds:
        setup.fs.fdatasync(fd)
    for lease in target.leases:
        lease.release()
    log.mark_flushed(target.end_offset)
    assert log.flushed_offset == end_offset
    log.write_indexes()
    # The names reach the disk before the content does.
    setup.fs.fsync_dir(setup.directory)
    recovery_point = log.recovery_point
    setup.crash()
    log = setup.open(recovery_point=recovery_point)
    assert log.log_end_offset == end_offset
    newest = log.segments.first.max_timestamp()
    assert newest == (NOW_MS + end_offset - 1, end_offset - 1)
    log.append([make_batch([b"x" * 200])], 1)
    log.flush()
    assert log.recovery_point == log.log_end_offset
