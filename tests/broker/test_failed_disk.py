"""A disk that fails under a running broker: what it answers, how it ends, what is there later."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of, create_topic, fetch, produce
from tests.broker.wire_client import WireClient
from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.fs import FileSystem
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings
from tierbroker.wire.error_codes import ErrorCode


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
