import errno
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_batches, read_records
from tierbroker.base.errors import (
    CorruptMessageError,
    InvalidProducerEpochError,
    KafkaStorageError,
    OutOfOrderSequenceNumberError,
    RecordListTooLargeError,
)
from tierbroker.hot.log import AppendResult, Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import crc_valid, read_header
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


@pytest.fixture
def log(setup: LogSetup) -> Log:
    return setup.open()


def result_of(log: Log, batch: object, epoch: int = 0) -> AppendResult:
    (result,) = log.append([batch], epoch)  # type: ignore[list-item]
    assert isinstance(result, AppendResult), result
    return result


def test_offsets_and_epoch_are_patched_in_place(log: Log) -> None:
    batch = make_batch([b"a", b"b"])
    assert result_of(log, batch, 3) == AppendResult(0, 1, -1, 0, False)
    assert result_of(log, batch, 3) == AppendResult(2, 3, -1, 0, False)
    headers = [header for _, header in read_batches(log)]
    assert [(h.base_offset, h.partition_leader_epoch) for h in headers] == [(0, 3), (2, 3)]
    assert all(crc_valid(data, 0, header) for data, header in read_batches(log))
    assert log.latest_epoch == 3


def test_many_batches_are_one_write(log: Log, setup: LogSetup) -> None:
    setup.fs.calls.clear()
    results = log.append([make_batch([b"x"] * 2) for _ in range(5)], 0)
    assert [r.base_offset for r in results if isinstance(r, AppendResult)] == [0, 2, 4, 6, 8]
    assert setup.fs.calls.count("pwritev") == 1


def test_an_error_of_one_batch_does_not_stop_the_others(log: Log) -> None:
    result_of(log, make_batch(producer_id=1, producer_epoch=1, sequence=0))
    results = log.append(
        [
            make_batch(),
            make_batch(producer_id=1, producer_epoch=1, sequence=9),
            make_batch(producer_id=1, producer_epoch=0, sequence=1),
            make_batch([b"x" * 9000]),
            make_batch(producer_id=1, producer_epoch=1, sequence=0),
            make_batch(producer_id=1, producer_epoch=1, sequence=1),
        ],
        0,
    )
    assert results[0] == AppendResult(1, 1, -1, 0, False)
    assert isinstance(results[1], OutOfOrderSequenceNumberError)
    assert isinstance(results[2], InvalidProducerEpochError)
    assert isinstance(results[3], RecordListTooLargeError)
    assert results[4] == AppendResult(0, 0, NOW_MS, 0, True)
    assert results[5] == AppendResult(2, 2, -1, 0, False)
    assert log.log_end_offset == 3


def test_a_stamped_batch_answers_its_time(log: Log) -> None:
    assert result_of(log, make_batch(log_append_time_ms=777)).log_append_time_ms == 777


def test_a_short_write_is_completed(log: Log, setup: LogSetup) -> None:
    original = setup.fs.inner.pwrite
    setup.fs.inner.pwrite = lambda fd, data, at: original(fd, bytes(data)[:40], at)  # type: ignore[method-assign]
    log.append([make_batch([b"value" * 20]), make_batch([b"value" * 20])], 0)
    assert [r.value for r in read_records(log)] == [b"value" * 20] * 2


@pytest.mark.parametrize("room", [0, 1, 60, 100, 200])
def test_a_full_disk_leaves_nothing_behind_and_the_log_goes_on(
    log: Log, setup: LogSetup, room: int
) -> None:
    result_of(log, make_batch([b"kept"], producer_id=1, sequence=0))
    log_file = next(Path(setup.directory).glob("*.log"))
    size = log_file.stat().st_size
    index = bytes(log.segments.active.index)
    setup.fs.capacity_bytes = setup.fs.used_bytes + room
    batches = [make_batch([b"v" * 90], producer_id=1, sequence=n) for n in (1, 2, 1)]
    results = log.append(batches, 5)
    assert all(isinstance(result, KafkaStorageError) for result in results)
    assert log_file.stat().st_size == size == log.size_bytes
    assert (log.log_end_offset, log.latest_epoch) == (1, 0)
    assert bytes(log.segments.active.index) == index
    state = log.producer_state.get(1)
    assert state is not None
    assert state.last_sequence == 0
    assert not log.offline
    setup.fs.capacity_bytes = None
    assert result_of(log, batches[0], 5) == AppendResult(1, 1, -1, 0, False)


def test_a_full_disk_at_a_roll_leaves_the_old_segment_in_use(log: Log, setup: LogSetup) -> None:
    while log.size_bytes < 3500:
        result_of(log, make_batch([b"x" * 300]))
    end = log.log_end_offset
    setup.fs.fail_next("open", errno.ENOSPC, path_part=".timeindex")
    results = log.append([make_batch([b"y" * 100]), make_batch([b"x" * 900])], 0)
    assert results[0] == AppendResult(end, end, -1, 0, False)
    assert isinstance(results[1], KafkaStorageError)
    assert len(log.segments) == 1
    assert result_of(log, make_batch([b"x" * 900])).base_offset == end + 1
    assert len(log.segments) == 2
    assert len(read_records(log)) == end + 2


def test_any_other_error_takes_the_log_offline(log: Log, setup: LogSetup) -> None:
    result_of(log, make_batch())
    setup.fs.fail_next("write", errno.EIO)
    (result,) = log.append([make_batch()], 0)
    assert isinstance(result, KafkaStorageError)
    assert log.offline
    assert [error.errno for error in setup.went_offline] == [errno.EIO]
    (result,) = log.append([make_batch()], 0)
    assert isinstance(result, KafkaStorageError)
    with pytest.raises(KafkaStorageError):
        log.read(0, 100, 1)


def test_a_full_disk_that_cannot_be_cut_back_takes_the_log_offline(
    log: Log, setup: LogSetup
) -> None:
    setup.fs.capacity_bytes = setup.fs.used_bytes + 10
    setup.fs.fail_next("ftruncate", errno.EIO)
    log.append([make_batch()], 0)
    assert log.offline


def test_a_follower_keeps_offsets_and_epochs(log: Log) -> None:
    data = b"".join(
        bytes(
            make_batch(
                [b"v"] * 2, base_offset=base, leader_epoch=epoch, producer_id=4, sequence=base
            )[0]
        )
        for base, epoch in ((0, 1), (2, 1), (4, 6))
    )
    result = log.append_as_follower(data + data[:30])
    assert (result.base_offset, result.last_offset, log.log_end_offset) == (0, 5, 6)
    assert [tuple(e) for e in log.epochs.lineage] == [(0 + 1, 0), (6, 4)]
    assert log.read_bytes(0, 1 << 20, 6) == data
    state = log.producer_state.get(4)
    assert state is not None
    assert state.last_sequence == 5


def test_a_follower_takes_none_of_a_damaged_answer(log: Log) -> None:
    good = bytes(make_batch(base_offset=0)[0])
    bad = bytearray(make_batch(base_offset=1)[0])
    bad[-1] ^= 1
    for data in (good + bytes(bad), good + good, good + bytes(61)):
        with pytest.raises(CorruptMessageError):
            log.append_as_follower(data)
        assert log.log_end_offset == 0


def test_a_far_offset_gets_a_segment_of_its_own(log: Log) -> None:
    far = 1 << 32
    data = b"".join(bytes(make_batch(base_offset=o)[0]) for o in (0, far, far + 1))
    log.append_as_follower(data)
    assert [segment.base_offset for segment in log.segments] == [0, far]
    assert [header.base_offset for _, header in read_batches(log)] == [0, far, far + 1]
    log.truncate_fully_and_start_at(0)
    log.append_as_follower(bytes(make_batch(base_offset=far)[0]))
    assert [segment.base_offset for segment in log.segments] == [far]


@pytest.mark.parametrize("room", [0, 80, 100])
def test_a_marker_that_has_no_room_for_its_index_entry_is_refused(
    tmp_path: Path, room: int
) -> None:
    """A full disk is an error of the moment: neither marker nor entry is there, and it goes on."""
    setup = LogSetup(str(tmp_path / "t-0"))
    log = setup.open()
    log.append([make_batch(producer_id=7, sequence=0, transactional=True)], 0)
    marker = build_marker_batch(
        EndTxnMarker(ControlType.ABORT, 0), timestamp_ms=NOW_MS, producer_id=7, producer_epoch=0
    )

    def end() -> object:
        batch = bytearray(marker)
        (result,) = log.append([(batch, read_header(batch))], 0, [AppendOrigin.COORDINATOR])
        return result

    setup.fs.capacity_bytes = setup.fs.used_bytes + room
    assert isinstance(end(), KafkaStorageError)
    assert not log.offline
    assert log.producer_state.first_unstable_offset() == 0
    assert (log.log_end_offset, log.aborted_transactions(0, 10)) == (1, [])
    setup.fs.capacity_bytes = None
    assert isinstance(end(), AppendResult)
    assert [txn.last_offset for txn in log.aborted_transactions(0, 10)] == [1]


def test_the_index_of_aborted_transactions_is_flushed_with_their_markers(tmp_path: Path) -> None:
    """A roll and a power cut behind that flush: the segment is trusted, so its index must be there.

    Aborts that nobody flushes in between ask for one flush of the file, not for one each.
    """
    setup = LogSetup(str(tmp_path / "t-0"))
    log = setup.open()
    log.flush()
    for producer in range(3):
        log.append([make_batch(producer_id=producer, sequence=0, transactional=True)], 0)
        marker = build_marker_batch(
            EndTxnMarker(ControlType.ABORT, 0),
            timestamp_ms=NOW_MS,
            producer_id=producer,
            producer_epoch=0,
        )
        batch = bytearray(marker)
        log.append([(batch, read_header(batch))], 0, [AppendOrigin.COORDINATOR])
    before = setup.fs.calls.count("fdatasync")
    log.flush()
    assert setup.fs.calls.count("fdatasync") - before == 3  # log, epochs, index
    recovery_point = log.recovery_point
    log.roll()
    setup.fs.fsync_dir(setup.directory)  # whoever syncs the directory makes the new names durable
    setup.crash()
    log = setup.open(recovery_point=recovery_point)
    assert [txn.last_offset for txn in log.aborted_transactions(0, 10)] == [1, 3, 5]
