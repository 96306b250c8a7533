"""An image as records, and back: the content of a metadata snapshot.

The order is fixed, so that equal images give equal snapshots: features first (the reader needs
metadata.version), then brokers, topics with their partitions, configurations, the rest, and
the object tier last.
"""

from collections.abc import Iterable, Iterator

from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.records.partition_record import PartitionRecord
from tierbroker.controller.records.producer_ids_record import ProducerIdsRecord
from tierbroker.controller.records.register_broker_record import (
    BrokerEndpoint,
    BrokerFeature,
    RegisterBrokerRecord,
)
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import (
    METADATA_VERSION,
    BrokerImage,
    ConfigsImage,
    MetadataImage,
    PartitionImage,
    ResourceType,
    TopicImage,
)
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.controller.state.tier_record import tier_record


def image_records(image: MetadataImage) -> Iterator[MetadataRecord]:
    """The records that rebuild the image, one after the other; may be read slowly."""
    levels = image.features.levels
    if METADATA_VERSION in levels:
        yield FeatureLevelRecord(METADATA_VERSION, levels[METADATA_VERSION])
    for name in sorted(levels.keys() - {METADATA_VERSION}):
        yield FeatureLevelRecord(name, levels[name])
    for broker_id in sorted(image.brokers):
        yield register_broker_record(image.brokers[broker_id])
    for name in sorted(image.topics.by_name):
        yield from topic_records(image.topics.by_name[name])
    yield from _config_records(image.configs)
    if image.producer_ids.next_producer_id > 0:
        yield ProducerIdsRecord(-1, -1, image.producer_ids.next_producer_id)
    for kind in sorted(image.retained.by_kind):
        records = image.retained.by_kind[kind]
        for key in sorted(records, key=repr):
            yield records[key]
    for event in image.tier.snapshot_events():
        yield tier_record(event)


def image_of_records(
    records: Iterable[MetadataRecord], offset: int = -1, epoch: int = 0
) -> MetadataImage:
    """The image that the records describe, as of `offset`; raises MetadataCorruptError."""
    delta = MetadataDelta(MetadataImage())
    for record in records:
        delta.replay(record)
    image, _ = delta.finish(offset, epoch)
    return image


def register_broker_record(broker: BrokerImage) -> RegisterBrokerRecord:
    """The record that registers a broker as it is."""
    cordoned = broker.cordoned_log_dirs
    return RegisterBrokerRecord(
        broker_id=broker.broker_id,
        incarnation_id=broker.incarnation_id,
        broker_epoch=broker.epoch,
        end_points=[
            BrokerEndpoint(point.name, point.host, point.port, point.security_protocol)
            for point in broker.endpoints
        ],
        features=[
            BrokerFeature(name, versions.min, versions.max) for name, versions in broker.features
        ],
        rack=broker.rack,
        fenced=broker.fenced,
        in_controlled_shutdown=broker.in_controlled_shutdown,
        log_dirs=list(broker.log_dirs),
        cordoned_log_dirs=None if cordoned is None else list(cordoned),
    )


def topic_records(topic: TopicImage) -> Iterator[MetadataRecord]:
    """The records that make a topic with its partitions."""
    yield TopicRecord(topic.name, topic.topic_id)
    for number, partition in enumerate(topic.partitions):
        yield partition_record(topic, number, partition)


def partition_record(topic: TopicImage, number: int, partition: PartitionImage) -> PartitionRecord:
    """The record that makes a partition as it is."""
    return PartitionRecord(
        partition_id=number,
        topic_id=topic.topic_id,
        replicas=list(partition.replicas),
        isr=list(partition.isr),
        removing_replicas=list(partition.removing_replicas),
        adding_replicas=list(partition.adding_replicas),
        leader=partition.leader,
        leader_recovery_state=partition.leader_recovery_state,
        leader_epoch=partition.leader_epoch,
        partition_epoch=partition.partition_epoch,
        directories=list(partition.directories),
        eligible_leader_replicas=list(partition.eligible_leader_replicas) or None,
        last_known_elr=list(partition.last_known_elr) or None,
    )


def _config_records(configs: ConfigsImage) -> Iterator[ConfigRecord]:
    topic = int(ResourceType.TOPIC)
    for resource in sorted(configs.others):
        for name, value in sorted(configs.others[resource].items()):
            yield ConfigRecord(resource[0], resource[1], name, value)
    for topic_name in sorted(configs.topics):
        for name, value in sorted(configs.topics[topic_name].items()):
            yield ConfigRecord(topic, topic_name, name, value)
