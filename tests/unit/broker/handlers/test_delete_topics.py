"""The handler of DeleteTopics: by name, by id, and where it is not allowed."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import delete_topics
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState

OK = ErrorCode.NONE


@pytest.mark.parametrize("version", [1, 5, 6])
async def test_by_name(tmp_path: pathlib.Path, version: int) -> None:
    bench = HandlerBench(tmp_path)
    bench.add_topic("t")
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name="t")], topic_names=["t"])
    (result,) = (await delete_topics.handle(request, bench.context(version))).responses
    assert (result.name, result.error_code) == ("t", OK)
    assert bench.controller.image.topic("t") is None


async def test_by_id(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    topic_id = bench.add_topic("t")
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name=None, topic_id=topic_id)])
    (result,) = (await delete_topics.handle(request, bench.context(6))).responses
    assert (result.name, result.topic_id, result.error_code) == ("t", topic_id, OK)


async def test_where_it_is_not_allowed(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path, delete_topic_enable="false")
    bench.add_topic("t")
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name="t")])
    (result,) = (await delete_topics.handle(request, bench.context(6))).responses
    assert result.error_code == ErrorCode.TOPIC_DELETION_DISABLED
    assert bench.controller.image.topic("t") is not None


async def test_a_controller_that_cannot_decide(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    bench.controller.failure = NotControllerError("elsewhere")
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name="t")])
    (result,) = (await delete_topics.handle(request, bench.context(6))).responses
    assert (result.name, result.error_code) == ("t", ErrorCode.NOT_CONTROLLER)
