"""A log against a plain list, through rolls, flushes, kills, power cuts and a full disk."""

import random
import shutil
import tempfile
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_batches, read_records
from tierbroker.base.errors import KafkaStorageError, OutOfOrderSequenceNumberError
from tierbroker.hot.log import AppendResult, Log
from tierbroker.records.batch import MAX_SEQUENCE, crc_valid, walk

PRODUCERS = (1, 2)


@dataclass(frozen=True)
class Kept:
    """A batch that the model holds."""

    base_offset: int
    last_offset: int
    times: tuple[int, ...]
    values: tuple[bytes, ...]
    producer_id: int
    sequence: int
    epoch: int


class LogAgainstList(RuleBasedStateMachine):
    log: Log

    @initialize(segment_bytes=st.sampled_from([1500, 4096, 20_000]))
    def begin(self, segment_bytes: int) -> None:
        self.root = tempfile.mkdtemp(prefix="log-")
        self.setup = LogSetup(f"{self.root}/t-0")
        self.setup.values["internal.segment.bytes"] = segment_bytes
        self.log = self.setup.open()
        self.batches: list[Kept] = []
        self.start = 0
        self.end = 0
        self.flushed = 0
        self.checkpoint = 0
        self.epoch = 0
        # How many of a producer's last batches must be recognised when they are repeated.
        self.remembered = dict.fromkeys(PRODUCERS, 0)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.check_all()
            self.setup.kill()
            shutil.rmtree(self.root)

    # -- what can happen -----------------------------------------------------------------------

    @rule(
        batches=st.lists(
            st.tuples(
                st.sampled_from((-1, *PRODUCERS)),
                st.lists(
                    st.tuples(st.integers(0, 50), st.integers(0, 300)), min_size=1, max_size=4
                ),
            ),
            min_size=1,
            max_size=5,
        ),
        room=st.none() | st.none() | st.integers(0, 1500),
    )
    def append(self, batches: list[tuple[int, list[tuple[int, int]]]], room: int | None) -> None:
        made: list[Kept] = []
        sequences = {producer: self.next_sequence(producer) for producer in PRODUCERS}
        for producer, records in batches:
            times = tuple(NOW_MS + time for time, _ in records)
            values = tuple(bytes([len(made)]) * size for _, size in records)
            sequence = sequences.get(producer, -1)
            made.append(Kept(0, 0, times, values, producer, sequence, self.epoch))
            if producer in sequences:
                sequences[producer] = (sequence + len(records)) & MAX_SEQUENCE
        if room is not None:
            self.setup.fs.capacity_bytes = self.setup.fs.used_bytes + room
        results = self.log.append([self.to_bytes(kept) for kept in made], self.epoch)
        self.setup.fs.capacity_bytes = None
        refused = False
        for kept, result in zip(made, results, strict=True):
            if isinstance(result, KafkaStorageError):
                assert room is not None
                refused = True
                continue
            assert not refused, "a batch was appended after one that was refused"
            assert isinstance(result, AppendResult)
            assert result.base_offset == self.end
            assert result.last_offset == self.end + len(kept.values) - 1
            assert not result.duplicate
            self.keep(kept)
        assert self.log.log_end_offset == self.end
        assert not self.log.offline

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        producer = data.draw(st.sampled_from(PRODUCERS))
        count = self.remembered[producer]
        if count:
            kept = data.draw(st.sampled_from(self.of(producer)[-count:]))
            (result,) = self.log.append([self.to_bytes(kept)], self.epoch)
            assert isinstance(result, AppendResult)
            assert result.duplicate
            assert (result.base_offset, result.last_offset) == (kept.base_offset, kept.last_offset)

    @rule(producer=st.sampled_from(PRODUCERS), gap=st.integers(1, 1000))
    def leave_a_gap(self, producer: int, gap: int) -> None:
        if self.remembered[producer]:
            sequence = (self.next_sequence(producer) + gap) & MAX_SEQUENCE
            batch = make_batch(producer_id=producer, sequence=sequence)
            (result,) = self.log.append([batch], self.epoch)
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
        self.flushed = self.end
        assert self.log.flushed_offset == self.end
        if checkpoint:
            self.log.write_indexes()
            self.checkpoint = self.log.recovery_point

    @rule(late=st.booleans())
    def flush_while_appending(self, late: bool) -> None:
        target = self.log.dirty_files()
        end = self.end
        self.append([(-1, [(7, 100)])], None)
        if late:
            self.log.roll()
        for directory in target.new_dirs:
            self.setup.fs.fsync_dir(directory)
        for fd in target.fds:
            self.setup.fs.fdatasync(fd)
        for lease in target.leases:
            lease.release()
        self.log.mark_flushed(target.end_offset)
        self.flushed = max(self.flushed, end)
        assert self.log.flushed_offset == self.flushed

    @rule()
    def stop_and_start(self) -> None:
        self.log.close()
        self.cache_is_empty()
        self.flushed = self.checkpoint = self.end
        self.log = self.setup.open(
            clean=True, recovery_point=self.checkpoint, log_start_offset=self.start
        )
        self.after_start(1)

    @rule()
    def kill_and_start(self) -> None:
        self.setup.kill()
        self.log = self.setup.open(recovery_point=self.checkpoint, log_start_offset=self.start)
        assert self.log.log_end_offset == self.end
        assert self.log.flushed_offset == self.end
        self.flushed = self.end
        self.after_start(1)

    @rule(seed=st.none() | st.integers(0, 2**32))
    def cut_power_and_start(self, seed: int | None) -> None:
        self.setup.crash(None if seed is None else random.Random(seed))
        self.log = self.setup.open(recovery_point=self.checkpoint, log_start_offset=self.start)
        assert self.log.log_end_offset >= self.flushed
        self.forget_from(self.log.log_end_offset)
        self.flushed = self.end
        self.after_start(1)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, self.end))
        self.log.flush()
        self.flushed = self.end
        self.log.advance_log_start(offset)
        for path in self.log.take_deleted_files(self.setup.clock.now_ms()):
            self.setup.fs.unlink(path)
        self.start = offset

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, self.end))
        self.log.truncate_to(offset)
        spanning = [kept for kept in self.batches if kept.base_offset < offset <= kept.last_offset]
        self.forget_from(min([offset, *(kept.base_offset for kept in spanning)]))
        assert self.log.log_end_offset == self.end
        self.start = min(self.start, self.end)
        self.checkpoint = min(self.checkpoint, self.log.recovery_point)
        self.epoch += 1
        self.flush(checkpoint=True)

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, self.end))
        limit = data.draw(st.integers(self.start, self.end))
        max_bytes = data.draw(st.integers(0, 3000))
        at_least_one = data.draw(st.booleans())
        result = self.log.read(offset, max_bytes, limit, at_least_one)
        expected = [k for k in self.batches if k.last_offset >= offset and k.last_offset < limit]
        if result.slice is None:
            if expected and offset < limit and at_least_one:
                assert expected[0].last_offset < offset
            return
        part = result.slice
        raw = self.setup.fs.pread(part.fd, part.length, part.position)
        part.lease.release()
        assert len(raw) == result.size_bytes
        found = [header for _, header in walk(raw)]
        assert len(raw) <= max_bytes or (at_least_one and len(found) == 1)
        assert [header.base_offset for header in found] == [
            kept.base_offset for kept in expected[: len(found)]
        ]
        assert found or len(raw) <= max_bytes

    @rule(time=st.integers(-1, 52), data=st.data())
    def search_by_time(self, time: int, data: st.DataObject) -> None:
        limit = data.draw(st.sampled_from([self.end, (self.start + self.end) // 2]))
        found = self.log.offset_for_timestamp(NOW_MS + time, limit)
        first = next(
            ((o, t) for o, t in self.stamped() if t >= NOW_MS + time),
            None,
        )
        if first is None or first[0] >= limit:
            assert found is None
        else:
            assert found is not None
            assert (found.offset, found.timestamp_ms) == first

    @rule()
    def search_the_newest(self) -> None:
        found = self.log.offset_of_max_timestamp(self.end)
        # Batches are judged by their own highest time, also where the log starts inside of one.
        stamped = list(self.stamped())
        if not stamped:
            assert found is None or found.offset >= self.start
        elif found is not None:
            assert dict(stamped)[found.offset] == found.timestamp_ms
            assert found.timestamp_ms == max(t for _, t in stamped)

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: hasattr(self, "log"))
    def numbers_agree(self) -> None:
        log = self.log
        assert (log.log_start_offset, log.log_end_offset) == (self.start, self.end)
        assert log.flushed_offset <= log.log_end_offset
        assert log.size_bytes == log.segments.size_bytes
        assert log.latest_epoch <= self.epoch
        for kept in [kept for kept in self.batches[-2:] if kept.last_offset >= self.start]:
            assert log.epochs.epoch_at(kept.last_offset) == kept.epoch

    def check_all(self) -> None:
        expected = [
            (kept.base_offset + index, time, value)
            for kept in self.batches
            for index, (time, value) in enumerate(zip(kept.times, kept.values, strict=True))
            if kept.base_offset + index >= self.start
        ]
        found = [(r.offset, r.timestamp_ms, r.value) for r in read_records(self.log)]
        assert found == expected
        for data, header in read_batches(self.log):
            assert crc_valid(data, 0, header)

    def after_start(self, remembered: int) -> None:
        self.check_all()
        for producer in PRODUCERS:
            known = self.of(producer)
            if not known:
                self.remembered[producer] = 0
                continue
            state = self.log.producer_state.get(producer)
            assert state is not None
            assert state.batches[-1].last_offset == known[-1].last_offset
            assert state.batches[-1].first_sequence == known[-1].sequence
            self.remembered[producer] = remembered

    def cache_is_empty(self) -> None:
        self.setup.cache.close_idle()
        assert not self.setup.fs._fds, "descriptors leak"

    # -- the model -----------------------------------------------------------------------------

    def of(self, producer: int) -> list[Kept]:
        return [kept for kept in self.batches if kept.producer_id == producer]

    def next_sequence(self, producer: int) -> int:
        known = self.of(producer)
        if not known:
            # Close to the end of the numbers, so that they wrap.
            return MAX_SEQUENCE - 3
        return (known[-1].sequence + len(known[-1].values)) & MAX_SEQUENCE

    def to_bytes(self, kept: Kept):  # type: ignore[no-untyped-def]
        return make_batch(
            kept.values, times=kept.times, producer_id=kept.producer_id, sequence=kept.sequence
        )

    def keep(self, kept: Kept) -> None:
        last = self.end + len(kept.values) - 1
        self.batches.append(
            Kept(
                self.end,
                last,
                kept.times,
                kept.values,
                kept.producer_id,
                kept.sequence,
                kept.epoch,
            )
        )
        self.end = last + 1
        if kept.producer_id in self.remembered:
            self.remembered[kept.producer_id] = min(self.remembered[kept.producer_id] + 1, 5)

    def forget_from(self, offset: int) -> None:
        self.batches = [kept for kept in self.batches if kept.last_offset < offset]
        self.end = offset
        for producer in PRODUCERS:
            self.remembered[producer] = min(self.remembered[producer], 1, len(self.of(producer)))

    def stamped(self):  # type: ignore[no-untyped-def]
        for kept in self.batches:
            for index, time in enumerate(kept.times):
                if kept.base_offset + index >= self.start:
                    yield kept.base_offset + index, time


LogAgainstList.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestLogAgainstList = LogAgainstList.TestCase
