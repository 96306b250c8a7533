"""Producers in transactions, and readers of what is committed, of the three Python clients.

All with their defaults but for what the interface names. One thread, one step after another.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
TIMEOUT_S = 30.0


class TransactionalProducer(Protocol):
    """A producer that has its id from the coordinator already; each step waits for its end."""

    def begin(self) -> None: ...

    def send(self, topic: str, values: Sequence[bytes]) -> None:
        """Write to partition 0 and wait until the broker has all."""

    def send_offset(self, topic: str, offset: int, group: str) -> None:
        """Commit the group's offset of partition 0 with the transaction."""

    def commit(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class ConfluentProducer:
    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        from confluent_kafka import Producer

        self._bootstrap = bootstrap
        settings = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._producer = Producer({**settings, "transactional.id": transactional_id})
        self._producer.init_transactions(TIMEOUT_S)

    def begin(self) -> None:
        self._producer.begin_transaction()

    def send(self, topic: str, values: Sequence[bytes]) -> None:
        errors: list[object] = []
        for value in values:
            self._producer.produce(
                topic, value=value, partition=0, on_delivery=lambda error, _: errors.append(error)
            )
        assert self._producer.flush(TIMEOUT_S) == 0
        assert errors == [None] * len(values), errors

    def send_offset(self, topic: str, offset: int, group: str) -> None:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": group})
        try:
            self._producer.send_offsets_to_transaction(
                [TopicPartition(topic, 0, offset)], consumer.consumer_group_metadata(), TIMEOUT_S
            )
        finally:
            consumer.close()

    def commit(self) -> None:
        self._producer.commit_transaction(TIMEOUT_S)

    def abort(self) -> None:
        self._producer.abort_transaction(TIMEOUT_S)

    def close(self) -> None:
        from confluent_kafka import KafkaError, KafkaException

        try:
            self._producer.close()
        except KafkaException as error:
            # Closing ends an open transaction, which is not the fenced one's to end.
            if error.args[0].code() != KafkaError._FENCED:
                raise


class KafkaPythonProducer:
    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        from kafka import KafkaProducer

        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=transactional_id
        )
        self._producer.init_transactions()

    def begin(self) -> None:
        self._producer.begin_transaction()

    def send(self, topic: str, values: Sequence[bytes]) -> None:
        sent = [self._producer.send(topic, value=value, partition=0) for value in values]
        self._producer.flush(TIMEOUT_S)
        for future in sent:
            future.get(TIMEOUT_S)

    def send_offset(self, topic: str, offset: int, group: str) -> None:
        from kafka import OffsetAndMetadata, TopicPartition

        self._producer.send_offsets_to_transaction(
            {TopicPartition(topic, 0): OffsetAndMetadata(offset, "", -1)}, group
        )

    def commit(self) -> None:
        self._producer.commit_transaction()

    def abort(self) -> None:
        self._producer.abort_transaction()

    def close(self) -> None:
        self._producer.close(timeout=TIMEOUT_S)


class AioKafkaProducer:
    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._producer = self._run(self._started(bootstrap, transactional_id))

    async def _started(self, bootstrap: str, transactional_id: str):
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
        await producer.start()
        return producer

    def _run(self, step: Awaitable[T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(step, TIMEOUT_S))

    def begin(self) -> None:
        self._run(self._producer.begin_transaction())

    def send(self, topic: str, values: Sequence[bytes]) -> None:
        async def send_all() -> None:
            sent = [await self._producer.send(topic, value, partition=0) for value in values]
            await asyncio.gather(*sent)

        self._run(send_all())

    def send_offset(self, topic: str, offset: int, group: str) -> None:
        from aiokafka import TopicPartition

        offsets = {TopicPartition(topic, 0): offset}
        self._run(self._producer.send_offsets_to_transaction(offsets, group))

    def commit(self) -> None:
        self._run(self._producer.commit_transaction())

    def abort(self) -> None:
        self._run(self._producer.abort_transaction())

    def close(self) -> None:
        self._run(self._producer.stop())
        self._loop.close()


PRODUCERS = {
    "kafka-python": KafkaPythonProducer,
    "aiokafka": AioKafkaProducer,
    "confluent-kafka": ConfluentProducer,
}


def read_with_kafka_python(bootstrap: str, topic: str, isolation: str, count: int) -> list[bytes]:
    from kafka import KafkaConsumer, TopicPartition

    place = TopicPartition(topic, 0)
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=isolation,
        auto_offset_reset="earliest",
        consumer_timeout_ms=int(TIMEOUT_S * 1000),
    )
    try:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        values: list[bytes] = []
        while len(values) < count:
            values.append(next(consumer).value)
        for records in consumer.poll(timeout_ms=500).values():
            values += [record.value for record in records]
        return values
    finally:
        consumer.close()


def read_with_confluent(bootstrap: str, topic: str, isolation: str, count: int) -> list[bytes]:
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": "none", "isolation.level": isolation}
    consumer = Consumer({**settings, "enable.auto.commit": False, "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(count, timeout=TIMEOUT_S)
        messages += consumer.consume(1, timeout=0.5)
        assert all(message.error() is None for message in messages)
        return [message.value() for message in messages]
    finally:
        consumer.close()


def read_with_aiokafka(bootstrap: str, topic: str, isolation: str, count: int) -> list[bytes]:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    async def read() -> list[bytes]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level=isolation, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 0)])
            await consumer.seek_to_beginning()
            values = []
            while len(values) < count:
                values.append((await asyncio.wait_for(consumer.getone(), TIMEOUT_S)).value)
            for records in (await consumer.getmany(timeout_ms=500)).values():
                values += [record.value for record in records]
            return values
        finally:
            await consumer.stop()

    return asyncio.run(read())


READERS = {
    "kafka-python": read_with_kafka_python,
    "aiokafka": read_with_aiokafka,
    "confluent-kafka": read_with_confluent,
}
"""Each reads at least `count` values of partition 0 and what more there is at once, in order."""
