"""Deciding on elections that somebody asks for.

Rules: ReplicationControlManager.electLeaders in Kafka.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tierbroker.base.errors import (
    ApiError,
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    InvalidRequestError,
    PreferredLeaderNotAvailableError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import TopicPartition
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.state.image import NO_LEADER, MetadataImage, PartitionImage, TopicImage
from tierbroker.controller.state.partitions import elect
from tierbroker.controller.state.result import MetadataRecord, Result


class ElectionType(IntEnum):
    """Whom an election may choose (org.apache.kafka.common.ElectionType)."""

    PREFERRED = 0
    UNCLEAN = 1


@dataclass(frozen=True, slots=True)
class ElectionOutcome:
    """What became of one partition."""

    place: TopicPartition
    error: ApiError | None = None


def elect_leaders(
    image: MetadataImage, kind: int, places: Sequence[TopicPartition] | None
) -> Result[list[ElectionOutcome]]:
    """Elect a leader for each partition; None stands for all of them.

    Of all of them, those that need no election have no outcome. Raises InvalidRequestError for an
    unknown kind. Nobody outside the ISR is elected, whatever the kind: with one broker, a
    partition without a leader has no other replica either.
    """
    if kind not in (ElectionType.PREFERRED, ElectionType.UNCLEAN):
        raise InvalidRequestError(f"{kind} is not a type of election.")
    outcomes: list[ElectionOutcome] = []
    records: list[MetadataRecord] = []
    elected: set[TopicPartition] = set()
    for place in _in_need(image, kind) if places is None else places:
        try:
            topic, partition = _find(image, place)
            if place in elected or not _needs_election(partition, kind):
                raise ElectionNotNeededError(f"{place} has the leader that it should have.")
            records.append(_election(image, topic, place, partition, kind))
        except ApiError as error:
            outcomes.append(ElectionOutcome(place, error))
        else:
            elected.add(place)
            outcomes.append(ElectionOutcome(place))
    return Result(tuple(records), outcomes, atomic=False)


def _needs_election(partition: PartitionImage, kind: int) -> bool:
    if kind == ElectionType.PREFERRED:
        return partition.leader != partition.replicas[0]
    return partition.leader == NO_LEADER


def _in_need(image: MetadataImage, kind: int) -> Iterator[TopicPartition]:
    for topic in image.topics:
        for number, partition in enumerate(topic.partitions):
            if _needs_election(partition, kind):
                yield TopicPartition(topic.name, number)


def _find(image: MetadataImage, place: TopicPartition) -> tuple[TopicImage, PartitionImage]:
    topic = image.topic(place.topic)
    if topic is None:
        raise UnknownTopicOrPartitionError(f"There is no topic {place.topic!r}.")
    if not 0 <= place.partition < len(topic.partitions):
        raise UnknownTopicOrPartitionError(f"There is no partition {place}.")
    return topic, topic.partitions[place.partition]


def _election(
    image: MetadataImage,
    topic: TopicImage,
    place: TopicPartition,
    partition: PartitionImage,
    kind: int,
) -> PartitionChangeRecord:
    """The change that gives the partition its new leader; raises why there is none."""
    if kind == ElectionType.PREFERRED:
        leader = partition.replicas[0]
        if leader not in partition.isr or not _active(image, leader):
            raise PreferredLeaderNotAvailableError(f"Broker {leader} cannot lead {place} now.")
    else:
        leader = elect(partition, partition.isr, lambda broker_id: _active(image, broker_id))
        if leader == NO_LEADER:
            raise EligibleLeadersNotAvailableError(f"No replica of {place} can lead it now.")
    return PartitionChangeRecord(
        partition_id=place.partition, topic_id=topic.topic_id, leader=leader
    )


def _active(image: MetadataImage, broker_id: int) -> bool:
    broker = image.brokers.get(broker_id)
    return broker is not None and broker.active
