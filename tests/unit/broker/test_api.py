"""Requests that name a great many: answered as many short ones are, and in as many turns (D-11)."""

import importlib
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.pending import Pending
from tierbroker.base.turns import ELEMENTS_A_TURN
from tierbroker.wire.messages.delete_groups import DeleteGroupsRequest
from tierbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from tierbroker.wire.messages.describe_groups import DescribeGroupsRequest
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from tierbroker.wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

COUNT = 4 * ELEMENTS_A_TURN
Numbers = list[int]


def names(numbers: Numbers) -> list[str]:
    return [f"name-{number}" for number in numbers]


def list_offsets(numbers: Numbers) -> Any:
    asked = [ListOffsetsPartition(partition_index=number, timestamp=-1) for number in numbers]
    return ListOffsetsRequest(topics=[ListOffsetsTopic("t", asked)])


def end_offsets(numbers: Numbers) -> Any:
    asked = [
        OffsetForLeaderPartition(partition=number, current_leader_epoch=-1, leader_epoch=0)
        for number in numbers
    ]
    return OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic("t", asked)])


def delete_records(numbers: Numbers) -> Any:
    asked = [DeleteRecordsPartition(number, 0) for number in numbers]
    return DeleteRecordsRequest(topics=[DeleteRecordsTopic("t", asked)])


def fetch_offsets(numbers: Numbers) -> Any:
    topics = [OffsetFetchRequestTopics("t", partition_indexes=[0])]
    groups = [OffsetFetchRequestGroup(name, topics=topics) for name in names(numbers)]
    return OffsetFetchRequest(groups=groups)


CASES: list[tuple[str, int, Callable[[Numbers], Any], Callable[[Any], list[Any]]]] = [
    ("list_offsets", 8, list_offsets, lambda told: told.topics[0].partitions),
    ("offset_for_leader_epoch", 4, end_offsets, lambda told: told.topics[0].partitions),
    ("delete_records", 2, delete_records, lambda told: told.topics[0].partitions),
    ("offset_fetch", 9, fetch_offsets, lambda told: told.groups),
    (
        "delete_groups",
        2,
        lambda numbers: DeleteGroupsRequest(names(numbers)),
        lambda told: told.results,
    ),
    (
        "describe_groups",
        6,
        lambda numbers: DescribeGroupsRequest(names(numbers)),
        lambda told: told.groups,
    ),
    (
        "find_coordinator",
        6,
        lambda numbers: FindCoordinatorRequest(key_type=0, coordinator_keys=names(numbers)),
        lambda told: told.coordinators,
    ),
]


@pytest.mark.parametrize(("api", "version", "ask", "rows"), CASES, ids=[case[0] for case in CASES])
def test_many_take_turns_and_are_answered_as_each_alone(
    tmp_path: pathlib.Path,
    api: str,
    version: int,
    ask: Callable[[Numbers], Any],
    rows: Callable[[Any], list[Any]],
) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t", partitions=2)
    bench.add_topic("__consumer_offsets", partitions=2)
    for partition in range(2):
        bench.groups.load(partition)
    bench.scheduler.end_turn()
    handle = importlib.import_module(f"tierbroker.broker.handlers.{api}").handle
    numbers = list(range(COUNT))
    answering = handle(ask(numbers), bench.context(version))
    assert bench.count_turns(answering) >= COUNT // ELEMENTS_A_TURN
    alone = []
    for number in numbers:
        answer = handle(ask([number]), bench.context(version))
        assert not isinstance(answer, Pending) or answer.done, "what is short is answered at once"
        alone += rows(bench.answered(answer))
    assert rows(bench.answered(answering)) == alone
