"""The handler of DescribeLogDirs: what lies where, and how much room there is."""

import pathlib
from types import SimpleNamespace
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.broker.handlers import describe_log_dirs
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
)

Held = dict[str, dict[int, int]]


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    """Two directories; the first holds t-0 with a batch, the second t-1 and u-0, empty."""
    made = HandlerBench(tmp_path)
    made.log_dirs += [
        SimpleNamespace(path=path, offline=False, free_bytes=free, total_bytes=100)
        for path, free in (("/first", 60), ("/second", 70))
    ]
    made.add_topic("t", partitions=2)
    made.add_topic("u")
    for place, number in ((("t", 0), 0), (("t", 1), 1), (("u", 0), 1)):
        made.partitions.held[place].log_dir = made.log_dirs[number]
    batch = bytearray(batch_of([b"v"] * 6, timestamp_ms=NOW_MS))
    made.partitions.get("t", 0).append(batch, read_header(batch), -1, lambda _: None)
    made.scheduler.end_turn()
    return made


async def describe(bench: HandlerBench, asked: dict[str, list[int]] | None) -> Any:
    topics = None
    if asked is not None:
        topics = [DescribableLogDirTopic(name, indexes) for name, indexes in asked.items()]
    answer = await describe_log_dirs.handle(DescribeLogDirsRequest(topics=topics), bench.context(5))
    assert answer.error_code == ErrorCode.NONE
    return answer.results


def held(result: Any) -> Held:
    return {
        topic.name: {one.partition_index: one.partition_size for one in topic.partitions}
        for topic in result.topics
    }


async def test_everything(bench: HandlerBench) -> None:
    first, second = await describe(bench, None)
    log = bench.partitions.get("t", 0).online_log()
    assert held(first) == {"t": {0: log.size_bytes}}
    assert log.size_bytes > 61
    assert held(second) == {"t": {1: 0}, "u": {0: 0}}
    assert [(one.log_dir, one.usable_bytes, one.total_bytes) for one in (first, second)] == [
        ("/first", 60, 100),
        ("/second", 70, 100),
    ]


async def test_only_what_was_asked_for_and_is_there(bench: HandlerBench) -> None:
    first, second = await describe(bench, {"t": [1, 9, -1], "nowhere": [0]})
    assert (held(first), held(second)) == ({}, {"t": {1: 0}})
    assert [held(one) for one in await describe(bench, {})] == [{}, {}]


async def test_a_partition_whose_log_could_not_be_made(bench: HandlerBench) -> None:
    partition = bench.partitions.held["u", 0]
    partition.log = partition.log_dir = None
    assert held((await describe(bench, None))[1]) == {"t": {1: 0}}


async def test_a_directory_whose_disk_failed(bench: HandlerBench) -> None:
    bench.log_dirs[0].offline = True
    first, second = await describe(bench, None)
    assert (first.error_code, first.log_dir, first.topics) == (
        ErrorCode.KAFKA_STORAGE_ERROR,
        "/first",
        [],
    )
    assert (first.total_bytes, first.usable_bytes) == (-1, -1)
    assert second.error_code == ErrorCode.NONE
