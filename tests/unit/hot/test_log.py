import errno
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_records
from tierbroker.base.errors import KafkaStorageError, OffsetOutOfRangeError
from tierbroker.hot.log import EMPTY_READ, Log
from tierbroker.records import offset_index, time_index
from tierbroker.records.batch import walk


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


def fill(log: Log, batches: int, size: int = 400, first_time: int = NOW_MS) -> None:
    for index in range(batches):
        log.append([make_batch([b"x" * size] * 2, times=first_time + index)], 0)


def bases(log: Log) -> list[int]:
    return [segment.base_offset for segment in log.segments]


# -- rolling -----------------------------------------------------------------------------------


def test_a_segment_never_exceeds_its_size(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 40)
    sizes = [segment.size_bytes for segment in log.segments]
    assert len(sizes) > 5
    batch = sizes[-1] // max(sizes[-1] // 900, 1)
    assert all(4096 - batch < size <= 4096 for size in sizes[:-1])


def test_a_segment_rolls_by_the_age_of_its_first_batch(setup: LogSetup) -> None:
    setup.values["segment.ms"] = 1000
    log = setup.open()
    for time in (0, 500, 1000, 1001, 1500, 2001, 2002):
        log.append([make_batch(times=NOW_MS + time)], 0)
    assert bases(log) == [0, 3, 6]


def test_a_compacted_log_rolls_in_time_for_its_largest_lag(setup: LogSetup) -> None:
    setup.values["cleanup.policy"] = ("compact",)
    setup.values["max.compaction.lag.ms"] = 100
    log = setup.open()
    log.append([make_batch()], 0)
    log.append([make_batch(times=NOW_MS + 100)], 0)
    assert not log.segments.sealed
    log.append([make_batch(times=NOW_MS + 101)], 0)
    assert len(log.segments.sealed) == 1


def test_jitter_makes_a_segment_roll_earlier(setup: LogSetup) -> None:
    setup.values.update({"segment.ms": 1000, "segment.jitter.ms": 900})
    log = setup.open()
    for time in range(0, 1001, 10):
        log.append([make_batch(times=NOW_MS + time)], 0)
    assert len(log.segments) > 1


def test_a_segment_rolls_when_an_index_is_full(setup: LogSetup) -> None:
    setup.values.update({"segment.index.bytes": 64, "internal.segment.bytes": 1 << 20})
    log = setup.open()
    for _ in range(60):
        log.append([make_batch([b"x" * 400], times=NOW_MS)], 0)
        assert len(log.segments.active.index) <= 64
    assert len(log.segments) > 1


def test_records_without_time_roll_by_the_clock(setup: LogSetup) -> None:
    setup.values["segment.ms"] = 1000
    log = setup.open()
    log.append([make_batch(times=-1)], 0)
    setup.clock.advance(1000)
    log.append([make_batch(times=-1)], 0)
    setup.clock.advance(1)
    log.append([make_batch(times=-1)], 0)
    assert bases(log) == [0, 2]


def test_a_new_configuration_counts_at_once(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 2)
    setup.values["internal.segment.bytes"] = 2000
    log.config = setup.config
    fill(log, 2)
    assert len(log.segments) == 2


def test_a_roll_of_an_empty_segment_is_none(setup: LogSetup) -> None:
    log = setup.open()
    log.roll()
    log.append([make_batch()], 0)
    log.roll()
    log.roll()
    assert bases(log) == [0, 1]


def test_a_roll_and_a_close_leave_snapshots_and_only_a_few(setup: LogSetup) -> None:
    log = setup.open()
    for index in range(8):
        log.append([make_batch(producer_id=1, sequence=index)], 0)
        log.roll()
    log.close()
    names = sorted(path.name for path in Path(setup.directory).glob("*.snapshot"))
    assert names == [f"{offset:020}.snapshot" for offset in (6, 7, 8)]


# -- the index rule ----------------------------------------------------------------------------


def test_indexes_follow_the_rule_of_sparse_entries(setup: LogSetup) -> None:
    setup.values["index.interval.bytes"] = 1000
    log = setup.open()
    times = [5, 9, 2, 7, 8, 30, 10]
    for time in times:
        log.append([make_batch([b"x" * 190] * 2, times=[NOW_MS + time, NOW_MS])], 0)
    log.close()
    data = Path(setup.directory, f"{0:020}.log").read_bytes()
    positions = {header.last_offset: at for at, header in walk(data)}
    size = positions[3]
    expected_index, expected_times = [], []
    since, newest, newest_offset = 0, -1, 0
    for (last, at), time in zip(positions.items(), times, strict=True):
        if NOW_MS + time > newest:
            newest, newest_offset = NOW_MS + time, last
        if since > 1000:
            expected_index.append((last, at))
            if not expected_times or newest > expected_times[-1][0]:
                expected_times.append((newest, newest_offset))
            since = 0
        since += size
    if newest > expected_times[-1][0]:
        expected_times.append((newest, newest_offset))
    index = Path(setup.directory, f"{0:020}.index").read_bytes()
    stamps = Path(setup.directory, f"{0:020}.timeindex").read_bytes()
    assert list(offset_index.entries(index, 0)) == expected_index
    assert list(time_index.entries(stamps, 0)) == expected_times
    assert expected_index


def test_indexes_are_written_on_demand(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 3)
    index = Path(setup.directory, f"{0:020}.index")
    assert index.stat().st_size == 0
    log.write_indexes()
    assert index.read_bytes() == bytes(log.segments.active.index)


# -- reading -----------------------------------------------------------------------------------


def test_reads_within_and_outside_the_log(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 3)
    log.advance_log_start(2)
    assert log.read(6, 100, 6, True) is EMPTY_READ
    assert log.read(5, 100, 4, True) is EMPTY_READ
    for offset in (1, 7):
        with pytest.raises(OffsetOutOfRangeError):
            log.read(offset, 100, 6, True)


def test_a_read_ends_at_a_batch_below_the_limit(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 4)
    for limit, expected in ((8, 4), (7, 3), (6, 3), (2, 1), (1, 0)):
        data = log.read_bytes(0, 1 << 20, limit)
        assert len(list(walk(data))) == expected


def test_the_first_batch_may_exceed_the_limit_of_bytes(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 4)
    first = log.read(0, 10, 8, True)
    assert first.slice is not None
    assert first.size_bytes == len(first.slice) > 800
    first.slice.lease.release()
    assert log.read(0, 10, 8, False) is EMPTY_READ


def test_a_slice_outlives_its_segment(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 20)
    log.flush()
    part = log.read(0, 1 << 20, 40, True).slice
    assert part is not None
    log.advance_log_start(30)
    for path in log.take_deleted_files(setup.clock.now_ms()):
        setup.fs.unlink(path)
    setup.cache.close_idle()
    data = setup.fs.pread(part.fd, part.length, part.position)
    assert next(walk(data))[1].base_offset == 0
    part.lease.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        setup.fs.inner.pread(part.fd, 1, 0)


def test_idle_files_of_sealed_segments_are_bounded(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 60)
    log.flush()
    for segment in log.segments:
        log.read_bytes(segment.base_offset, 100, log.log_end_offset)
    assert len(setup.cache.idle) <= 4


def test_a_disk_that_does_not_read_is_a_storage_error(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 20)
    setup.fs.fail_next("pread", errno.EIO)
    with pytest.raises(KafkaStorageError):
        log.read(0, 100, 40, True)
    assert log.read_bytes(0, 100, 40)


# -- flushing ----------------------------------------------------------------------------------


def test_a_flush_covers_files_of_segments_sealed_meanwhile(setup: LogSetup) -> None:
    log = setup.open()
    log.flush()
    fill(log, 18)
    target = log.dirty_files()
    paths = {handle.path.rpartition("/")[2] for handle in target.leases}  # type: ignore[attr-defined]
    for base in bases(log)[:-1]:
        assert f"{base:020}.log" in paths
        assert f"{base:020}.index" in paths
    assert target.new_dirs == (setup.directory,)
    assert target.end_offset == 36
    fill(log, 1)
    log.mark_flushed(target.end_offset)
    for lease in target.leases:
        lease.release()
    assert log.flushed_offset == log.recovery_point == 36
    again = log.dirty_files()
    assert (len(again.fds), again.new_dirs) == (1, ())


def test_the_first_flush_covers_the_new_directories(setup: LogSetup) -> None:
    log = setup.open()
    target = log.dirty_files()
    assert set(target.new_dirs) == {setup.directory, str(Path(setup.directory).parent)}


def test_a_flush_that_began_before_a_cut_does_not_cover_what_came_after(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 5)
    target = log.dirty_files()
    log.truncate_to(4)
    fill(log, 5)
    log.mark_flushed(target.end_offset)
    assert log.flushed_offset == 4


def test_a_failed_flush_takes_the_log_offline(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 1)
    setup.fs.fail_next("fdatasync", errno.EIO)
    with pytest.raises(KafkaStorageError):
        log.flush()
    assert log.offline
    assert log.flushed_offset == 0


def test_a_closed_log_has_nothing_to_flush(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 1)
    under_way = log.dirty_files()
    log.close(clean=False)
    target = log.dirty_files()
    assert (target.fds, target.leases) == ((), ())
    for fd in under_way.fds:
        setup.fs.fdatasync(fd)
    for lease in under_way.leases:
        lease.release()
    log.mark_flushed(under_way.end_offset)
    log.mark_flushed(target.end_offset)
    setup.cache.close_idle()
    assert setup.fs._fds == {}


def test_close_releases_every_file(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 30)
    read_records(log)
    log.close()
    setup.cache.close_idle()
    setup.kill()
    log = setup.open(recovery_point=10)
    fill(log, 30)
    log.close(clean=False)
    setup.cache.close_idle()
    assert setup.fs._fds == {}
    log.close()


def test_delete_removes_the_directory(setup: LogSetup) -> None:
    log = setup.open()
    fill(log, 3)
    log.delete()
    assert not Path(setup.directory).exists()


def test_preallocation_never_changes_the_size(setup: LogSetup) -> None:
    setup.values["preallocate"] = True
    log = setup.open()
    fill(log, 20)
    assert "fallocate_keep_size" in setup.fs.calls
    for segment in log.segments:
        assert Path(segment.path(".log")).stat().st_size == segment.size_bytes
    log.close()
    assert setup.open(clean=True).log_end_offset == 40


# -- leader epochs -----------------------------------------------------------------------------


def test_end_offsets_of_epochs(setup: LogSetup) -> None:
    log = setup.open()
    for epoch in (1, 1, 4, 6):
        log.append([make_batch()], epoch)
    answers = {epoch: log.end_offset_for_epoch(epoch) for epoch in (-1, 0, 1, 2, 4, 5, 6, 7)}
    assert answers == {
        -1: (-1, -1),
        0: (0, 0),
        1: (1, 2),
        2: (1, 2),
        4: (4, 3),
        5: (4, 3),
        6: (6, 4),
        7: (-1, -1),
    }


def test_epochs_that_a_full_disk_refused_are_written_by_an_orderly_stop(setup: LogSetup) -> None:
    log = setup.open()
    log.append([make_batch([b"one"])], 1)
    setup.fs.fail_next("pwrite", errno.ENOSPC, path_part="leader-epoch-checkpoint")
    log.append([make_batch([b"two"])], 2)
    assert log.log_end_offset == 2
    assert log.epochs.epoch_at(1) == 2
    log.roll()
    log.close()
    again = setup.open(clean=True, recovery_point=2)
    assert [again.epochs.epoch_at(offset) for offset in (0, 1)] == [1, 2]
