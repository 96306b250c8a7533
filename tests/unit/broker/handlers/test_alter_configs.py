"""The handler of AlterConfigs: what is not named goes back to its default."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import alter_configs
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.alter_configs import (
    AlterableConfig,
    AlterConfigsRequest,
    AlterConfigsResource,
)

TOPIC, BROKER = 2, 4


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t", retention_ms="5", segment_ms="7")
    return made


async def alter(
    bench: HandlerBench, *, kind: int = TOPIC, name: str = "t", times: int = 1, **values: str | None
) -> list[int]:
    configs = [AlterableConfig(key.replace("_", "."), value) for key, value in values.items()]
    resource = AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)
    request = AlterConfigsRequest(resources=[resource] * times)
    answers = (await alter_configs.handle(request, bench.context(2))).responses
    assert {(one.resource_type, one.resource_name) for one in answers} == {(kind, name)}
    return [one.error_code for one in answers]


def settings(bench: HandlerBench) -> dict[str, str]:
    return dict(bench.controller.image.configs.topic("t"))


async def test_the_set_is_replaced(bench: HandlerBench) -> None:
    assert await alter(bench, retention_ms="6", max_message_bytes="2000") == [ErrorCode.NONE]
    assert settings(bench) == {"retention.ms": "6", "max.message.bytes": "2000"}
    assert await alter(bench) == [ErrorCode.NONE]
    assert settings(bench) == {}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"retention_ms": "soon"}, ErrorCode.INVALID_CONFIG),
        ({"no_such_key": "1"}, ErrorCode.INVALID_CONFIG),
        ({"retention_ms": None}, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_a_set_that_makes_no_sense_changes_nothing(
    bench: HandlerBench, values: dict[str, str | None], code: ErrorCode
) -> None:
    assert await alter(bench, **values) == [code]
    assert settings(bench) == {"retention.ms": "5", "segment.ms": "7"}


async def test_a_resource_that_is_named_twice(bench: HandlerBench) -> None:
    assert await alter(bench, times=2, retention_ms="6") == [ErrorCode.INVALID_REQUEST] * 2


@pytest.mark.parametrize("name", ["2", "one"])
async def test_another_broker(bench: HandlerBench, name: str) -> None:
    assert await alter(bench, kind=BROKER, name=name) == [ErrorCode.INVALID_REQUEST]


async def test_validation_alone(bench: HandlerBench) -> None:
    resource = AlterConfigsResource(resource_type=TOPIC, resource_name="t", configs=[])
    request = AlterConfigsRequest(resources=[resource], validate_only=True)
    (answer,) = (await alter_configs.handle(request, bench.context(1))).responses
    assert answer.error_code == ErrorCode.NONE
    assert settings(bench) == {"retention.ms": "5", "segment.ms": "7"}


async def test_a_controller_that_cannot_decide(bench: HandlerBench) -> None:
    bench.controller.failure = NotControllerError("elsewhere")
    assert await alter(bench) == [ErrorCode.NOT_CONTROLLER]
