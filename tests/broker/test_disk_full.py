"""A disk that is full, or fails: produce is refused, the rest goes on, and so does produce later.

The disk is a layer in the test (tests/faulty_fs.py), and a small tmpfs where one can be mounted.
"""

import asyncio
import contextlib
import errno
import os
import pathlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.broker.wire_calls import (
    EARLIEST,
    LATEST,
    batch_of,
    create_topic,
    fetch,
    list_offsets,
    metadata_of,
    produce,
    produce_request,
)
from tests.broker.wire_client import DEADLINE_S, WireClient
from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.fs import FileSystem
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings
from tierbroker.records.batch import walk
from tierbroker.wire.error_codes import ErrorCode

MiB = 1 << 20
SETTINGS = {
    "listeners": "PLAINTEXT://127.0.0.1:0",
    "log.index.size.max.bytes": "4096",
    "log.disk.reserve.bytes": "0",
    "log.flush.strategy": "file",
}
Scenario = Callable[[WireClient], None]


@contextlib.asynccontextmanager
async def running(
    *dirs: pathlib.Path, fs: FileSystem | None = None, **settings: str
) -> AsyncIterator[Node]:
    """A node on these directories; `settings` are Kafka's names with _ for each dot."""
    named = {name.replace("_", "."): value for name, value in settings.items()}
    where = {"log.dirs": ",".join(str(path) for path in dirs)}
    node = Node(Settings.load({**SETTINGS, **where, **named}), fs=fs)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def play(node: Node, scenario: Scenario) -> None:
    """Run the scenario in a thread, against the node of this loop."""

    def run() -> None:
        with WireClient(node.bootstrap) as client:
            scenario(client)

    await asyncio.to_thread(run)


def produced(client: WireClient, topic: str, size: int = 1000) -> tuple[ErrorCode, int]:
    answer = produce(client, topic, batch_of([bytes(size)]))
    return ErrorCode(answer.error_code), answer.base_offset


REFUSED = (ErrorCode.KAFKA_STORAGE_ERROR, -1)
OK = ErrorCode.NONE


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def assert_holds(client: WireClient, topic: str, offsets: range) -> None:
    """The topic has these offsets, each once, with sound batches, and nothing else."""
    assert list_offsets(client, topic, EARLIEST).offset == offsets.start
    assert list_offsets(client, topic, LATEST).offset == offsets.stop
    position, found = offsets.start, []
    while position < offsets.stop:
        records = bytes(fetch(client, topic, position).records)
        for _, header in walk(records):
            found.append(header.base_offset)
            position = header.next_offset
    assert found == list(offsets)


async def test_a_write_that_finds_no_room_leaves_no_trace(tmp_path: pathlib.Path) -> None:
    fs = FaultyFileSystem()

    def scenario(client: WireClient) -> None:
        create_topic(client, "orders")
        assert produced(client, "orders") == (OK, 0)
        # Room for a part of the batch: what was written of it is cut off again.
        fs.capacity_bytes = fs.used_bytes + 5_000
        for _ in range(3):
            assert produced(client, "orders", 100_000) == REFUSED
        assert_holds(client, "orders", range(1))
        # What fits is taken, on the same connection.
        assert produced(client, "orders") == (OK, 1)
        fs.capacity_bytes = None
        assert produced(client, "orders", 100_000) == (OK, 2)
        assert_holds(client, "orders", range(3))

    async with running(tmp_path, fs=fs) as node:
        await play(node, scenario)
    async with running(tmp_path, fs=fs) as node:
        await play(node, lambda client: assert_holds(client, "orders", range(3)))


async def test_a_producer_repeats_what_was_refused_for_lack_of_room(
    tmp_path: pathlib.Path,
) -> None:
    """INV-8: a refused batch is not remembered, so its repeat is no duplicate."""
    fs = FaultyFileSystem()

    def scenario(client: WireClient) -> None:
        create_topic(client, "orders")

        def send(sequence: int) -> tuple[ErrorCode, int]:
            batch = batch_of(
                [bytes(20_000)], producer_id=9, producer_epoch=0, base_sequence=sequence
            )
            answer = produce(client, "orders", batch)
            return ErrorCode(answer.error_code), answer.base_offset

        assert send(0) == (OK, 0)
        fs.capacity_bytes = fs.used_bytes + 1_000
        assert send(1) == REFUSED
        fs.capacity_bytes = None
        assert send(1) == (OK, 1)
        assert send(1) == (OK, 1)
        assert_holds(client, "orders", range(2))

    async with running(tmp_path, fs=fs) as node:
        await play(node, scenario)


async def test_the_reserve_is_for_metadata(tmp_path: pathlib.Path) -> None:
    fs = FaultyFileSystem()

    def scenario(client: WireClient) -> None:
        create_topic(client, "orders")
        assert produced(client, "orders") == (OK, 0)
        fs.capacity_bytes = fs.used_bytes + 2 * MiB
        wait_for(lambda: produced(client, "orders") == REFUSED, "the reserve is noticed")
        held = list_offsets(client, "orders", LATEST).offset
        # acks=0 is told in the only way that there is.
        with client.another() as silent:
            silent.send(produce_request("orders", batch_of(), acks=0), 9)
            silent.wait_closed()
        create_topic(client, "made-meanwhile")
        (made,) = metadata_of(client, "made-meanwhile").topics
        assert made.error_code == OK
        assert produced(client, "made-meanwhile") == REFUSED
        assert_holds(client, "orders", range(held))
        fs.capacity_bytes = None
        wait_for(lambda: produced(client, "orders") == (OK, held), "there is room again")
        assert produced(client, "made-meanwhile") == (OK, 0)
        assert_holds(client, "orders", range(held + 1))

    async with running(tmp_path, fs=fs, log_disk_reserve_bytes=str(4 * MiB)) as node:
        await play(node, scenario)
        assert node.failure is None


@pytest.mark.parametrize("op", ["write", "fdatasync"])
async def test_a_disk_that_fails_takes_its_directory_offline_and_no_other(
    tmp_path: pathlib.Path, op: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fs = FaultyFileSystem()

    def scenario(client: WireClient) -> None:
        for number in range(4):
            create_topic(client, f"t{number}")
        names = [f"t{number}" for number in range(4)]
        healthy = [name for name in names if (first / f"{name}-0").is_dir()]
        failing = [name for name in names if (second / f"{name}-0").is_dir()]
        assert healthy
        assert failing
        for name in names:
            assert produced(client, name) == (OK, 0)
        fs.fail_next(op, errno.EIO, path_part=str(second))
        assert produced(client, failing[0]) == REFUSED
        # What failed is never tried again: what a flush covered may be lost already.
        for name in failing:
            assert produced(client, name) == REFUSED
            assert fetch(client, name).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            found = list_offsets(client, name, LATEST)
            assert found.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        for name in healthy:
            assert produced(client, name) == (OK, 1)
            assert_holds(client, name, range(2))
        create_topic(client, "made-after")
        assert (first / "made-after-0").is_dir()
        assert produced(client, "made-after") == (OK, 0)

    async with running(first, second, fs=fs) as node:
        await play(node, scenario)
        assert node.failure is None

    def everything_acknowledged_is_there(client: WireClient) -> None:
        for number in range(4):
            assert list_offsets(client, f"t{number}", LATEST).offset >= 1
            assert fetch(client, f"t{number}").error_code == OK

    async with running(first, second, fs=fs) as node:
        await play(node, everything_acknowledged_is_there)


async def test_a_directory_without_room_goes_on_once_there_is_some(
    tmp_path: pathlib.Path,
) -> None:
    """Neither its own partitions nor the other directory's go offline."""
    first, second = tmp_path / "first", tmp_path / "second"
    fs = FaultyFileSystem()

    def scenario(client: WireClient) -> None:
        names = [f"t{number}" for number in range(4)]
        for name in names:
            create_topic(client, name)
            assert produced(client, name) == (OK, 0)
        full = [name for name in names if (second / f"{name}-0").is_dir()]
        assert full
        fs.fail_next("write", errno.ENOSPC, times=3, path_part=f"{second}/{full[0]}-0")
        for _ in range(3):
            assert produced(client, full[0]) == REFUSED
            assert_holds(client, full[0], range(1))
            for name in set(names) - {full[0]}:
                held = list_offsets(client, name, LATEST).offset
                assert produced(client, name) == (OK, held)
        assert produced(client, full[0]) == (OK, 1)
        assert_holds(client, full[0], range(2))

    async with running(first, second, fs=fs) as node:
        await play(node, scenario)
        assert node.failure is None


async def test_without_a_directory_left_the_node_stops(tmp_path: pathlib.Path) -> None:
    fs = FaultyFileSystem()

    def scenario(client: WireClient) -> None:
        create_topic(client, "orders")
        fs.fail_next("fdatasync", errno.EIO, path_part="orders-0")
        assert produced(client, "orders") == REFUSED

    async with running(tmp_path, fs=fs) as node:
        await play(node, scenario)
        await asyncio.wait_for(node.wait_stopped(), DEADLINE_S)
        assert isinstance(node.failure, OSError)
        assert node.failure.errno == errno.EIO


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A tmpfs of 16 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs takes root; the tests above have a full disk, too")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


async def test_a_real_file_system_that_is_full(small_disk: pathlib.Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(6 * MiB))

    def scenario(client: WireClient) -> None:
        create_topic(client, "orders")
        taken = 0
        while (answer := produced(client, "orders", 500_000)) == (OK, taken):
            taken += 1
        assert answer == REFUSED
        assert taken > 0
        assert_holds(client, "orders", range(taken))
        create_topic(client, "made-meanwhile")
        ballast.unlink()
        wait_for(lambda: produced(client, "orders", 500_000) == (OK, taken), "there is room again")
        assert_holds(client, "orders", range(taken + 1))
        assert produced(client, "made-meanwhile") == (OK, 0)

    async with running(small_disk / "data", log_disk_reserve_bytes=str(2 * MiB)) as node:
        await play(node, scenario)
        assert node.failure is None
