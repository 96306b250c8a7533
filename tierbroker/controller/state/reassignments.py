"""Deciding on reassignments: which brokers hold a partition.

Rules: ReplicationControlManager.alterPartitionReassignments in Kafka. Nothing moves a replica from
one broker to another yet, so the only assignment that can be had is the one that is there, and a
list of what is under way is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tierbroker.base.errors import (
    ApiError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    NoReassignmentInProgressError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import TopicPartition
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.partitions import check_assignment
from tierbroker.controller.state.result import Result


@dataclass(frozen=True, slots=True)
class Reassignment:
    """The brokers that are to hold a partition; None takes a reassignment under way back."""

    place: TopicPartition
    replicas: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ReassignmentOutcome:
    """What became of one partition."""

    place: TopicPartition
    error: ApiError | None = None


def reassign_partitions(
    image: MetadataImage, requests: Sequence[Reassignment], *, keep_replication_factor: bool = False
) -> Result[list[ReassignmentOutcome]]:
    """Give partitions other replicas; each succeeds or fails for itself."""
    outcomes: list[ReassignmentOutcome] = []
    for request in requests:
        try:
            _check(image, request, keep_replication_factor=keep_replication_factor)
        except ApiError as error:
            outcomes.append(ReassignmentOutcome(request.place, error))
        else:
            outcomes.append(ReassignmentOutcome(request.place))
    return Result((), outcomes)


def _check(image: MetadataImage, request: Reassignment, *, keep_replication_factor: bool) -> None:
    """The partition has these replicas already; raises ApiError if not."""
    topic = image.topic(request.place.topic)
    if topic is None:
        raise UnknownTopicOrPartitionError(f"There is no topic {request.place.topic!r}.")
    if not 0 <= request.place.partition < len(topic.partitions):
        raise UnknownTopicOrPartitionError(f"There is no partition {request.place}.")
    if request.replicas is None:
        raise NoReassignmentInProgressError(f"No reassignment of {request.place} is under way.")
    present = topic.partitions[request.place.partition].replicas
    check_assignment(image, request.replicas, None)
    if keep_replication_factor and len(request.replicas) != len(present):
        raise InvalidReplicationFactorError(
            f"{request.place} has {len(present)} replicas; the request names"
            f" {len(request.replicas)}, and forbids to change their number."
        )
    if request.replicas != present:
        raise InvalidReplicaAssignmentError(
            f"Replicas do not move between brokers yet; {request.place} is on {list(present)}."
        )
