"""The store fails under a broker: hot records flow on, nothing is let go, and it recovers."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker import Broker

PLACE = TopicPartition("t", 0)


def create(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    config = {
        "remote.storage.enable": "true",
        "local.retention.ms": "1",
        "internal.segment.bytes": "10240",
        "file.delete.delay.ms": "0",
    }
    admin.create_topics([NewTopic("t", 1, 1, config=config)])["t"].result(10)


async def produce(broker: Broker, start: int, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        for number in range(start, start + count):
            await producer.send_and_wait("t", b"%04d" % number + b"x" * 1000, partition=0)


async def consume(broker: Broker, start: int, count: int) -> list[int]:
    values: list[int] = []
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        consumer.assign([PLACE])
        consumer.seek(PLACE, start)
        async with asyncio.timeout(30):
            while len(values) < count:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    values += [int(record.value[:4]) for record in batch]
    return values


async def wait_until(what: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.05)


@pytest.mark.timeout(150)
async def test_hot_records_flow_on_while_the_store_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, cold, aside = tmp_path / "data", tmp_path / "cold", tmp_path / "aside"
    config = {
        "cold.url": f"file://{cold}",
        "tier.checkpoint.interval.ms": "100",
        "log.retention.check.interval.ms": "200",
    }

    def local() -> int:
        return len(list((data / "t-0").glob("*.log")))

    async with Broker(data=data, ephemeral=False, config=config) as broker:
        await asyncio.to_thread(create, broker)
        await produce(broker, 0, 50)
        await wait_until(lambda: local() == 1)
        caplog.clear()
        caplog.set_level(logging.WARNING)
        os.rename(cold, aside)
        cold.touch()  # where the directory was there is a file now
        await produce(broker, 50, 100)
        start = min(int(path.stem) for path in (data / "t-0").glob("*.log"))
        assert await consume(broker, start, 150 - start) == list(range(start, 150))
        await asyncio.sleep(2)
        assert local() > 10  # local retention yields
        assert any("is not in the cold tier yet" in text for text in caplog.messages)
        cold.unlink()
        os.rename(aside, cold)
        await wait_until(lambda: local() == 1)
        assert await consume(broker, 0, 150) == list(range(150))
