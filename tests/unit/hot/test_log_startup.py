"""Opening logs in batches: what counts as pending meanwhile, and what may happen to it."""

import errno
import random
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tests.log_setup import make_batch
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import DataDirError
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.ids import TopicPartition, Uuid, random_uuid
from tierbroker.hot.clean_shutdown import CLEAN_SHUTDOWN_FILE
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.log_startup import LogStartup

CONFIG = LogConfig.from_values({})
TOPIC_ID: Uuid = random_uuid(random.Random(1))
OTHER_ID: Uuid = random_uuid(random.Random(2))
LOGS = 6


class Broker:
    """A log manager on one directory, with a start that goes step by step."""

    def __init__(self, *paths: Path) -> None:
        self.fs = FaultyFileSystem()
        self.clock = ManualClock()
        rng = random.Random(7)
        dirs = LogDirs.open(self.fs, [str(path) for path in paths], rng=rng, node_id=1)
        cache = FileCache(self.fs)
        self.manager = LogManager(dirs, cache, InlineExecutor(), self.clock, rng)
        self.startup = LogStartup(self.manager, lambda _: CONFIG, lambda _: TOPIC_ID, self.clock)

    def batch(self, most: int, seconds: float = 60) -> list[TopicPartition]:
        taken = self.startup.take_batch(most)
        return self.startup.take_over(self.startup.open_batch(taken, seconds))


def slot(partition: int) -> TopicPartition:
    return TopicPartition("t", partition)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with some logs of one record, closed in order."""
    broker = Broker(tmp_path)
    broker.startup.run()
    for partition in range(LOGS):
        log = broker.manager.create_log(slot(partition), TOPIC_ID, CONFIG)
        log.append([make_batch()], 0)
        log.flush()
    broker.manager.shutdown()
    return tmp_path


def test_batches_open_everything_in_order(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    assert broker.manager.pending == {slot(partition) for partition in range(LOGS)}
    assert broker.manager.get_or_create(slot(0), TOPIC_ID, CONFIG) is None
    assert broker.batch(2) == [slot(0), slot(1)]
    log = broker.manager.get_or_create(slot(0), TOPIC_ID, CONFIG)
    assert log is not None
    assert log.log_end_offset == 1
    log.append([make_batch()], 0)
    log.flush()
    assert broker.startup.left == LOGS - 2
    assert broker.batch(LOGS) == [slot(partition) for partition in range(2, LOGS)]
    assert (broker.startup.done, broker.startup.total) == (LOGS, LOGS)
    assert not broker.manager.pending
    broker.startup.finish(broker.startup.sync())
    assert broker.startup.report.opened == LOGS
    broker.manager.shutdown()
    assert (data / CLEAN_SHUTDOWN_FILE).exists()


def test_what_a_worker_has_no_time_for_comes_next(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    assert broker.batch(4, seconds=0) == [slot(0)]
    assert broker.startup.left == LOGS - 1
    assert broker.batch(2) == [slot(1), slot(2)]


def test_some_topics_come_first_whatever_the_time(data: Path) -> None:
    broker = Broker(data)
    made = broker.manager.create_log(TopicPartition("z", 0), TOPIC_ID, CONFIG)
    made.flush()
    made.close()
    broker.manager.shutdown()
    again = Broker(data)
    again.startup.prepare({"z"})
    again.startup.open_now(0, {"z"})
    assert again.manager.places() == [TopicPartition("z", 0)]


def test_checkpoints_keep_what_is_not_open_yet(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    broker.batch(1)
    broker.manager.checkpoint()
    points = (data / "recovery-point-offset-checkpoint").read_text().splitlines()
    assert sorted(points[2:]) == [f"t {partition} 1" for partition in range(LOGS)]


def test_an_end_before_all_are_open_is_not_clean(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    broker.batch(2)
    broker.manager.shutdown()
    assert not (data / CLEAN_SHUTDOWN_FILE).exists()
    again = Broker(data)
    assert again.startup.run().recovered == LOGS


def test_a_start_can_be_cut_short(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    taken = broker.startup.take_batch(3)
    broker.startup.abandon()
    broker.startup.take_over(broker.startup.open_batch(taken, 0))
    assert broker.startup.left == 0
    assert len(broker.manager) == 1
    broker.manager.shutdown()
    assert Broker(data).startup.run().recovered == LOGS


def test_a_topic_deleted_meanwhile_goes_when_its_turn_comes(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    taken = broker.startup.take_batch(1)
    broker.manager.delete_log(slot(0))
    broker.manager.delete_log(slot(3))
    assert broker.manager.get_or_create(slot(0), OTHER_ID, CONFIG) is None
    broker.startup.take_over(broker.startup.open_batch(taken, 60))
    new = broker.manager.get_or_create(slot(0), OTHER_ID, CONFIG)
    assert new is not None
    assert (new.topic_id, new.log_end_offset) == (OTHER_ID, 0)
    broker.batch(LOGS)
    assert broker.manager.get(slot(3)) is None
    assert not (data / "t-3").exists()
    assert len(list(data.glob("t-3.*-delete"))) == 1


def test_a_failed_disk_ends_its_logs_and_makes_none_anew(data: Path, tmp_path: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    broker.batch(1)
    broker.fs.fail_next("open", errno.EIO, times=2, path_part="/t-1/")
    broker.batch(2)
    assert not broker.manager.pending
    assert broker.startup.left == 0
    assert set(broker.manager.failed) >= {slot(partition) for partition in (1, 3, 4, 5)}
    for partition in (1, 3, 5):
        assert broker.manager.get_or_create(slot(partition), TOPIC_ID, CONFIG) is None


def test_too_few_descriptors_end_the_start(data: Path) -> None:
    broker = Broker(data)
    broker.startup.prepare()
    broker.fs.fail_next("open", errno.EMFILE, times=100)
    with pytest.raises(DataDirError, match="ulimit"):
        broker.batch(1)
