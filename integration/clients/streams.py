"""The three Python clients as streams: more records than memory holds, written and read one way.

Each with its defaults but for what the interface names. Transactional streams commit as they go and
abort something in between; they are read by those who want committed records alone.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, Protocol

from integration.clients import READ_TIMEOUT_S

TRANSACTION_RECORDS = 2_000
ABORTED = [(0, b"aborted", b"%d" % number) for number in range(10)]
"""What a transactional stream writes and takes back, after each of its transactions."""

Written = tuple[int, bytes, bytes]
"""Partition, key, value."""


class ReadRecord(NamedTuple):
    """A record as a client got it."""

    partition: int
    offset: int
    key: bytes
    value: bytes


class Stream(Protocol):
    """What every client of this module offers."""

    def write(
        self,
        bootstrap: str,
        topic: str,
        records: Iterable[Written],
        *,
        codec: str = "none",
        transactional_id: str | None = None,
    ) -> None:
        """Send all; return once each is acknowledged. Raises on the first that failed."""

    def read(self, bootstrap: str, topic: str, counts: Mapping[int, int]) -> Iterator[ReadRecord]:
        """As many committed records of each partition, from its start. Raises if they stay away."""

    def commit(self, bootstrap: str, group: str, topic: str, offset: int) -> None:
        """Let the group have read partition 0 up to there."""

    def goes_on_at(self, bootstrap: str, group: str, topic: str) -> int:
        """The offset of the record of partition 0 that the group reads next."""


def transactions(records: Iterable[Written]) -> Iterator[list[Written]]:
    """Records cut into transactions."""
    iterator = iter(records)
    while transaction := list(islice(iterator, TRANSACTION_RECORDS)):
        yield transaction


class ConfluentStream:
    """librdkafka in C."""

    def write(
        self,
        bootstrap: str,
        topic: str,
        records: Iterable[Written],
        *,
        codec: str = "none",
        transactional_id: str | None = None,
    ) -> None:
        from confluent_kafka import Producer

        settings: dict[str, object] = {"bootstrap.servers": bootstrap, "compression.type": codec}
        if transactional_id is None:
            producer = Producer(settings)
            self._send(producer, topic, records)
            return
        producer = Producer({**settings, "transactional.id": transactional_id})
        producer.init_transactions(60)
        for transaction in transactions(records):
            producer.begin_transaction()
            self._send(producer, topic, transaction)
            producer.commit_transaction(60)
            producer.begin_transaction()
            self._send(producer, topic, ABORTED)
            producer.abort_transaction(60)

    def _send(self, producer, topic: str, records: Iterable[Written]) -> None:
        failures: list[object] = []

        def delivered(error: object, _: object) -> None:
            if error is not None:
                failures.append(error)

        for partition, key, value in records:
            while True:
                try:
                    producer.produce(topic, value, key, partition, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(120) == 0
        assert not failures, failures[:3]

    def read(self, bootstrap: str, topic: str, counts: Mapping[int, int]) -> Iterator[ReadRecord]:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False}
        )
        left = {partition: count for partition, count in counts.items() if count}
        try:
            consumer.assign(
                [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left]
            )
            while left:
                wanted = min(1_000, sum(left.values()))
                messages = consumer.consume(wanted, timeout=READ_TIMEOUT_S)
                assert messages, f"still missing of {topic}: {left}"
                for message in messages:
                    assert message.error() is None, message.error()
                    if _counts(left, message.partition()):
                        yield ReadRecord(
                            message.partition(), message.offset(), message.key(), message.value()
                        )
        finally:
            consumer.close()

    def commit(self, bootstrap: str, group: str, topic: str, offset: int) -> None:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
        try:
            consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        finally:
            consumer.close()

    def goes_on_at(self, bootstrap: str, group: str, topic: str) -> int:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
        try:
            consumer.assign([TopicPartition(topic, 0)])
            message = consumer.poll(READ_TIMEOUT_S)
            assert message is not None
            assert message.error() is None, message.error()
            return int(message.offset())
        finally:
            consumer.close()


class KafkaPythonStream:
    """kafka-python."""

    def write(
        self,
        bootstrap: str,
        topic: str,
        records: Iterable[Written],
        *,
        codec: str = "none",
        transactional_id: str | None = None,
    ) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            transactional_id=transactional_id,
        )
        try:
            if transactional_id is None:
                self._send(producer, topic, records)
                return
            producer.init_transactions()
            for transaction in transactions(records):
                producer.begin_transaction()
                self._send(producer, topic, transaction)
                producer.commit_transaction()
                producer.begin_transaction()
                self._send(producer, topic, ABORTED)
                producer.abort_transaction()
        finally:
            producer.close()

    def _send(self, producer, topic: str, records: Iterable[Written]) -> None:
        iterator = iter(records)
        while sent := [
            producer.send(topic, value, key, partition=partition)
            for partition, key, value in islice(iterator, TRANSACTION_RECORDS)
        ]:
            producer.flush(120)
            for future in sent:
                future.get(120)

    def read(self, bootstrap: str, topic: str, counts: Mapping[int, int]) -> Iterator[ReadRecord]:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        left = {partition: count for partition, count in counts.items() if count}
        try:
            places = [TopicPartition(topic, partition) for partition in left]
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            while left:
                batches = consumer.poll(timeout_ms=int(READ_TIMEOUT_S * 1000), max_records=5_000)
                assert batches, f"still missing of {topic}: {left}"
                for place, records in batches.items():
                    for record in records:
                        if _counts(left, place.partition):
                            yield ReadRecord(
                                place.partition, record.offset, record.key, record.value
                            )
        finally:
            consumer.close()

    def commit(self, bootstrap: str, group: str, topic: str, offset: int) -> None:
        from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group)
        try:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            consumer.commit({place: OffsetAndMetadata(offset, "", -1)})
        finally:
            consumer.close(autocommit=False)

    def goes_on_at(self, bootstrap: str, group: str, topic: str) -> int:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
        )
        try:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            batches = consumer.poll(timeout_ms=int(READ_TIMEOUT_S * 1000), max_records=1)
            return int(batches[place][0].offset)
        finally:
            consumer.close()


class AioKafkaStream:
    """aiokafka: the asyncio client."""

    def write(
        self,
        bootstrap: str,
        topic: str,
        records: Iterable[Written],
        *,
        codec: str = "none",
        transactional_id: str | None = None,
    ) -> None:
        asyncio.run(self._write(bootstrap, topic, records, codec, transactional_id))

    async def _write(
        self,
        bootstrap: str,
        topic: str,
        records: Iterable[Written],
        codec: str,
        transactional_id: str | None,
    ) -> None:
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            transactional_id=transactional_id,
        )
        await producer.start()
        try:
            for transaction in transactions(records):
                if transactional_id is None:
                    await self._send(producer, topic, transaction)
                    continue
                await producer.begin_transaction()
                await self._send(producer, topic, transaction)
                await producer.commit_transaction()
                await producer.begin_transaction()
                await self._send(producer, topic, ABORTED)
                await producer.abort_transaction()
        finally:
            await producer.stop()

    async def _send(self, producer, topic: str, records: Iterable[Written]) -> None:
        sent = [
            await producer.send(topic, value, key, partition) for partition, key, value in records
        ]
        await asyncio.gather(*sent)

    def read(self, bootstrap: str, topic: str, counts: Mapping[int, int]) -> Iterator[ReadRecord]:
        records = self._read(bootstrap, topic, counts)
        with asyncio.Runner() as runner:
            try:
                while True:
                    yield from runner.run(anext(records))
            except StopAsyncIteration:
                return
            finally:
                runner.run(records.aclose())

    async def _read(
        self, bootstrap: str, topic: str, counts: Mapping[int, int]
    ) -> AsyncIterator[list[ReadRecord]]:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        left = {partition: count for partition, count in counts.items() if count}
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, partition) for partition in left])
            await consumer.seek_to_beginning()
            while left:
                batches = await consumer.getmany(
                    timeout_ms=int(READ_TIMEOUT_S * 1000), max_records=5_000
                )
                assert batches, f"still missing of {topic}: {left}"
                yield [
                    ReadRecord(place.partition, record.offset, record.key, record.value)
                    for place, records in batches.items()
                    for record in records
                    if _counts(left, place.partition)
                ]
        finally:
            await consumer.stop()

    def commit(self, bootstrap: str, group: str, topic: str, offset: int) -> None:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def commit() -> None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
            )
            await consumer.start()
            try:
                place = TopicPartition(topic, 0)
                consumer.assign([place])
                await consumer.commit({place: offset})
            finally:
                await consumer.stop()

        asyncio.run(commit())

    def goes_on_at(self, bootstrap: str, group: str, topic: str) -> int:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def first() -> int:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
            )
            await consumer.start()
            try:
                consumer.assign([TopicPartition(topic, 0)])
                record = await asyncio.wait_for(consumer.getone(), READ_TIMEOUT_S)
                return int(record.offset)
            finally:
                await consumer.stop()

        return asyncio.run(first())


def _counts(left: dict[int, int], partition: int) -> bool:
    """Whether a record is one of those that are wanted still."""
    if partition not in left:
        return False
    left[partition] -= 1
    if not left[partition]:
        del left[partition]
    return True


STREAMS: Mapping[str, Stream] = {
    "kafka-python": KafkaPythonStream(),
    "aiokafka": AioKafkaStream(),
    "confluent-kafka": ConfluentStream(),
}
