"""The handler of ListConfigResources: topics and brokers, as far as they are asked for."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import list_config_resources
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.list_config_resources import ListConfigResourcesRequest

TOPIC, BROKER = 2, 4


@pytest.mark.parametrize(
    ("version", "kinds", "expected"),
    [
        (0, [], set()),
        (1, [], {(TOPIC, "t"), (TOPIC, "u"), (BROKER, "1"), (BROKER, "2")}),
        (1, [TOPIC, TOPIC], {(TOPIC, "t"), (TOPIC, "u")}),
        (1, [BROKER], {(BROKER, "1"), (BROKER, "2")}),
        (1, [8, 16, 32], set()),
    ],
)
def test_kinds(
    tmp_path: pathlib.Path, version: int, kinds: list[int], expected: set[tuple[int, str]]
) -> None:
    bench = HandlerBench(tmp_path, brokers=2)
    bench.add_topic("t")
    bench.add_topic("u")
    request = ListConfigResourcesRequest(resource_types=kinds)
    answer = list_config_resources.handle(request, bench.context(version))
    assert answer.error_code == ErrorCode.NONE
    found = [(one.resource_type, one.resource_name) for one in answer.config_resources]
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("kinds", [[0], [3], [-1], [TOPIC, 99]])
def test_kinds_that_nobody_knows(tmp_path: pathlib.Path, kinds: list[int]) -> None:
    request = ListConfigResourcesRequest(resource_types=kinds)
    answer = list_config_resources.handle(request, HandlerBench(tmp_path).context(1))
    assert (answer.error_code, answer.config_resources) == (ErrorCode.UNSUPPORTED_VERSION, [])
