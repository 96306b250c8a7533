"""Which brokers hold the replicas of new partitions. Pure, given the random source.

The leaders of consecutive partitions go round the brokers from a random one on, the followers are
the next ones, and a growing shift keeps two partitions from sharing all of their brokers. Racks
are interleaved first, so that the replicas of a partition lie in as many of them as there are.
Fenced brokers are used when the others do not suffice, but never to lead.
"""

import random
from collections.abc import Iterable, Mapping
from itertools import zip_longest

from tierbroker.base.errors import InvalidReplicationFactorError
from tierbroker.controller.state.image import BrokerImage


def place_partitions(
    brokers: Mapping[int, BrokerImage],
    *,
    count: int,
    replication_factor: int,
    start_partition: int,
    rng: random.Random,
) -> list[tuple[int, ...]]:
    """The replicas of `count` partitions, the preferred leader first.

    Raises InvalidReplicationFactorError when there are too few brokers, or none that can lead.
    """
    usable = [broker for broker in brokers.values() if not broker.in_controlled_shutdown]
    if replication_factor > len(usable):
        raise InvalidReplicationFactorError(
            f"The replication factor is {replication_factor}, but"
            f" {len(usable)} broker(s) are registered"
        )
    leaders = _interleaved(broker for broker in usable if not broker.fenced)
    fenced = _interleaved(broker for broker in usable if broker.fenced)
    if not leaders:
        raise InvalidReplicationFactorError("All brokers are fenced; none can lead a partition")
    first = rng.randrange(len(leaders))
    placed = []
    for number in range(start_partition, start_partition + count):
        lead = (first + number) % len(leaders)
        order = leaders[lead + 1 :] + leaders[:lead]
        if order:
            shift = (number // len(leaders)) % len(order)
            order = order[shift:] + order[:shift]
        placed.append((leaders[lead], *order, *fenced)[:replication_factor])
    return placed


def _interleaved(brokers: Iterable[BrokerImage]) -> list[int]:
    """Broker ids with those of one rack as far apart as possible."""
    racks: dict[str, list[int]] = {}
    for broker in sorted(brokers, key=lambda each: each.broker_id):
        racks.setdefault(broker.rack or "", []).append(broker.broker_id)
    rounds = zip_longest(*(racks[rack] for rack in sorted(racks)))
    return [broker_id for members in rounds for broker_id in members if broker_id is not None]
