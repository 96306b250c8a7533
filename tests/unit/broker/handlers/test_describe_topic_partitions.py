"""The handler of DescribeTopicPartitions: pages that add up to everything, once each."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tests.metadata_cluster import with_topic
from tierbroker.broker.handlers import describe_topic_partitions
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    RequestCursor,
    TopicRequest,
)


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path, brokers=2)
    image = made.controller.image
    for name, count in (("b", 3), ("a", 2), ("c", 1)):
        image = with_topic(image, name, *[(1, 2)] * count)
    made.controller.image = image
    return made


def walk(bench: HandlerBench, limit: int, *names: str) -> list[tuple[str | None, int]]:
    """(topic, partition) of every page, in order."""
    found: list[tuple[str | None, int]] = []
    cursor = None
    for _ in range(20):
        request = DescribeTopicPartitionsRequest(
            topics=[TopicRequest(name=name) for name in names],
            response_partition_limit=limit,
            cursor=cursor,
        )
        answer = describe_topic_partitions.handle(request, bench.context(0))
        page = [
            (topic.name, part.partition_index)
            for topic in answer.topics
            for part in topic.partitions
        ]
        assert len(page) <= max(1, limit)
        found += page
        if answer.next_cursor is None:
            return found
        following = answer.next_cursor
        cursor = RequestCursor(following.topic_name, following.partition_index)
    raise AssertionError("the pages never end")


ALL = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("c", 0)]


@pytest.mark.parametrize("limit", [-1, 0, 1, 2, 3, 5, 6, 2000, 2**31 - 1])
def test_pages_add_up(bench: HandlerBench, limit: int) -> None:
    assert walk(bench, limit) == ALL
    assert walk(bench, limit, "c", "a") == [("a", 0), ("a", 1), ("c", 0)]


def test_unknown_topics_are_named(bench: HandlerBench) -> None:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in ("a b", "nowhere")],
        response_partition_limit=10,
    )
    answer = describe_topic_partitions.handle(request, bench.context(0))
    assert [(topic.name, topic.error_code) for topic in answer.topics] == [
        ("a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("nowhere", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]


def test_a_full_page_ends_also_before_a_topic_that_is_not_there(bench: HandlerBench) -> None:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in ("a", "z")], response_partition_limit=2
    )
    answer = describe_topic_partitions.handle(request, bench.context(0))
    assert [topic.name for topic in answer.topics] == ["a"]
    assert answer.next_cursor is not None
    assert answer.next_cursor.topic_name == "z"


@pytest.mark.parametrize("cursor", [RequestCursor("b", -1), RequestCursor("zz", 0)])
def test_a_cursor_that_points_nowhere(bench: HandlerBench, cursor: RequestCursor) -> None:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name="b")], response_partition_limit=10, cursor=cursor
    )
    (topic,) = describe_topic_partitions.handle(request, bench.context(0)).topics
    assert (topic.error_code, topic.partitions) == (ErrorCode.INVALID_REQUEST, [])


def test_a_leader_that_this_listener_cannot_reach(bench: HandlerBench) -> None:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name="c")], response_partition_limit=10
    )
    (topic,) = describe_topic_partitions.handle(request, bench.context(0, "INTERNAL")).topics
    (partition,) = topic.partitions
    assert (partition.error_code, partition.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)
    assert partition.offline_replicas == [1, 2]


def test_a_partition_on_a_lost_disk_is_offline(bench: HandlerBench) -> None:
    bench.log_dirs.lost = True
    request = DescribeTopicPartitionsRequest(topics=[TopicRequest(name="c")])
    (topic,) = describe_topic_partitions.handle(request, bench.context(0)).topics
    (found,) = topic.partitions
    assert (found.error_code, found.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)
    assert found.offline_replicas == [1]
