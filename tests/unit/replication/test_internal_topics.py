"""An internal topic over partitions with real logs: what is written is read back, whole."""

import errno
import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import (
    ApiError,
    InvalidProducerEpochError,
    KafkaStorageError,
    MessageTooLargeError,
    NotLeaderOrFollowerError,
    UnknownTopicOrPartitionError,
)
from tierbroker.records.batch import walk
from tierbroker.records.record import iterate
from tierbroker.replication.internal_topics import InternalTopic, KeyValue

TOPIC = "__consumer_offsets"


class Setting:
    def __init__(self, folder: pathlib.Path) -> None:
        self.bench = HandlerBench(folder)
        self.bench.add_topic(TOPIC, 2)
        services = self.bench.services
        self.topic = InternalTopic(TOPIC, services.partitions, services.clock)
        self.done: list[ApiError | None] = []

    def append(self, *records: KeyValue, partition: int = 0) -> None:
        self.topic.append(partition, records, self.done.append)

    def read(self, offset: int = 0, max_bytes: int = 1 << 20) -> list[KeyValue]:
        data = self.topic.read(0, offset, max_bytes)
        return [
            (record.key or b"", record.value)
            for position, _ in walk(data)
            for record in iterate(memoryview(data)[position:])
        ]


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Setting:
    return Setting(tmp_path)


def test_records_are_told_of_once_flushed_and_read_back(setting: Setting) -> None:
    setting.append((b"a", b"1"), (b"b", None))
    setting.append((b"c", b"3"))
    assert setting.done == []
    assert setting.topic.bounds(0) == (0, 0)
    setting.bench.scheduler.end_turn()
    assert setting.done == [None, None]
    assert setting.topic.bounds(0) == (0, 3)
    assert setting.read() == [(b"a", b"1"), (b"b", None), (b"c", b"3")]
    assert setting.topic.bounds(1) == (0, 0)


def test_only_whole_batches_are_read_and_at_least_one(setting: Setting) -> None:
    setting.append((b"a", b"1"))
    setting.append((b"b", b"2"))
    setting.bench.scheduler.end_turn()
    assert setting.read(max_bytes=1) == [(b"a", b"1")]
    assert setting.read(max_bytes=100) == [(b"a", b"1")]
    assert setting.read(offset=1) == [(b"b", b"2")]
    assert setting.read(offset=2) == []


def test_a_failed_flush_is_told(setting: Setting) -> None:
    setting.bench.flusher.error = OSError(errno.EIO, "I/O error")
    setting.append((b"a", b"1"))
    setting.bench.scheduler.end_turn()
    assert [type(error) for error in setting.done] == [KafkaStorageError]


def test_a_batch_that_no_reader_would_take_is_refused(setting: Setting) -> None:
    setting.append((b"a", bytes(2 << 20)))
    assert [type(error) for error in setting.done] == [MessageTooLargeError]
    setting.bench.scheduler.end_turn()
    assert setting.topic.bounds(0) == (0, 0)


def test_partitions_of_others(setting: Setting) -> None:
    setting.append((b"a", b"1"), partition=7)
    assert [type(error) for error in setting.done] == [UnknownTopicOrPartitionError]
    setting.bench.services.partitions.get(TOPIC, 0).retire()
    setting.append((b"a", b"1"))
    assert isinstance(setting.done[1], NotLeaderOrFollowerError)
    with pytest.raises(NotLeaderOrFollowerError):
        setting.topic.bounds(0)


def test_batches_of_a_transaction_count_no_sequences(setting: Setting) -> None:
    for number in range(3):
        setting.topic.append_transactional(0, [(b"a", b"%d" % number)], 9, 4, setting.done.append)
    setting.bench.scheduler.end_turn()
    assert setting.done == [None] * 3
    data = setting.topic.read(0, 0, 1 << 20)
    headers = [header for _, header in walk(data)]
    assert [(h.producer_id, h.producer_epoch, h.base_sequence) for h in headers] == [(9, 4, 0)] * 3
    assert all(header.transactional for header in headers)
    partition = setting.bench.services.partitions.get(TOPIC, 0)
    assert (partition.high_watermark, partition.last_stable_offset) == (3, 0)


def test_a_producer_of_an_older_epoch_writes_no_more(setting: Setting) -> None:
    setting.topic.append_transactional(0, [(b"a", b"1")], 9, 4, setting.done.append)
    setting.topic.append_transactional(0, [(b"a", b"2")], 9, 3, setting.done.append)
    setting.bench.scheduler.end_turn()
    assert {type(error) for error in setting.done} == {type(None), InvalidProducerEpochError}
    assert setting.topic.bounds(0) == (0, 1)
