"""A broker that compacts its logs, with real child processes, while clients go on."""

import asyncio
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

TOPIC = TopicPartition("compacted", 0)
KEYS = 40
TIMEOUT_S = 60


def node_on(directory: Path) -> Node:
    return Node(
        Settings.load(
            {
                "log.dirs": str(directory),
                "listeners": "PLAINTEXT://127.0.0.1:0",
                "log.disk.reserve.bytes": "0",
                "log.cleaner.backoff.ms": "100",
                "offsets.topic.num.partitions": "1",
                "offsets.topic.segment.bytes": "1048576",
            }
        )
    )


def make_topic(bootstrap: str) -> None:
    configs = {
        "cleanup.policy": "compact",
        "internal.segment.bytes": "40000",
        "min.cleanable.dirty.ratio": "0.1",
        "file.delete.delay.ms": "0",
    }
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(TOPIC.topic, 1, 1, topic_configs=configs)])
    admin.close()


def write(bootstrap: str, start: int, count: int) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    for number in range(start, start + count):
        key = b"%d" % (number % KEYS)
        producer.send(TOPIC.topic, b"%d " % number + b"." * 100, key, partition=0)
    producer.flush()
    producer.close()


def commit_often(bootstrap: str, count: int) -> None:
    """Commits with as much metadata as the broker takes, so that few fill segments."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id="g", enable_auto_commit=False)
    consumer.assign([TOPIC])
    for number in range(count):
        consumer.commit({TOPIC: OffsetAndMetadata(number, "m" * 4000, -1)})
    consumer.close()


def read_all(bootstrap: str) -> dict[bytes, int]:
    """The last value of each key; offsets must rise."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TOPIC])
    end = consumer.end_offsets([TOPIC])[TOPIC]
    last: dict[bytes, int] = {}
    position = -1
    while consumer.position(TOPIC) < end:
        for record in consumer.poll(1000).get(TOPIC, []):
            assert record.offset > position
            position = record.offset
            last[record.key] = int(record.value.split()[0])
    consumer.close()
    return last


def committed(bootstrap: str) -> int | None:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id="g", enable_auto_commit=False)
    offset: int | None = consumer.committed(TOPIC)
    consumer.close()
    return offset


def bytes_in(directory: Path, name: str) -> int:
    return sum(path.stat().st_size for path in (directory / name).glob("*.log"))


async def shrinks_below(directory: Path, name: str, size_bytes: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while bytes_in(directory, name) >= size_bytes:
            await asyncio.sleep(0.1)


async def test_compaction_beside_clients_and_over_a_restart(tmp_path: Path) -> None:
    node = node_on(tmp_path)
    await node.start()
    try:
        bootstrap = node.bootstrap
        await asyncio.to_thread(make_topic, bootstrap)
        await asyncio.gather(
            asyncio.to_thread(write, bootstrap, 0, 4000),
            asyncio.to_thread(commit_often, bootstrap, 600),
        )
        await shrinks_below(tmp_path, "compacted-0", 120_000)
        await shrinks_below(tmp_path, "__consumer_offsets-0", 1_400_000)
        await asyncio.to_thread(write, bootstrap, 4000, 100)
        last = await asyncio.to_thread(read_all, bootstrap)
    finally:
        await node.stop()
    expected = {b"%d" % (number % KEYS): number for number in range(4060, 4100)}
    assert last == expected
    assert (tmp_path / "cleaner-offset-checkpoint").exists()
    assert not list(tmp_path.glob("*/*.cleaned"))

    again = node_on(tmp_path)
    await again.start()
    try:
        assert await asyncio.to_thread(committed, again.bootstrap) == 599
        await asyncio.gather(
            asyncio.to_thread(write, again.bootstrap, 4100, 2000),
            asyncio.to_thread(read_all, again.bootstrap),
        )
        await shrinks_below(tmp_path, "compacted-0", 120_000)
        last = await asyncio.to_thread(read_all, again.bootstrap)
        assert last == {b"%d" % (number % KEYS): number for number in range(6060, 6100)}
    finally:
        await again.stop()


async def test_no_process_is_started_when_compaction_is_off(tmp_path: Path) -> None:
    node = Node(
        Settings.load(
            {
                "log.dirs": str(tmp_path),
                "listeners": "PLAINTEXT://127.0.0.1:0",
                "log.disk.reserve.bytes": "0",
                "log.cleaner.enable": "false",
                "log.cleaner.backoff.ms": "0",
            }
        )
    )
    await node.start()
    try:
        await asyncio.to_thread(make_topic, node.bootstrap)
        await asyncio.to_thread(write, node.bootstrap, 0, 2000)
        size = bytes_in(tmp_path, "compacted-0")
        await asyncio.sleep(1.5)
        assert bytes_in(tmp_path, "compacted-0") == size
    finally:
        await node.stop()
