"""A partition against a plain list: everything that can happen to it, in any order.

Plain, idempotent and transactional batches, rolls, flushes, a full disk, kills, power cuts and
orderly restarts, truncation, DeleteRecords, retention and compaction; fetches of everything and of
what is committed, and searches by time. That compaction survives a stop in its midst is for
`test_compaction_on_disk`.
"""

import random
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.log_life import Life
from tests.log_model import Kept, LogModel
from tests.log_setup import NOW_MS, read_batches
from tests.sim.disk import SimDisk
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import KafkaStorageError, OutOfOrderSequenceNumberError
from tierbroker.base.ids import random_uuid
from tierbroker.hot.config import LogConfig
from tierbroker.hot.log import AppendResult, Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import MAX_SEQUENCE, crc_valid, walk
from tierbroker.records.control import ControlType, read_marker
from tierbroker.records.record import Record, iterate

PLAIN = -1
IDEMPOTENT = (1, 2)
TRANSACTIONAL = (3, 4)
PRODUCERS = (*IDEMPOTENT, *TRANSACTIONAL)
RETENTION_MS = 30_000
KEYS = (b"a", b"b", b"c")
RECORDS = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from(KEYS), st.none() | st.integers(0, 120)),
    min_size=1,
    max_size=4,
)


class PartitionAgainstList(RuleBasedStateMachine):
    life: Life

    @initialize(
        segment_bytes=st.sampled_from((700, 1500, 4096)),
        policy=st.sampled_from((("delete",), ("compact",), ("compact", "delete"))),
        delete_retention_ms=st.sampled_from((0, 5_000)),
    )
    def begin(self, segment_bytes: int, policy: tuple[str, ...], delete_retention_ms: int) -> None:
        self.path = tempfile.mkdtemp(prefix="log-")
        self.clock = ManualClock(NOW_MS)
        self.fs = SimDisk(clock=self.clock)
        self.topic_id = random_uuid(random.Random(3))
        self.compacted = "compact" in policy
        self.config = LogConfig.from_values(
            {
                "internal.segment.bytes": segment_bytes,
                "index.interval.bytes": 256,
                "file.delete.delay.ms": 0,
                "cleanup.policy": policy,
                "retention.ms": RETENTION_MS,
                "delete.retention.ms": delete_retention_ms,
                "min.cleanable.dirty.ratio": 0.0,
            }
        )
        self.model = LogModel()
        self.count = 0
        self.flushed = 0
        self.written_start = 0
        """The log start of the checkpoint file."""
        self.cleaned_to = 0
        self.highest_start = 0
        """Epochs below are forgotten, though a crash may bring the records back."""
        self.epoch = 0
        # How many of a producer's last batches must be recognised when they are repeated.
        self.remembered = dict.fromkeys(PRODUCERS, 0)
        self.agreed = True
        """The model knows of everything that was done."""
        self.begin_life()

    def begin_life(self) -> None:
        self.life = Life(self.path, self.fs, self.clock, self.config, self.topic_id)

    @property
    def log(self) -> Log:
        return self.life.log

    def teardown(self) -> None:
        if hasattr(self, "life"):
            if self.agreed:
                self.everything_is_there()
            self.life.dirs.release()
            self.fs.kill()
            shutil.rmtree(self.path)

    # -- what is written -----------------------------------------------------------------------

    @rule(
        batches=st.lists(
            st.tuples(st.sampled_from((PLAIN, PLAIN, *PRODUCERS)), RECORDS), min_size=1, max_size=5
        ),
        room=st.none() | st.none() | st.integers(0, 1500),
    )
    def append(
        self,
        batches: list[tuple[int, list[tuple[int, bytes, int | None]]]],
        room: int | None,
    ) -> None:
        made: list[Kept] = []
        sequences = {producer: self.next_sequence(producer) for producer in PRODUCERS}
        for producer, contents in batches:
            records = tuple([self.make_record(*content) for content in contents])
            sequence = sequences.get(producer, -1)
            made.append(
                Kept(0, records, producer, sequence, transactional=producer in TRANSACTIONAL)
            )
            if producer in sequences:
                sequences[producer] = (sequence + len(records)) & MAX_SEQUENCE
        if room is not None:
            self.fs.capacity_bytes = self.fs.used_bytes + room
        results = self.log.append([batch.to_bytes() for batch in made], self.epoch)
        self.agreed = False
        self.fs.capacity_bytes = None
        refused = False
        for batch, result in zip(made, results, strict=True):
            if isinstance(result, KafkaStorageError):
                assert room is not None
                refused = True
                continue
            assert not refused, f"a batch was appended after one that was refused: {results}"
            self.take(batch, result)
        self.agreed = True
        assert not self.log.offline

    def next_sequence(self, producer: int) -> int:
        return self.model.next_sequence(producer, transactional=producer in TRANSACTIONAL)

    def make_record(self, age_ms: int, key: bytes, size: int | None) -> Record:
        self.count += 1
        value = None if size is None else b"%d." % self.count + bytes(size)
        return Record(0, self.clock.now_ms() - age_ms, key, value, ())

    def take(self, batch: Kept, result: object) -> None:
        assert isinstance(result, AppendResult), result
        kept = self.model.keep(batch, self.epoch)
        assert not result.duplicate
        assert (result.base_offset, result.last_offset) == (kept.base_offset, kept.last_offset)
        if kept.producer_id in self.remembered and kept.marker is None:
            self.remembered[kept.producer_id] = min(self.remembered[kept.producer_id] + 1, 5)

    @rule(producer=st.sampled_from(TRANSACTIONAL), commit=st.booleans())
    def end_transaction(self, producer: int, commit: bool) -> None:
        kind = ControlType.COMMIT if commit else ControlType.ABORT
        batch = Kept(0, (Record(0, self.clock.now_ms(), b"", b""),), producer, marker=kind)
        (result,) = self.log.append([batch.to_bytes()], self.epoch, [AppendOrigin.COORDINATOR])
        self.take(batch, result)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        producer = data.draw(st.sampled_from(PRODUCERS))
        count = self.remembered[producer]
        if count:
            kept = data.draw(st.sampled_from(self.model.of(producer)[-count:]))
            (result,) = self.log.append([kept.to_bytes()], self.epoch)
            assert isinstance(result, AppendResult), result
            assert result.duplicate
            assert (result.base_offset, result.last_offset) == (kept.base_offset, kept.last_offset)

    @rule(producer=st.sampled_from(PRODUCERS), gap=st.integers(1, 1000))
    def leave_a_gap(self, producer: int, gap: int) -> None:
        if self.remembered[producer]:
            sequence = (self.next_sequence(producer) + gap) & MAX_SEQUENCE
            record = Record(0, NOW_MS, b"k", b"v")
            batch = Kept(0, (record,), producer, sequence, transactional=producer in TRANSACTIONAL)
            (result,) = self.log.append([batch.to_bytes()], self.epoch)
            assert isinstance(result, OutOfOrderSequenceNumberError)

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule()
    def new_leader(self) -> None:
        self.epoch += 1
        self.log.assign_epoch_start(self.epoch, self.log.log_end_offset)

    @rule(checkpoint=st.booleans())
    def flush(self, checkpoint: bool) -> None:
        self.log.flush()
        self.flushed = self.model.end
        assert self.log.flushed_offset == self.flushed
        if checkpoint:
            self.write_checkpoint()

    @rule(late=st.booleans())
    def flush_while_appending(self, late: bool) -> None:
        target = self.log.dirty_files()
        end = self.model.end
        self.append([(PLAIN, [(7, b"a", 100)])], None)
        if late:
            self.log.roll()
        for directory in target.new_dirs:
            self.fs.fsync_dir(directory)
        for fd in target.fds:
            self.fs.fdatasync(fd)
        for lease in target.leases:
            lease.release()
        self.log.mark_flushed(target.end_offset)
        self.flushed = max(self.flushed, end)
        assert self.log.flushed_offset == self.flushed

    def write_checkpoint(self) -> None:
        self.life.manager.checkpoint()
        self.written_start = self.model.start

    # -- ends and starts of the process --------------------------------------------------------

    @rule()
    def stop_and_start(self) -> None:
        self.life.cleaner.stop()
        self.life.manager.shutdown()
        self.flushed = self.model.end
        self.written_start = self.model.start
        self.begin_life()
        self.after_start()

    @rule()
    def kill_and_start(self) -> None:
        self.life.dirs.release()
        self.fs.kill()
        self.begin_life()
        assert self.log.log_end_offset == self.model.end
        self.after_start()

    @rule(seed=st.none() | st.integers(0, 2**32))
    def cut_power_and_start(self, seed: int | None) -> None:
        self.life.dirs.release()
        self.fs.crash(None if seed is None else random.Random(seed))
        self.begin_life()
        assert self.log.log_end_offset >= self.flushed
        self.forget_from(self.log.log_end_offset)
        if self.compacted:
            # A start cannot tell such a gap from one that compaction left, and cuts neither.
            there = self.batches_left()
            unflushed = [b for b in self.model.present() if b.base_offset >= self.flushed]
            self.model.lose({b.base_offset for b in unflushed if b.base_offset not in there})
        self.after_start()

    def after_start(self) -> None:
        assert self.log.flushed_offset == self.log.log_end_offset == self.model.end
        self.flushed = self.model.end
        start = self.log.log_start_offset
        assert min(self.written_start, self.model.end) <= start <= self.model.start
        self.model.start = start
        self.everything_is_there()
        for producer in PRODUCERS:
            self.check_producer(producer)

    def check_producer(self, producer: int) -> None:
        """After a start its last batch is known, unless nothing is left of what it sent."""
        known = self.model.of(producer)
        state = self.log.producer_state.get(producer)
        self.remembered[producer] = 1 if known else 0
        if known and (state is None or not state.batches):
            assert known[-1].last_offset < self.model.start
            self.model.unknown_below[producer] = known[-1].base_offset + 1
            self.remembered[producer] = 0
        elif known:
            assert state is not None
            assert state.batches[-1].last_offset == known[-1].last_offset
            assert state.batches[-1].first_sequence == known[-1].sequence

    # -- what goes -----------------------------------------------------------------------------

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        # What is cleaned is durable and committed: no follower cuts there.
        # Nor is a transaction opened again whose beginning is deleted.
        ended = [b.next_offset for b in self.model.batches if 0 <= b.marker_of < self.highest_start]
        lowest = max([self.model.start, self.cleaned_to, *ended])
        offset = data.draw(st.integers(lowest, max(lowest, self.model.end)))
        self.log.truncate_to(offset)
        spanning = [
            batch.base_offset
            for batch in self.model.batches
            if batch.base_offset < offset <= batch.last_offset
        ]
        if offset < self.model.end:
            self.forget_from(min([offset, *spanning]))
        assert self.log.log_end_offset == self.model.end
        self.epoch += 1
        self.flush(checkpoint=True)

    def forget_from(self, offset: int) -> None:
        if offset == self.model.end:
            return
        self.model.forget_from(offset)
        for producer in PRODUCERS:
            known = len(self.model.of(producer))
            self.remembered[producer] = min(self.remembered[producer], 1, known)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        # Only what is stable goes: an open transaction whose start is gone is beyond this model.
        stable = self.model.stable_offset()
        if stable > self.model.start:
            offset = data.draw(st.integers(self.model.start, stable))
            self.flush(checkpoint=False)
            self.log.advance_log_start(offset)
            self.model.start = offset

    @rule(ms=st.sampled_from((1, 6_000, RETENTION_MS)))
    def wait(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule()
    def retain(self) -> None:
        limit = min(self.flushed, self.model.stable_offset())
        expected = self.retained_start(limit)
        list(self.life.manager.apply_retention(self.clock.now_ms(), lambda _: limit))
        start = self.log.log_start_offset
        if not self.compacted:
            assert start == expected
        for record in self.model.data():
            if record.offset < start:
                assert self.clock.now_ms() - record.timestamp_ms > RETENTION_MS
        self.model.start = start

    def retained_start(self, limit: int) -> int:
        """The base offset of the first segment that has a record young enough, or is in use."""
        bases = [segment.base_offset for segment in self.log.segments]
        start = self.model.start
        for base, following in zip(bases, [*bases[1:], self.model.end], strict=True):
            times = [
                record.timestamp_ms
                for batch in self.model.present()
                if base <= batch.base_offset < following
                for record in batch.records
            ]
            too_young = not times or self.clock.now_ms() - max(times) <= RETENTION_MS
            if following > limit or too_young:
                break
            start = max(start, following)
        return start

    @rule(roll=st.booleans())
    def compact(self, roll: bool) -> None:
        if roll:
            self.log.roll()
            self.flush(checkpoint=False)
        # Below the log start the cleaner takes what it likes, so it must not come back.
        self.write_checkpoint()
        self.clock.advance(20_000)
        self.life.clean()
        # A round flushes the log before it begins, and the next one counts with that.
        assert self.log.flushed_offset in (self.flushed, self.model.end)
        self.flushed = self.log.flushed_offset
        end = min(self.log.segments.active.base_offset, self.flushed, self.model.stable_offset())
        if self.compacted:
            self.model.note_cleaned(self.batches_left(), end)
            self.cleaned_to = max(self.cleaned_to, end)

    def batches_left(self) -> dict[int, set[int]]:
        return {
            header.base_offset: {record.offset for record in iterate(memoryview(data))}
            for data, header in read_batches(self.log)
        }

    # -- what readers find ---------------------------------------------------------------------

    @rule(data=st.data())
    def fetch(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.model.start, self.model.end))
        limit = data.draw(st.integers(self.model.start, self.model.end))
        max_bytes = data.draw(st.integers(0, 3000))
        at_least_one = data.draw(st.booleans())
        result = self.log.read(offset, max_bytes, limit, at_least_one)
        expected = [
            batch.base_offset
            for batch in self.model.present()
            if offset <= batch.last_offset < limit
        ]
        if result.slice is None:
            assert not (expected and offset < limit and at_least_one)
            return
        part = result.slice
        raw = self.fs.pread(part.fd, part.length, part.position)
        part.lease.release()
        found = [header.base_offset for _, header in walk(raw)]
        assert len(raw) == result.size_bytes
        assert len(raw) <= max_bytes or (at_least_one and len(found) == 1)
        assert found == expected[: len(found)]

    @rule(data=st.data())
    def search_by_time(self, data: st.DataObject) -> None:
        model = self.model
        stamps = sorted({record.timestamp_ms for record in model.records()}) or [NOW_MS]
        time = data.draw(st.sampled_from(stamps)) + data.draw(st.sampled_from((-1, 0, 1)))
        limit = data.draw(st.sampled_from((model.end, (model.start + model.end) // 2)))
        found = self.log.offset_for_timestamp(time, limit)
        first = next((r for r in model.records() if r.timestamp_ms >= time), None)
        if first is None or first.offset >= limit:
            assert found is None
        else:
            assert found is not None
            assert (found.offset, found.timestamp_ms) == (first.offset, first.timestamp_ms)

    @rule()
    def search_the_newest(self) -> None:
        found = self.log.offset_of_max_timestamp(self.model.end)
        # Batches are judged by their own highest time, also where the log starts inside of one.
        stamped = {record.offset: record.timestamp_ms for record in self.model.records()}
        if not stamped:
            assert found is None or found.offset >= self.model.start
        elif found is not None:
            assert stamped[found.offset] == found.timestamp_ms == max(stamped.values())

    @rule(data=st.data())
    def aborted_agree(self, data: st.DataObject) -> None:
        low = data.draw(st.integers(self.model.start, self.model.end))
        high = data.draw(st.integers(low, self.model.end))
        found = [
            (txn.first_offset, txn.producer_id) for txn in self.log.aborted_transactions(low, high)
        ]
        expected = sorted(
            (marker.marker_of, marker.producer_id)
            for marker in self.model.aborts()
            if marker.marker_of < high and marker.base_offset >= low
        )
        # Compaction takes those of which nothing is left.
        assert found == ([txn for txn in expected if txn in found] if self.compacted else expected)

    @rule()
    def everything_is_there(self) -> None:
        everything: list[Record] = []
        for data, header in read_batches(self.log):
            assert crc_valid(data, 0, header)
            if not header.control:
                everything += iterate(memoryview(data))
        found = [_plainly(r) for r in everything if r.offset >= self.model.start]
        assert found == [_plainly(record) for record in self.model.data()]
        assert self.read_committed() == [_plainly(record) for record in self.model.committed()]

    def read_committed(self) -> list[tuple[object, ...]]:
        """What a consumer makes of the log: it skips from an abort's first offset to its marker."""
        unstable = self.log.producer_state.first_unstable_offset()
        end = self.model.end if unstable is None else unstable
        waiting = self.log.aborted_transactions(self.model.start, end)
        aborting: set[int] = set()
        seen: list[tuple[object, ...]] = []
        for data, header in read_batches(self.log):
            if header.base_offset >= end:
                break
            while waiting and waiting[0].first_offset <= header.last_offset:
                aborting.add(waiting.pop(0).producer_id)
            if header.control:
                marker = read_marker(data)
                if marker is not None and marker.control_type is ControlType.ABORT:
                    aborting.discard(header.producer_id)
            elif not (header.transactional and header.producer_id in aborting):
                records = iterate(memoryview(data))
                seen += [_plainly(r) for r in records if r.offset >= self.model.start]
        return seen

    @invariant()
    @precondition(lambda self: hasattr(self, "life"))
    def numbers_agree(self) -> None:
        log, model = self.log, self.model
        assert (log.log_start_offset, log.log_end_offset) == (model.start, model.end)
        assert log.flushed_offset <= log.log_end_offset
        assert log.size_bytes == log.segments.size_bytes
        assert log.latest_epoch <= self.epoch
        assert {
            p: first for first, p in dict(log.producer_state.open).items()
        } == model.open_transactions()
        self.highest_start = min(max(self.highest_start, model.start), model.end)
        known_from = self.highest_start
        for kept in [b for b in list(model.present())[-2:] if b.base_offset >= known_from]:
            assert log.epochs.epoch_at(kept.last_offset) == kept.leader_epoch


def _plainly(record: Record) -> tuple[object, ...]:
    return record.offset, record.timestamp_ms, record.key, record.value


PartitionAgainstList.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, derandomize=True
)
TestPartitionAgainstList = PartitionAgainstList.TestCase
