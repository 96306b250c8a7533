"""Offload and evict in a test's own broker: what a pytest user of tiered topics writes."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
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


def test_what_cannot_be_offloaded_is_said() -> None:
    refusal = pytest.raises(UnknownTopicOrPartitionError, match=r"remote\.storage\.enable")
    with Broker(config={"cold.url": "memory://"}) as broker, refusal:
        broker.offload("nothing")
    with Broker() as broker, pytest.raises(InvalidRequestError, match=r"cold\.url"):
        broker.offload("t")
