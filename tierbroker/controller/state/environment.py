"""What a decider may know beside the image: settings, the schema of configurations, chance.

Everything a decision depends on is in the image, in the request, or in here, so that a decision
can be repeated.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tierbroker.base.config import ConfigSchema


@dataclass(frozen=True, slots=True)
class Environment:
    """The fixed part of a decision's surroundings."""

    schema: ConfigSchema
    rng: random.Random
    default_partitions: int = 1
    """num.partitions"""
    default_replication_factor: int = 1
    """default.replication.factor"""
    max_partitions_per_request: int = 10_000
    """New partitions of one request (ReplicationControlManager in Kafka)."""
    check_topic: Callable[[Mapping[str, str], Mapping[str, str]], object] | None = None
    """Raises InvalidConfigError for settings of a topic that contradict each other, that no broker
    can carry out, or that cannot follow the ones before (none for a new topic); each has been
    parsed by the schema before."""
    complete_topic: Callable[[str, Mapping[str, str]], Mapping[str, str]] | None = None
    """What a new topic of that name gets set beside what is asked for."""
    dynamic_broker_keys: frozenset[str] = frozenset()
    """Broker keys that may be set while brokers run; the others are read-only."""
