"""Load from confluent-kafka (librdkafka): what most brokers are spoken to by."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TIMEOUT_S = 60.0
QUEUE_RECORDS = 100_000
TOPICS_A_REQUEST = 10
"""Kafka takes at most 10,000 records of metadata in one step."""


def create_topic(bootstrap: str, name: str, partitions: int = 1) -> None:
    """Make a topic and wait until it is there."""
    create_topics(bootstrap, [name], partitions)


def create_topics(bootstrap: str, names: Sequence[str], partitions: int) -> None:
    """Make topics, some in each request, and wait until they are there."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for start in range(0, len(names), TOPICS_A_REQUEST):
        wanted = [NewTopic(name, partitions, 1) for name in names[start:][:TOPICS_A_REQUEST]]
        for made in admin.create_topics(wanted, operation_timeout=TIMEOUT_S).values():
            made.result(TIMEOUT_S)


def delete_topic(bootstrap: str, name: str) -> None:
    """Delete a topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.delete_topics([name], operation_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)


class ProducerLoad:
    """A producer with everything that makes batches even: no compression, acks=all.

    Its requests can be asked for if they are `counted`, which takes the client time for each
    partition. A context manager: a producer that is left behind goes on working in its threads.
    """

    def __init__(
        self, bootstrap: str, batch_records: int, *, counted: bool = False, **settings: Any
    ) -> None:
        self._produce_requests = 0
        self._errors: list[KafkaError] = []
        self._producer: Producer | None = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "log_level": 0,
                "linger.ms": 1000,
                "batch.num.messages": batch_records,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                **(
                    {"statistics.interval.ms": 50, "stats_cb": self._on_statistics}
                    if counted
                    else {}
                ),
                **settings,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._producer = None  # its destructor ends the threads

    def send(self, topic: str, value: bytes, count: int, partitions: int = 1) -> None:
        """Send `count` records, round robin over the partitions, and wait for all answers."""
        producer = self._producer
        assert producer is not None
        for number in range(count):
            while len(producer) >= QUEUE_RECORDS:  # librdkafka counts what waits for its answer too
                producer.poll(0.02)
            producer.produce(
                topic, value, partition=number % partitions, on_delivery=self._delivered
            )
        left = producer.flush(TIMEOUT_S)
        if left or self._errors:
            raise RuntimeError(f"{left} records not delivered, errors: {self._errors[:3]}")

    def requests(self) -> int:
        """Produce requests sent so far, as the client counts them."""
        assert self._producer is not None
        self._producer.poll(0.2)  # the next statistics
        return self._produce_requests

    def _delivered(self, error: KafkaError | None, message: object) -> None:
        if error is not None:
            self._errors.append(error)

    def _on_statistics(self, text: str) -> None:
        brokers = json.loads(text)["brokers"].values()
        self._produce_requests = sum(broker["req"].get("Produce", 0) for broker in brokers)


def consume(bootstrap: str, topic: str, count: int) -> int:
    """Read `count` records of partition 0 from the start with a new consumer; bytes of values."""
    return _consume(bootstrap, [TopicPartition(topic, 0, 0)], count)


def first_records(bootstrap: str, topics: Sequence[str], partitions: int) -> None:
    """Read the one record of each partition of some topics."""
    wanted = [TopicPartition(topic, number, 0) for topic in topics for number in range(partitions)]
    _consume(bootstrap, wanted, len(wanted))


def _consume(bootstrap: str, partitions: list[TopicPartition], count: int) -> int:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "check.crcs": False,
            # Otherwise it pauses for a second whenever a broker has filled its queue, and the
            # faster broker looks like the slower one.
            "fetch.queue.backoff.ms": 5,
            "log_level": 0,
        }
    )
    size = 0
    try:
        consumer.assign(partitions)
        while count > 0:
            messages = consumer.consume(min(count, 10_000), timeout=TIMEOUT_S)
            if not messages:
                raise RuntimeError(f"{count} records did not come in {TIMEOUT_S} s")
            for message in messages:
                error = message.error()
                if error is None:
                    size += len(message.value())
                    count -= 1
                elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                    # The client looks for the coordinator of its group although it needs none.
                    raise RuntimeError(str(error))
    finally:
        consumer.close()
    return size
