import contextlib
import errno
import os
import random
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_records
from tierbroker.base.errors import KafkaStorageError
from tierbroker.hot.errors import CorruptLogError
from tierbroker.hot.log import Log
from tierbroker.records import producer_snapshot, txn_index
from tierbroker.records.batch import read_header, walk
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch

SEGMENT_BYTES = 4096
SECTOR_BYTES = 512
RECORD = b"r" * 200


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


def fill(log: Log, batches: int, producer_id: int = -1) -> None:
    for index in range(batches):
        sequence = log.log_end_offset
        batch = make_batch(
            [RECORD, RECORD],
            times=NOW_MS + index,
            producer_id=producer_id,
            sequence=sequence,
        )
        log.append([batch], 0)


def filled(setup: LogSetup, batches: int = 30, producer_id: int = -1) -> Log:
    log = setup.open()
    fill(log, batches, producer_id)
    return log


def path_of(setup: LogSetup, suffix: str, slot: int = -1) -> Path:
    return sorted(Path(setup.directory).glob(f"*{suffix}"))[slot]


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def batch_starts(path: Path) -> list[int]:
    return [position for position, _ in walk(path.read_bytes())]


def contents(setup: LogSetup) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(setup.directory).iterdir()}


# -- a clean stop ------------------------------------------------------------------------------


def test_a_new_log_has_its_files(setup: LogSetup) -> None:
    log = setup.open()
    assert sorted(os.listdir(setup.directory)) == [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "partition.metadata",
    ]
    assert (log.log_start_offset, log.log_end_offset) == (0, 0)


def test_a_clean_stop_keeps_everything(setup: LogSetup) -> None:
    log = filled(setup, producer_id=5)
    expected = read_records(log)
    log.close()
    again = setup.open(clean=True, recovery_point=60)
    assert read_records(again) == expected
    assert again.flushed_offset == 60
    state = again.producer_state.get(5)
    assert state is not None
    assert state.last_sequence == 59


def test_a_clean_start_reads_no_batch_in_full(setup: LogSetup) -> None:
    filled(setup, 200).close()
    setup.fs.calls.clear()
    log = setup.open(clean=True)
    assert setup.fs.calls.count("pread") < 3 * len(log.segments)


def test_the_same_indexes_after_a_clean_stop_and_after_a_crash(setup: LogSetup) -> None:
    filled(setup, 100).close()
    before = contents(setup)
    setup.kill()
    setup.open().close()
    after = contents(setup)
    assert {n: d for n, d in before.items() if "index" in n} == {
        n: d for n, d in after.items() if "index" in n
    }


# -- a torn tail -------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 30, 61, 400, 499])
def test_a_torn_tail_is_cut(setup: LogSetup, cut: int) -> None:
    log = filled(setup)
    expected = read_records(log)
    setup.kill()
    path = path_of(setup, ".log")
    last = batch_starts(path)[-1]
    path.write_bytes(path.read_bytes()[: last + min(cut, path.stat().st_size - last - 1)])
    again = setup.open()
    assert again.log_end_offset == 58
    assert read_records(again) == expected[:-2]
    assert path.stat().st_size == last


@pytest.mark.parametrize("junk", [b"\0" * 10, b"\0" * 9000, b"junk" * 500, b"\xff" * 61])
def test_junk_at_the_end_is_cut(setup: LogSetup, junk: bytes) -> None:
    log = filled(setup)
    expected = read_records(log)
    setup.kill()
    path = path_of(setup, ".log")
    path.write_bytes(path.read_bytes() + junk)
    again = setup.open(recovery_point=60)
    assert read_records(again) == expected


def test_a_torn_tail_with_a_wrong_crc_is_cut(setup: LogSetup) -> None:
    filled(setup)
    setup.kill()
    path = path_of(setup, ".log")
    flip_bit(path, path.stat().st_size - 5)
    assert setup.open().log_end_offset == 58


def test_a_hole_of_pages_that_were_never_written_ends_the_log(setup: LogSetup) -> None:
    setup.values["internal.segment.bytes"] = 1 << 20
    log = filled(setup, 60)
    expected = read_records(log)
    setup.kill()
    path = path_of(setup, ".log")
    data = bytearray(path.read_bytes())
    data[8192:12288] = bytes(4096)
    path.write_bytes(data)
    again = setup.open(recovery_point=20)
    kept = again.log_end_offset
    assert 20 <= kept < 120
    assert read_records(again) == expected[:kept]


def test_the_log_goes_on_after_a_cut(setup: LogSetup) -> None:
    filled(setup, producer_id=3)
    setup.kill()
    path = path_of(setup, ".log")
    path.write_bytes(path.read_bytes()[:-1])
    log = setup.open()
    (result,) = log.append([make_batch([RECORD, RECORD], producer_id=3, sequence=58)], 0)
    assert result.base_offset == 58  # type: ignore[union-attr]
    assert not result.duplicate  # type: ignore[union-attr]


def test_what_a_killed_process_wrote_is_synced_before_it_counts_as_durable(
    setup: LogSetup,
) -> None:
    filled(setup)
    setup.kill()
    setup.fs.calls.clear()
    log = setup.open()
    assert "fdatasync" in setup.fs.calls
    assert log.flushed_offset == 60
    setup.crash()
    assert setup.open(recovery_point=60).log_end_offset == 60


def test_a_sync_that_fails_at_a_start_is_not_tried_again(setup: LogSetup) -> None:
    """The second one would succeed, and prove nothing."""
    filled(setup)
    setup.kill()
    setup.fs.fail_next("fdatasync", errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        setup.open()


# -- damage: see test_damage.py -----------------------------------------------------------------


def test_a_missing_log_below_the_recovery_point_is_damage(setup: LogSetup) -> None:
    filled(setup)
    setup.kill()
    for path in Path(setup.directory).glob("*.log"):
        path.unlink()
    with pytest.raises(CorruptLogError, match="no segment"):
        setup.open(recovery_point=60)


def test_gaps_of_compaction_are_none(setup: LogSetup) -> None:
    setup.values["cleanup.policy"] = ("compact",)
    log = filled(setup)
    expected = read_records(log)
    setup.kill()
    first = path_of(setup, ".log", 0)
    starts = batch_starts(first)
    first.write_bytes(first.read_bytes()[: starts[-1]])
    again = setup.open()
    assert again.log_end_offset == 60
    lost = 2 * (len(starts) - 1)
    assert [r.offset for r in read_records(again)] == [
        r.offset for r in expected if not lost <= r.offset < lost + 2
    ]


@pytest.mark.parametrize("policy", ["compact", "delete"])
@pytest.mark.parametrize("left", [b"", bytes(300), None])
@pytest.mark.parametrize("recovery_point", [0, 10, 16])
def test_a_hole_that_no_batch_follows_ends_the_log(
    setup: LogSetup, policy: str, left: bytes | None, recovery_point: int
) -> None:
    setup.values["cleanup.policy"] = (policy,)
    log = filled(setup, 5)
    for _ in range(2):
        log.roll()
        fill(log, 5)
    setup.kill()
    second, last = path_of(setup, ".log", 1), path_of(setup, ".log", 2)
    second.write_bytes(second.read_bytes()[: batch_starts(second)[3]])
    last.write_bytes(last.read_bytes()[:40] if left is None else left)
    again = setup.open(recovery_point=recovery_point)
    assert (again.log_end_offset, len(again.segments), again.damage) == (16, 2, ())
    fill(again, 1)
    assert [record.offset for record in read_records(again)] == list(range(18))


@pytest.mark.parametrize("recovery_point", [0, 2])
def test_a_page_that_ends_in_a_sector_of_zeros_was_torn(
    setup: LogSetup, recovery_point: int
) -> None:
    """The disk stopped in the middle of a page; what was written after it is whole by chance."""
    setup.values["internal.segment.bytes"] = 1200
    log = setup.open()
    for values in ([b"first"], [b"second"], [b"x" * 900]):
        log.append([make_batch(values)], 0)
    log.roll()
    fill(log, 2)
    setup.kill()
    first = path_of(setup, ".log", 0)
    data = first.read_bytes()
    first.write_bytes(data[:1024].ljust(len(data), b"\0"))
    again = setup.open(recovery_point=recovery_point)
    assert (again.log_end_offset, len(again.segments), again.damage) == (2, 1, ())


@pytest.mark.parametrize("last_size", [12, 40, 63, 64, 200])
def test_a_short_end_that_is_all_zeros_was_never_written(setup: LogSetup, last_size: int) -> None:
    """The file got longer, the bytes did not come; what was written after it is whole by chance."""
    log = setup.open()
    for values in ([b"first"], [b"second"], [b"x" * 300]):
        log.append([make_batch(values)], 0)
    log.roll()
    fill(log, 2)
    setup.kill()
    first = path_of(setup, ".log", 0)
    third = batch_starts(first)[2]
    first.write_bytes(first.read_bytes()[:third] + bytes(last_size))
    again = setup.open(recovery_point=1)
    assert (again.log_end_offset, len(again.segments), again.damage) == (2, 1, ())


@pytest.mark.parametrize("beyond", [16, 39, 63, 64])
def test_the_sector_that_did_not_come_may_hold_little(setup: LogSetup, beyond: int) -> None:
    """So many bytes of the last batch: without them its CRC is wrong."""
    log = setup.open()
    log.append([make_batch([b"first"])], 0)
    room = SECTOR_BYTES + beyond - log.segments.active.size_bytes
    sizes = {len(make_batch([b"x" * size])[0]): size for size in range(300, 600)}
    log.append([make_batch([b"x" * sizes[room]])], 0)
    log.roll()
    fill(log, 2)
    setup.kill()
    first = path_of(setup, ".log", 0)
    first.write_bytes(first.read_bytes()[:SECTOR_BYTES] + bytes(beyond))
    again = setup.open()
    assert (again.log_end_offset, len(again.segments), again.damage) == (1, 1, ())


def test_a_hole_that_was_durable_at_the_end_stays(setup: LogSetup) -> None:
    setup.values["cleanup.policy"] = ("compact",)
    log = filled(setup, 5)
    log.roll()
    setup.kill()
    first = path_of(setup, ".log", 0)
    first.write_bytes(first.read_bytes()[: batch_starts(first)[-1]])
    again = setup.open(recovery_point=10)
    assert (again.log_end_offset, again.damage) == (10, ())


# -- side files --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", bytes(12)])
def test_the_indexes_of_what_ends_at_the_recovery_point_are_not_trusted(
    setup: LogSetup, content: bytes
) -> None:
    log = filled(setup, 5)
    log.flush()
    log.roll()
    setup.kill()
    path_of(setup, ".timeindex", 0).write_bytes(content)
    again = setup.open(recovery_point=10)
    assert again.segments.first.max_timestamp() == (NOW_MS + 4, 9)


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
@pytest.mark.parametrize("slot", [0, -1])
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("harm", ["missing", "empty_last", "odd", "zeros", "junk"])
def test_a_lost_or_corrupt_index_is_rebuilt(
    setup: LogSetup, suffix: str, slot: int, clean: bool, harm: str
) -> None:
    setup.values["internal.segment.bytes"] = 20_000
    log = filled(setup, 100)
    expected = read_records(log)
    log.close()
    before = contents(setup)
    path = path_of(setup, suffix, slot)
    data = path.read_bytes()
    assert data
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {
                "empty_last": data[:-8] + bytes(8),
                "odd": data[:-1],
                "zeros": bytes(len(data)),
                "junk": b"\xfe" * len(data),
            }[harm]
        )
    setup.kill()
    again = setup.open(clean=clean, recovery_point=200)
    assert read_records(again) == expected
    found = again.offset_for_timestamp(NOW_MS + 60, 200)
    assert found is not None
    assert found.offset == 120
    again.close()
    after = contents(setup)
    assert after[path.name] == before[path.name]


def test_indexes_without_a_log_are_removed(setup: LogSetup) -> None:
    filled(setup).close()
    for suffix in (".index", ".timeindex", ".txnindex"):
        Path(setup.directory, f"{999:020}{suffix}").write_bytes(b"12345678")
    setup.open(clean=True)
    assert not list(Path(setup.directory).glob("*999.*"))


def test_a_half_written_epoch_checkpoint_is_rebuilt_from_the_batches(setup: LogSetup) -> None:
    log = setup.open()
    for epoch in (0, 3, 7):
        log.append([make_batch()], epoch)
    log.close()
    path = Path(setup.directory, "leader-epoch-checkpoint")
    for content in (b"", b"0\n3\n0 0\n3 1", b"0\n9\n0 0\n", b"junk"):
        path.write_bytes(content)
        again = setup.open(clean=True)
        assert [tuple(e) for e in again.epochs.lineage] == [(0, 0), (3, 1), (7, 2)]
        again.close()


def test_an_epoch_checkpoint_that_lags_behind_is_caught_up(setup: LogSetup) -> None:
    log = setup.open()
    log.append([make_batch()], 0)
    log.flush()
    stale = Path(setup.directory, "leader-epoch-checkpoint").read_bytes()
    log.append([make_batch()], 5)
    setup.kill()
    Path(setup.directory, "leader-epoch-checkpoint").write_bytes(stale)
    again = setup.open(recovery_point=1)
    assert [tuple(e) for e in again.epochs.lineage] == [(0, 0), (5, 1)]


def test_a_corrupt_snapshot_gives_way_to_an_older_one_or_to_a_replay(setup: LogSetup) -> None:
    log = filled(setup, 40, producer_id=9)
    log.close()
    for path in Path(setup.directory).glob("*.snapshot"):
        flip_bit(path, 20)
    again = setup.open(clean=True)
    state = again.producer_state.get(9)
    assert state is not None
    assert state.last_sequence == 79
    assert len(state.batches) == 5


def test_a_snapshot_above_the_recovered_end_is_dropped(setup: LogSetup) -> None:
    filled(setup, 10)
    setup.kill()
    entry = producer_snapshot.ProducerEntry(1, 0, 5, 5, 0, NOW_MS, 0, -1)
    Path(setup.directory, f"{500:020}.snapshot").write_bytes(producer_snapshot.encode([entry]))
    log = setup.open()
    assert log.producer_state.get(1) is None
    assert not Path(setup.directory, f"{500:020}.snapshot").exists()


def test_a_topic_id_is_kept_and_an_empty_metadata_file_is_written_again(setup: LogSetup) -> None:
    first = setup.open()
    first.close()
    Path(setup.directory, "partition.metadata").write_bytes(b"")
    again = setup.open(clean=True)
    assert again.topic_id == first.topic_id
    text = Path(setup.directory, "partition.metadata").read_text()
    assert text.startswith("version: 0\ntopic_id: ")


# -- crashes in the middle of something --------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_power_cut_at_any_call_of_a_run_keeps_what_was_durable(
    setup: LogSetup, seed: int
) -> None:
    rng = random.Random(seed)
    log = setup.open()
    durable = 0
    setup.fs.fail_next("write", errno.EIO, times=10**6, skip=rng.randrange(4, 60))
    for index in range(60):
        log.append([make_batch([RECORD] * rng.randint(1, 3))], 0)
        if log.offline:
            break
        if index % 5 == 4:
            log.flush()
            durable = log.flushed_offset
    end = log.log_end_offset
    setup.crash(rng)
    again = setup.open(recovery_point=durable)
    assert durable <= again.log_end_offset <= end
    assert [r.offset for r in read_records(again)] == list(range(again.log_end_offset))


@pytest.mark.parametrize("op", ["open", "write", "rename", "ftruncate"])
@pytest.mark.parametrize("skip", range(4))
def test_a_crash_in_the_middle_of_a_roll(setup: LogSetup, op: str, skip: int) -> None:
    log = filled(setup, 5, producer_id=2)
    expected = read_records(log)
    setup.fs.fail_next(op, errno.EIO, times=10**6, skip=skip)
    with contextlib.suppress(KafkaStorageError):
        log.roll()
    setup.kill()
    again = setup.open()
    assert read_records(again) == expected
    fill(again, 3, producer_id=2)
    assert again.log_end_offset == 16
    state = again.producer_state.get(2)
    assert state is not None
    assert state.last_sequence == 15


def test_a_roll_that_left_only_an_empty_log_file(setup: LogSetup) -> None:
    filled(setup, 5)
    setup.kill()
    Path(setup.directory, f"{10:020}.log").touch()
    again = setup.open()
    assert again.log_end_offset == 10
    assert len(again.segments) == 2


# -- leftovers ---------------------------------------------------------------------------------


def test_deleted_cleaned_and_temporary_files_are_removed(setup: LogSetup) -> None:
    log = filled(setup, 5)
    expected = read_records(log)
    log.close()
    for name in (
        f"{0:020}.log.cleaned",
        f"{7:020}.index.deleted",
        "leader-epoch-checkpoint.tmp",
        f"{3:020}.log.deleted",
    ):
        Path(setup.directory, name).write_bytes(b"x")
    again = setup.open(clean=True)
    assert read_records(again) == expected
    assert not [
        n for n in os.listdir(setup.directory) if n.endswith((".cleaned", ".deleted", ".tmp"))
    ]


def test_a_swap_replaces_the_segments_it_covers(setup: LogSetup) -> None:
    log = filled(setup, 30)
    log.close()
    logs = sorted(Path(setup.directory).glob("*.log"))
    merged = logs[0].read_bytes() + logs[1].read_bytes()
    kept = b""
    for position, header in walk(merged):
        if header.base_offset % 4 == 0:
            kept += merged[position : position + header.size_bytes]
    Path(setup.directory, f"{0:020}.log.swap").write_bytes(kept)
    Path(setup.directory, f"{0:020}.index.swap").write_bytes(b"")
    setup.values["cleanup.policy"] = ("compact",)
    again = setup.open(clean=True)
    offsets = [r.offset for r in read_records(again)]
    third = int(logs[2].stem)
    assert offsets[-1] == 59
    assert all(offset % 4 < 2 for offset in offsets if offset < third)
    assert not list(Path(setup.directory).glob("*.swap"))


def test_a_swap_beside_a_cleaned_file_is_dropped(setup: LogSetup) -> None:
    log = filled(setup, 30)
    expected = read_records(log)
    log.close()
    for suffix in (".log.swap", ".log.cleaned", ".index.swap"):
        Path(setup.directory, f"{0:020}{suffix}").write_bytes(b"")
    again = setup.open(clean=True)
    assert read_records(again) == expected


# -- start offsets -----------------------------------------------------------------------------


def test_a_log_below_its_start_begins_anew(setup: LogSetup) -> None:
    filled(setup, 5).close()
    log = setup.open(clean=True, log_start_offset=100)
    assert (log.log_start_offset, log.log_end_offset) == (100, 100)
    (result,) = log.append([make_batch()], 1)
    assert result.base_offset == 100  # type: ignore[union-attr]


def test_a_new_log_starts_where_it_is_told(setup: LogSetup) -> None:
    log = setup.open(log_start_offset=42)
    log.append([make_batch()], 0)
    assert log.log_start_offset == 42
    assert read_header(log.read_bytes(42, 1000, 43)).base_offset == 42


# -- aborted transactions ----------------------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False])
def test_aborted_transactions_are_found_again(setup: LogSetup, clean: bool) -> None:
    log = setup.open()
    log.append([make_batch(producer_id=8, sequence=0, transactional=True)], 0)
    log.append([make_batch(producer_id=9, sequence=0, transactional=True)], 0)
    fill(log, 12)
    for producer_id, kind in ((8, ControlType.ABORT), (9, ControlType.COMMIT)):
        marker = bytearray(
            build_marker_batch(
                EndTxnMarker(kind, 1),
                timestamp_ms=NOW_MS,
                producer_id=producer_id,
                producer_epoch=0,
            )
        )
        log.append([(marker, read_header(marker))], 0)
    (path,) = Path(setup.directory).glob("*.txnindex")
    before = path.read_bytes()
    assert list(txn_index.entries(before)) == [txn_index.AbortedTxn(8, 0, 26, 1)]
    if clean:
        log.close()
    else:
        path.write_bytes(before + before[:20])
    setup.kill()
    again = setup.open(clean=clean)
    assert path.read_bytes() == before
    assert again.producer_state.first_unstable_offset() is None
