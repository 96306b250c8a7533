"""A start with logs that take their time: what is open is served, the rest as soon as it is."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tierbroker.hot import log_startup
from tierbroker.hot.log_startup import FoundLog, LogStartup, OpenedBatch
from tierbroker.node import loading, storage
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

PARTITIONS = 6
LATE = 4


def node_at(path: Path) -> Node:
    return Node(
        Settings.load(
            {
                "log.dirs": str(path),
                "listeners": "PLAINTEXT://127.0.0.1:0",
                "log.disk.reserve.bytes": "0",
            }
        )
    )


def write(bootstrap: str, partition: int, value: bytes) -> int:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    offset: int = producer.send("t", value, partition=partition).get(20).offset
    producer.close()
    return offset


def read(bootstrap: str, partition: int, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition("t", partition)])
    values = [next(consumer).value for _ in range(count)]
    consumer.close()
    return values


def fill(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic("t", PARTITIONS, 1), NewTopic("z-gone", 1, 1)])
    admin.close()
    for partition in range(PARTITIONS):
        write(bootstrap, partition, b"old")


def drop(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.delete_topics(["z-gone"])
    admin.close()


async def stop_roughly(node: Node) -> None:
    """What is on the disk looks like after a crash."""
    await node.stop()
    for note in [Path(path) / ".kafka_cleanshutdown" for path in node.data_dirs]:
        note.unlink()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Logs open one by one on the worker, and one of them only when the event is set."""
    event = threading.Event()
    monkeypatch.setattr(storage, "AT_ONCE_S", 0.0)
    monkeypatch.setattr(loading, "BATCH_LOGS", 1)
    monkeypatch.setattr(loading, "REPORT_EVERY_S", 0.0)
    open_batch = LogStartup.open_batch

    def slow(self: LogStartup, batch: list[FoundLog], seconds: float) -> OpenedBatch:
        slot = batch[0].slot
        if slot == ("t", LATE) or slot.topic == "z-gone":
            event.wait(30)
        return open_batch(self, batch, seconds)

    monkeypatch.setattr(log_startup.LogStartup, "open_batch", slow)
    yield event
    event.set()


@pytest.mark.parametrize("clean", [True, False])
async def test_partitions_are_served_as_they_open(
    tmp_path: Path, gate: threading.Event, clean: bool
) -> None:
    gate.set()
    node = node_at(tmp_path)
    await node.start()
    await asyncio.to_thread(fill, node.bootstrap)
    await (node.stop() if clean else stop_roughly(node))
    gate.clear()
    node = node_at(tmp_path)
    told: list[tuple[int, int]] = []
    node.on_progress = lambda done, total: told.append((done, total))
    starting = asyncio.get_running_loop().create_task(node.start())
    served = [partition for partition in range(PARTITIONS) if partition != LATE]
    opened: list[int] = []
    while not opened:
        await asyncio.sleep(0.05)
        if hasattr(node, "_partitions"):
            opened = [
                p
                for p in served
                if (held := node._partitions.find(TopicPartition("t", p))) and held.log
            ]
    assert await asyncio.to_thread(read, node.bootstrap, opened[0], 1) == [b"old"]
    assert await asyncio.to_thread(write, node.bootstrap, opened[0], b"new") == 1
    assert not starting.done()
    late = asyncio.get_running_loop().create_task(
        asyncio.to_thread(write, node.bootstrap, LATE, b"late")
    )
    reading = asyncio.get_running_loop().create_task(
        asyncio.to_thread(read, node.bootstrap, LATE, 2)
    )
    await asyncio.to_thread(drop, node.bootstrap)
    await asyncio.sleep(0.5)
    assert not late.done()
    gate.set()
    await starting
    assert await late == 1
    assert await reading == [b"old", b"late"]
    assert told[-1][0] == told[-1][1]
    for partition in range(PARTITIONS):
        assert (await asyncio.to_thread(read, node.bootstrap, partition, 1)) == [b"old"]
    assert not list(tmp_path.glob("z-gone-0"))
    await node.stop()


async def test_a_stop_after_a_slow_start_is_clean(tmp_path: Path, gate: threading.Event) -> None:
    gate.set()
    node = node_at(tmp_path)
    await node.start()
    await asyncio.to_thread(fill, node.bootstrap)
    await node.stop()
    node = node_at(tmp_path)
    await node.start()
    await node.stop()
    assert (tmp_path / ".kafka_cleanshutdown").exists()
