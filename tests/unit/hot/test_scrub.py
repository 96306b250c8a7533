"""The scrub: what it finds, how fast it goes, where it goes on, and when it rests."""

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.log_setup import LogSetup, make_batch
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.base.ids import TopicPartition
from tierbroker.hot import scrub
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log
from tierbroker.hot.scrub import Scrub
from tierbroker.hot.scrub_state import SCRUB_FILE, ScrubState
from tierbroker.records.batch import walk

INTERVAL_MS = 1000_000
RECORD = b"r" * 200


class Disk:
    """A few logs of several segments, and a scrub."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.setup = LogSetup(str(path / "t-0"))
        self.clock = ManualClock(1_000_000)
        self.logs: dict[TopicPartition, Log] = {}
        self.executor: InlineExecutor | ManualExecutor = InlineExecutor()

    def get(self, topic_partition: TopicPartition) -> Log | None:
        return self.logs.get(topic_partition)

    def places(self) -> list[TopicPartition]:
        return list(self.logs)

    def add(self, partition: int, batches: int = 40) -> Log:
        slot = TopicPartition("t", partition)
        log = open_log(
            self.setup.cache,
            str(self.path / str(slot)),
            slot,
            self.setup.config,
            clock=self.clock,
            rng=random.Random(0),
        )
        for _ in range(batches):
            log.append([make_batch([RECORD, RECORD])], 0)
        log.flush()
        self.logs[slot] = log
        return log

    def scrub(self, bytes_per_second: int = 1 << 30) -> Scrub:
        state = ScrubState(self.setup.fs, str(self.path), self.clock.now_ms())
        return Scrub(
            self,
            state,
            self.executor,
            self.clock,
            doubted=self.setup.cache.doubted,
            bytes_per_second=bytes_per_second,
            interval_ms=INTERVAL_MS,
        )

    def turn(self, scrub: Scrub, seconds: float = 1) -> None:
        self.clock.advance(int(seconds * 1000))
        scrub.tick()

    @property
    def total_bytes(self) -> int:
        return sum(log.size_bytes for log in self.logs.values())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    return Disk(tmp_path)


def due(disk: Disk, bytes_per_second: int = 1 << 30) -> Scrub:
    """A scrub whose round begins at the next tick."""
    found = disk.scrub(bytes_per_second)
    disk.clock.advance(INTERVAL_MS)
    return found


def flip(path: str, position: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[position] ^= 1
    Path(path).write_bytes(data)


def test_a_round_reads_everything_once_in_an_interval(disk: Disk) -> None:
    disk.add(0)
    disk.add(1)
    disk.add(2, batches=0)
    worker = disk.scrub()
    disk.turn(worker)
    assert worker.checked_bytes == 0  # the first round begins one interval after the first start
    disk.clock.advance(INTERVAL_MS)
    disk.turn(worker)
    assert worker.checked_bytes == disk.total_bytes
    calls = len(disk.setup.fs.calls)
    for _ in range(5):
        disk.turn(worker)
    assert len(disk.setup.fs.calls) == calls
    disk.clock.advance(INTERVAL_MS)
    disk.turn(worker)
    assert worker.checked_bytes == 2 * disk.total_bytes


@pytest.mark.parametrize("at", [8, 16, 30, 100])
@pytest.mark.parametrize("slot", [0, 1, -1])
def test_damage_is_found_and_no_longer_served(disk: Disk, slot: int, at: int) -> None:
    log = disk.add(0)
    segment = [*log.segments][slot]
    (_, first), (position, header), *_ = walk(Path(segment.handle.path).read_bytes())
    flip(segment.handle.path, position + at)
    worker = due(disk)
    disk.turn(worker)
    (region,) = log.damage
    assert (region.first_offset, region.next_offset) == (header.base_offset, header.next_offset)
    with pytest.raises(KafkaStorageError):
        log.read(header.base_offset, 1000, log.log_end_offset)
    assert log.read_bytes(first.base_offset, 1 << 20, log.log_end_offset)
    assert log.read_bytes(header.next_offset, 1 << 20, log.log_end_offset)
    (result,) = log.append([make_batch()], 0)
    assert not isinstance(result, Exception)
    assert all(not active.damage for active in [log.segments.active])
    disk.clock.advance(INTERVAL_MS)
    disk.turn(worker)
    assert log.damage == (region,)


def test_the_rate_is_kept(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "SLICE_BYTES", 1000)
    monkeypatch.setattr(scrub, "MIN_COST_BYTES", 100)
    disk.add(0)
    worker = due(disk, 2000)
    worker.tick()
    before = worker.checked_bytes
    for _ in range(4):
        disk.turn(worker)
    assert 6000 <= worker.checked_bytes - before <= 10_000


def test_a_restart_goes_on_where_it_was(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "SLICE_BYTES", 1000)
    monkeypatch.setattr(scrub, "MIN_COST_BYTES", 100)
    disk.add(0)
    disk.add(1)
    worker = due(disk, 10_000)
    disk.clock.advance(31_000)
    worker.tick()
    assert 0 < worker.checked_bytes < disk.total_bytes
    again = disk.scrub()
    disk.turn(again)
    read = worker.checked_bytes + again.checked_bytes
    # Where the last note was written, which is not after every slice.
    assert disk.total_bytes <= read < disk.total_bytes + worker.checked_bytes
    assert again.checked_bytes < disk.total_bytes


def test_a_bad_checkpoint_counts_as_none(disk: Disk) -> None:
    disk.add(0)
    (disk.path / SCRUB_FILE).write_bytes(b"0\n1\nsoon t 0 0\n")
    worker = disk.scrub()
    disk.turn(worker)
    assert worker.checked_bytes == 0
    assert disk.scrub().checked_bytes == 0


def test_zero_switches_it_off(disk: Disk) -> None:
    disk.add(0)
    worker = due(disk, 0)
    disk.turn(worker)
    assert worker.checked_bytes == 0


def test_a_segment_that_goes_meanwhile_is_nobodys_damage(disk: Disk) -> None:
    disk.executor = ManualExecutor()
    log = disk.add(0)
    worker = due(disk)
    disk.turn(worker)
    flip(log.segments.first.handle.path, 100)
    log.advance_log_start(log.segments[1].base_offset)
    disk.executor.run_all()
    assert log.damage == ()
    disk.turn(worker)
    disk.executor.run_all()
    assert worker.checked_bytes > 0


def test_what_cannot_be_read_is_passed_over(disk: Disk) -> None:
    disk.add(0)
    log = disk.add(1)
    worker = due(disk)
    disk.setup.fs.fail_next("pread", errno.ENXIO)
    disk.turn(worker)
    assert 0 < worker.checked_bytes < disk.total_bytes
    assert log.damage == ()


def test_an_error_that_does_not_last_is_no_damage(disk: Disk) -> None:
    log = disk.add(0)
    worker = due(disk)
    disk.setup.fs.fail_next("pread", errno.EIO, times=2)
    disk.turn(worker)
    assert worker.checked_bytes == disk.total_bytes
    assert log.damage == ()


@pytest.mark.parametrize("at", [0, 8, 100])
@pytest.mark.parametrize("slot", [0, 1, -1])
def test_what_cannot_be_read_is_damage(
    disk: Disk, slot: int, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Page by page: the batches that share the page with the bytes are lost too."""
    log = added_with_large_segments(disk, 0)
    segment = [*log.segments][slot]
    batches = [*walk(Path(segment.handle.path).read_bytes())]
    position = batches[len(batches) // 2][0] + at
    disk.setup.fs.spoil(segment.handle.path, position, position + 1)
    worker = due(disk)
    disk.turn(worker)
    (region,) = log.damage
    page = position - position % 4096
    lost = [h for p, h in batches if p < page + 4096 and p + h.size_bytes > page]
    assert region.first_offset == lost[0].base_offset
    assert region.next_offset == lost[-1].next_offset
    assert "cannot be read: Input/output error" in caplog.text
    assert_served_around(disk, log)


def added_with_large_segments(disk: Disk, partition: int) -> Log:
    disk.setup.values["internal.segment.bytes"] = 20_000
    return disk.add(partition, batches=200)


def assert_served_around(disk: Disk, log: Log) -> None:
    """All but one region, by readers who never touch it, before and after a restart."""
    (region,) = log.damage
    with pytest.raises(KafkaStorageError):
        log.read(region.first_offset, 1000, log.log_end_offset)
    offset, found = 0, []
    while offset < log.log_end_offset:
        if offset == region.first_offset:
            offset = region.next_offset
            continue
        for _, header in walk(log.read_bytes(offset, 5000, log.log_end_offset)):
            found += range(header.base_offset, header.next_offset)
            offset = header.next_offset
    expected = [*range(region.first_offset), *range(region.next_offset, log.log_end_offset)]
    assert found == expected
    assert log.offset_for_timestamp(0, log.log_end_offset) is not None


def test_a_reader_who_meets_it_has_it_looked_at_at_once(disk: Disk) -> None:
    """Also with the scrub switched off. Nobody else is to meet it."""
    log = added_with_large_segments(disk, 0)
    segment = log.segments[1]
    batches = [*walk(Path(segment.handle.path).read_bytes())]
    position, header = batches[len(batches) // 2]
    disk.setup.fs.spoil(segment.handle.path, position, position + 1)
    worker = disk.scrub(0)
    disk.turn(worker)
    assert log.damage == ()
    with pytest.raises(KafkaStorageError):
        log.read_bytes(header.base_offset, 5000, log.log_end_offset)
    disk.turn(worker)
    assert_served_around(disk, log)
    assert not disk.setup.cache.doubted


def test_a_start_gets_past_what_cannot_be_read(disk: Disk) -> None:
    for clean in (True, False):
        log = added_with_large_segments(disk, int(clean))
        segment = log.segments.active
        expected = log.log_end_offset
        disk.setup.fs.spoil(segment.handle.path, 0, 4096)
        log.close(clean=clean)
        again = open_log(
            disk.setup.cache,
            log.dir,
            log.topic_partition,
            disk.setup.config,
            clock=disk.clock,
            rng=random.Random(0),
            clean=clean,
            recovery_point=expected,
        )
        assert again.log_end_offset == expected
        assert [region.segment for region in again.damage] == [segment.base_offset]
        assert_served_around(disk, again)
        (result,) = again.append([make_batch()], 0)
        assert not isinstance(result, Exception)
        again.close()


def test_a_mended_disk_serves_all_again(disk: Disk) -> None:
    log = added_with_large_segments(disk, 0)
    segment = log.segments[1]
    disk.setup.fs.spoil(segment.handle.path, 0, 1)
    disk.turn(due(disk))
    assert len(log.damage) == 1
    log.close()
    for mended in (False, True):
        if mended:
            disk.setup.fs.mend()
        again = open_log(
            disk.setup.cache,
            log.dir,
            log.topic_partition,
            disk.setup.config,
            clock=disk.clock,
            rng=random.Random(0),
            clean=True,
        )
        assert len(again.damage) == (0 if mended else 1)
        again.close()


def test_log_start_in_the_middle_of_a_batch(disk: Disk) -> None:
    log = disk.add(0)
    log.advance_log_start(3)
    worker = due(disk)
    disk.turn(worker)
    assert log.damage == ()
