"""The group coordinator of a node: bound to its topic, and following who leads it."""

import random
from dataclasses import replace

from tierbroker.base.clock import Clock
from tierbroker.base.config import ConfigValues
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.ids import TopicPartition
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


class OffsetsTopicFollower:
    """Tells the coordinator which partitions it has; nothing is decided here."""

    def __init__(self, coordinator: GroupCoordinator, partitions: Partitions) -> None:
        self._coordinator = coordinator
        self._partitions = partitions
        self._loaded: set[int] = set()

    def load(self, image: MetadataImage) -> None:
        """Take up what the image places here."""
        topic = image.topic(OFFSETS_TOPIC)
        if topic is not None:
            for index in range(len(topic.partitions)):
                self._follow(index)

    def apply(self, changes: Changes, image: MetadataImage) -> None:
        """Follow one committed change; `partitions` has followed it already."""
        deleted = {topic.name: topic.topic_id for topic in changes.topics_deleted}
        if OFFSETS_TOPIC in deleted:
            for index in sorted(self._loaded):
                self._coordinator.unload(index)
            self._loaded.clear()
        if any(topic.name == OFFSETS_TOPIC for topic in changes.topics_created):
            self.load(image)
        for change in changes.partitions_changed:
            if change.topic.name == OFFSETS_TOPIC:
                self._follow(change.partition)
        if deleted:
            self._coordinator.forget_topics(deleted)

    def _follow(self, index: int) -> None:
        partition = self._partitions.find(TopicPartition(OFFSETS_TOPIC, index))
        leads = partition is not None and partition.is_leader
        if leads and index not in self._loaded:
            self._loaded.add(index)
            self._coordinator.load(index)
        elif not leads and index in self._loaded:
            self._loaded.remove(index)
            self._coordinator.unload(index)
