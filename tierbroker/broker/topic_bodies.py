"""Topics as answers to Metadata name them, packed and kept for as long as they stay as they are.

A client that knows many topics asks for all of them again every few minutes, and so does every
other client: packing 10,000 partitions anew for each would hold up everybody else. What is kept
is bounded: the topics of the present image, in the few variants that were asked for last.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tierbroker.base.ids import Uuid
from tierbroker.controller.state.image import MetadataImage, PartitionImage, TopicImage
from tierbroker.controller.state.topics import INTERNAL_TOPICS
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.metadata import PartitionRow, TopicHead, pack_topic

KEPT_VARIANTS = 4
_SLACK_TOPICS = 64
_RESERVED_DIRECTORIES = 100
"""Ids below stand for directories that nobody has named yet (Kafka: DirectoryId)."""


class Disks(NamedTuple):
    """The log directories that work, of one broker."""

    broker_id: int
    directories: frozenset[Uuid]

    def has_lost(self, partition: PartitionImage) -> bool:
        """Whether the broker's replica lies where it cannot be read or written any more."""
        for replica, directory in zip(partition.replicas, partition.directories, strict=True):
            if replica == self.broker_id:
                known = int.from_bytes(directory, "big") >= _RESERVED_DIRECTORIES
                return known and directory not in self.directories
        return False

    def reached(self, partition: PartitionImage, brokers: frozenset[int]) -> frozenset[int]:
        """Those of the brokers that serve the partition, if it is theirs."""
        return brokers - {self.broker_id} if self.has_lost(partition) else brokers


class Variant(NamedTuple):
    """All that the packed form depends on beside the topic."""

    version: int
    operations: int
    """Authorized operations to be told."""
    reachable: frozenset[int]
    """Brokers that the listener's clients can connect to."""
    disks: Disks


class TopicBodies:
    """The packed topics. Loop thread only."""

    def __init__(self) -> None:
        self._variants: dict[Variant, dict[Uuid, tuple[TopicImage, bytes]]] = {}

    def pack(
        self, image: MetadataImage, topics: Iterable[TopicImage | TopicHead], variant: Variant
    ) -> list[bytes]:
        """Each topic of that image, in the order given, and heads of topics that it has not. A
        topic image is immutable, so one that is the same object needs no packing."""
        kept = self._variants.pop(variant, None)
        if kept is None:
            kept = {}
            if len(self._variants) >= KEPT_VARIANTS:
                del self._variants[next(iter(self._variants))]
        self._variants[variant] = kept  # the last one: those asked for long ago are at the front
        bodies = []
        for topic in topics:
            if isinstance(topic, TopicHead):
                bodies.append(pack_topic(variant.version, topic))
                continue
            entry = kept.get(topic.topic_id)
            if entry is None or entry[0] is not topic:
                entry = kept[topic.topic_id] = topic, _packed(topic, variant)
            bodies.append(entry[1])
        if len(kept) > 2 * len(image.topics) + _SLACK_TOPICS:
            self._variants[variant] = {
                topic_id: entry
                for topic_id, entry in kept.items()
                if image.topic_by_id(topic_id) is entry[0]
            }
        return bodies

    def __len__(self) -> int:
        """Packed topics held, all variants together."""
        return sum(map(len, self._variants.values()))


def _packed(topic: TopicImage, variant: Variant) -> bytes:
    head = TopicHead(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.name in INTERNAL_TOPICS,
        operations=variant.operations,
    )
    rows = [_row(partition, variant) for partition in topic.partitions]
    return pack_topic(variant.version, head, rows)


def _row(partition: PartitionImage, variant: Variant) -> PartitionRow:
    """A leader whom the listener's clients cannot reach is none to them, nor one without disk."""
    leader, replicas = partition.leader, partition.replicas
    reachable = variant.disks.reached(partition, variant.reachable)
    error = ErrorCode.NONE
    if leader not in reachable:
        hidden = leader >= 0 and leader not in variant.reachable
        error = ErrorCode.LISTENER_NOT_FOUND if hidden else ErrorCode.LEADER_NOT_AVAILABLE
        leader = -1
    offline = (
        ()
        if reachable.issuperset(replicas)
        else tuple(replica for replica in replicas if replica not in reachable)
    )
    return PartitionRow(error, leader, partition.leader_epoch, replicas, partition.isr, offline)
