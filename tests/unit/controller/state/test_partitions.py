"""Deciding on partitions, and where replicas go."""

import random
from collections import Counter

import pytest

from tests.metadata_cluster import applied, cluster, environment, log_dir, registration, with_topic
from tierbroker.base.errors import (
    ApiError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    PolicyViolationError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import Uuid
from tierbroker.controller.state.brokers import register_broker
from tierbroker.controller.state.partitions import (
    MorePartitions,
    assign_directories,
    create_partitions,
)
from tierbroker.controller.state.placement import place_partitions


def test_more_partitions() -> None:
    image = with_topic(cluster(1, 2, 3), "a", (1, 2))
    result = create_partitions(image, [MorePartitions("a", 4)], environment())
    assert result.response[0].error is None
    topic = applied(image, result).topic("a")
    assert topic is not None
    assert len(topic.partitions) == 4
    assert all(len(set(partition.replicas)) == 2 for partition in topic.partitions)


def test_more_partitions_by_assignment() -> None:
    image = with_topic(cluster(1, 2, 3), "a", (1, 2))
    request = MorePartitions("a", 3, ((2, 3), (3, 1)))
    topic = applied(image, create_partitions(image, [request], environment())).topic("a")
    assert topic is not None
    assert [partition.replicas for partition in topic.partitions[1:]] == [(2, 3), (3, 1)]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (MorePartitions("nope", 2), UnknownTopicOrPartitionError),
        (MorePartitions("a", 2), InvalidPartitionsError),
        (MorePartitions("a", 1), InvalidPartitionsError),
        (MorePartitions("a", 0), InvalidPartitionsError),
        (MorePartitions("a", 30), PolicyViolationError),
        (MorePartitions("a", 4, ((1,),)), InvalidReplicaAssignmentError),
        (MorePartitions("a", 3, ((1, 2),)), InvalidReplicaAssignmentError),
        (MorePartitions("a", 3, ((9,),)), InvalidReplicaAssignmentError),
        (MorePartitions("a", 3, ((),)), InvalidReplicaAssignmentError),
    ],
)
def test_illegal_increases(request_: MorePartitions, error: type[ApiError]) -> None:
    image = with_topic(cluster(1, 2), "a", (1,), (1,))
    env = environment(max_partitions_per_request=10)
    result = create_partitions(image, [request_], env)
    assert type(result.response[0].error) is error
    assert result.records == ()


def test_a_topic_named_twice_fails_once() -> None:
    image = with_topic(cluster(1), "a", (1,))
    requests = [MorePartitions("a", 2), MorePartitions("a", 3)]
    (outcome,) = create_partitions(image, requests, environment()).response
    assert type(outcome.error) is InvalidRequestError


def test_validate_only_writes_nothing() -> None:
    image = with_topic(cluster(1), "a", (1,))
    requests = [MorePartitions("a", 2)]
    result = create_partitions(image, requests, environment(), validate_only=True)
    assert result.response[0].error is None
    assert result.records == ()


def test_a_broker_of_several_directories_chooses_later() -> None:
    image = cluster()
    dirs = (log_dir(1), log_dir(2))
    image = applied(image, register_broker(image, registration(1, log_dirs=dirs, fenced=False)))
    image = with_topic(image, "a", (1,))
    topic = image.topic("a")
    assert topic is not None
    assert topic.partitions[0].directories == (Uuid(bytes(15) + b"\x01"),)
    placed = [(topic.topic_id, 0, log_dir(2)), (topic.topic_id, 9, log_dir(2))]
    after = applied(image, assign_directories(image, 1, placed))
    topic = after.topic("a")
    assert topic is not None
    assert topic.partitions[0].directories == (log_dir(2),)
    assert topic.partitions[0].leader_epoch == 0
    assert assign_directories(after, 1, placed).records == ()


def test_placement_spreads_leaders_and_replicas() -> None:
    brokers = cluster(1, 2, 3, 4).brokers
    placed = place_partitions(
        brokers, count=40, replication_factor=2, start_partition=0, rng=random.Random(3)
    )
    assert set(Counter(replicas[0] for replicas in placed).values()) == {10}
    assert len({frozenset(replicas) for replicas in placed}) == 6
    assert all(len(set(replicas)) == 2 for replicas in placed)


def test_placement_uses_every_rack() -> None:
    brokers = cluster(1, 2, 3, 4, racks={1: "x", 2: "x", 3: "y", 4: "y"}).brokers
    (first, *_) = place_partitions(
        brokers, count=1, replication_factor=2, start_partition=0, rng=random.Random(3)
    )
    assert len({brokers[broker_id].rack for broker_id in first}) == 2
