"""A disk that fails under a running broker: what it answers, how it ends, what is there later."""

import asyncio
import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.broker.wire_calls import (
    LATEST,
    batch_of,
    create_topic,
    fetch,
    list_offsets,
    metadata_of,
    produce,
)
from tests.broker.wire_client import WireClient
from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.fs import FileSystem
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from tierbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    TopicRequest,
)


def node_on(path: Path, fs: FileSystem | None = None, **named: str) -> Node:
    settings = {
        "log.dirs": str(path),
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "log.disk.reserve.bytes": "0",
    }
    return Node(Settings.load({**settings, **named}), fs=fs)


async def ask(node: Node, call: Any, *args: Any, **how: Any) -> Any:
    def talk() -> Any:
        with WireClient(node.bootstrap) as client:
            return call(client, *args, **how)

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize("strategy", ["file", "syncfs"])
async def test_a_flush_that_fails_ends_the_node_in_order(tmp_path: Path, strategy: str) -> None:
    fs = FaultyFileSystem()
    node = node_on(tmp_path, fs, **{"log.flush.strategy": strategy})
    await node.start()
    await ask(node, create_topic, "t")
    assert (await ask(node, produce, "t", batch_of([b"kept"]))).base_offset == 0
    for op in ("fdatasync", "syncfs", "fsync", "fsync_dir"):
        fs.fail_next(op, errno.EIO, times=1000)
    answer = await ask(node, produce, "t", batch_of([b"doubtful"]))
    assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    await asyncio.wait_for(node.wait_stopped(), 5)
    assert isinstance(node.failure, OSError)
    await node.stop()
    fs.kill()

    again = node_on(tmp_path)
    await again.start()
    try:
        answer = await ask(again, fetch, "t")
        assert answer.error_code == 0
        assert b"kept" in bytes(answer.records)
    finally:
        await again.stop()


@dataclass(slots=True)
class WatchedFileSystem(FaultyFileSystem):
    """Notes what is done to files under `watched` that would change them."""

    watched: str = "?"
    touched: list[str] = field(default_factory=list)

    def _call(self, op: str, path: str) -> None:
        if self.watched in path and op in _CHANGES:
            self.touched.append(f"{op} {path}")
        FaultyFileSystem._call(self, op, path)


_CHANGES = frozenset(
    ("pwrite", "pwritev", "fdatasync", "fsync", "fsync_dir", "ftruncate", "rename", "unlink")
)
PARTITIONS = range(4)


def told_of(client: WireClient, path: Path) -> tuple[Any, Any, Any]:
    """(the partitions in Metadata, in DescribeTopicPartitions, the directory's error)."""
    metadata = metadata_of(client, "t").topics[0].partitions
    described = client.call(
        DescribeTopicPartitionsRequest(
            topics=[TopicRequest(name="t")], response_partition_limit=100
        ),
        0,
    )
    dirs = client.call(DescribeLogDirsRequest(topics=None), 4).results
    (error,) = (found.error_code for found in dirs if found.log_dir == str(path))
    return metadata, described.topics[0].partitions, error


@pytest.mark.parametrize(
    ("strategy", "op"), [("file", "fdatasync"), ("syncfs", "syncfs"), ("file", "write")]
)
async def test_one_disk_of_two_fails_and_the_other_goes_on(
    tmp_path: Path, strategy: str, op: str
) -> None:
    """The call fails once: whoever tried it again would be told that all is well."""
    fs = WatchedFileSystem()
    good, bad = tmp_path / "good", tmp_path / "bad"
    named = {"log.dirs": f"{good},{bad}", "log.flush.strategy": strategy}
    node = node_on(tmp_path, fs, **named)
    await node.start()
    lost, kept = await fill_both(node, bad)
    waiting = asyncio.create_task(
        ask(node, fetch, "t", 1, partition=lost[0], max_wait_ms=10_000, min_bytes=1)
    )
    await asyncio.sleep(0.1)
    # What is flushed next is the record on the bad disk; a whole file system has no path.
    fs.fail_next(op, errno.EIO, path_part="" if op == "syncfs" else "/bad/")
    answer = await ask(node, produce, "t", batch_of([b"doubtful"]), partition=lost[0])
    assert (answer.error_code, answer.base_offset) == (ErrorCode.KAFKA_STORAGE_ERROR, -1)
    assert (await asyncio.wait_for(waiting, 5)).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    fs.watched = "/bad/"
    for partition in lost:
        for call in (fetch, list_offsets_of, produce_once):
            answer = await ask(node, call, "t", partition=partition)
            assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR, call
    for partition in kept:
        answer = await ask(node, produce, "t", batch_of([b"more"]), partition=partition)
        assert (answer.error_code, answer.base_offset) == (0, 1)
        assert b"more" in bytes((await ask(node, fetch, "t", partition=partition)).records)
    metadata, described, error = await ask(node, told_of, bad)
    assert error == ErrorCode.KAFKA_STORAGE_ERROR
    for found in metadata, described:
        offline = [entry.partition_index for entry in found if entry.offline_replicas == [1]]
        assert offline == lost
        assert [entry.leader_id for entry in found] == [-1 if p in lost else 1 for p in PARTITIONS]
    # New partitions go where they can be kept.
    await ask(node, create_topic, "later", partitions=2)
    for partition in range(2):
        answer = await ask(node, produce, "later", batch_of(), partition=partition)
        assert answer.error_code == 0
    await asyncio.sleep(1.2)  # one round of checkpoints
    assert node.failure is None
    await node.stop()
    assert not fs.touched
    fs.kill()
    await all_that_was_acknowledged_is_there(node_on(tmp_path, **named))


async def fill_both(node: Node, bad: Path) -> tuple[list[int], list[int]]:
    """A record in each partition; those on the disk that will fail, and the others."""
    await ask(node, create_topic, "t", partitions=len(PARTITIONS))
    for partition in PARTITIONS:
        answer = await ask(node, produce, "t", batch_of([b"first"]), partition=partition)
        assert answer.error_code == 0
    lost = sorted(int(path.name.removeprefix("t-")) for path in bad.glob("t-*"))
    kept = [partition for partition in PARTITIONS if partition not in lost]
    assert len(lost) == len(kept) == 2
    return lost, kept


def list_offsets_of(client: WireClient, topic: str, *, partition: int) -> Any:
    return list_offsets(client, topic, LATEST, partition=partition)


def produce_once(client: WireClient, topic: str, *, partition: int) -> Any:
    return produce(client, topic, batch_of(), partition=partition)


async def all_that_was_acknowledged_is_there(again: Node) -> None:
    await again.start()
    try:
        for partition in PARTITIONS:
            answer = await ask(again, fetch, "t", partition=partition)
            assert answer.error_code == 0
            assert b"first" in bytes(answer.records)
        assert (await ask(again, produce, "t", batch_of(), partition=0)).error_code == 0
        assert all(
            entry.leader_id == 1
            for entry in (await ask(again, metadata_of, "t")).topics[0].partitions
        )
    finally:
        await again.stop()


async def test_a_topic_made_without_room_works_once_there_is_some(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    node = node_on(tmp_path, fs)
    await node.start()
    try:
        fs.fail_next("open", errno.ENOSPC, path_part="/late-0/")
        # Answers when each partition can be used.
        await ask(node, create_topic, "late")
        assert (await ask(node, produce, "late", batch_of())).base_offset == 0
    finally:
        await node.stop()
