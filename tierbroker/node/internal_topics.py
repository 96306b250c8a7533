"""Tells a coordinator which partitions of its internal topic this broker leads.

A partition whose log could not be made (a full disk, no descriptor left) gets it later: whoever
could not load from it then loads once more.
"""

from typing import Protocol

from tierbroker.base.ids import TopicPartition
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.image import MetadataImage
from tierbroker.replication.partition import Partition
from tierbroker.replication.partitions import Partitions


class Coordinator(Protocol):
    """What keeps its state in the partitions of an internal topic."""

    def load(self, partition: int, leader_epoch: int) -> None:
        """This broker leads the partition from now on, or leads it in a newer epoch."""

    def unload(self, partition: int) -> None:
        """Another broker leads the partition, or it is gone."""


class InternalTopicFollower:
    """Follows the metadata of one internal topic; nothing is decided here."""

    def __init__(self, topic: str, coordinator: Coordinator, partitions: Partitions) -> None:
        self._topic = topic
        self._coordinator = coordinator
        self._partitions = partitions
        self._loaded: dict[int, int] = {}
        """Leader epoch of each partition that the coordinator has."""

    def load(self, image: MetadataImage) -> None:
        """Take up what the image places here."""
        topic = image.topic(self._topic)
        if topic is not None:
            for index in range(len(topic.partitions)):
                self._follow(index)

    def apply(self, changes: Changes, image: MetadataImage) -> None:
        """Follow one committed change; `partitions` has followed it already."""
        if any(topic.name == self._topic for topic in changes.topics_deleted):
            for index in sorted(self._loaded):
                self._coordinator.unload(index)
            self._loaded.clear()
        if any(topic.name == self._topic for topic in changes.topics_created):
            self.load(image)
        for change in changes.partitions_changed:
            if change.topic.name == self._topic:
                self._follow(change.partition)

    def wake(self, partition: Partition) -> None:
        """A partition that had no log when it was loaded has news: its log, or its end."""
        if partition.log is None and partition.is_leader:
            return
        partition.waiters.discard(self)
        place = partition.topic_partition
        if partition.is_leader and self._partitions.find(place) is partition:
            if self._loaded.pop(place.partition, None) is not None:
                self._coordinator.unload(place.partition)
            self._follow(place.partition)

    def _follow(self, index: int) -> None:
        partition = self._partitions.find(TopicPartition(self._topic, index))
        if partition is not None and partition.is_leader:
            if partition.log is None:
                partition.waiters.add(self)
            if self._loaded.get(index) != partition.leader_epoch:
                self._loaded[index] = partition.leader_epoch
                self._coordinator.load(index, partition.leader_epoch)
        elif self._loaded.pop(index, None) is not None:
            self._coordinator.unload(index)
