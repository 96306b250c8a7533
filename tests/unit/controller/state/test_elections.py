"""Deciding on elections that somebody asks for."""

import pytest

from tests.metadata_cluster import applied, cluster, with_topic
from tierbroker.base.errors import (
    ApiError,
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    InvalidRequestError,
    PreferredLeaderNotAvailableError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import TopicPartition
from tierbroker.controller.state.brokers import fence_broker, unfence_broker
from tierbroker.controller.state.elections import ElectionType, elect_leaders
from tierbroker.controller.state.image import NO_LEADER, MetadataImage

PREFERRED, UNCLEAN = ElectionType
FIRST = TopicPartition("t", 0)


def image_with(*fenced: int, back: int | None = None) -> MetadataImage:
    """t-0 is on brokers 1 and 2, t-1 on broker 2 alone; some are fenced, and one is back."""
    image = with_topic(cluster(1, 2), "t", (1, 2), (2,))
    for broker_id in fenced:
        image = applied(image, fence_broker(image, broker_id, image.brokers[broker_id].epoch))
    if back is not None:
        image = applied(image, unfence_broker(image, back, image.brokers[back].epoch))
    return image


def leaders(image: MetadataImage) -> list[int]:
    topic = image.topic("t")
    assert topic is not None
    return [partition.leader for partition in topic.partitions]


def error_of(image: MetadataImage, kind: int, place: TopicPartition) -> ApiError | None:
    result = elect_leaders(image, kind, [place])
    (outcome,) = result.response
    assert (outcome.error is None) == bool(result.records)
    return outcome.error


@pytest.mark.parametrize("kind", [PREFERRED, UNCLEAN])
def test_a_leader_that_is_there_stays(kind: int) -> None:
    assert isinstance(error_of(image_with(), kind, FIRST), ElectionNotNeededError)


@pytest.mark.parametrize(
    "place", [TopicPartition("nowhere", 0), TopicPartition("t", 2), TopicPartition("t", -1)]
)
def test_a_partition_that_is_not_there(place: TopicPartition) -> None:
    assert isinstance(error_of(image_with(), PREFERRED, place), UnknownTopicOrPartitionError)


def test_a_preferred_leader_that_is_not_in_sync_again() -> None:
    image = image_with(1)
    assert leaders(image) == [2, 2]
    assert isinstance(error_of(image, PREFERRED, FIRST), PreferredLeaderNotAvailableError)
    assert isinstance(error_of(image, UNCLEAN, FIRST), ElectionNotNeededError)
    back = image_with(1, back=1)
    assert isinstance(error_of(back, PREFERRED, FIRST), PreferredLeaderNotAvailableError)


def test_nobody_is_left() -> None:
    image = image_with(1, 2)
    assert leaders(image) == [NO_LEADER, NO_LEADER]
    assert isinstance(error_of(image, UNCLEAN, FIRST), EligibleLeadersNotAvailableError)
    assert isinstance(error_of(image, PREFERRED, FIRST), PreferredLeaderNotAvailableError)


def test_of_all_partitions_those_in_need_are_told() -> None:
    assert elect_leaders(image_with(), PREFERRED, None).response == []
    (outcome,) = elect_leaders(image_with(1), PREFERRED, None).response
    assert outcome.place == FIRST


def test_a_type_that_nobody_knows() -> None:
    with pytest.raises(InvalidRequestError):
        elect_leaders(image_with(), 7, None)
