"""The handler of FindCoordinator: who coordinates a group, and the topic that it is kept in."""

import asyncio
import pathlib
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.handler_bench import BROKER_ID, HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import find_coordinator
from tierbroker.controller.state.topics import TopicOutcome
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.find_coordinator import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

TOPIC = "__consumer_offsets"
TRANSACTION_TOPIC = "__transaction_state"
GROUP, TRANSACTION, SHARE = 0, 1, 2


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    return HandlerBench(tmp_path)


def ask(request: FindCoordinatorRequest, bench: HandlerBench, version: int) -> Any:
    answer = find_coordinator.handle(request, bench.context(version))
    assert isinstance(answer, FindCoordinatorResponse)
    return answer


async def ask_and_wait(request: FindCoordinatorRequest, bench: HandlerBench, version: int) -> Any:
    answer = find_coordinator.handle(request, bench.context(version))
    assert isinstance(answer, Coroutine)
    return await answer


def test_a_kind_that_nobody_coordinates(bench: HandlerBench) -> None:
    answer = ask(FindCoordinatorRequest(key="k", key_type=SHARE), bench, 3)
    invalid = ErrorCode.INVALID_REQUEST
    assert (answer.error_code, answer.node_id, answer.port) == (invalid, -1, -1)
    assert answer.coordinators == []
    answer = ask(FindCoordinatorRequest(coordinator_keys=["a", "b"], key_type=SHARE), bench, 6)
    assert [(c.key, c.error_code) for c in answer.coordinators] == [("a", invalid), ("b", invalid)]


def test_a_transactional_id_belongs_to_the_leader_of_its_partition(bench: HandlerBench) -> None:
    bench.add_topic(TRANSACTION_TOPIC, 2)
    request = FindCoordinatorRequest(key="tx", key_type=TRANSACTION)
    answer = ask(request, bench, 2)
    assert (answer.error_code, answer.node_id) == (ErrorCode.NONE, BROKER_ID)
    request = FindCoordinatorRequest(coordinator_keys=["a", "b"], key_type=TRANSACTION)
    answer = ask(request, bench, 6)
    assert [(c.key, c.error_code, c.node_id) for c in answer.coordinators] == [
        ("a", ErrorCode.NONE, BROKER_ID),
        ("b", ErrorCode.NONE, BROKER_ID),
    ]


async def test_the_first_question_about_a_transaction_makes_its_topic(bench: HandlerBench) -> None:
    request = FindCoordinatorRequest(coordinator_keys=["tx"], key_type=TRANSACTION)
    answer = await ask_and_wait(request, bench, 6)
    assert answer.coordinators[0].error_code == ErrorCode.NONE
    topic = bench.controller.image.topic(TRANSACTION_TOPIC)
    assert topic is not None
    assert len(topic.partitions) == bench.transactions.num_partitions
    assert bench.controller.image.configs.topic(TRANSACTION_TOPIC) == {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "min.insync.replicas": "1",
        "segment.bytes": "104857600",
        "unclean.leader.election.enable": "false",
    }
    assert bench.controller.image.topic(TOPIC) is None


def test_a_group_belongs_to_the_leader_of_its_partition(bench: HandlerBench) -> None:
    bench.add_topic(TOPIC, 2)
    answer = ask(FindCoordinatorRequest(key="g"), bench, 2)
    assert (answer.error_code, answer.error_message) == (ErrorCode.NONE, "NONE")
    assert answer.node_id == BROKER_ID
    endpoint = bench.services.endpoint_of(BROKER_ID, "PLAINTEXT")
    assert endpoint is not None
    assert (answer.host, answer.port) == (endpoint.host, endpoint.port)
    answer = ask(FindCoordinatorRequest(coordinator_keys=["g", "h"]), bench, 6)
    assert [(c.key, c.error_code, c.node_id) for c in answer.coordinators] == [
        ("g", ErrorCode.NONE, BROKER_ID),
        ("h", ErrorCode.NONE, BROKER_ID),
    ]


def test_a_partition_that_the_topic_does_not_have(bench: HandlerBench) -> None:
    """An administrator made the topic, with fewer partitions than the coordinator counts on."""
    bench.add_topic(TOPIC, 1)
    groups = {bench.groups.partition_for(key): key for key in "abcdefgh"}
    assert set(groups) == {0, 1}
    answer = ask(FindCoordinatorRequest(coordinator_keys=[groups[0], groups[1]]), bench, 6)
    assert [(c.error_code, c.node_id) for c in answer.coordinators] == [
        (ErrorCode.NONE, BROKER_ID),
        (ErrorCode.COORDINATOR_NOT_AVAILABLE, -1),
    ]


def test_a_listener_without_an_endpoint_cannot_be_told(bench: HandlerBench) -> None:
    bench.add_topic(TOPIC, 2)
    context = bench.context(6, listener="NOWHERE")
    answer = find_coordinator.handle(FindCoordinatorRequest(coordinator_keys=["g"]), context)
    assert isinstance(answer, FindCoordinatorResponse)
    assert answer.coordinators[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE


async def test_the_first_question_makes_the_topic(bench: HandlerBench) -> None:
    answer = await ask_and_wait(FindCoordinatorRequest(coordinator_keys=["g"]), bench, 6)
    assert answer.coordinators[0].error_code == ErrorCode.NONE
    topic = bench.controller.image.topic(TOPIC)
    assert topic is not None
    assert len(topic.partitions) == bench.groups.num_partitions
    assert bench.controller.image.configs.topic(TOPIC) == {
        "cleanup.policy": "compact",
        "compression.type": "producer",
        "segment.bytes": "104857600",
    }


async def test_a_topic_that_is_being_made_is_waited_for(bench: HandlerBench) -> None:
    """Others see it in the metadata before its last partition can be used."""
    bench.add_topic(TOPIC, 2)
    underway: Pending[list[TopicOutcome]] = Pending()
    bench.services.auto_creating[TOPIC] = underway
    asking = asyncio.ensure_future(ask_and_wait(FindCoordinatorRequest(key="g"), bench, 2))
    await asyncio.sleep(0)
    assert not asking.done()
    underway.resolve([TopicOutcome(TOPIC)])
    assert (await asking).error_code == ErrorCode.NONE


async def test_shards_that_load_are_waited_for(bench: HandlerBench) -> None:
    bench.add_topic(TOPIC, 2)
    bench.groups.load(0)
    asking = asyncio.ensure_future(ask_and_wait(FindCoordinatorRequest(key="g"), bench, 2))
    await asyncio.sleep(0)
    bench.scheduler.end_turn()
    assert bench.groups.loaded
    assert not asking.done()
    tick(bench)
    assert (await asking).error_code == ErrorCode.NONE


async def test_shards_that_load_for_long_are_named_all_the_same(bench: HandlerBench) -> None:
    bench.add_topic(TOPIC, 2)
    loading = SimpleNamespace(loaded=False, partition_for=bench.groups.partition_for)
    bench.services.groups = cast("Any", loading)
    asking = asyncio.ensure_future(ask_and_wait(FindCoordinatorRequest(key="g"), bench, 2))
    ticks = 0
    while not asking.done():
        await asyncio.sleep(0)
        tick(bench)
        ticks += 1
    assert ticks < 50
    assert (await asking).error_code == ErrorCode.NONE


def tick(bench: HandlerBench) -> None:
    """Time passes; the turn of the loop goes on."""
    bench.clock.advance(10)
    bench.scheduler.advance(0.01)


async def test_a_topic_that_cannot_be_made_is_asked_for_again(bench: HandlerBench) -> None:
    bench.controller.failure = NotControllerError("no quorum")
    answer = await ask_and_wait(FindCoordinatorRequest(key="g"), bench, 2)
    assert answer.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    bench.controller.failure = None
    answer = await ask_and_wait(FindCoordinatorRequest(key="g"), bench, 2)
    assert answer.error_code == ErrorCode.NONE
