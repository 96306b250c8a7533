"""A tiered topic through a stock client: uploaded, let go locally, read again at its offsets."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker import Broker

PLACE = TopicPartition("t", 0)
RECORDS = [b"%06d" % number + b"x" * 94 for number in range(6000)]


def settings(cold: Path, **more: str) -> dict[str, str]:
    return {
        "cold.url": f"file://{cold}",
        "tier.checkpoint.interval.ms": "100",
        "log.retention.check.interval.ms": "200",
        **{name.replace("_", "."): value for name, value in more.items()},
    }


def create(broker: Broker, **topic_settings: str) -> None:
    config = {name.replace("_", "."): value for name, value in topic_settings.items()}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    topic = NewTopic(
        "t",
        1,
        1,
        config={
            "remote.storage.enable": "true",
            "local.retention.ms": "1",
            "internal.segment.bytes": "65536",
            "file.delete.delay.ms": "0",
            **config,
        },
    )
    admin.create_topics([topic])["t"].result(10)


async def produce(broker: Broker, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        sent = [await producer.send("t", value, partition=0) for value in values]
        await asyncio.gather(*sent)


async def consume(broker: Broker, count: int, offset: int = 0) -> list[bytes]:
    values: list[bytes] = []
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        consumer.assign([PLACE])
        consumer.seek(PLACE, offset)
        async with asyncio.timeout(30):
            while len(values) < count:
                for batch in (await consumer.getmany(timeout_ms=1000)).values():
                    assert batch[0].offset == offset + len(values)
                    values += [record.value for record in batch]
    return values


async def wait_local(data: Path, segments: int) -> None:
    async with asyncio.timeout(30):
        while len(list((data / "t-0").glob("*.log"))) > segments:
            await asyncio.sleep(0.05)


@pytest.mark.timeout(90)
async def test_records_are_read_from_the_store_at_their_offsets(tmp_path: Path) -> None:
    data, cold = tmp_path / "data", tmp_path / "cold"
    config = settings(cold)
    async with Broker(data=data, ephemeral=False, config=config) as broker:
        await asyncio.to_thread(create, broker)
        await produce(broker, RECORDS)
        await wait_local(data, 1)
        assert await consume(broker, len(RECORDS)) == RECORDS
        assert await consume(broker, len(RECORDS) - 1234, offset=1234) == RECORDS[1234:]
        async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
            assert await consumer.beginning_offsets([PLACE]) == {PLACE: 0}
            (found,) = (await consumer.offsets_for_times({PLACE: 0})).values()
            assert found is not None
            assert found.offset == 0
    # A restart changes nothing, and the store that holds the cluster is needed.
    async with Broker(data=data, ephemeral=False, config=config) as broker:
        assert await consume(broker, len(RECORDS)) == RECORDS
        await produce(broker, [b"one more"])
        assert await consume(broker, 1, offset=len(RECORDS)) == [b"one more"]


@pytest.mark.timeout(90)
async def test_a_lost_local_part_goes_on_behind_the_cold_one(tmp_path: Path) -> None:
    data, cold = tmp_path / "data", tmp_path / "cold"
    config = settings(cold)
    async with Broker(data=data, ephemeral=False, config=config) as broker:
        await asyncio.to_thread(create, broker, tier_max_lag_ms="1")
        await produce(broker, RECORDS)
        await wait_local(data, 1)
        async with asyncio.timeout(20):
            while next(iter((data / "t-0").glob("*.log"))).stat().st_size:
                await asyncio.sleep(0.05)  # all of it is closed, uploaded and let go
    for file in (data / "t-0").iterdir():
        if file.name != "partition.metadata":
            file.unlink()
    for name in ("recovery-point-offset-checkpoint", "log-start-offset-checkpoint"):
        (data / name).unlink()
    async with Broker(data=data, ephemeral=False, config=config) as broker:
        assert await consume(broker, len(RECORDS)) == RECORDS
        await produce(broker, [b"one more"])
        assert await consume(broker, 1, offset=len(RECORDS)) == [b"one more"]
