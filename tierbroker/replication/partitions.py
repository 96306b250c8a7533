"""All partitions that this broker holds, kept in step with the metadata image.

The only place that makes or drops a `Partition`. It follows changes that are committed already:
nothing is decided here.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tierbroker.base.errors import UnknownTopicOrPartitionError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.image import (
    MetadataImage,
    PartitionImage,
    ResourceType,
    TopicImage,
)
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.log import Log
from tierbroker.hot.log_manager import LogManager
from tierbroker.replication.partition import Appender, Partition

if TYPE_CHECKING:
    from tierbroker.replication.tiering import ColdTier

logger = logging.getLogger(__name__)

Placement = tuple[Uuid, int, Uuid]
"""(topic id, partition, id of the log directory that holds the replica)."""


class Partitions:
    """The replicas on this broker, by topic and partition. Loop thread only."""

    def __init__(
        self,
        broker_id: int,
        logs: LogManager,
        topic_configs: TopicConfigs,
        appender: Appender,
        flusher: GroupFlusher,
    ) -> None:
        self._broker_id = broker_id
        self._logs = logs
        self._topic_configs = topic_configs
        self._appender = appender
        self._flusher = flusher
        self.cold_tier: ColdTier | None = None
        """Set before `load` on a broker that has one."""
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._image = MetadataImage()
        self._unreported: list[Placement] = []
        self._without_log: set[Partition] = set()

    def __len__(self) -> int:
        return len(self._partitions)

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._partitions.values())

    def get(self, topic: str, index: int) -> Partition:
        """The replica held here; raises UnknownTopicOrPartitionError."""
        partition = self._partitions.get((topic, index))
        if partition is None:
            raise UnknownTopicOrPartitionError(f"{topic}-{index} is not on this broker")
        return partition

    def find(self, place: TopicPartition) -> Partition | None:
        """The replica held here, if there is one."""
        return self._partitions.get(place)

    def topic_name(self, topic_id: Uuid) -> str | None:
        """The name of the topic with that id."""
        topic = self._image.topic_by_id(topic_id)
        return None if topic is None else topic.name

    def take_unreported(self) -> list[Placement]:
        """Replicas that lie in another directory than the metadata says, each told once."""
        placements, self._unreported = self._unreported, []
        return placements

    def load(self, image: MetadataImage) -> None:
        """Take up every partition that the image places here; their logs are open already."""
        self._image = image
        for topic in image.topics:
            for index in range(len(topic.partitions)):
                self._take_up(topic, index, is_new=False)

    def follow(self, changes: Changes, image: MetadataImage) -> Iterator[None]:
        """Follow one committed change of the metadata; yields after each piece of work, so that
        the loop can have a turn. The next change comes when this one has been followed whole."""
        self._image = image
        for topic in changes.topics_deleted:
            for index in range(len(topic.partitions)):
                self._drop(topic, index)
                yield
        for topic in changes.topics_created:
            for index in range(len(topic.partitions)):
                self._take_up(topic, index)
                yield
        for change in changes.partitions_changed:
            self._take_up(change.topic, change.partition)
            yield
        for kind, name in changes.configs_changed:
            if kind == ResourceType.TOPIC:
                self._reconfigure(name)
                yield

    def make_missing_logs(self) -> None:
        """Try again for the new partitions whose logs could not be made; once a second."""
        if not self._without_log or not self._logs.has_room:
            return
        self.attach_logs([partition.topic_partition for partition in self._without_log])

    def attach_logs(self, places: Iterable[TopicPartition]) -> None:
        """Let those of the partitions have their logs that can have them by now."""
        for place in places:
            partition = self._partitions.get(place)
            if partition not in self._without_log or place in self._logs.pending:
                continue
            topic = self._image.topic_by_id(partition.topic_id)
            assert topic is not None, "a partition without a topic is dropped"
            log = self._open(place, partition.topic_id)
            if log is None:
                continue
            self._without_log.remove(partition)
            self._hand_over(partition, log)
            self._note_directory(partition, topic.partitions[place.partition])

    def _take_up(self, topic: TopicImage, index: int, *, is_new: bool = True) -> None:
        registered = topic.partitions[index]
        if self._broker_id not in registered.replicas:
            return
        place = TopicPartition(topic.name, index)
        partition = self._partitions.get(place)
        if partition is None:
            held_in = registered.directories[registered.replicas.index(self._broker_id)]
            log = self._open(place, topic.topic_id, None if is_new else held_in)
            partition = self._make(place, topic.topic_id, log)
            self._partitions[place] = partition
            if log is None and place not in self._logs.failed:
                self._without_log.add(partition)
            self._note_directory(partition, registered)
        self._follow(partition, registered)
        if is_new and partition.log is not None and partition.log.has_unflushed:
            # Not for anybody's acknowledgement, but a file that waits for its first flush keeps
            # its descriptor open, and thousands of empty partitions would use them all up.
            self._flusher.request(partition.log)

    def _make(self, place: TopicPartition, topic_id: Uuid, log: Log | None) -> Partition:
        if self.cold_tier is None:
            return Partition(place, topic_id, log, self._appender, self._flusher)
        partition = Partition(place, topic_id, None, self._appender, self._flusher)
        partition.cold = self.cold_tier.part_of(place, topic_id)
        if log is not None:
            self._hand_over(partition, log)
        return partition

    def _hand_over(self, partition: Partition, log: Log) -> None:
        """The log, unless the cold tier has what should be in it: then when it has caught up."""
        cold = self.cold_tier
        index = partition.topic_partition.partition
        if cold is not None and cold.is_ahead(partition.topic_id, index, log):
            cold.catch_up(partition, log)
        else:
            partition.take_log(log)

    def _note_directory(self, partition: Partition, registered: PartitionImage) -> None:
        if partition.log is None:
            return
        partition.log_dir = self._logs.log_dir_of(partition.log)
        held = partition.log_dir.directory_id
        if registered.directories[registered.replicas.index(self._broker_id)] != held:
            index = partition.topic_partition.partition
            self._unreported.append((partition.topic_id, index, held))

    def _open(
        self, place: TopicPartition, topic_id: Uuid, held_in: Uuid | None = None
    ) -> Log | None:
        texts = self._image.configs.topic(place.topic)
        config = self._topic_configs.log_config(texts)
        return self._logs.get_or_create(place, topic_id, config, held_in)

    def _follow(self, partition: Partition, registered: PartitionImage) -> None:
        partition.in_sync_replicas = len(registered.isr)
        partition.replica_count = len(registered.replicas)
        if registered.leader == self._broker_id:
            partition.become_leader(registered.leader_epoch)
        elif partition.is_leader:
            partition.retire()

    def _drop(self, topic: TopicImage, index: int) -> None:
        partition = self._partitions.get((topic.name, index))
        if partition is None or partition.topic_id != topic.topic_id:
            return
        del self._partitions[topic.name, index]
        self._without_log.discard(partition)
        partition.retire()
        self._logs.delete_log(partition.topic_partition)

    def _reconfigure(self, topic_name: str) -> None:
        topic = self._image.topic(topic_name)
        if topic is None:
            return
        config = self._topic_configs.log_config(self._image.configs.topic(topic_name))
        for index in range(len(topic.partitions)):
            partition = self._partitions.get((topic_name, index))
            if partition is None:
                continue
            # A log that is catching up with the cold tier is not the partition's yet.
            log = partition.log or self._logs.get(partition.topic_partition)
            if log is not None:
                log.config = config
            if partition.log is not None and self.cold_tier is not None:
                self.cold_tier.settings_changed(partition)
