"""Who leads instead: hints beside NOT_LEADER and FENCED errors (KIP-951)."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from tierbroker.base.errors import ApiError, FencedLeaderEpochError, NotLeaderOrFollowerError
from tierbroker.broker.services import BrokerServices
from tierbroker.controller.state.image import Endpoint
from tierbroker.replication.partition import Partition


class LeaderIdAndEpoch(Protocol):
    """The tagged field that names a leader."""

    leader_id: int
    leader_epoch: int


Hint = TypeVar("Hint", bound=LeaderIdAndEpoch)


def leader_hint(
    broker: BrokerServices,
    partition: Partition,
    error: ApiError,
    make: Callable[[int, int], Hint],
) -> Hint | None:
    """The present leader, if the error is about leadership and one is known."""
    if not isinstance(error, NotLeaderOrFollowerError | FencedLeaderEpochError):
        return None
    name, index = partition.topic_partition
    topic = broker.image.topic(name)
    if topic is None or index >= len(topic.partitions):
        return None
    registered = topic.partitions[index]
    return make(registered.leader, registered.leader_epoch)


def hinted_endpoints(
    broker: BrokerServices, listener: str, hints: Iterable[LeaderIdAndEpoch | None]
) -> list[tuple[int, Endpoint]]:
    """Where the hinted leaders are reached through this listener, each named once."""
    leaders = {hint.leader_id for hint in hints if hint is not None and hint.leader_id >= 0}
    return [
        (leader, endpoint)
        for leader in sorted(leaders)
        if (endpoint := broker.endpoint_of(leader, listener)) is not None
    ]
