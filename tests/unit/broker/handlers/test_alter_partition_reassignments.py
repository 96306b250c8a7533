"""The handler of AlterPartitionReassignments: nothing moves, and the answer says so."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import alter_partition_reassignments
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)

Asked = list[tuple[str, list[tuple[int, list[int] | None]]]]


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t", partitions=2)
    return made


async def reassign(bench: HandlerBench, asked: Asked, **how: int) -> tuple[int, list[list[int]]]:
    topics = [
        ReassignableTopic(name, [ReassignablePartition(*one) for one in partitions])
        for name, partitions in asked
    ]
    request = AlterPartitionReassignmentsRequest(topics=topics, **how)  # type: ignore[arg-type]
    answer = await alter_partition_reassignments.handle(request, bench.context(1))
    assert answer.allow_replication_factor_change == request.allow_replication_factor_change
    assert [topic.name for topic in answer.responses] == [name for name, _ in asked]
    return answer.error_code, [
        [one.error_code for one in topic.partitions] for topic in answer.responses
    ]


async def test_each_partition_for_itself(bench: HandlerBench) -> None:
    asked: Asked = [("t", [(0, [1]), (1, None), (9, [1])]), ("nowhere", [(0, [1])]), ("t", [])]
    expected = [
        [
            ErrorCode.NONE,
            ErrorCode.NO_REASSIGNMENT_IN_PROGRESS,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ],
        [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
        [],
    ]
    assert await reassign(bench, asked) == (ErrorCode.NONE, expected)


async def test_a_request_that_fails_as_a_whole(bench: HandlerBench) -> None:
    late, elsewhere = ErrorCode.REQUEST_TIMED_OUT, ErrorCode.NOT_CONTROLLER
    assert await reassign(bench, [("t", [(0, [1])])], timeout_ms=0) == (late, [[late]])
    bench.controller.failure = NotControllerError("elsewhere")
    assert await reassign(bench, [("t", [(0, [1])])]) == (elsewhere, [[elsewhere]])
