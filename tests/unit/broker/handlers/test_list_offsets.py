"""The handler of ListOffsets: special times, isolation, epochs by version, offline logs."""

import pathlib
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.broker.handlers import list_offsets
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)

OK = ErrorCode.NONE


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t")
    partition = made.partitions.get("t", 0)
    # The newest record has the oldest time.
    for time in (NOW_MS, NOW_MS + 900, NOW_MS - 50):
        batch = bytearray(batch_of([b"v"], timestamp_ms=time))
        partition.append(batch, read_header(batch), -1, lambda _: None)
    made.scheduler.end_turn()
    return made


def ask(bench: HandlerBench, timestamp: int, *, version: int = 11, **how: Any) -> Any:
    asked = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
    topics = [ListOffsetsTopic(name="t", partitions=[asked])]
    response = list_offsets.handle(ListOffsetsRequest(topics=topics, **how), bench.context(version))
    return response.topics[0].partitions[0]


@pytest.mark.parametrize(
    ("timestamp", "offset", "time"),
    [
        (-1, 3, -1),
        (-2, 0, -1),
        (-3, 1, NOW_MS + 900),
        (-4, 0, -1),
        (-5, -1, -1),
        (-6, -1, -1),
        (0, 0, NOW_MS),
        (NOW_MS + 1, 1, NOW_MS + 900),
        (NOW_MS + 901, -1, -1),
    ],
)
def test_times(bench: HandlerBench, timestamp: int, offset: int, time: int) -> None:
    answer = ask(bench, timestamp)
    assert (answer.error_code, answer.offset, answer.timestamp) == (OK, offset, time)


@pytest.mark.parametrize("isolation", [0, 1])
def test_nothing_above_the_high_watermark_is_told(bench: HandlerBench, isolation: int) -> None:
    bench.partitions.get("t", 0).high_watermark = 1
    assert ask(bench, -1, isolation_level=isolation).offset == 1
    assert ask(bench, -3, isolation_level=isolation).offset == 0
    assert ask(bench, NOW_MS + 1, isolation_level=isolation).offset == -1


def test_an_offline_log(bench: HandlerBench) -> None:
    bench.partitions.get("t", 0).online_log().offline = True
    assert ask(bench, -2).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert ask(bench, 0).error_code == ErrorCode.KAFKA_STORAGE_ERROR


def test_not_the_leader(bench: HandlerBench) -> None:
    bench.partitions.get("t", 0).retire()
    answer = ask(bench, -1)
    assert (answer.error_code, answer.offset) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1)


def test_a_partition_that_is_asked_for_twice_is_refused_once(bench: HandlerBench) -> None:
    asked = [ListOffsetsPartition(partition_index=0, timestamp=time) for time in (-1, -2)]
    request = ListOffsetsRequest(topics=[ListOffsetsTopic(name="t", partitions=asked)])
    (answer,) = list_offsets.handle(request, bench.context(11)).topics[0].partitions
    assert (answer.error_code, answer.offset) == (ErrorCode.INVALID_REQUEST, -1)
