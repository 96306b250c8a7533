"""The handler of DescribeProducers: what the log knows of its producers."""

import pathlib
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.base.turns import ELEMENTS_A_TURN
from tierbroker.broker.handlers import describe_producers
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_producers import (
    DescribeProducersRequest,
    ProducerState,
    TopicRequest,
)


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t", partitions=2)
    for producer_id, values in ((7, [b"a", b"b"]), (8, [b"a"])):
        batch = bytearray(
            batch_of(
                values,
                timestamp_ms=NOW_MS,
                producer_id=producer_id,
                producer_epoch=3,
                base_sequence=0,
            )
        )
        made.partitions.get("t", 0).append(batch, read_header(batch), -1, lambda _: None)
    made.scheduler.end_turn()
    return made


def describe(bench: HandlerBench, topic: str, *indexes: int) -> list[Any]:
    request = DescribeProducersRequest(topics=[TopicRequest(topic, list(indexes))])
    (answer,) = bench.answered(describe_producers.handle(request, bench.context(0))).topics
    assert answer.name == topic
    assert [one.partition_index for one in answer.partitions] == list(indexes)
    return list(answer.partitions)


def test_each_producer_with_its_last_sequence(bench: HandlerBench) -> None:
    busy, idle = describe(bench, "t", 0, 1)
    assert busy.active_producers == [
        ProducerState(producer_id, 3, last, NOW_MS, -1, -1)
        for producer_id, last in ((7, 1), (8, 0))
    ]
    assert (idle.error_code, idle.active_producers) == (ErrorCode.NONE, [])


@pytest.mark.parametrize(
    ("topic", "index", "code"),
    [
        ("t", 9, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", -1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("nowhere", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("a b", 0, ErrorCode.INVALID_TOPIC_EXCEPTION),
    ],
)
def test_a_partition_that_is_not_there(
    bench: HandlerBench, topic: str, index: int, code: ErrorCode
) -> None:
    (answer,) = describe(bench, topic, index)
    assert (answer.error_code, answer.active_producers) == (code, [])
    assert answer.error_message


def test_a_partition_that_another_broker_leads(bench: HandlerBench) -> None:
    bench.partitions.get("t", 0).is_leader = False
    (answer,) = describe(bench, "t", 0)
    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_a_partition_is_described_once_and_others_have_turns(bench: HandlerBench) -> None:
    """Its producers, who may be many, would else be told as often as the request names it."""
    asked = [TopicRequest("t", [0, 1, 0] * 1000), TopicRequest("u", [0]), TopicRequest("t", [1, 2])]
    request = DescribeProducersRequest(topics=asked)
    answering = describe_producers.handle(request, bench.context(0))
    turns = bench.count_turns(answering)
    answer = bench.answered(answering)
    told = [
        (topic.name, [one.partition_index for one in topic.partitions]) for topic in answer.topics
    ]
    assert told == [("t", [0, 1, 2]), ("u", [0])]
    assert turns == 3000 // ELEMENTS_A_TURN


def test_the_producers_of_one_partition_take_turns_too(bench: HandlerBench) -> None:
    """They are told as they were when the partition's turn came."""
    state = bench.partitions.get("t", 0).online_log().producer_state
    producer = state.get(7)
    assert producer is not None
    state._producers = dict.fromkeys(range(1000), producer)
    request = DescribeProducersRequest(topics=[TopicRequest("t", [0])])
    answering = describe_producers.handle(request, bench.context(0))
    state._producers = {}
    assert bench.count_turns(answering) == 1000 // ELEMENTS_A_TURN
    ((partition,),) = (topic.partitions for topic in bench.answered(answering).topics)
    assert [one.producer_id for one in partition.active_producers] == list(range(1000))
