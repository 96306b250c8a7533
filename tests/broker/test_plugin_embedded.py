"""`tierbroker.Broker` in the caller's loop and in a thread, and the fixtures of the plugin."""

import asyncio
import os
import pathlib
import tempfile
import time

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer, TopicPartition

from tierbroker import Broker
from tierbroker.base.errors import InvalidConfigError, ListenError
from tierbroker.testing.target import BrokerTarget

START_BUDGET_S = 0.05
"""Start of a broker inside of a process that has its modules loaded (budget row 6)."""


def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    """Read by assignment, in no group; what the library says about groups is no data."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "g", "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes | None] = []
    deadline = time.monotonic() + 20
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return values


async def test_in_the_loop_of_the_caller() -> None:
    async with Broker() as broker:
        producer = AIOKafkaProducer(**broker.config("aiokafka"))
        await producer.start()
        sent = await producer.send_and_wait("t", b"v")
        await producer.stop()
        consumer = AIOKafkaConsumer(**broker.config("aiokafka"), auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([aiokafka.TopicPartition("t", 0)])
        try:
            read = await asyncio.wait_for(consumer.getone(), 20)
        finally:
            await consumer.stop()
        assert (sent.offset, read.value) == (0, b"v")


def test_in_a_thread() -> None:
    with Broker() as broker:
        produce(broker.bootstrap, "t", b"a", b"b")
        assert consume(broker.bootstrap, "t", 2) == [b"a", b"b"]


def test_nothing_is_kept(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Broker() as broker:
        produce(broker.bootstrap, "t", b"a")
        assert os.listdir(tmp_path)
    assert os.listdir(tmp_path) == []


def test_data_is_kept(tmp_path: pathlib.Path) -> None:
    with Broker(tmp_path / "data") as broker:
        produce(broker.bootstrap, "t", b"a")
    with Broker(str(tmp_path / "data")) as broker:
        produce(broker.bootstrap, "t", b"b")
        assert consume(broker.bootstrap, "t", 2) == [b"a", b"b"]


def test_ephemeral_in_a_directory_removes_its_own_part_only(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").write_text("x")
    with Broker(tmp_path, ephemeral=True) as broker:
        produce(broker.bootstrap, "t", b"a")
    assert os.listdir(tmp_path) == ["mine"]


def test_two_at_a_time_are_strangers() -> None:
    with Broker() as one, Broker() as other:
        assert one.bootstrap != other.bootstrap
        produce(one.bootstrap, "t", b"one")
        produce(other.bootstrap, "t", b"other")
        assert consume(one.bootstrap, "t", 1) == [b"one"]
        assert consume(other.bootstrap, "t", 1) == [b"other"]


def test_settings_are_the_callers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERBROKER_NUM_PARTITIONS", "not a number")
    with Broker(config={"num.partitions": "2"}) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("t", b"x", partition=1)
        assert producer.flush(20) == 0


async def test_errors_reach_the_caller_and_leave_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        pytest.raises(InvalidConfigError, match=r"no\.such\.key"),
        Broker(config={"no.such.key": "1"}),
    ):
        pass
    with Broker() as broker:
        port = int(broker.bootstrap.rpartition(":")[2])
        with pytest.raises(ListenError, match=str(port)), Broker(port=port):
            pass
        with pytest.raises(ListenError, match=str(port)):
            async with Broker(port=port):
                pass
    assert os.listdir(tmp_path) == []


def test_start_is_within_its_budget() -> None:
    with Broker():
        pass  # loads the modules
    best = START_BUDGET_S * 100
    for _ in range(5):
        started = time.perf_counter()
        with Broker():
            best = min(best, time.perf_counter() - started)
    assert best < START_BUDGET_S, f"fastest of five starts took {best * 1000:.0f} ms"


def test_fixture_is_a_broker(kafka_broker: BrokerTarget, kafka_topic: str) -> None:
    produce(kafka_broker.bootstrap, kafka_topic, b"a")
    assert consume(kafka_broker.bootstrap, kafka_topic, 1) == [b"a"]
    assert kafka_broker.config("confluent") == {"bootstrap.servers": kafka_broker.bootstrap}


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_fresh_topic(
    kafka_broker: BrokerTarget, kafka_topic: str, turn: int
) -> None:
    assert kafka_topic.startswith("test-each-test-has-a-fresh-topic")
    produce(kafka_broker.bootstrap, kafka_topic, b"%d" % turn)
    assert consume(kafka_broker.bootstrap, kafka_topic, 1) == [b"%d" % turn]


async def test_fixture_serves_async_tests(kafka_broker: BrokerTarget, kafka_topic: str) -> None:
    producer = AIOKafkaProducer(**kafka_broker.config("aiokafka"))
    await producer.start()
    assert (await producer.send_and_wait(kafka_topic, b"v")).offset == 0
    await producer.stop()
