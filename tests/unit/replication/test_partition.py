"""Partition against a log and a flusher that do what they are told."""

from dataclasses import dataclass, field

import pytest

from tierbroker.base.errors import (
    ApiError,
    FencedLeaderEpochError,
    KafkaStorageError,
    NotLeaderOrFollowerError,
    OutOfOrderSequenceNumberError,
    UnknownLeaderEpochError,
)
from tierbroker.base.ids import ZERO_UUID, TopicPartition
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.hot.config import FlushMode
from tierbroker.hot.log import AppendResult
from tierbroker.hot.producer_state import ProducerState
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.replication.partition import Appender, Partition


@dataclass
class FakeConfig:
    flush_mode: FlushMode = FlushMode.FSYNC
    flush_messages: int = (1 << 63) - 1


@dataclass
class FakeLog:
    config: FakeConfig = field(default_factory=FakeConfig)
    log_start_offset: int = 0
    log_end_offset: int = 0
    flushed_offset: int = 0
    offline: bool = False
    writes: list[int] = field(default_factory=list)
    refuse: set[int] = field(default_factory=set)
    epochs: list[tuple[int, int]] = field(default_factory=list)
    producer_state: ProducerState = field(default_factory=ProducerState)

    def append(
        self, batches: list, leader_epoch: int, origins: list | None
    ) -> list[AppendResult | ApiError]:
        self.writes.append(len(batches))
        results: list[AppendResult | ApiError] = []
        for _, header in batches:
            if header.base_sequence in self.refuse:
                results.append(OutOfOrderSequenceNumberError("gap"))
                continue
            base = self.log_end_offset
            self.log_end_offset += header.record_count
            results.append(AppendResult(base, self.log_end_offset - 1, -1, 0, False))
        return results

    def assign_epoch_start(self, epoch: int, offset: int) -> None:
        self.epochs.append((epoch, offset))


class FakeFlusher:
    def __init__(self) -> None:
        self.callbacks: list = []

    def request(self, log: FakeLog, callback) -> None:
        self.callbacks.append(callback)

    def finish(self, log: FakeLog, error: OSError | None = None) -> None:
        callbacks, self.callbacks = self.callbacks, []
        if error is None:
            log.flushed_offset = log.log_end_offset
        for callback in callbacks:
            callback(error)


class Bench:
    def __init__(self, mode: FlushMode) -> None:
        self.scheduler = ManualScheduler()
        self.log = FakeLog(FakeConfig(mode))
        self.flusher = FakeFlusher()
        self.partition = Partition(
            TopicPartition("t", 0),
            ZERO_UUID,
            self.log,  # type: ignore[arg-type]
            Appender(self.scheduler),
            self.flusher,  # type: ignore[arg-type]
        )
        self.partition.become_leader(3)
        self.done: list[tuple[int, AppendResult | ApiError]] = []
        self._sent = 0

    def append(self, acks: int = -1, records: int = 1, sequence: int = -1) -> None:
        rows = [Record(0, 0, b"k", b"v", ())] * records
        batch = bytearray(build_batch(rows, base_sequence=sequence, producer_id=1))
        number = self._sent
        self._sent += 1
        self.partition.append(
            batch, read_header(batch), acks, lambda result: self.done.append((number, result))
        )

    def answered(self) -> list[int]:
        return [number for number, _ in self.done]


class CountingWaiter:
    def __init__(self) -> None:
        self.woken = 0

    def wake(self, partition: Partition) -> None:
        self.woken += 1


def test_appends_of_one_turn_are_one_write() -> None:
    bench = Bench(FlushMode.REPLICATED)
    for _ in range(3):
        bench.append()
    assert bench.log.writes == []
    bench.scheduler.end_turn()
    assert bench.log.writes == [3]
    assert bench.answered() == [0, 1, 2]
    assert bench.partition.high_watermark == 3


def test_with_fsync_an_append_shows_and_is_acknowledged_after_the_flush() -> None:
    bench = Bench(FlushMode.FSYNC)
    waiter = CountingWaiter()
    bench.partition.waiters.add(waiter)
    bench.append(acks=-1)
    bench.append(acks=1)
    bench.scheduler.end_turn()
    assert bench.answered() == [1]
    assert bench.partition.high_watermark == 0
    assert waiter.woken == 0
    bench.flusher.finish(bench.log)
    assert bench.answered() == [1, 0]
    assert bench.partition.high_watermark == 2
    assert waiter.woken == 1


def test_a_refused_batch_does_not_stop_its_neighbours() -> None:
    bench = Bench(FlushMode.REPLICATED)
    bench.log.refuse.add(9)
    bench.append(sequence=0)
    bench.append(sequence=9)
    bench.append(sequence=1)
    bench.scheduler.end_turn()
    assert [type(result) for _, result in bench.done] == [
        AppendResult,
        OutOfOrderSequenceNumberError,
        AppendResult,
    ]


def test_a_failed_flush_fails_what_waits() -> None:
    bench = Bench(FlushMode.FSYNC)
    bench.append()
    bench.scheduler.end_turn()
    bench.log.offline = True
    bench.flusher.finish(bench.log, OSError(5, "Input/output error"))
    assert [type(result) for _, result in bench.done] == [KafkaStorageError]
    assert bench.partition.high_watermark == 0
    bench.append()
    bench.scheduler.end_turn()
    assert isinstance(bench.done[-1][1], KafkaStorageError)


def test_retiring_answers_everyone_and_refuses_the_rest() -> None:
    bench = Bench(FlushMode.FSYNC)
    waiter = CountingWaiter()
    bench.append()
    bench.scheduler.end_turn()
    bench.append()
    bench.partition.waiters.add(waiter)
    bench.partition.retire()
    assert [type(result) for _, result in bench.done] == [NotLeaderOrFollowerError] * 2
    assert waiter.woken == 1
    with pytest.raises(NotLeaderOrFollowerError):
        bench.partition.check_leader()
    bench.scheduler.end_turn()
    assert len(bench.done) == 2


def test_epochs_of_clients_are_compared() -> None:
    bench = Bench(FlushMode.FSYNC)
    bench.partition.check_leader(-1)
    bench.partition.check_leader(3)
    with pytest.raises(FencedLeaderEpochError):
        bench.partition.check_leader(2)
    with pytest.raises(UnknownLeaderEpochError):
        bench.partition.check_leader(4)


def test_a_new_epoch_starts_at_the_log_end_and_an_old_one_changes_nothing() -> None:
    bench = Bench(FlushMode.REPLICATED)
    bench.append(records=4)
    bench.scheduler.end_turn()
    bench.partition.become_leader(5)
    bench.partition.become_leader(4)
    assert bench.partition.leader_epoch == 5
    assert bench.log.epochs == [(3, 0), (5, 4)]


def test_the_high_watermark_never_goes_back() -> None:
    bench = Bench(FlushMode.REPLICATED)
    bench.append(records=4)
    bench.scheduler.end_turn()
    bench.partition.advance_high_watermark(2)
    assert bench.partition.high_watermark == 4
