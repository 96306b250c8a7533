"""aiokafka: the asyncio client."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from integration.clients import READ_TIMEOUT_S, Line


def write(bootstrap: str, topic: str, lines: Sequence[Line], codec: str) -> None:
    asyncio.run(_write(bootstrap, topic, lines, codec))


async def _write(bootstrap: str, topic: str, lines: Sequence[Line], codec: str) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
    )
    await producer.start()
    try:
        pending = [await producer.send(topic, key=key, value=value) for key, value in lines]
        await producer.flush()
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


def read(bootstrap: str, topic: str, partition: int, count: int) -> list[Line]:
    return asyncio.run(_read(bootstrap, topic, partition, count))


async def _read(bootstrap: str, topic: str, partition: int, count: int) -> list[Line]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        lines: list[Line] = []
        while len(lines) < count:
            batches = await consumer.getmany(
                place, timeout_ms=int(READ_TIMEOUT_S * 1000), max_records=count - len(lines)
            )
            assert batches, f"only {len(lines)} of {count} records came"
            lines.extend((record.key, record.value) for record in batches[place])
        return lines
    finally:
        await consumer.stop()
