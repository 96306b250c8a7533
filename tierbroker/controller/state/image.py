"""The cluster's metadata at one offset of the metadata log: immutable, shared, safe to keep.

An image is only ever made from another one by a delta. Everybody reads the image that is current
when they start and may keep it as long as they like. Nothing here knows how records are written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from tierbroker.base.frozen_map import FrozenMap
from tierbroker.base.ids import Uuid
from tierbroker.records.tier.state import TierState

NO_LEADER = -1
METADATA_VERSION = "metadata.version"

# Reserved directory ids (org.apache.kafka.common.DirectoryId).
MIGRATING_DIRECTORY = Uuid(bytes(16))
UNASSIGNED_DIRECTORY = Uuid(bytes(15) + b"\x01")
LOST_DIRECTORY = Uuid(bytes(15) + b"\x02")

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    return _NOTHING


class ResourceType(IntEnum):
    """What a configuration belongs to (org.apache.kafka.common.config.ConfigResource.Type)."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class LeaderRecoveryState(IntEnum):
    """Whether the leader was elected cleanly (KIP-704)."""

    RECOVERED = 0
    RECOVERING = 1


@dataclass(frozen=True, slots=True)
class PartitionImage:
    """Who holds a partition and who leads it. Broker ids throughout."""

    replicas: tuple[int, ...]
    directories: tuple[Uuid, ...]
    """The log directory of each replica, in the order of `replicas`."""
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    removing_replicas: tuple[int, ...] = ()
    adding_replicas: tuple[int, ...] = ()
    eligible_leader_replicas: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()
    leader_recovery_state: LeaderRecoveryState = LeaderRecoveryState.RECOVERED


@dataclass(frozen=True, slots=True)
class TopicImage:
    """A topic; partition `n` is `partitions[n]`."""

    name: str
    topic_id: Uuid
    partitions: tuple[PartitionImage, ...]


@dataclass(frozen=True, slots=True)
class TopicsImage:
    """All topics, by name and by id."""

    by_name: FrozenMap[str, TopicImage] = field(default_factory=FrozenMap)
    by_id: FrozenMap[bytes, TopicImage] = field(default_factory=FrozenMap)
    by_folded_name: FrozenMap[str, tuple[str, ...]] = field(default_factory=FrozenMap)
    """Names that contain '.' or '_', under their name with every '.' as '_': those collide."""

    def __iter__(self) -> Iterator[TopicImage]:
        return self.by_name.values()

    def __len__(self) -> int:
        return len(self.by_name)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a listener can be reached; `security_protocol` is Kafka's id (0 is PLAINTEXT)."""

    name: str
    host: str
    port: int
    security_protocol: int = 0


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The levels of a feature that a node supports."""

    min: int
    max: int


@dataclass(frozen=True, slots=True)
class BrokerImage:
    """A registered broker. `epoch` is the offset of its registration."""

    broker_id: int
    epoch: int
    incarnation_id: Uuid
    endpoints: tuple[Endpoint, ...]
    features: tuple[tuple[str, VersionRange], ...]
    rack: str | None
    fenced: bool
    in_controlled_shutdown: bool
    log_dirs: tuple[Uuid, ...]
    cordoned_log_dirs: tuple[Uuid, ...] | None = None

    @property
    def active(self) -> bool:
        """It may lead and take new replicas."""
        return not self.fenced and not self.in_controlled_shutdown

    def endpoint(self, listener: str) -> Endpoint | None:
        """Its address on the listener of that name."""
        return next((point for point in self.endpoints if point.name == listener), None)


ConfigResource = tuple[int, str]
"""(resource type, resource name); the name "" of a BROKER is the cluster's default."""


@dataclass(frozen=True, slots=True)
class ConfigsImage:
    """Explicitly set configurations; defaults are not in here."""

    topics: FrozenMap[str, Mapping[str, str]] = field(default_factory=FrozenMap)
    others: Mapping[ConfigResource, Mapping[str, str]] = field(default_factory=_nothing)

    def of(self, resource_type: int, name: str) -> Mapping[str, str]:
        """What is set on one resource; empty when nothing is."""
        if resource_type == ResourceType.TOPIC:
            return self.topics.get(name, _NOTHING)
        return self.others.get((resource_type, name), _NOTHING)

    def topic(self, name: str) -> Mapping[str, str]:
        """What is set on a topic."""
        return self.topics.get(name, _NOTHING)

    def broker(self, broker_id: int) -> Mapping[str, str]:
        """What is set on a broker, without the cluster's default."""
        return self.of(ResourceType.BROKER, str(broker_id))

    def cluster_default(self) -> Mapping[str, str]:
        """What is set for all brokers."""
        return self.of(ResourceType.BROKER, "")


@dataclass(frozen=True, slots=True)
class FeaturesImage:
    """Finalized feature levels; a feature at level 0 is absent."""

    levels: Mapping[str, int] = field(default_factory=_nothing)

    @property
    def metadata_version(self) -> int:
        """The metadata.version level, 0 while the log is not bootstrapped."""
        return self.levels.get(METADATA_VERSION, 0)


@dataclass(frozen=True, slots=True)
class ProducerIdsImage:
    """The first producer id that no broker was given."""

    next_producer_id: int = 0


@dataclass(frozen=True, slots=True)
class RetainedImage:
    """Records of nouns that nothing here decides on, kept so that no snapshot loses them.

    A kind (the record's class name) maps keys to the latest record of that key.
    """

    by_kind: Mapping[str, Mapping[Any, Any]] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class MetadataImage:
    """Everything, as of `offset` (the last record contained, -1 for none) written in `epoch`."""

    offset: int = -1
    epoch: int = 0
    topics: TopicsImage = field(default_factory=TopicsImage)
    brokers: Mapping[int, BrokerImage] = field(default_factory=_nothing)
    configs: ConfigsImage = field(default_factory=ConfigsImage)
    features: FeaturesImage = field(default_factory=FeaturesImage)
    producer_ids: ProducerIdsImage = field(default_factory=ProducerIdsImage)
    retained: RetainedImage = field(default_factory=RetainedImage)
    tier: TierState = field(default_factory=TierState)

    def at(self, offset: int, epoch: int) -> "MetadataImage":
        """The same content as of a later offset (control records change no content)."""
        assert offset >= self.offset, f"an image only moves forward: {offset} < {self.offset}"
        return replace(self, offset=offset, epoch=epoch)

    def topic(self, name: str) -> TopicImage | None:
        """The topic of that name."""
        return self.topics.by_name.get(name)

    def topic_by_id(self, topic_id: Uuid) -> TopicImage | None:
        """The topic of that id."""
        return self.topics.by_id.get(topic_id)
