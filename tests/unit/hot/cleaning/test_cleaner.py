"""The cleaner of a broker: what it starts, when, and what it does when things go wrong."""

import errno
import pathlib
import random
from collections.abc import Iterator

import pytest

from tests.cleaning_world import (
    COMPACT,
    HandChildren,
    committed,
    end_transaction,
    fill,
    flush_at_once,
    put,
)
from tests.faulty_fs import FaultyFileSystem
from tests.log_setup import NOW_MS, TOPIC_ID, LogSetup
from tierbroker.base.background import Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.ids import TopicPartition
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.hot.cleaning.cleaner import FULL_DISK_S, IDLE_S, Cleaner
from tierbroker.hot.cleaning.config import CleanerConfig
from tierbroker.hot.cleaning.job import CleanError, encode_reply
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.flush import FlushCallback
from tierbroker.hot.log import Log
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager

CONFIG = LogConfig.from_values({**COMPACT, "file.delete.delay.ms": 1000})  # type: ignore[arg-type]
CHECKPOINT = "cleaner-offset-checkpoint"


class World:
    """A log manager, its cleaner, and children whose work the test does."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.fs = FaultyFileSystem()
        self.clock = ManualClock(NOW_MS)
        self.scheduler = ManualScheduler()
        dirs = LogDirs.open(self.fs, [str(path)], rng=random.Random(1), node_id=1)
        self.manager = LogManager(
            dirs, FileCache(self.fs), InlineExecutor(), self.clock, random.Random(2)
        )
        self.children = HandChildren(self.fs)
        self.flushes: list[tuple[Log, FlushCallback]] | None = None
        """Those that wait, if the test says when they happen."""
        self.cleaner = self.make()

    def make(self) -> Cleaner:
        return Cleaner(
            self.manager,
            CleanerConfig(100_000, 0.9, 1000, 1e12),
            self.children,
            InlineExecutor(),
            self.clock,
            Background(self.clock, self.scheduler.call_soon),
            lambda log: log.recovery_point,
            self.flush,
        )

    def flush(self, log: Log, flushed: FlushCallback) -> None:
        if self.flushes is None:
            flush_at_once(log, flushed)
        else:
            self.flushes.append((log, flushed))

    def log(self, name: str = "t", config: LogConfig = CONFIG) -> Log:
        log = self.manager.create_log(TopicPartition(name, 0), TOPIC_ID, config)
        fill(log)
        log.flush()
        return log

    def tick(self) -> None:
        self.cleaner.tick()
        self.scheduler.end_turn()

    def unfinished(self, log: Log) -> list[str]:
        return [n for n in self.fs.listdir(log.dir) if n.endswith((".cleaned", ".swap"))]


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.cleaner.stop()
    made.manager.shutdown()


def test_nothing_is_started_without_a_dirty_compacted_log(world: World) -> None:
    world.log("plain", LogConfig.from_values({"internal.segment.bytes": 600}))
    world.tick()
    assert world.children.started == 0
    assert not world.cleaner.busy


def test_dirty_logs_are_cleaned_one_after_the_other(world: World) -> None:
    first, second = world.log("a"), world.log("b")
    before = committed(first)
    world.tick()
    assert len(world.children.jobs) == 1
    sizes = first.size_bytes, second.size_bytes
    world.children.work()
    world.scheduler.end_turn()
    world.children.work()
    world.scheduler.end_turn()
    assert not world.children.jobs
    assert world.children.started == 1
    assert first.size_bytes < sizes[0]
    assert second.size_bytes < sizes[1]
    assert committed(first) == before
    active = first.segments.active.base_offset
    assert (world.path / CHECKPOINT).read_text() == f"0\n2\na 0 {active}\nb 0 {active}\n"
    world.tick()
    assert not world.children.jobs


def test_what_was_set_aside_goes_after_its_delay(world: World) -> None:
    log = world.log()
    world.tick()
    world.children.work()
    assert any(name.endswith(".deleted") for name in world.fs.listdir(log.dir))
    world.clock.advance(1001)
    world.tick()
    assert not any(name.endswith(".deleted") for name in world.fs.listdir(log.dir))


def test_a_child_without_work_is_let_go(world: World) -> None:
    world.log()
    world.tick()
    world.children.work()
    world.scheduler.end_turn()
    world.clock.advance(int(IDLE_S * 1000) - 1)
    world.tick()
    assert world.children.alive == 1
    world.clock.advance(2)
    world.tick()
    assert world.children.alive == 0


def test_the_death_of_a_child_costs_one_log(world: World) -> None:
    first, second = world.log("a"), world.log("b")
    world.tick()
    (victim,) = [log for log in (first, second) if log.dir == world.children.jobs[0].directory]
    world.children.die()
    assert list(world.cleaner.uncleanable) == [victim]
    world.tick()
    assert len(world.children.jobs) == 1
    assert world.children.jobs[0].directory != victim.dir
    assert world.children.started == 2
    world.children.work()


def test_damage_makes_a_log_uncleanable(world: World) -> None:
    log = world.log()
    segment = log.segments.sealed[1]
    fd = segment.handle.acquire()
    world.fs.pwrite(fd, b"\xff" * 40, 30)
    segment.handle.release()
    world.tick()
    world.children.work()
    assert log in world.cleaner.uncleanable
    assert not world.unfinished(log)
    world.tick()
    assert not world.children.jobs


def test_nonsense_from_a_child_ends_it(world: World) -> None:
    log = world.log()
    world.tick()
    world.children.say(b"what?\n")
    assert world.children.alive == 0
    assert log in world.cleaner.uncleanable


def test_a_full_disk_is_waited_for(world: World) -> None:
    log = world.log()
    world.tick()
    job = world.children.jobs.pop()
    world.children.say(encode_reply(CleanError(job.job_id, "no space", False, "", 0, 28)))
    assert log not in world.cleaner.uncleanable
    world.tick()
    assert not world.children.jobs
    world.clock.advance(int(FULL_DISK_S * 1000))
    world.tick()
    assert len(world.children.jobs) == 1


def test_a_cut_log_is_cleaned_from_its_start_again(world: World) -> None:
    log = world.log()
    world.tick()
    world.children.work()
    world.scheduler.end_turn()
    log.truncate_to(log.segments.sealed[-1].base_offset)
    fill(log)
    log.flush()
    world.tick()
    assert world.children.jobs[0].first_dirty_offset == 0


def test_a_log_goes_on_where_the_checkpoint_says(world: World) -> None:
    log = world.log()
    world.tick()
    world.children.work()
    world.scheduler.end_turn()
    cleaned = log.segments.active.base_offset
    world.cleaner.stop()
    world.cleaner = world.make()
    fill(log)
    log.flush()
    world.tick()
    assert world.children.jobs[0].first_dirty_offset == cleaned


def test_a_log_deleted_meanwhile_is_forgotten(world: World) -> None:
    log = world.log()
    world.tick()
    world.manager.delete_log(log.topic_partition)
    world.tick()
    assert world.children.alive == 0
    assert not world.cleaner.busy
    assert not world.cleaner.uncleanable


def test_a_log_whose_disk_failed_meanwhile_holds_nobody_up(world: World) -> None:
    log = world.log()
    world.tick()
    log.go_offline(OSError(errno.EIO, "lost"))
    world.tick()
    assert world.children.alive == 0
    assert not world.cleaner.busy
    assert world.manager.in_compaction is None


def test_what_another_round_left_is_gone_before_one_begins(world: World) -> None:
    log = world.log()
    # A child that cleaned a topic of this name, until the cleaner heard that it was deleted.
    stale = world.path / "t-0" / "00000000000000000003.log.cleaned"
    stale.write_bytes(b"")
    world.tick()
    assert len(world.children.jobs) == 1
    assert not world.unfinished(log)


def test_retention_meanwhile_makes_the_result_void(world: World) -> None:
    log = world.log()
    world.tick()
    before = log.segments.sealed[1:]
    world.children.work(lambda: log.advance_log_start(log.segments.sealed[1].base_offset))
    assert log.segments.sealed == before
    assert not world.unfinished(log)
    assert not world.cleaner.uncleanable


def test_retention_waits_for_the_end_of_a_round(world: World) -> None:
    both = LogConfig.from_values(
        {**COMPACT, "cleanup.policy": ("compact", "delete"), "retention.ms": 10}  # type: ignore[dict-item]
    )
    log = world.log("both", both)
    other = world.log("other", LogConfig.from_values({"retention.ms": 10}))
    world.tick()
    world.clock.advance(1000)
    list(world.manager.apply_retention(world.clock.now_ms()))
    assert other.log_start_offset == other.log_end_offset
    assert log.log_start_offset == 0
    world.children.work()
    assert not world.cleaner.uncleanable
    list(world.manager.apply_retention(world.clock.now_ms()))
    assert log.log_start_offset == log.log_end_offset


def test_retention_does_not_wait_for_one_round_after_the_other(world: World) -> None:
    both = LogConfig.from_values(
        {**COMPACT, "cleanup.policy": ("compact", "delete"), "retention.ms": 10_000}  # type: ignore[dict-item]
    )
    log = world.log("both", both)
    world.tick()
    list(world.manager.apply_retention(world.clock.now_ms()))
    # It is written to faster than it is cleaned: the next round would begin at once.
    world.children.work(lambda: (fill(log, rounds=30), log.flush()))
    world.tick()
    assert not world.children.jobs
    list(world.manager.apply_retention(world.clock.now_ms()))
    world.tick()
    assert len(world.children.jobs) == 1


def test_a_stop_kills_the_child(world: World) -> None:
    log = world.log()
    world.tick()
    world.cleaner.stop()
    assert world.children.alive == 0
    world.cleaner.tick()
    assert not world.unfinished(log)


def test_the_active_segment_and_what_is_not_flushed_stay(world: World) -> None:
    log = world.log()
    flushed = log.recovery_point
    put(log, (b"k", b"v"))
    world.tick()
    assert world.children.jobs[0].end_offset <= flushed


@pytest.mark.parametrize("commit", [True, False])
def test_a_marker_that_counted_outlives_the_power(tmp_path: pathlib.Path, *, commit: bool) -> None:
    """Behind what is cleaned, in the page cache alone: nobody's acknowledgement waits for it."""
    world = World(tmp_path)
    log = world.manager.create_log(TopicPartition("t", 0), TOPIC_ID, CONFIG)
    put(log, (b"key", b"old"))
    put(log, (b"key", b"new"), producer_id=7)
    log.roll()
    put(log, (b"other", b"value"))
    log.flush()
    end_transaction(log, 7, commit=commit)
    left = b"new" if commit else b"old"
    world.tick()
    world.children.work()
    assert world.cleaner.rounds == 1
    world.manager.dirs.release()
    world.fs.crash()
    setup = LogSetup(log.dir, world.fs, values={**COMPACT})
    log = setup.open(recovery_point=log.recovery_point)
    assert not log.producer_state.open, "the transaction can end the other way"
    assert committed(log)[b"key"] == left


def test_a_round_waits_for_the_flush(world: World) -> None:
    log = world.log()
    put(log, (b"key", b"in the page cache"))
    world.flushes = []
    world.tick()
    assert world.cleaner.busy
    assert not world.children.jobs
    world.tick()
    ((flushed_log, flushed),) = world.flushes
    assert flushed_log is log
    flush_at_once(log, flushed)
    assert len(world.children.jobs) == 1


@pytest.mark.parametrize("happens", ["failure", "stop", "truncation"])
def test_no_round_begins_after_a_flush_that_came_to_nothing(world: World, happens: str) -> None:
    log = world.log()
    put(log, (b"key", b"in the page cache"))
    world.flushes = []
    world.tick()
    ((_, flushed),) = world.flushes
    if happens == "stop":
        world.cleaner.stop()
    elif happens == "truncation":
        log.truncate_to(0)
    flushed(OSError(errno.EIO, "the disk is gone") if happens == "failure" else None)
    assert not world.children.started
    assert not world.cleaner.busy


def test_a_flush_that_never_ends_does_not_keep_other_logs_from_being_cleaned(world: World) -> None:
    stuck = world.log("stuck")
    put(stuck, (b"key", b"in the page cache"))
    world.flushes = []
    world.tick()
    ((_, flushed),) = world.flushes
    stuck.close(clean=False)
    world.log("other")
    world.tick()
    (job,) = world.children.jobs
    assert job.topic == "other"
    flushed(None)
    assert len(world.children.jobs) == 1
