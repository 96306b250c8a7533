"""Settings of tiered topics as a client changes them: Kafka's rules, and what follows from them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from tierbroker import Broker
from tierbroker.base.errors import InvalidConfigError

PLACE = TopicPartition("t", 0)


def settings(cold: Path, **more: str) -> dict[str, str]:
    return {
        "cold.url": f"file://{cold}",
        "tier.checkpoint.interval.ms": "100",
        "tier.delete.grace.ms": "0",
        "log.retention.check.interval.ms": "200",
        **{name.replace("_", "."): value for name, value in more.items()},
    }


def create(broker: Broker, name: str = "t", **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    dotted = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, 1, 1, config=dotted)])[name].result(10)


def alter(broker: Broker, name: str = "t", **config: str | None) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    entries = [
        ConfigEntry(
            key.replace("_", "."),
            value or "",
            incremental_operation=AlterConfigOpType.DELETE
            if value is None
            else AlterConfigOpType.SET,
        )
        for key, value in config.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(10)


def describe(broker: Broker, name: str) -> str:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, name)
    entry = admin.describe_configs([resource])[resource].result(10)["remote.storage.enable"]
    return str(entry.value)


async def wait_until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.05)


async def produce(broker: Broker, count: int, *, start: int = 0) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        for number in range(start, start + count):
            await producer.send_and_wait("t", b"%04d" % number + b"x" * 1000, partition=0)


async def first_offset(broker: Broker) -> int:
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        return int((await consumer.beginning_offsets([PLACE]))[PLACE])


def objects(cold: Path) -> list[Path]:
    return [path for path in cold.rglob("*.seg") if ".incoming" not in str(path)]


@pytest.mark.timeout(60)
async def test_new_topics_are_tiered_where_the_broker_says_so(tmp_path: Path) -> None:
    config = settings(tmp_path / "cold", log_remote_storage_enable="true")
    async with Broker(data=tmp_path / "data", ephemeral=False, config=config) as broker:
        await asyncio.to_thread(create, broker, "plain")
        await asyncio.to_thread(create, broker, "compacted", cleanup_policy="compact")
        await asyncio.to_thread(create, broker, "hot", remote_storage_enable="false")
        # A group makes the internal topic.
        async with AIOKafkaConsumer(
            "plain", bootstrap_servers=broker.bootstrap, group_id="g"
        ) as consumer:
            await consumer.getmany(timeout_ms=200)
        names = ("plain", "compacted", "hot", "__consumer_offsets")
        tiered = {name: await asyncio.to_thread(describe, broker, name) for name in names}
        assert tiered == {
            "plain": "true",
            "compacted": "false",
            "hot": "false",
            "__consumer_offsets": "false",
        }


async def test_a_broker_that_shall_tier_needs_a_store(tmp_path: Path) -> None:
    config = {"log.remote.storage.enable": "true"}
    with pytest.raises(InvalidConfigError, match=r"cold\.url"):
        await Broker(data=tmp_path, ephemeral=False, config=config).__aenter__()


async def test_a_store_in_memory_is_for_brokers_that_keep_nothing(tmp_path: Path) -> None:
    """Else what left the disk for such a store would be gone with the process."""
    config = {"cold.url": "memory://"}
    with pytest.raises(InvalidConfigError, match=r"memory://.*flush\.mode=none"):
        await Broker(data=tmp_path, ephemeral=False, config=config).__aenter__()


@pytest.mark.timeout(90)
async def test_cold_data_goes_when_it_is_told_to(tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    async with Broker(data=tmp_path / "data", ephemeral=False, config=settings(cold)) as broker:
        await asyncio.to_thread(
            create,
            broker,
            remote_storage_enable="true",
            internal_segment_bytes="10240",
            local_retention_bytes="20480",
            file_delete_delay_ms="0",
        )
        await produce(broker, 100)
        local = tmp_path / "data" / "t-0"
        await wait_until(lambda: len(list(local.glob("*.log"))) <= 4)
        assert await first_offset(broker) == 0
        for refused in ({"remote_storage_enable": "false"}, {"remote_storage_enable": None}):
            with pytest.raises(KafkaException) as error:
                await asyncio.to_thread(alter, broker, **refused)
            assert error.value.args[0].code() == KafkaError.INVALID_CONFIG
            assert "remote.log.delete.on.disable=true" in error.value.args[0].str()
        # To copy no more keeps what is there; new records stay here.
        await asyncio.to_thread(
            alter, broker, remote_log_copy_disable="true", local_retention_bytes="-2"
        )
        await asyncio.sleep(1.2)
        copied = len(objects(cold))
        await produce(broker, 50, start=100)
        await asyncio.sleep(1.2)
        assert len(objects(cold)) == copied
        assert await first_offset(broker) == 0
        # To disable it deletes the cold data; the log starts with what is here.
        await asyncio.to_thread(
            alter, broker, remote_storage_enable="false", remote_log_delete_on_disable="true"
        )
        await wait_until(lambda: not objects(cold))
        start = await first_offset(broker)
        assert start == min(int(path.stem) for path in local.glob("*.log"))
        assert 0 < start < 150
        async with AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            consumer.assign([PLACE])
            await consumer.seek_to_beginning(PLACE)
            record = await consumer.getone()
            assert record.offset == start
            assert record.value[:4] == b"%04d" % start


@pytest.mark.timeout(60)
async def test_cold_data_goes_though_the_topic_is_tiered_again_at_once(tmp_path: Path) -> None:
    """Disabled and enabled within the second that the broker takes to look around."""
    config = settings(tmp_path / "cold")
    async with Broker(data=tmp_path / "data", ephemeral=False, config=config) as broker:
        await asyncio.to_thread(
            create,
            broker,
            remote_storage_enable="true",
            internal_segment_bytes="10240",
            local_retention_bytes="20480",
            file_delete_delay_ms="0",
        )
        await produce(broker, 100)
        local = tmp_path / "data" / "t-0"
        await wait_until(lambda: len(list(local.glob("*.log"))) <= 4)
        assert await first_offset(broker) == 0
        before = {path.name for path in objects(tmp_path / "cold")}

        def disable_and_enable() -> None:
            alter(broker, remote_log_delete_on_disable="true")
            alter(broker, remote_storage_enable="false")
            alter(broker, remote_storage_enable="true")

        await asyncio.to_thread(disable_and_enable)
        assert await first_offset(broker) > 0
        await wait_until(lambda: not before & {path.name for path in objects(tmp_path / "cold")})
