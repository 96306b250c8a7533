"""Loading a shard in slices, and what keeps it from being loaded."""

import random
from typing import Any, cast

import pytest

from tests.group_broker import GroupBroker
from tests.group_log import GroupLog
from tierbroker.base.background import Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import ApiError, CorruptMessageError, NotLeaderOrFollowerError
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.group import GroupState
from tierbroker.groups.journal import PartitionJournal
from tierbroker.groups.loader import Loader
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.record_codec import (
    CommittedOffset,
    group_metadata_key,
    group_metadata_value,
    offset_key,
    offset_value,
)
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

PARTITION = 3


class TickingClock(ManualClock):
    """Every look at it costs a millisecond."""

    def monotonic(self) -> float:
        self.advance(1)
        return super().monotonic()


class Loading:
    """A loader with what it needs; `result` is what it said when it was done."""

    def __init__(self, log: GroupLog) -> None:
        self.log = log
        self.turns = 0
        self.result: list[ApiError | None] = []
        self.scheduler = ManualScheduler()
        self.store = OffsetStore()
        clock = TickingClock()
        self.memberships = Memberships(
            GroupConfig(),
            PartitionJournal(log, PARTITION),
            Deadlines(self.scheduler, clock),
            clock,
            random.Random(1),
            has_offsets=self.store.has_offsets,
        )
        self.loader = Loader(
            PARTITION,
            log,
            self.store,
            self.memberships,
            Background(clock, self._yield),
            self.result.append,
        )
        self.loader.start()

    def _yield(self, callback: object) -> None:
        assert callable(callback)
        self.turns += 1
        self.scheduler.call_soon(callback)

    def run(self) -> list[ApiError | None]:
        self.scheduler.end_turn()
        return self.result


def log_with(count: int) -> GroupLog:
    log = GroupLog()
    for number in range(count):
        record = offset_key("g", "t", number), offset_value(CommittedOffset(number))
        log.append(PARTITION, [record], lambda _: None)
    return log


def test_an_empty_partition_is_loaded_in_a_later_turn() -> None:
    loading = Loading(GroupLog())
    assert loading.result == []
    assert loading.run() == [None]


def test_everything_is_loaded_over_many_turns() -> None:
    loading = Loading(log_with(100))
    assert loading.run() == [None]
    assert loading.store.partitions("g", "t") == list(range(100))
    assert loading.turns >= 10


def test_reading_begins_at_the_log_start_and_crosses_holes() -> None:
    log = log_with(10)
    log.compact(PARTITION)
    log.cut(PARTITION, 4)
    log.drop(PARTITION, 2)
    loading = Loading(log)
    assert loading.run() == [None]
    assert loading.store.partitions("g", "t") == [4, 5, 7, 8, 9]


def test_a_large_partition_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tierbroker.groups.loader.READ_BYTES", 400)
    log = log_with(50)
    loading = Loading(log)
    assert loading.run() == [None]
    assert len(loading.store) == 50
    assert log.reads > 10


def test_what_becomes_visible_meanwhile_is_loaded_as_well() -> None:
    class Growing(GroupLog):
        def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
            data = super().read(partition, offset, max_bytes)
            if self.reads < 3:
                record = offset_key("g", "t", 50 + self.reads), offset_value(CommittedOffset(1))
                self.append(partition, [record], lambda _: None)
            return data

    log = Growing()
    record = offset_key("g", "t", 0), offset_value(CommittedOffset(1))
    log.append(PARTITION, [record], lambda _: None)
    loading = Loading(log)
    assert loading.run() == [None]
    assert loading.store.partitions("g", "t") == [0, 51, 52]


def test_groups_are_restored_from_their_last_record() -> None:
    log = log_with(1)
    for generation in (1, 2):
        value = GroupMetadataValue("consumer", generation, None, None, 5)
        record = group_metadata_key("g"), group_metadata_value(value)
        log.append(PARTITION, [record], lambda _: None)
    log.append(PARTITION, [(group_metadata_key("h"), None)], lambda _: None)
    loading = Loading(log)
    assert loading.run() == [None]
    assert loading.memberships.state("g") is GroupState.EMPTY
    assert loading.memberships.state("h") is None


def test_records_of_other_kinds_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = log_with(1)
    for key in (b"\x00\x03x", b"\x00\x03y", b"\x00\x0bz"):
        log.append(PARTITION, [(key, b"value")], lambda _: None)
    loading = Loading(log)
    assert loading.run() == [None]
    assert len(loading.store) == 1
    (line,) = caplog.messages
    assert "2 of type 3, 1 of type 11" in line


def test_damage_is_told_with_its_place_and_nothing_is_available(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = log_with(5)
    log.damage(PARTITION, 3, 90)
    loading = Loading(log)
    (error,) = loading.run()
    assert isinstance(error, CorruptMessageError)
    (line,) = caplog.messages
    assert "__consumer_offsets-3 cannot be loaded at offset 3: the CRC" in line


def test_a_group_that_cannot_be_read_is_damage() -> None:
    log = log_with(1)
    log.append(PARTITION, [(group_metadata_key("g"), b"\x00\x63rubbish")], lambda _: None)
    (error,) = Loading(log).run()
    assert isinstance(error, CorruptMessageError)


def test_a_partition_that_is_gone_is_not_loaded_and_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(GroupLog):
        def bounds(self, partition: int) -> tuple[int, int]:
            raise NotLeaderOrFollowerError("no")

    (error,) = Loading(Refusing()).run()
    assert isinstance(error, NotLeaderOrFollowerError)
    assert caplog.messages == []


def test_a_read_that_gives_no_whole_batch_is_no_endless_loop() -> None:
    class Dry(GroupLog):
        def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
            return b"\x00" * 8

    log = Dry()
    log.append(PARTITION, [(b"\x00\x03x", b"value")], lambda _: None)
    (error,) = Loading(log).run()
    assert isinstance(error, CorruptMessageError)


def test_what_was_begun_with_an_earlier_batch_is_not_read_twice() -> None:
    """A read may answer the batch that holds the offset, and those before it."""

    class FromTheStart(GroupLog):
        def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
            batches = self.batches(partition)
            nearest = [batch for batch in batches if read_header(batch).base_offset <= offset]
            return b"".join(nearest[-2:])

    log = FromTheStart()
    for offset in (1, 2, 3):
        record = offset_key("g", "t", 0), offset_value(CommittedOffset(offset))
        log.append_batch(PARTITION, build_batch([Record(0, 5, *record)]))
    log.flush()
    loading = Loading(log)
    assert loading.run() == [None]
    committed = loading.store.get("g", "t", 0)
    assert committed is not None
    assert committed.offset == 3


def test_a_cancelled_loading_ends_silently() -> None:
    loading = Loading(log_with(100))
    loading.loader.cancel()
    assert loading.run() == []
    assert len(loading.store) == 0


def test_offsets_at_the_end_that_no_batch_has() -> None:
    """A power cut may take the last batches and leave a later, empty segment."""
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    log = HoledLog(broker.log)
    again = GroupBroker(cast("Any", log))
    assert again.committed("g") == {("t", 0): 1}


class HoledLog:
    """A log whose end is further than its last batch."""

    def __init__(self, log: GroupLog) -> None:
        self.read = log.read
        self._log = log

    def bounds(self, partition: int) -> tuple[int, int]:
        start, end = self._log.bounds(partition)
        return start, end + 4
