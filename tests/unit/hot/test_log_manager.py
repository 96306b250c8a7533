"""All logs of a broker: start, placement, deletion, checkpoints, failing disks, orderly end."""

import errno
import logging
import os
import random
from pathlib import Path

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import DataDirError, KafkaStorageError
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.hot.clean_shutdown import CLEAN_SHUTDOWN_FILE
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.log_startup import LogStartup, StartReport
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

TOPIC_ID = Uuid(bytes(range(16)))
OTHER_ID = Uuid(bytes(range(1, 17)))
ZERO = TopicPartition("topic", 0)
CONFIG = TopicConfigs().log_config({})
SMALL = TopicConfigs().log_config({"internal.segment.bytes": "200", "file.delete.delay.ms": "10"})
EIO = OSError(errno.EIO, "Input/output error")


class FaultyDisk(OsFileSystem):
    """The real file system; a named operation on a path that contains a text fails."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, tuple[str, OSError]] = {}
        self.syncs = 0

    def _check(self, operation: str, path: str) -> None:
        needle, error = self.faults.get(operation, ("", None))
        if error is not None and needle in path:
            raise error

    def rename(self, source: str, target: str) -> None:  # type: ignore[override]
        self._check("rename", target)
        OsFileSystem.rename(source, target)

    def mkdir(self, path: str) -> None:
        self._check("mkdir", path)
        super().mkdir(path)

    def listdir(self, path: str) -> list[str]:  # type: ignore[override]
        self._check("listdir", path)
        return OsFileSystem.listdir(path)

    def syncfs(self, fd: int) -> None:
        self.syncs += 1
        self._check("syncfs", "")


class Broker:
    """A log manager on real directories, started as the node starts it."""

    def __init__(
        self,
        *paths: Path,
        known: dict[TopicPartition, Uuid] | None = None,
        executor: InlineExecutor | ManualExecutor | None = None,
    ) -> None:
        self.fs = FaultyDisk()
        self.clock = ManualClock()
        self.known = {} if known is None else known
        self.offline: list[str] = []
        rng = random.Random(7)
        self.dirs = LogDirs.open(self.fs, [str(path) for path in paths], rng=rng, node_id=1)
        self.manager = LogManager(
            self.dirs,
            FileCache(self.fs),
            InlineExecutor() if executor is None else executor,
            self.clock,
            rng,
            on_dir_offline=lambda log_dir, _: self.offline.append(log_dir.path),
        )

    def start(self) -> StartReport:
        return LogStartup(self.manager, lambda _: CONFIG, self.known.get, self.clock).run()

    def create(self, slot: TopicPartition = ZERO, topic_id: Uuid = TOPIC_ID) -> Log:
        self.known[slot] = topic_id
        return self.manager.create_log(slot, topic_id, SMALL)


def append(log: Log, values: int = 1, timestamp_ms: int = 1000) -> None:
    for _ in range(values):
        batch = bytearray(build_batch([Record(0, timestamp_ms, None, b"v" * 50, ())]))
        (result,) = log.append([(batch, read_header(batch))], 0)
        assert not isinstance(result, Exception), result


def restart(broker: Broker, *paths: Path, clean: bool = True) -> Broker:
    if clean:
        broker.manager.shutdown()
    else:
        # What a killed process leaves: nothing is written, the locks are free.
        for log in broker.manager:
            log.close(clean=False)
        broker.dirs.release()
    return Broker(*paths, known=broker.known)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir())


def test_clean_restart_opens_everything_as_it_was(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    assert broker.start().opened == 0
    append(broker.create(), 5)
    append(broker.create(TopicPartition("other", 3), OTHER_ID), 2)
    again = restart(broker, tmp_path)
    assert (tmp_path / CLEAN_SHUTDOWN_FILE).exists()
    report = again.start()
    assert (report.opened, report.recovered, report.stray) == (2, 0, 0)
    assert not (tmp_path / CLEAN_SHUTDOWN_FILE).exists()
    log = again.manager.get(ZERO)
    assert log is not None
    assert (log.log_end_offset, log.topic_id) == (5, TOPIC_ID)
    assert (tmp_path / "recovery-point-offset-checkpoint").read_text() == (
        "0\n2\ntopic 0 5\nother 3 2\n"
    )
    again.manager.shutdown()


def test_start_reports_the_broker_epoch_of_an_orderly_end(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    broker = Broker(one, two)
    assert broker.start().previous_broker_epoch == -1
    broker.manager.shutdown(broker_epoch=42)
    again = Broker(one, two)
    assert again.start().previous_broker_epoch == 42
    again.manager.shutdown(broker_epoch=43)
    (two / CLEAN_SHUTDOWN_FILE).unlink()
    third = Broker(one, two)
    assert third.start().previous_broker_epoch == -1
    third.manager.shutdown()


def test_killed_broker_recovers_each_log(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    append(broker.create(), 5)
    again = restart(broker, tmp_path, clean=False)
    report = again.start()
    assert (report.opened, report.recovered) == (1, 1)
    assert again.fs.syncs == 1, "what was read from the page cache is on the disk now"
    log = again.manager.get(ZERO)
    assert log is not None
    assert log.log_end_offset == 5
    again.manager.shutdown()


def test_a_crash_while_starting_counts_as_a_crash(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    append(broker.create())
    second = restart(broker, tmp_path)
    second.start()
    third = restart(second, tmp_path, clean=False)
    assert third.start().recovered == 1
    third.manager.shutdown()


def test_new_partitions_go_where_there_are_fewest(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "a", tmp_path / "b")
    for partition in range(4):
        broker.create(TopicPartition("topic", partition))
    assert names(tmp_path / "a") == ["topic-0", "topic-2"]
    assert names(tmp_path / "b") == ["topic-1", "topic-3"]
    broker.manager.shutdown()


def test_get_or_create(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    log = broker.manager.get_or_create(ZERO, TOPIC_ID, SMALL)
    assert log is not None
    assert broker.manager.get_or_create(ZERO, TOPIC_ID, CONFIG) is log
    assert log.config is CONFIG
    append(log)
    newer = broker.manager.get_or_create(ZERO, OTHER_ID, SMALL)
    assert newer is not None
    assert (newer.topic_id, newer.log_end_offset) == (OTHER_ID, 0)
    assert [name for name in names(tmp_path) if name.endswith("-stray")]
    broker.manager.shutdown()


def test_deleted_log_is_renamed_and_removed_later(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    append(broker.create())
    broker.manager.delete_log(ZERO)
    assert broker.manager.get(ZERO) is None
    (name,) = names(tmp_path)
    assert name.startswith("topic-0.")
    assert name.endswith("-delete")
    broker.manager.tick(broker.clock.now_ms())
    assert names(tmp_path) == [name]
    broker.clock.advance(10)
    broker.manager.tick(broker.clock.now_ms())
    assert names(tmp_path) == []
    assert broker.create().log_end_offset == 0
    broker.manager.shutdown()


def test_what_was_marked_for_deletion_goes_after_a_restart(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.create()
    broker.manager.delete_log(ZERO)
    again = restart(broker, tmp_path)
    assert again.start().awaiting_removal == 1
    again.manager.tick(again.clock.now_ms())
    assert names(tmp_path) == []
    again.manager.shutdown()


@pytest.mark.parametrize("known", [{}, {ZERO: OTHER_ID}])
def test_unknown_partitions_become_strays_and_keep_their_data(
    tmp_path: Path, known: dict[TopicPartition, Uuid], caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(tmp_path)
    append(broker.create(), 3)
    broker.known = known
    again = restart(broker, tmp_path)
    with caplog.at_level(logging.WARNING):
        report = again.start()
    assert (report.opened, report.stray) == (0, 1)
    (name,) = names(tmp_path)
    assert name.endswith("-stray")
    assert name in caplog.text
    assert (tmp_path / name / "00000000000000000000.log").stat().st_size > 0
    third = restart(again, tmp_path)
    assert third.start().stray == 0
    assert names(tmp_path) == [name]
    third.manager.shutdown()


def test_metadata_log_and_other_directories_are_left_alone(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    for name in ("__cluster_metadata-0", "lost+found", "backup"):
        (tmp_path / name).mkdir()
    report = broker.start()
    assert (report.opened, report.stray, report.failed) == (0, 0, 0)
    assert names(tmp_path) == ["__cluster_metadata-0", "backup", "lost+found"]
    broker.manager.shutdown()


def test_a_partition_in_two_directories_is_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    broker = Broker(one, two, known={ZERO: TOPIC_ID})
    (one / "topic-0").mkdir()
    (two / "topic-0").mkdir()
    with pytest.raises(DataDirError, match="both"):
        broker.start()
    broker.manager.shutdown()


def test_checkpoint_writes_flushed_offsets_once(tmp_path: Path) -> None:
    executor = ManualExecutor()
    broker = Broker(tmp_path, executor=executor)
    log = broker.create()
    append(log, 3)
    path = tmp_path / "recovery-point-offset-checkpoint"
    broker.manager.checkpoint()
    executor.run_all()
    assert path.read_text() == "0\n1\ntopic 0 0\n"
    log.flush()
    broker.manager.checkpoint()
    append(log)
    log.flush()
    broker.manager.checkpoint()  # the first one is still being written
    assert len(executor) == 1
    executor.run_all()
    assert path.read_text() == "0\n1\ntopic 0 3\n"
    broker.manager.checkpoint()
    executor.run_all()
    assert path.read_text() == "0\n1\ntopic 0 4\n"
    broker.manager.checkpoint()
    assert len(executor) == 0
    broker.manager.shutdown()


def test_checkpoint_keeps_the_start_that_delete_records_set(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    log = broker.create()
    append(log, 3)
    log.flush()
    log.advance_log_start(1)
    broker.manager.checkpoint()
    again = restart(broker, tmp_path, clean=False)
    again.start()
    reopened = again.manager.get(ZERO)
    assert reopened is not None
    assert reopened.log_start_offset == 1
    again.manager.shutdown()


def test_high_watermarks_are_written_when_they_move(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    append(broker.create(), 2)
    broker.manager.checkpoint_high_watermarks(lambda log: log.log_end_offset)
    path = tmp_path / "replication-offset-checkpoint"
    assert path.read_text() == "0\n1\ntopic 0 2\n"
    path.unlink()
    broker.manager.checkpoint_high_watermarks(lambda log: log.log_end_offset)
    assert not path.exists()
    broker.manager.shutdown()


@pytest.mark.parametrize("data", [b"", b"0\n5\ntopic 0 1\n", b"rubbish"])
def test_half_written_recovery_points_mean_full_recovery(tmp_path: Path, data: bytes) -> None:
    broker = Broker(tmp_path)
    broker.start()
    log = broker.create()
    append(log, 6)
    log.flush()
    broker.manager.checkpoint()
    again = restart(broker, tmp_path, clean=False)
    (tmp_path / "recovery-point-offset-checkpoint").write_bytes(data)
    assert again.start().recovered == 1
    reopened = again.manager.get(ZERO)
    assert reopened is not None
    assert reopened.log_end_offset == 6
    again.manager.shutdown()


def test_a_lost_log_is_reported_and_remembered(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    append(broker.create(TopicPartition("sound", 0), OTHER_ID))
    log = broker.create()
    append(log, 1)
    log.flush()
    broker.manager.checkpoint()
    again = restart(broker, tmp_path, clean=False)
    path = tmp_path / "topic-0" / "00000000000000000000.log"
    path.unlink()
    report = again.start()
    assert (report.opened, report.failed) == (1, 1)
    assert again.manager.get_or_create(ZERO, TOPIC_ID, CONFIG) is None
    assert ZERO in again.manager.failed
    assert not path.exists()
    again.manager.shutdown()
    assert not (tmp_path / CLEAN_SHUTDOWN_FILE).exists()
    assert "topic 0 1" in (tmp_path / "recovery-point-offset-checkpoint").read_text()


def test_retention_drops_segments_and_unlinks_them_later(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    log = broker.create()
    log.config = TopicConfigs().log_config(
        {
            "internal.segment.bytes": "200",
            "retention.ms": "1000",
            "segment.ms": "100000000",
            "file.delete.delay.ms": "10",
        }
    )
    append(log, 9, timestamp_ms=broker.clock.now_ms())
    assert list(broker.manager.apply_retention(broker.clock.now_ms())) == [0]
    broker.clock.advance(2000)
    log.flush()
    assert sum(broker.manager.apply_retention(broker.clock.now_ms())) > 0
    assert log.log_start_offset == 9
    assert list((tmp_path / "topic-0").glob("*.deleted"))
    broker.clock.advance(10)
    list(broker.manager.apply_retention(broker.clock.now_ms()))
    assert not list((tmp_path / "topic-0").glob("*.deleted"))
    broker.manager.shutdown()


def test_retention_stops_at_the_limit(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    log = broker.create()
    append(log, 9)
    list(broker.manager.apply_retention(broker.clock.now_ms(), lambda _: 0))
    assert log.log_start_offset == 0
    broker.manager.shutdown()


def test_a_failed_disk_takes_its_logs_and_no_others(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "a", tmp_path / "b")
    first, second = broker.create(), broker.create(TopicPartition("topic", 1))
    broker.manager.take_path_offline(str(tmp_path / "a"), EIO)
    assert (first.offline, second.offline) == (True, False)
    assert broker.offline == [str(tmp_path / "a")]
    append(second)
    assert broker.create(TopicPartition("topic", 2)).dir == str(tmp_path / "b" / "topic-2")
    broker.manager.checkpoint()
    broker.manager.tick(broker.clock.now_ms())
    broker.manager.shutdown()
    assert not (tmp_path / "a" / CLEAN_SHUTDOWN_FILE).exists()
    assert (tmp_path / "b" / CLEAN_SHUTDOWN_FILE).exists()


def test_a_log_that_fails_takes_its_directory_along(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    one, two = broker.create(), broker.create(TopicPartition("topic", 1))
    one.go_offline(EIO)
    assert two.offline
    assert broker.offline == [str(tmp_path)]
    broker.manager.shutdown()


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EMFILE, "Too many open files")]
)
def test_a_limit_refuses_a_new_log_but_leaves_the_directory_online(
    tmp_path: Path, number: int, words: str
) -> None:
    broker = Broker(tmp_path)
    broker.fs.faults["mkdir"] = ("topic-0", OSError(number, os.strerror(number)))
    with pytest.raises(KafkaStorageError, match=words):
        broker.create()
    assert broker.offline == []
    broker.fs.faults.clear()
    broker.create()
    broker.manager.shutdown()


def test_failing_directory_at_creation_and_deletion_goes_offline(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "a", tmp_path / "b")
    log = broker.create()
    broker.fs.faults["rename"] = ("-delete", EIO)
    broker.manager.delete_log(ZERO)
    assert broker.offline == [str(tmp_path / "a")]
    assert log.closed
    broker.fs.faults["mkdir"] = ("topic-5", EIO)
    assert broker.manager.get_or_create(TopicPartition("topic", 5), TOPIC_ID, CONFIG) is None
    assert broker.offline == [str(tmp_path / "a"), str(tmp_path / "b")]
    broker.manager.shutdown()


def test_too_few_descriptors_stop_the_start_with_the_next_step(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.create()
    again = restart(broker, tmp_path)
    again.fs.faults["listdir"] = ("topic-0", OSError(errno.EMFILE, "Too many open files"))
    with pytest.raises(DataDirError, match="ulimit -n"):
        again.start()
    assert again.offline == []
    again.manager.shutdown(clean=False)


def test_unreadable_directory_at_start_does_not_stop_the_others(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    broker = Broker(one, two)
    broker.start()
    broker.create()
    broker.create(TopicPartition("topic", 1))
    again = restart(broker, one, two)
    again.fs.faults["listdir"] = (str(one), EIO)
    assert again.start().opened == 1
    assert again.offline == [str(one)]
    again.manager.shutdown()


def test_no_clean_shutdown_file_when_the_last_sync_fails(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    append(broker.create())
    broker.fs.faults["syncfs"] = ("", EIO)
    broker.manager.shutdown()
    assert not (tmp_path / CLEAN_SHUTDOWN_FILE).exists()
    assert broker.offline == [str(tmp_path)]


def deleted_and_made_again(broker: Broker, values: int) -> None:
    """`broker` has checkpointed a log of ten records that starts at 8; a new one replaces it."""
    broker.manager.delete_log(ZERO)
    broker.known[ZERO] = OTHER_ID
    append(broker.manager.create_log(ZERO, OTHER_ID, CONFIG), values)


def log_with_a_checkpointed_start(broker: Broker) -> Log:
    broker.known[ZERO] = TOPIC_ID
    log = broker.manager.create_log(ZERO, TOPIC_ID, CONFIG)
    append(log, 10)
    log.flush()
    log.advance_log_start(8)
    broker.manager.checkpoint()
    return log


def assert_untouched(broker: Broker, values: int) -> None:
    assert broker.start().failed == 0
    log = broker.manager.get(ZERO)
    assert log is not None
    assert (log.topic_id, log.log_start_offset, log.log_end_offset) == (OTHER_ID, 0, values)
    broker.manager.shutdown()


@pytest.mark.parametrize("values", [5, 12])
def test_a_new_log_does_not_inherit_the_checkpoints_of_an_old_one(
    tmp_path: Path, values: int
) -> None:
    """Deleted, made again and killed within the second that a checkpoint takes to follow."""
    broker = Broker(tmp_path)
    broker.start()
    log_with_a_checkpointed_start(broker)
    deleted_and_made_again(broker, values)
    assert_untouched(restart(broker, tmp_path, clean=False), values)


def test_nor_those_that_an_earlier_run_left(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    log_with_a_checkpointed_start(broker)
    again = restart(broker, tmp_path, clean=False)
    again.start()
    deleted_and_made_again(again, 12)
    assert_untouched(restart(again, tmp_path, clean=False), 12)


def test_nor_those_whose_writing_was_under_way(tmp_path: Path) -> None:
    executor = ManualExecutor()
    broker = Broker(tmp_path, executor=executor)
    broker.start()
    log_with_a_checkpointed_start(broker)
    deleted_and_made_again(broker, 12)
    executor.run_all()
    assert_untouched(restart(broker, tmp_path, clean=False), 12)


def test_a_disk_that_cannot_be_asked_for_its_space_takes_its_logs_along(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    log = broker.create()

    def free_bytes(path: str) -> int:
        raise EIO

    broker.fs.free_bytes = free_bytes  # type: ignore[method-assign]
    broker.manager.tick(broker.clock.now_ms())
    assert (log.offline, broker.offline) == (True, [str(tmp_path)])
    broker.manager.shutdown(clean=False)


def test_an_offline_log_is_recovered_at_the_next_start(tmp_path: Path) -> None:
    """Bytes behind its end that nobody was promised would pass for damage after a clean stop."""
    broker = Broker(tmp_path)
    broker.start()
    log = broker.create()
    append(log, 3)
    log.flush()
    broker.manager.checkpoint()
    log.go_offline(OSError(errno.ENOSPC, "a full disk, and the file could not be cut back"))
    os.pwrite(log.segments.active.fd, b"half of a batch", log.segments.active.size_bytes)
    broker.manager.shutdown()
    again = Broker(tmp_path, known=broker.known)
    report = again.start()
    assert (report.opened, report.failed) == (1, 0)
    found = again.manager.get(ZERO)
    assert found is not None
    assert found.log_end_offset == 3
    again.manager.shutdown()


def test_no_empty_log_takes_the_place_of_one_on_a_lost_disk(tmp_path: Path) -> None:
    """It would begin at offset 0 again, and the records would seem to be gone."""
    one, two = tmp_path / "one", tmp_path / "two"
    broker = Broker(one, two)
    broker.start()
    slots = [TopicPartition("topic", number) for number in range(4)]
    for slot in slots:
        append(broker.create(slot), 3)
    again = restart(broker, one, two)
    again.fs.faults["listdir"] = (str(two), EIO)
    report = again.start()
    assert (report.opened, again.offline) == (2, [str(two)])
    lost_id = again.dirs[str(two)].directory_id
    unassigned = Uuid(bytes(15) + b"\x01")
    for slot, held_in in ((slots[1], lost_id), (slots[3], unassigned)):
        assert again.manager.get(slot) is None
        assert again.manager.get_or_create(slot, TOPIC_ID, CONFIG, held_in) is None
        assert slot in again.manager.failed
    # A new one and one that is known to belong to a working disk may be made.
    new, lost = TopicPartition("new", 0), TopicPartition("new", 1)
    assert again.manager.get_or_create(new, TOPIC_ID, CONFIG) is not None
    held_in = again.dirs[str(one)].directory_id
    assert again.manager.get_or_create(lost, TOPIC_ID, CONFIG, held_in) is not None
    again.manager.shutdown()


def test_a_log_that_found_no_room_is_made_later_and_its_name_is_flushed(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    opens = broker.fs.open

    def no_room(path: str, flags: int, mode: int = 0o644) -> int:
        if path.endswith(".log"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return opens(path, flags, mode)

    broker.fs.open = no_room  # type: ignore[method-assign]
    assert broker.manager.get_or_create(ZERO, TOPIC_ID, CONFIG) is None
    assert ZERO not in broker.manager.failed
    broker.fs.open = opens  # type: ignore[method-assign]
    log = broker.manager.get_or_create(ZERO, TOPIC_ID, CONFIG)
    assert log is not None
    append(log)
    target = log.dirty_files()
    assert str(tmp_path) in target.new_dirs
    for lease in target.leases:
        lease.release()
    broker.manager.shutdown()


def test_a_new_log_does_not_open_what_is_left_of_a_damaged_one(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    broker.known[ZERO] = TOPIC_ID
    log = broker.manager.create_log(ZERO, TOPIC_ID, CONFIG)
    append(log, 3)
    log.flush()
    broker.manager.checkpoint()
    damaged = Path(log.segments.active.handle.path)
    again = restart(broker, tmp_path, clean=False)
    damaged.unlink()
    assert again.start().failed == 1
    again.manager.delete_log(ZERO)
    new = again.manager.get_or_create(ZERO, OTHER_ID, CONFIG)
    assert new is not None
    assert (new.topic_id, new.log_end_offset) == (OTHER_ID, 0)
    assert [name.rpartition("-")[2] for name in names(tmp_path)] == ["0", "stray"]
    again.manager.shutdown()
