"""The handler of IncrementalAlterConfigs: topics can be changed, and nothing else."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import incremental_alter_configs
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)

TOPIC, BROKER = 2, 4
SET, DELETE = 0, 1


async def alter(
    bench: HandlerBench, key: str, value: str | None, *, operation: int = SET, kind: int = TOPIC
) -> tuple[int, str | None]:
    change = AlterableConfig(name=key, config_operation=operation, value=value)
    name = "t" if kind == TOPIC else "1"
    resource = AlterConfigsResource(resource_type=kind, resource_name=name, configs=[change])
    request = IncrementalAlterConfigsRequest(resources=[resource])
    (answer,) = (await incremental_alter_configs.handle(request, bench.context(1))).responses
    assert (answer.resource_type, answer.resource_name) == (kind, name)
    return answer.error_code, answer.error_message


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t", retention_ms="5")
    return made


async def test_set_and_delete(bench: HandlerBench) -> None:
    assert (await alter(bench, "segment.bytes", "2000000"))[0] == ErrorCode.NONE
    assert (await alter(bench, "retention.ms", None, operation=DELETE))[0] == ErrorCode.NONE
    assert dict(bench.controller.image.configs.topic("t")) == {"segment.bytes": "2000000"}


@pytest.mark.parametrize(("key", "value"), [("retention.ms", "soon"), ("no.such.key", "1")])
async def test_what_makes_no_sense(bench: HandlerBench, key: str, value: str) -> None:
    code, message = await alter(bench, key, value)
    assert code == ErrorCode.INVALID_CONFIG
    assert key in (message or "")
    assert dict(bench.controller.image.configs.topic("t")) == {"retention.ms": "5"}


async def test_broker_keys_are_read_only(bench: HandlerBench) -> None:
    code, _ = await alter(bench, "num.partitions", "3", kind=BROKER)
    assert code != ErrorCode.NONE


async def test_a_controller_that_cannot_decide(bench: HandlerBench) -> None:
    bench.controller.failure = NotControllerError("elsewhere")
    assert await alter(bench, "retention.ms", "7") == (ErrorCode.NOT_CONTROLLER, "elsewhere")


async def test_each_resource_is_answered_in_its_place(bench: HandlerBench) -> None:
    """Also those of other brokers, topics without a name, and those that are named twice."""
    change = AlterableConfig(name="retention.ms", config_operation=SET, value="7")
    asked = [(BROKER, "77"), (TOPIC, "t"), (TOPIC, ""), (TOPIC, "t")]
    request = IncrementalAlterConfigsRequest(
        resources=[
            AlterConfigsResource(resource_type=kind, resource_name=name, configs=[change])
            for kind, name in asked
        ]
    )
    answers = (await incremental_alter_configs.handle(request, bench.context(1))).responses
    assert [(a.resource_type, a.resource_name) for a in answers] == asked
    assert {answer.error_code for answer in answers} == {ErrorCode.INVALID_REQUEST}
    assert dict(bench.controller.image.configs.topic("t")) == {"retention.ms": "5"}
