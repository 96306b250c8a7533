"""The handler of DescribeCluster: brokers of this listener, fenced ones on request."""

import pathlib
from typing import Any

import pytest

from tests.handler_bench import HandlerBench
from tests.metadata_cluster import applied
from tierbroker.broker.handlers import describe_cluster
from tierbroker.controller.state.brokers import fence_broker
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_cluster import DescribeClusterRequest


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path, brokers=2)
    image = made.controller.image
    made.controller.image = applied(image, fence_broker(image, 2, image.brokers[2].epoch))
    return made


def ask(bench: HandlerBench, listener: str = "PLAINTEXT", **how: Any) -> Any:
    return describe_cluster.handle(DescribeClusterRequest(**how), bench.context(2, listener))


def test_fenced_brokers_are_left_out_unless_asked_for(bench: HandlerBench) -> None:
    assert [(b.broker_id, b.is_fenced) for b in ask(bench).brokers] == [(1, False)]
    everyone = ask(bench, include_fenced_brokers=True)
    assert [(b.broker_id, b.is_fenced) for b in everyone.brokers] == [(1, False), (2, True)]


def test_the_cluster_and_its_controller(bench: HandlerBench) -> None:
    answer = ask(bench)
    assert (answer.cluster_id, answer.controller_id) == ("cluster", 1)
    assert answer.cluster_authorized_operations < 0
    assert ask(bench, include_cluster_authorized_operations=True).cluster_authorized_operations > 0


def test_another_listener_has_no_brokers(bench: HandlerBench) -> None:
    assert ask(bench, "INTERNAL").brokers == []


def test_controllers_are_somewhere_else(bench: HandlerBench) -> None:
    answer = ask(bench, endpoint_type=2)
    assert (answer.error_code, answer.brokers) == (ErrorCode.MISMATCHED_ENDPOINT_TYPE, [])
    assert answer.cluster_id == ""
