"""Offload and evict in a test's own broker: what a pytest user of tiered topics writes."""

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker import Broker
from tierbroker.base.errors import InvalidRequestError, UnknownTopicOrPartitionError


@pytest.mark.timeout(60)
def test_evicted_records_are_read_from_the_store() -> None:
    with Broker(config={"cold.url": "memory://"}) as broker:
        admin = AdminClient(broker.config("confluent"))
        topic = NewTopic("t", 2, 1, config={"remote.storage.enable": "true"})
        admin.create_topics([topic])["t"].result(10)
        producer = Producer(broker.config("confluent"))
        for number in range(1000):
            producer.produce("t", b"%d" % number, partition=number % 2)
        assert producer.flush(10) == 0
        broker.evict("t")

        settings = {**broker.config("confluent"), "group.id": "g", "enable.auto.commit": False}
        consumer = Consumer(settings)
        consumer.assign([TopicPartition("t", number, 0) for number in range(2)])
        values = [
            int(message.value())
            for message in consumer.consume(1000, timeout=20)
            if message.error() is None
        ]
        consumer.close()
        assert sorted(values) == list(range(1000))


@pytest.mark.timeout(60)
def test_deleted_records_do_not_come_back_when_the_rest_of_their_segment_is_evicted() -> None:
    with Broker(config={"cold.url": "memory://"}) as broker:
        admin = AdminClient(broker.config("confluent"))
        topic = NewTopic("t", 1, 1, config={"remote.storage.enable": "true"})
        admin.create_topics([topic])["t"].result(10)
        producer = Producer(broker.config("confluent"))
        for number in range(100):
            producer.produce("t", b"%d" % number)
        assert producer.flush(10) == 0
        place = TopicPartition("t", 0, 30)
        assert admin.delete_records([place])[place].result(10).low_watermark == 30
        broker.evict("t")
        settings = {**broker.config("confluent"), "group.id": "g", "enable.auto.commit": False}
        consumer = Consumer(settings)
        assert consumer.get_watermark_offsets(place, timeout=10) == (30, 100)
        consumer.assign([TopicPartition("t", 0, OFFSET_BEGINNING)])
        (first,) = consumer.consume(1, timeout=20)
        consumer.close()
        assert (first.offset(), first.value()) == (30, b"30")


def test_what_cannot_be_offloaded_is_said() -> None:
    refusal = pytest.raises(UnknownTopicOrPartitionError, match=r"remote\.storage\.enable")
    with Broker(config={"cold.url": "memory://"}) as broker, refusal:
        broker.offload("nothing")
    with Broker() as broker, pytest.raises(InvalidRequestError, match=r"cold\.url"):
        broker.offload("t")
