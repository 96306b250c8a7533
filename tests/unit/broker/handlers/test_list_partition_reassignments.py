"""The handler of ListPartitionReassignments: none is ever under way."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import list_partition_reassignments
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)


@pytest.mark.parametrize("name", [None, "t", "nowhere"])
def test_none_is_under_way(tmp_path: pathlib.Path, name: str | None) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    topics = None if name is None else [ListPartitionReassignmentsTopics(name, [0, 9])]
    request = ListPartitionReassignmentsRequest(topics=topics)
    answer = list_partition_reassignments.handle(request, bench.context(0))
    assert (answer.error_code, answer.error_message, answer.topics) == (ErrorCode.NONE, None, [])
