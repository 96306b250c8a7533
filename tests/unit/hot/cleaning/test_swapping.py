"""The swap of a round: what readers see, what a crash at any step leaves, when it is void."""

import errno
import pathlib
import random

import pytest

from tests.cleaning_world import (
    Round,
    Stopped,
    StoppingFileSystem,
    committed,
    compacted,
    end_transaction,
    fill,
    put,
)
from tests.log_setup import NOW_MS, LogSetup, read_batches, read_records
from tierbroker.base.executor import ManualExecutor
from tierbroker.hot.cleaning.job import ActiveProducer
from tierbroker.hot.log import Log


@pytest.fixture
def setup(tmp_path: pathlib.Path) -> LogSetup:
    return compacted(str(tmp_path / "t-0"))


def names(setup: LogSetup, ending: str) -> list[str]:
    return sorted(name for name in setup.fs.listdir(setup.directory) if name.endswith(ending))


def filled(setup: LogSetup) -> Log:
    log = setup.open()
    fill(log)
    log.flush()
    return log


def test_a_round_leaves_fewer_segments_with_the_same_values(setup: LogSetup) -> None:
    log = filled(setup)
    before, end = committed(log), log.log_end_offset
    segments, size = len(log.segments), log.size_bytes
    taken = Round.of(log, setup.fs)
    taken.swap()
    assert taken.outcomes == [True]
    assert committed(log) == before
    assert len(log.segments) < segments
    assert log.size_bytes == log.segments.size_bytes < size
    assert log.log_end_offset == end
    assert not names(setup, ".cleaned")
    assert not names(setup, ".swap")
    for path in log.take_deleted_files(setup.clock.now_ms()):
        setup.fs.unlink(path)
    assert not names(setup, ".deleted")
    log.close()
    again = setup.open(clean=True, recovery_point=end)
    assert committed(again) == before
    assert again.size_bytes == log.size_bytes


def test_a_second_round_merges_what_the_first_made_small(setup: LogSetup) -> None:
    log = filled(setup)
    before = committed(log)
    for _ in range(3):
        Round.of(log, setup.fs).swap()
    assert len(log.segments.sealed) == 1
    assert committed(log) == before
    assert setup.fs.mtime_ms(log.segments.sealed[0].handle.path) < setup.clock.now_ms()


def test_readers_keep_the_files_they_lease(setup: LogSetup) -> None:
    log = filled(setup)
    read = log.read(0, 1000, log.log_end_offset)
    assert read.slice is not None
    before = setup.fs.pread(read.slice.fd, read.slice.length, read.slice.position)
    Round.of(log, setup.fs).swap()
    for path in log.take_deleted_files(setup.clock.now_ms()):
        setup.fs.unlink(path)
    assert setup.fs.pread(read.slice.fd, read.slice.length, read.slice.position) == before
    read.slice.lease.release()


def test_producers_are_known_as_before_after_a_restart(setup: LogSetup) -> None:
    log = filled(setup)
    last = log.producer_state.get(7)
    assert last is not None
    ended_at = last.batches[-1].last_offset
    log.roll()
    log.flush()
    Round.of(log, setup.fs, producers=(ActiveProducer(7, 0, ended_at),)).swap()
    assert log.snapshots.offsets[-1] == log.segments.active.base_offset
    assert set(log.snapshots.offsets) <= {segment.base_offset for segment in log.segments}
    end = log.log_end_offset
    log.close(clean=False)
    for name in names(setup, ".snapshot"):
        setup.fs.unlink(f"{setup.directory}/{name}")
    again = setup.open(recovery_point=end).producer_state.get(7)
    assert again is not None
    assert (again.epoch, again.last_sequence) == (last.epoch, last.last_sequence)
    assert again.txn_first_offset == last.txn_first_offset


def test_a_search_by_time_gets_past_an_emptied_batch(setup: LogSetup) -> None:
    log = setup.open()
    first = put(log, (b"k", b"1"), producer_id=7, time=NOW_MS + 5000)
    end_transaction(log, 7, commit=True)
    fill(log, rounds=3)
    last = put(log, (b"k", b"2"), time=NOW_MS + 10)
    log.roll()
    log.flush()
    taken = Round.of(log, setup.fs, producers=(ActiveProducer(7, 0, first),))
    taken.swap()
    end = log.log_end_offset
    for opened in ("as it is", "after a crash"):
        if opened != "as it is":
            log.close(clean=False)
            log = setup.open()
        emptied = [header for _, header in read_batches(log) if not header.record_count]
        assert [header.last_offset for header in emptied] == [first], opened
        assert log.offset_of_max_timestamp(end) == (last, NOW_MS + 10, 0), opened
        assert log.offset_for_timestamp(NOW_MS + 1, end) == (last, NOW_MS + 10, 0), opened
        assert log.offset_for_timestamp(NOW_MS + 11, end) is None, opened
        holes = [offset for offset in range(end) if offset not in _held(log)]
        assert holes
        for offset in holes:
            found = [header for _, header in read_batches(log, offset)]
            assert all(header.last_offset >= offset for header in found)


def _held(log: Log) -> set[int]:
    return {record.offset for record in read_records(log)}


def _run_until(setup: LogSetup, steps: int) -> bool:
    """Clean, but stop after so many changes of the disk; whether it came to an end."""
    log = filled(setup)
    fs = setup.fs
    assert isinstance(fs, StoppingFileSystem)
    fs.steps_left = steps
    try:
        Round.of(log, fs).swap()
        for path in log.take_deleted_files(setup.clock.now_ms()):
            fs.unlink(path)
        return True
    except Stopped:
        return False
    finally:
        fs.steps_left = 1 << 60


@pytest.mark.parametrize("how", ["kill", "power", "power, some is written"])
@pytest.mark.parametrize("recovered", ["all", "the end"])
def test_a_stop_at_any_step_loses_nothing(tmp_path: pathlib.Path, how: str, recovered: str) -> None:
    reference = filled(compacted(str(tmp_path / "reference-0")))
    end, expected = reference.log_end_offset, committed(reference)
    records = {record.offset: record for record in read_records(reference)}
    steps, finished = 0, False
    while not finished:
        setup = compacted(str(tmp_path / f"{steps}-0"), StoppingFileSystem())
        finished = _run_until(setup, steps)
        if how == "kill":
            setup.kill()
        else:
            setup.crash(random.Random(steps) if "some" in how else None)
        log = setup.open(recovery_point=0 if recovered == "all" else end)
        assert log.log_end_offset == end, steps
        assert committed(log) == expected, steps
        for record in read_records(log):
            assert records[record.offset].value == record.value, steps
        for ending in (".cleaned", ".swap", ".deleted"):
            assert not names(setup, ending), steps
        put(log, (b"key 0", b"new"))
        log.flush()
        Round.of(log, setup.fs).swap()
        assert committed(log)[b"key 0"] == b"new"
        log.close()
        steps += 1 if (how, recovered) == ("kill", "all") else 4
    reference.close()
    assert steps > 50


def test_a_log_that_was_cut_meanwhile_keeps_its_segments(setup: LogSetup) -> None:
    log = filled(setup)
    taken = Round.of(log, setup.fs)
    log.truncate_to(taken.chosen.segments[-1].base_offset + 1)
    before = [header for _, header in read_batches(log)]
    taken.swap()
    assert taken.outcomes == [False]
    assert [header for _, header in read_batches(log)] == before
    assert not names(setup, ".cleaned")


def test_a_cut_between_the_steps_makes_the_rest_void(setup: LogSetup) -> None:
    log = filled(setup)
    taken = Round.of(log, setup.fs)
    assert len(taken.result.segments) > 1
    executor = ManualExecutor()
    taken.swap(executor)
    executor.run_one()
    log.truncate_to(taken.chosen.segments[-1].base_offset + 1)
    before = [header for _, header in read_batches(log)]
    executor.run_all()
    assert taken.outcomes == [False]
    assert [header for _, header in read_batches(log)] == before
    assert not names(setup, ".cleaned")
    assert not names(setup, ".swap")
    # What the first group replaced goes all the same.
    assert log.segments.awaits_removal


def test_a_deleted_log_is_left_alone(setup: LogSetup) -> None:
    log = filled(setup)
    taken = Round.of(log, setup.fs)
    executor = ManualExecutor()
    taken.swap(executor)
    log.delete()
    executor.run_all()
    assert taken.outcomes == [False]
    assert not taken.manager.given_up


def test_a_failed_sync_gives_the_disk_up(setup: LogSetup) -> None:
    log = filled(setup)
    taken = Round.of(log, setup.fs)
    setup.fs.fail_next("fsync_dir", errno.EIO)
    before = committed(log)
    taken.swap()
    assert taken.outcomes == [False]
    assert [error.errno for error in taken.manager.given_up] == [errno.EIO]
    assert committed(log) == before


def test_a_disk_that_refuses_a_name_takes_the_log_offline(setup: LogSetup) -> None:
    log = filled(setup)
    before, end = committed(log), log.log_end_offset
    taken = Round.of(log, setup.fs)
    setup.fs.fail_next("rename", errno.EIO, path_part=".log.swap")
    taken.swap()
    assert taken.outcomes == [False]
    assert log.offline
    log.close(clean=False)
    assert committed(setup.open(recovery_point=end)) == before


def test_one_that_refuses_earlier_costs_the_round(setup: LogSetup) -> None:
    log = filled(setup)
    before = committed(log)
    taken = Round.of(log, setup.fs)
    setup.fs.fail_next("rename", errno.ENOSPC, path_part=".log.cleaned")
    taken.swap()
    assert taken.outcomes == [False]
    assert not log.offline
    assert not taken.manager.given_up
    assert committed(log) == before
    assert not names(setup, ".cleaned")
    assert not names(setup, ".swap")


def test_a_stop_of_the_broker_leaves_nothing_to_finish(setup: LogSetup) -> None:
    log = filled(setup)
    taken = Round.of(log, setup.fs)
    executor = ManualExecutor()
    swapping = taken.swap(executor)
    assert names(setup, ".swap")
    swapping.cancel()
    executor.run_all()
    assert taken.outcomes == []
    assert not names(setup, ".cleaned")
    assert not names(setup, ".swap")
