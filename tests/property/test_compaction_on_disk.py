"""A compacted log on a disk that stops at any step: never does an old value come back.

The production cleaner picks, cleans and swaps; its child's table is tiny, its steps are told one by
one, and between any two changes of the disk the process or the machine may end. Whoever reads the
log then from its start finds of each key the last committed value, or of a deleted one nothing.
"""

import random
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.cleaning_world import (
    COMPACT,
    HandChildren,
    Stopped,
    StoppingFileSystem,
    end_transaction,
    flush_at_once,
    put,
)
from tests.log_setup import NOW_MS, read_batches
from tierbroker.base.background import Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.base.ids import TopicPartition, Uuid, random_uuid
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.hot.cleaning.cleaner import Cleaner
from tierbroker.hot.cleaning.config import CleanerConfig
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager
from tierbroker.hot.log_startup import LogStartup
from tierbroker.records.record import Record, iterate

if TYPE_CHECKING:
    from collections.abc import Callable

SLOT = TopicPartition("t", 0)
NEVER = 1 << 60
PRODUCERS = (1, 2, 3)
TABLE_BYTES = st.sampled_from((400, 600, 100_000))
KEYS = (b"a", b"b", b"c", b"d", b"e", b"f" * 60)
PAIRS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from((None, None, b"", b"v", b"w" * 40))),
    min_size=1,
    max_size=5,
)


@dataclass(frozen=True)
class Entry:
    """A record of the model, or without a key a marker."""

    offset: int
    producer_id: int
    key: bytes | None = None
    value: bytes | None = None
    commits: bool = False


class Life:
    """The broker's logs and their cleaner, from a start to the end of the process."""

    def __init__(
        self,
        path: str,
        fs: StoppingFileSystem,
        clock: ManualClock,
        config: LogConfig,
        topic_id: Uuid,
        table_bytes: int,
    ) -> None:
        self.dirs = LogDirs.open(fs, [path], rng=random.Random(1), node_id=1)
        self.manager = LogManager(
            self.dirs, FileCache(fs, capacity=4), InlineExecutor(), clock, random.Random(2)
        )
        LogStartup(self.manager, lambda _: config, lambda _: topic_id, clock).run()
        log = self.manager.get_or_create(SLOT, topic_id, config)
        assert log is not None, self.manager.failed
        self.log: Log = log
        self.children = HandChildren(fs)
        self.executor = ManualExecutor()
        self.scheduler = ManualScheduler()
        self.cleaner = Cleaner(
            self.manager,
            CleanerConfig(table_bytes, 0.9, 1000, 1e12),
            self.children,
            self.executor,
            clock,
            Background(clock, self.scheduler.call_soon),
            self._stable_offset,
            flush_at_once,
        )

    def _stable_offset(self, log: Log) -> int:
        # As with flush.mode=replicated: what decided that may be in the page cache alone.
        stable = log.producer_state.last_stable_offset(log.log_end_offset)
        return min(stable, log.recovery_point)


class CompactionOnDisk(RuleBasedStateMachine):
    life: Life

    @initialize(
        table_bytes=TABLE_BYTES,
        segment_bytes=st.sampled_from((500, 900, 2500)),
        retention_ms=st.sampled_from((0, 1, 700)),
    )
    def begin(self, table_bytes: int, segment_bytes: int, retention_ms: int) -> None:
        self.path = tempfile.mkdtemp(prefix="compaction-")
        self.fs = StoppingFileSystem()
        self.clock = ManualClock(NOW_MS)
        self.rng = random.Random(3)
        self.topic_id = random_uuid(self.rng)
        self.values: dict[str, object] = {
            **COMPACT,
            "internal.segment.bytes": segment_bytes,
            "index.interval.bytes": 100,
            "delete.retention.ms": retention_ms,
            "min.cleanable.dirty.ratio": 0.0,
            "file.delete.delay.ms": 0,
        }
        self.entries: list[Entry] = []
        self.flushed = 0
        self.highest_start = 0
        self.start(table_bytes)

    def teardown(self) -> None:
        if hasattr(self, "life"):
            self.life.dirs.release()
            self.fs.kill()
            shutil.rmtree(self.path)

    def start(self, table_bytes: int) -> None:
        config = LogConfig.from_values(self.values)  # type: ignore[arg-type]
        self.life = Life(self.path, self.fs, self.clock, config, self.topic_id, table_bytes)
        self.forget_what_is_gone()
        self.flushed = self.life.log.log_end_offset

    # -- what is written -----------------------------------------------------------------------

    @rule(producer_id=st.sampled_from((-1, -1, *PRODUCERS)), pairs=PAIRS)
    def write(self, producer_id: int, pairs: list[tuple[bytes, bytes | None]]) -> None:
        first = put(self.life.log, *pairs, producer_id=producer_id, time=self.clock.now_ms())
        self.entries += [
            Entry(first + number, producer_id, key, value)
            for number, (key, value) in enumerate(pairs)
        ]

    @rule(producer_id=st.sampled_from(PRODUCERS), commit=st.booleans())
    def end(self, producer_id: int, commit: bool) -> None:
        if producer_id in self.decided()[1]:
            self.entries.append(Entry(self.life.log.log_end_offset, producer_id, commits=commit))
            end_transaction(self.life.log, producer_id, commit=commit)

    @rule()
    def flush(self) -> None:
        self.life.log.flush()
        self.flushed = self.life.log.log_end_offset
        self.life.manager.checkpoint()

    @rule()
    def roll(self) -> None:
        self.life.log.roll()
        self.flush()

    @rule(ms=st.integers(0, 900))
    def wait(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(tenths=st.integers(0, 10))
    def delete_records(self, tenths: int) -> None:
        """Of what is decided, so many tenths."""
        log = self.life.log
        stable, start = min([self.flushed, *self.decided()[1].values()]), log.log_start_offset
        if stable > start:
            log.advance_log_start(start + (stable - start) * tenths // 10)
            self.highest_start = max(self.highest_start, log.log_start_offset)

    # -- compaction, and what comes between ----------------------------------------------------

    @rule(rounds=st.integers(1, 4))
    def clean(self, rounds: int) -> None:
        """Rounds as they come, one after the other where the table was full."""
        life = self.life
        for _ in range(rounds):
            life.cleaner.tick()
            self.settle()
            while life.children.jobs:
                life.children.work()
                self.settle()
            self.agrees()
            assert not life.cleaner.busy

    @rule(
        steps=st.integers(0, 80),
        power=st.sampled_from((None, 0, 1, 2)),
        table_bytes=TABLE_BYTES,
    )
    def clean_until_a_stop(self, steps: int, power: int | None, table_bytes: int) -> None:
        """The process, or the machine, ends after so many changes of the disk.

        With a seed some of what was not synced is there: of the swap alone, else a torn tail of
        the log could be taken for damage.
        """
        if power:
            self.flush()
        self.fs.steps_left = steps
        with suppress(Stopped):
            self.clean(4)
        self.fs.steps_left = NEVER
        self.life.dirs.release()
        if power is None:
            self.fs.kill()
        else:
            self.fs.crash(random.Random(self.rng.random()) if power else None)
        flushed = self.flushed
        self.start(table_bytes)
        assert self.life.log.log_end_offset >= flushed

    @rule(table_bytes=TABLE_BYTES)
    def stop_and_start(self, table_bytes: int) -> None:
        self.life.cleaner.stop()
        self.settle()
        self.life.manager.shutdown()
        self.start(table_bytes)

    @rule(retention_ms=st.sampled_from((0, 1, 700)))
    def change_retention(self, retention_ms: int) -> None:
        self.values["delete.retention.ms"] = retention_ms
        self.life.log.config = LogConfig.from_values(self.values)  # type: ignore[arg-type]

    def settle(self) -> None:
        """All that waits happens, and after each step of it somebody reads."""
        life = self.life
        life.scheduler.end_turn()
        while len(life.executor):
            life.executor.run_one()
            life.scheduler.end_turn()
            self.agrees()

    # -- what a reader finds -------------------------------------------------------------------

    def forget_what_is_gone(self) -> None:
        """What was not durable may be gone, in part and not from the end alone."""
        there = {
            offset
            for _, header in read_batches(self.life.log)
            for offset in range(header.base_offset, header.next_offset)
        }
        self.entries = [
            entry for entry in self.entries if entry.offset < self.flushed or entry.offset in there
        ]

    def decided(self) -> tuple[list[Entry], dict[int, int]]:
        """The records that are committed, and since when which producers' transactions are open."""
        committed: list[Entry] = []
        pending: dict[int, list[Entry]] = {}
        for entry in self.entries:
            if entry.key is None:
                ended = pending.pop(entry.producer_id, [])
                committed += ended if entry.commits else ()
            elif entry.producer_id >= 0:
                pending.setdefault(entry.producer_id, []).append(entry)
            else:
                committed.append(entry)
        committed.sort(key=lambda entry: entry.offset)
        return committed, {producer: held[0].offset for producer, held in pending.items()}

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "life"):
            return
        log = self.life.log
        assert not log.offline
        committed, open_since = self.decided()
        assert dict(log.producer_state.open) == {first: p for p, first in open_since.items()}
        stable = min([log.log_end_offset, *open_since.values()])
        last = {entry.key: entry for entry in committed if entry.offset < stable}
        written = {entry.offset: entry for entry in committed}
        found: dict[bytes | None, int] = {}
        for record in committed_below(log, stable):
            entry = written[record.offset]
            assert (record.key, record.value) == (entry.key, entry.value)
            found[record.key] = record.offset
        assert set(found) <= set(last)
        for key, entry in last.items():
            if key in found:
                assert found[key] == entry.offset, f"{key!r} has an old value"
            else:
                assert entry.value is None or entry.offset < self.highest_start, f"{key!r} is lost"


def committed_below(log: Log, stable: int) -> list[Record]:
    """What a consumer of committed records is given, from the log start to the stable offset."""
    found: list[Record] = []
    for data, header in read_batches(log):
        if header.control or header.base_offset >= stable:
            continue
        aborted = log.aborted_transactions(header.base_offset, header.next_offset)
        if header.transactional and any(
            txn.producer_id == header.producer_id
            and txn.first_offset <= header.base_offset <= txn.last_offset
            for txn in aborted
        ):
            continue
        records = iterate(memoryview(data))
        found += (record for record in records if record.offset >= log.log_start_offset)
    return found


TestCompactionOnDisk = CompactionOnDisk.TestCase
TestCompactionOnDisk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def long_life(seed: int, steps: int) -> None:
    """As above with more of what compaction needs; Hypothesis seldom goes on for so long."""
    rng = random.Random(seed)
    table_bytes, retention_ms = (400, 600, 100_000), (0, 1, 700)
    machine = CompactionOnDisk()
    machine.begin(rng.choice(table_bytes), rng.choice((500, 900, 2500)), rng.choice(retention_ms))

    def write() -> None:
        values = (None, None, b"", b"v", b"w" * 40)
        pairs = [(rng.choice(KEYS), rng.choice(values)) for _ in range(rng.randint(1, 5))]
        machine.write(rng.choice((-1, -1, *PRODUCERS)), pairs)

    acts: dict[Callable[[], None], int] = {
        write: 30,
        lambda: machine.end(rng.choice(PRODUCERS), rng.random() < 0.6): 12,
        machine.flush: 6,
        machine.roll: 10,
        lambda: machine.wait(rng.choice((0, 1, 2, 300, 900))): 10,
        lambda: machine.delete_records(rng.randint(0, 3)): 1,
        lambda: machine.clean(rng.randint(1, 4)): 8,
        lambda: machine.clean_until_a_stop(
            rng.randint(0, 80), rng.choice((None, 0, 1, 2)), rng.choice(table_bytes)
        ): 6,
        lambda: machine.stop_and_start(rng.choice(table_bytes)): 1,
        lambda: machine.change_retention(rng.choice(retention_ms)): 2,
    }
    try:
        for act in rng.choices(list(acts), list(acts.values()), k=steps):
            act()
            machine.agrees()
    finally:
        machine.teardown()


@pytest.mark.parametrize("seed", range(12))
def test_a_long_life(seed: int) -> None:
    long_life(seed, 150)
