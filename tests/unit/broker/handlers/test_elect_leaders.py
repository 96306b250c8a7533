"""The handler of ElectLeaders: its answer has the shape of the request."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import elect_leaders
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions

NOT_NEEDED = ErrorCode.ELECTION_NOT_NEEDED
UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
Asked = list[tuple[str, list[int]]]
Found = list[tuple[str, list[tuple[int, int]]]]


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t", partitions=3)
    return made


async def elect(
    bench: HandlerBench, asked: Asked | None, kind: int = 0, timeout_ms: int = 1000
) -> tuple[int, Found]:
    request = ElectLeadersRequest(
        election_type=kind,
        topic_partitions=None if asked is None else [TopicPartitions(*one) for one in asked],
        timeout_ms=timeout_ms,
    )
    answer = await elect_leaders.handle(request, bench.context(2))
    results = [
        (entry.topic, [(one.partition_id, one.error_code) for one in entry.partition_result])
        for entry in answer.replica_election_results
    ]
    return answer.error_code, results


@pytest.mark.parametrize("kind", [0, 1])
async def test_a_leader_that_is_there_stays(bench: HandlerBench, kind: int) -> None:
    asked: Asked = [("t", [2, 0, 0]), ("nowhere", [0]), ("t", [9, -1]), ("t", [])]
    expected: Found = [
        ("t", [(2, NOT_NEEDED), (0, NOT_NEEDED), (0, NOT_NEEDED)]),
        ("nowhere", [(0, UNKNOWN)]),
        ("t", [(9, UNKNOWN), (-1, UNKNOWN)]),
        ("t", []),
    ]
    assert await elect(bench, asked, kind) == (ErrorCode.NONE, expected)


async def test_of_all_partitions_only_those_in_need_are_told(bench: HandlerBench) -> None:
    assert await elect(bench, None) == (ErrorCode.NONE, [("t", [])])


async def test_a_request_that_fails_as_a_whole(bench: HandlerBench) -> None:
    invalid, late = ErrorCode.INVALID_REQUEST, ErrorCode.REQUEST_TIMED_OUT
    assert await elect(bench, [("t", [1])], kind=7) == (invalid, [("t", [(1, invalid)])])
    assert await elect(bench, [("t", [1])], timeout_ms=0) == (late, [("t", [(1, late)])])
    assert await elect(bench, None, timeout_ms=-1) == (late, [])
    bench.controller.failure = NotControllerError("elsewhere")
    elsewhere = ErrorCode.NOT_CONTROLLER
    assert await elect(bench, [("t", [1])]) == (elsewhere, [("t", [(1, elsewhere)])])
