"""The handler of CreateTopics: what the answer tells, and a controller that cannot decide."""

import pathlib

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import create_topics
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)

ASKED = CreatableTopic(
    name="t",
    num_partitions=2,
    replication_factor=1,
    configs=[CreatableTopicConfig(name="retention.ms", value="5")],
)


async def test_the_answer_describes_the_topic(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    request = CreateTopicsRequest(topics=[ASKED])
    (result,) = (await create_topics.handle(request, bench.context(7))).topics
    topic = bench.controller.image.topic("t")
    assert topic is not None
    assert (result.error_code, result.topic_id) == (ErrorCode.NONE, topic.topic_id)
    assert (result.num_partitions, result.replication_factor) == (2, 1)
    values = {config.name: config.value for config in result.configs or []}
    assert values["retention.ms"] == "5"
    assert values["cleanup.policy"] == "delete"


async def test_validating_makes_nothing(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    request = CreateTopicsRequest(topics=[ASKED], validate_only=True)
    (result,) = (await create_topics.handle(request, bench.context(7))).topics
    assert (result.error_code, result.num_partitions) == (ErrorCode.NONE, 2)
    assert bench.controller.image.topic("t") is None


async def test_a_controller_that_cannot_decide(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.failure = NotControllerError("elsewhere")
    request = CreateTopicsRequest(topics=[ASKED])
    (result,) = (await create_topics.handle(request, bench.context(7))).topics
    assert (result.name, result.error_code) == ("t", ErrorCode.NOT_CONTROLLER)
    assert (result.error_message, result.configs) == ("elsewhere", [])
