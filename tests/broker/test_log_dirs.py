"""A broker with several log directories: placement, what the metadata says of it, restarts."""

import asyncio
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import LogDirNotFoundError, NoError, UnsupportedVersionError
from kafka.structs import TopicPartitionReplica

from tierbroker.base.ids import Uuid
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings


def node_on(dirs: list[Path]) -> Node:
    return Node(
        Settings.load(
            {
                "log.dirs": ",".join(map(str, dirs)),
                "listeners": "PLAINTEXT://127.0.0.1:0",
                "log.disk.reserve.bytes": "0",
            }
        )
    )


def directories_of(node: Node, topic: str) -> list[Uuid]:
    """What the metadata says each partition's replica lies in."""
    image = node.metadata.topic(topic)
    assert image is not None
    return [partition.directories[0] for partition in image.partitions]


def write(bootstrap: str, topic: str, partitions: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for partition in range(partitions):
        producer.send(topic, b"%d" % partition, partition=partition).get(10)
    producer.close()


def read(bootstrap: str, topic: str, partitions: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
    values = sorted(next(consumer).value for _ in range(partitions))
    consumer.close()
    return values


async def test_partitions_are_spread_and_reported_and_found_again(tmp_path: Path) -> None:
    dirs = [tmp_path / "one", tmp_path / "two"]
    node = node_on(dirs)
    await node.start()
    try:
        await asyncio.to_thread(write, node.bootstrap, "spread", 4)
        places = directories_of(node, "spread")
        assert len(set(places)) == 2
        assert all(places.count(place) == 2 for place in places)
    finally:
        await node.stop()
    held = [sorted(path.name for path in one.glob("spread-*")) for one in dirs]
    assert sorted(held[0] + held[1]) == ["spread-0", "spread-1", "spread-2", "spread-3"]
    assert len(held[0]) == len(held[1]) == 2

    again = node_on(dirs)
    await again.start()
    try:
        assert directories_of(again, "spread") == places
        values = await asyncio.to_thread(read, again.bootstrap, "spread", 4)
        assert values == [b"0", b"1", b"2", b"3"]
    finally:
        await again.stop()


def look_and_move(bootstrap: str, dirs: list[Path]) -> None:
    """Both directories are told of with all that they hold, and nothing moves between them."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    (broker,) = admin.describe_log_dirs()
    described = {entry["log_dir"]: entry for entry in broker["log_dirs"]}
    assert set(described) == {str(path) for path in dirs}
    home: dict[int, str] = {}
    for path, entry in described.items():
        assert 0 < entry["usable_bytes"] < entry["total_bytes"]
        for topic in entry["topics"]:
            assert topic["name"] == "spread"
            for partition in topic["partitions"]:
                assert partition["partition_size"] > 61
                home[partition["partition_index"]] = path
    assert set(home) == {0, 1}
    replica = TopicPartitionReplica("spread", 0, broker["broker"])
    for path, error in (
        (home[0], NoError),
        (home[1], UnsupportedVersionError),
        ("/nowhere", LogDirNotFoundError),
    ):
        found = admin.alter_replica_log_dirs({replica: path})[replica]
        assert error in (found, type(found)), found
    admin.close()


async def test_what_lies_where_is_told_and_stays_there(tmp_path: Path) -> None:
    dirs = [tmp_path / "one", tmp_path / "two"]
    node = node_on(dirs)
    await node.start()
    try:
        await asyncio.to_thread(write, node.bootstrap, "spread", 2)
        await asyncio.to_thread(look_and_move, node.bootstrap, dirs)
    finally:
        await node.stop()
