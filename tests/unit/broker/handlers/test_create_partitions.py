"""The handler of CreatePartitions: each topic for itself."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import create_partitions
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)

ASKED = [
    CreatePartitionsTopic(name="t", count=3, assignments=None),
    CreatePartitionsTopic(name="nowhere", count=3, assignments=None),
]


async def grow(bench: HandlerBench, validate_only: bool = False) -> dict[str, int]:
    request = CreatePartitionsRequest(topics=ASKED, validate_only=validate_only)
    answer = await create_partitions.handle(request, bench.context(3))
    return {result.name: result.error_code for result in answer.results}


@pytest.mark.parametrize("validate_only", [False, True])
async def test_each_topic_for_itself(tmp_path: pathlib.Path, validate_only: bool) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    found = await grow(bench, validate_only)
    assert found == {"t": ErrorCode.NONE, "nowhere": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    topic = bench.controller.image.topic("t")
    assert topic is not None
    assert len(topic.partitions) == (1 if validate_only else 3)


async def test_a_controller_that_cannot_decide(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.failure = NotControllerError("elsewhere")
    assert set((await grow(bench)).values()) == {ErrorCode.NOT_CONTROLLER}
