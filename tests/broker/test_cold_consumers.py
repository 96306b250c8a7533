"""Stock consumers of a topic whose older part lies in the cold tier alone."""

import threading
from collections.abc import Iterator
from typing import Any

import kafka
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as AioPlace
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker import Broker

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One that keeps nothing, with a cold tier that keeps as little."""
    with Broker(config={"cold.url": "memory://"}) as made:
        yield made


def create(broker: Broker, name: str) -> None:
    config = {
        "remote.storage.enable": "true",
        "internal.segment.bytes": "32768",
        "retention.ms": "-1",  # the records are of 1970
    }
    admin = AdminClient(broker.config("confluent"))
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(10)


def produce(broker: Broker, topic: str, values: list[bytes], **settings: Any) -> None:
    """Records with a time that is their number."""
    how = {"linger.ms": 5, "batch.size": 16_000, **settings}  # a batch has room in a segment
    producer = Producer({**broker.config("confluent"), **how})
    errors: list[object] = []
    for value in values:
        producer.produce(
            topic,
            value,
            partition=0,
            timestamp=1 + int(value[:6]),
            on_delivery=lambda error, _: errors.append(error),
        )
    assert producer.flush(TIMEOUT_S) == 0
    assert errors == [None] * len(values)


def numbered(first: int, count: int) -> list[bytes]:
    return [b"%06d" % number + bytes([number % 251]) * 90 for number in range(first, first + count)]


def confluent(broker: Broker, topic: str, offset: int, count: int, **how: Any) -> list[bytes]:
    """What a consumer of librdkafka gets from there on."""
    settings = {"group.id": "g", "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
    consumer = Consumer({**broker.config("confluent"), **settings, **how})
    consumer.assign([TopicPartition(topic, 0, offset)])
    values: list[bytes] = []
    for message in consumer.consume(count, timeout=TIMEOUT_S):
        assert message.error() is None
        value = message.value()
        assert value is not None
        values.append(value)
    consumer.close()
    return values


async def aio(broker: Broker, topic: str, offset: int, count: int, **how: Any) -> list[bytes]:
    """The same of aiokafka."""
    place = AioPlace(topic, 0)
    values: list[bytes] = []
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, **how) as consumer:
        consumer.assign([place])
        consumer.seek(place, offset)
        while len(values) < count:
            batch = await consumer.getone()
            values.append(batch.value or b"")
    return values


def pure(broker: Broker, topic: str, offset: int, count: int, **how: Any) -> list[bytes]:
    """The same of kafka-python."""
    place = kafka.TopicPartition(topic, 0)
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=broker.bootstrap, consumer_timeout_ms=TIMEOUT_S * 1000, **how
    )
    consumer.assign([place])
    consumer.seek(place, offset)
    values: list[bytes] = []
    for record in consumer:
        values.append(record.value)
        if len(values) == count:
            break
    consumer.close()
    return values


@pytest.mark.timeout(120)
async def test_every_client_reads_across_the_border(broker: Broker) -> None:
    create(broker, "mixed")
    cold = []
    for number, codec in enumerate(CODECS):
        part = numbered(1000 * number, 1000)
        produce(broker, "mixed", part, **{"compression.type": codec})
        cold += part
    broker.evict("mixed")
    values = cold + numbered(5000, 500)
    produce(broker, "mixed", values[5000:])
    # From the start, from within, at the last record of the cold part, and right behind it.
    for offset in (0, 1234, 4999, 5000):
        left = len(values) - offset
        assert confluent(broker, "mixed", offset, left) == values[offset:]
        assert await aio(broker, "mixed", offset, left) == values[offset:]
        assert pure(broker, "mixed", offset, left) == values[offset:]


@pytest.mark.timeout(120)
async def test_offsets_are_found_by_time_in_the_cold_part(broker: Broker) -> None:
    create(broker, "timed")
    produce(broker, "timed", numbered(0, 2000), **{"compression.type": "zstd"})
    broker.evict("timed")
    produce(broker, "timed", numbered(2000, 100))
    consumer = Consumer({**broker.config("confluent"), "group.id": "g"})
    for wanted in (0, 1, 777, 1999, 2000, 2001, 2099):
        asked = [TopicPartition("timed", 0, 1 + wanted)]
        (found,) = consumer.offsets_for_times(asked, timeout=TIMEOUT_S)
        assert (found.offset, found.error) == (wanted, None)
    assert consumer.get_watermark_offsets(TopicPartition("timed", 0), 10) == (0, 2100)
    consumer.close()
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as other:
        place = AioPlace("timed", 0)
        (at,) = (await other.offsets_for_times({place: 1500})).values()
        assert at is not None
        assert (at.offset, at.timestamp) == (1499, 1500)


@pytest.mark.timeout(120)
async def test_aborted_records_of_the_cold_part_are_left_out(broker: Broker) -> None:
    create(broker, "txn")
    producer = Producer({**broker.config("confluent"), "transactional.id": "cold"})
    producer.init_transactions(TIMEOUT_S)
    committed: list[bytes] = []
    everything: list[bytes] = []
    for number in range(12):
        producer.begin_transaction()
        values = numbered(200 * number, 200)
        for value in values:
            producer.produce("txn", value, partition=0)
        everything += values
        if number % 3 == 1:
            producer.flush(TIMEOUT_S)
            producer.abort_transaction(TIMEOUT_S)
        else:
            producer.commit_transaction(TIMEOUT_S)
            committed += values
        if number == 9:
            broker.evict("txn")
    count = len(committed)
    level = {"isolation.level": "read_committed"}
    assert confluent(broker, "txn", 0, count, **level) == committed
    assert await aio(broker, "txn", 0, count, isolation_level="read_committed") == committed
    assert pure(broker, "txn", 0, count, isolation_level="read_committed") == committed
    assert confluent(broker, "txn", 0, len(everything)) == everything


@pytest.mark.timeout(120)
def test_records_leave_the_disk_under_readers(broker: Broker) -> None:
    create(broker, "leaving")
    values = numbered(0, 6000)
    produce(broker, "leaving", values[:2000])
    results: dict[int, list[bytes]] = {}

    def read(name: int) -> None:
        how = {"max.partition.fetch.bytes": 20_000}
        results[name] = confluent(broker, "leaving", 0, len(values), **how)

    readers = [threading.Thread(target=read, args=(name,)) for name in range(3)]
    for reader in readers:
        reader.start()
    for first in range(2000, 6000, 500):
        produce(broker, "leaving", values[first : first + 500])
        broker.evict("leaving")
    for reader in readers:
        reader.join(TIMEOUT_S)
    assert results == dict.fromkeys(range(3), values)


@pytest.mark.timeout(60)
def test_deleted_records_are_gone_wherever_they_lay(broker: Broker) -> None:
    create(broker, "deleted")
    values = numbered(0, 1500)
    produce(broker, "deleted", values[:1000])
    broker.evict("deleted")
    produce(broker, "deleted", values[1000:])
    admin = AdminClient(broker.config("confluent"))
    for start in (321, 1200):
        place = TopicPartition("deleted", 0, start)
        admin.delete_records([place])[place].result(TIMEOUT_S)
        earliest = {"auto.offset.reset": "earliest"}
        assert confluent(broker, "deleted", 0, 1500 - start, **earliest) == values[start:]
