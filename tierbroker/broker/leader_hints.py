"""Who leads instead: hints beside NOT_LEADER and FENCED errors (KIP-951)."""

from collections.abc import Iterable
from typing import Protocol

from tierbroker.base.errors import ApiError, FencedLeaderEpochError, NotLeaderOrFollowerError
from tierbroker.broker.services import BrokerServices
from tierbroker.controller.state.image import Endpoint
from tierbroker.replication.partition import Partition


class LeaderIdAndEpoch(Protocol):
    """The tagged field that names a leader; -1 while it names none."""

    leader_id: int
    leader_epoch: int


class HasCurrentLeader(Protocol):
    """The part of an answer that may name the leader."""

    @property
    def current_leader(self) -> LeaderIdAndEpoch: ...


def add_leader_hint(
    broker: BrokerServices, partition: Partition, error: ApiError, answer: HasCurrentLeader
) -> None:
    """Name the present leader in the answer, if the error is about leadership and one is known."""
    if not isinstance(error, NotLeaderOrFollowerError | FencedLeaderEpochError):
        return
    name, index = partition.topic_partition
    topic = broker.image.topic(name)
    if topic is not None and index < len(topic.partitions):
        registered = topic.partitions[index]
        answer.current_leader.leader_id = registered.leader
        answer.current_leader.leader_epoch = registered.leader_epoch


def hinted_endpoints(
    broker: BrokerServices, listener: str, answers: Iterable[HasCurrentLeader]
) -> list[tuple[int, Endpoint]]:
    """Where the hinted leaders are reached through this listener, each named once."""
    leaders = {answer.current_leader.leader_id for answer in answers}
    return [
        (leader, endpoint)
        for leader in sorted(leaders)
        if leader >= 0 and (endpoint := broker.endpoint_of(leader, listener)) is not None
    ]
