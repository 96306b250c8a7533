"""Starting on many logs: after a clean stop, after a crash, and what clients wait for meanwhile.

Resource: for a clean start a few small reads for each segment; after a crash also the reading of
each last segment and one or two flushes for each log. Limit: the disk's sequential read for what
is above the recovery points: see row recovery, which is about one large log.

    python -m bench.restart --partitions 1000 --segments 10 --segment-kib 64
"""

import argparse
import asyncio
import os
import random
import shutil
import socket
import tempfile
import time
from pathlib import Path

from kafka.admin import KafkaAdminClient, NewTopic

from integration.broker_processes import free_port
from tierbroker.base.clock import SystemClock
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.hot.clean_shutdown import CLEAN_SHUTDOWN_FILE
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

TOPIC = "many"
BATCH_RECORDS = 16
RECORD_BYTES = 1000
PROBE_S = 0.001


def node_at(data: Path, port: int = 0) -> Node:
    """A broker of this process on the directory."""
    flags = {"log.dirs": str(data), "listeners": f"PLAINTEXT://127.0.0.1:{port}"}
    return Node(Settings.load(flags))


def log_at(directory: Path, *, clean: bool = False) -> Log:
    """One log, without a broker."""
    topic, _, partition = directory.name.rpartition("-")
    return open_log(
        FileCache(OsFileSystem()),
        str(directory),
        TopicPartition(topic, int(partition)),
        LogConfig.from_values({}),
        clock=SystemClock(),
        rng=random.Random(0),
        clean=clean,
    )


def batch() -> bytearray:
    """One batch that no file system compresses."""
    now_ms = int(time.time() * 1000)
    records = (Record(0, now_ms, None, os.urandom(RECORD_BYTES), ()) for _ in range(BATCH_RECORDS))
    return bytearray(build_batch(records))


def fill(log: Log, size_bytes: int) -> None:
    """Append until the log has grown by so much."""
    end = log.size_bytes + size_bytes
    data = batch()
    header = read_header(data)
    while log.size_bytes < end:
        log.append([(bytearray(data), header)], 0)


async def make_logs(data: Path, partitions: int, segments: int, segment_bytes: int) -> None:
    """A topic whose partitions have so many segments each, closed in order."""
    node = node_at(data)
    await node.start()

    def create() -> None:
        admin = KafkaAdminClient(bootstrap_servers=node.bootstrap)
        admin.create_topics([NewTopic(TOPIC, partitions, 1)], timeout_ms=300_000)
        admin.close()

    await asyncio.to_thread(create)
    await node.stop()
    for index in range(partitions):
        log = log_at(data / f"{TOPIC}-{index}", clean=True)
        for segment in range(segments):
            if segment:
                log.roll()
            fill(log, segment_bytes)
        log.close()


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def start(data: Path) -> tuple[float, float, float, list[float]]:
    """(seconds until clients can connect, until all is served, CPU seconds, loop delays in s)."""
    began, cpu = time.monotonic(), time.process_time()
    port = free_port()
    node = node_at(data, port)
    starting = asyncio.get_running_loop().create_task(node.start())
    connected = 0.0
    delays: list[float] = []
    while not starting.done():
        before = time.perf_counter()
        await asyncio.sleep(PROBE_S)
        if connected:
            delays.append(time.perf_counter() - before - PROBE_S)
        elif accepts(port):
            connected = time.monotonic() - began
    await starting
    figures = time.monotonic() - began, time.process_time() - cpu
    await node.stop()
    return connected or figures[0], *figures, sorted(delays)


def measure_start(data: Path, what: str) -> None:
    """Start once and print what it took."""
    connected, ready, cpu, delays = asyncio.run(start(data))
    middle = f"{delays[len(delays) // 2] * 1000:.2f}" if delays else "-"
    print(
        f"{what}: clients connect after {connected:.2f} s, all served after {ready:.2f} s, "
        f"{cpu:.2f} CPU s, loop delay meanwhile {middle} ms (median)"
    )


def main() -> None:
    """Make the logs, start on them twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", default=tempfile.gettempdir())
    parser.add_argument("--partitions", type=int, default=1000)
    parser.add_argument("--segments", type=int, default=10)
    parser.add_argument("--segment-kib", type=int, default=64)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="restart-bench-", dir=arguments.dir))
    data = root / "data"
    try:
        segment_bytes = arguments.segment_kib * 1024
        asyncio.run(make_logs(data, arguments.partitions, arguments.segments, segment_bytes))
        measure_start(data, "after a clean stop")
        (data / CLEAN_SHUTDOWN_FILE).unlink()
        measure_start(data, "after a crash")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
