"""What a delta did to an image, for those who act on it."""

from dataclasses import dataclass

from tierbroker.base.frozen_map import PartitionKey
from tierbroker.controller.state.image import ConfigResource, PartitionImage, TopicImage


@dataclass(frozen=True, slots=True)
class PartitionChange:
    """A partition of a topic that existed before: new (`before` is None) or changed."""

    topic: TopicImage
    partition: int
    before: PartitionImage | None

    @property
    def after(self) -> PartitionImage:
        """The partition as it is now."""
        return self.topic.partitions[self.partition]


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two images. A topic that came and went in between is not named.

    A topic deleted and made again under its name is in both lists, with its two ids.
    """

    topics_created: tuple[TopicImage, ...] = ()
    topics_deleted: tuple[TopicImage, ...] = ()
    partitions_changed: tuple[PartitionChange, ...] = ()
    configs_changed: frozenset[ConfigResource] = frozenset()
    brokers_changed: frozenset[int] = frozenset()
    """Registered, changed or unregistered."""
    features_changed: frozenset[str] = frozenset()
    producer_ids_changed: bool = False
    tier_changed: frozenset[PartitionKey] = frozenset()
    """Partitions (topic id, number) of whose objects something was said, also deleted ones."""
    tier_checkpointed: bool = False
    """A newer bucket checkpoint is durable."""
