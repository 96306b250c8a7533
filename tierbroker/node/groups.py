"""The group coordinator of a node: bound to its topic, and following who leads it."""

import random
from dataclasses import replace

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.scheduler import Scheduler
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.replication.internal_topics import InternalTopic
from tierbroker.replication.partitions import Partitions


def make_coordinator(
    values: ConfigValues,
    image: MetadataImage,
    partitions: Partitions,
    clock: Clock,
    rng: random.Random,
    scheduler: Scheduler,
) -> GroupCoordinator:
    """The coordinator of all groups whose partition of `__consumer_offsets` this broker leads.

    A topic that exists decides how many partitions there are, as in Kafka, whatever
    offsets.topic.num.partitions says now. The timers are its own: when a broker stops, nobody's
    session ends by that.
    """
    config = GroupConfig.from_values(values)
    topic = image.topic(OFFSETS_TOPIC)
    if topic is not None:
        config = replace(config, offsets_partitions=len(topic.partitions))
    records = InternalTopic(OFFSETS_TOPIC, partitions, clock)
    timers = Deadlines(scheduler, clock)
    return GroupCoordinator(config, records, records, timers, clock, rng, scheduler.call_soon)


class GroupsOfTheBroker:
    """The coordinator as its topic's follower sees it: groups do not care for leader epochs."""

    def __init__(self, coordinator: GroupCoordinator) -> None:
        self._coordinator = coordinator

    def load(self, partition: int, leader_epoch: int) -> None:
        """Serve the groups of the partition."""
        self._coordinator.load(partition)

    def unload(self, partition: int) -> None:
        """Another broker serves them."""
        self._coordinator.unload(partition)


def forget_deleted_topics(coordinator: GroupCoordinator, changes: Changes) -> None:
    """The offsets of deleted topics go."""
    deleted = {topic.name: topic.topic_id for topic in changes.topics_deleted}
    if deleted:
        coordinator.forget_topics(deleted)
