"""Deciding on reassignments: only what is there already can be had."""

import pytest

from tests.metadata_cluster import cluster, with_topic
from tierbroker.base.errors import (
    ApiError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    NoReassignmentInProgressError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import TopicPartition
from tierbroker.controller.state.reassignments import Reassignment, reassign_partitions

HERE = TopicPartition("t", 0)


@pytest.mark.parametrize(
    ("place", "replicas", "kind"),
    [
        (HERE, (1,), None),
        (HERE, None, NoReassignmentInProgressError),
        (HERE, (), InvalidReplicaAssignmentError),
        (HERE, (99,), InvalidReplicaAssignmentError),
        (HERE, (1, 1), InvalidReplicaAssignmentError),
        (HERE, (2,), InvalidReplicaAssignmentError),
        (HERE, (1, 2), InvalidReplicaAssignmentError),
        (TopicPartition("t", 7), (1,), UnknownTopicOrPartitionError),
        (TopicPartition("t", -1), None, UnknownTopicOrPartitionError),
        (TopicPartition("nowhere", 0), (1,), UnknownTopicOrPartitionError),
    ],
)
def test_each_partition(
    place: TopicPartition, replicas: tuple[int, ...] | None, kind: type[ApiError] | None
) -> None:
    image = with_topic(cluster(1, 2), "t", (1,))
    result = reassign_partitions(image, [Reassignment(place, replicas)])
    (outcome,) = result.response
    assert outcome.place == place
    assert type(outcome.error) is (kind or type(None))
    assert result.records == ()


def test_a_number_of_replicas_that_must_not_change() -> None:
    image = with_topic(cluster(1, 2), "t", (1,))
    asked = [Reassignment(HERE, (1, 2))]
    (outcome,) = reassign_partitions(image, asked, keep_replication_factor=True).response
    assert isinstance(outcome.error, InvalidReplicationFactorError)
