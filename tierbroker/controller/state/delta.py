"""Applying metadata records to an image: the one place where a record gets its meaning.

A delta is made on an image, fed records in log order, and finished into the next image and a
description of what changed. It must never decide anything: what the log says, happened.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tierbroker.base.ids import Uuid
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.image import (
    BrokerImage,
    ConfigResource,
    ConfigsImage,
    Endpoint,
    FeaturesImage,
    MetadataImage,
    ProducerIdsImage,
    ResourceType,
    RetainedImage,
    VersionRange,
)
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.controller.state.tier_record import tier_event
from tierbroker.controller.state.topics_delta import TopicsDelta
from tierbroker.records.tier.errors import TierContradictionError
from tierbroker.records.tier.state import TierDelta, TierState


class MetadataDelta:
    """Edits on top of one image. Raises MetadataCorruptError for a record that cannot be meant."""

    def __init__(self, base: MetadataImage) -> None:
        self._base = base
        self._offset = base.offset
        self._topics = TopicsDelta(base.topics)
        self._tier = TierDelta(base.tier)
        self._brokers: dict[int, BrokerImage | None] = {}
        self._configs: dict[ConfigResource, dict[str, str]] = {}
        self._features: dict[str, int] = {}
        self._next_producer_id: int | None = None
        self._retained: dict[str, dict[Any, MetadataRecord]] = {}

    def replay(self, record: MetadataRecord, offset: int | None = None) -> None:
        """Apply the record at `offset`; by default at the one after the record before."""
        self._offset = self._offset + 1 if offset is None else offset
        kind = type(record).__name__
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise MetadataCorruptError(f"a {kind} has no place here")
        try:
            handler(self, record)
        except TierContradictionError as error:
            raise MetadataCorruptError(str(error)) from error

    def finish(self, offset: int, epoch: int) -> tuple[MetadataImage, Changes]:
        """The image as of `offset`, and what changed. The delta must not be used afterwards."""
        base = self._base
        changes = Changes(
            brokers_changed=frozenset(self._brokers),
            configs_changed=frozenset(self._configs),
            features_changed=frozenset(self._features),
            producer_ids_changed=self._next_producer_id is not None,
        )
        tier = self._finish_tier()
        if tier is not base.tier:
            changes = replace(
                changes,
                tier_changed=self._tier.changed,
                tier_checkpointed=tier.checkpoint != base.tier.checkpoint,
            )
        topics = base.topics
        if not self._topics.empty:
            topics, created, deleted, partitions = self._topics.finish()
            changes = replace(
                changes,
                topics_created=created,
                topics_deleted=deleted,
                partitions_changed=tuple(partitions),
            )
        image = MetadataImage(
            offset=offset,
            epoch=epoch,
            topics=topics,
            brokers=_edited(base.brokers, self._brokers),
            configs=self._finish_configs(),
            features=self._finish_features(),
            producer_ids=self._finish_producer_ids(),
            retained=self._finish_retained(),
            tier=tier,
        )
        return image, changes

    def _finish_configs(self) -> ConfigsImage:
        if not self._configs:
            return self._base.configs
        topics: dict[str, Mapping[str, str]] = {}
        gone: list[str] = []
        others: dict[ConfigResource, Mapping[str, str]] = dict(self._base.configs.others)
        for resource, values in self._configs.items():
            kind, name = resource
            if kind == ResourceType.TOPIC:
                if values:
                    topics[name] = values
                else:
                    gone.append(name)
            elif values:
                others[resource] = values
            else:
                others.pop(resource, None)
        return ConfigsImage(self._base.configs.topics.with_changes(topics, gone), others)

    def _finish_features(self) -> FeaturesImage:
        if not self._features:
            return self._base.features
        levels = {**self._base.features.levels, **self._features}
        return FeaturesImage({name: level for name, level in levels.items() if level > 0})

    def _finish_producer_ids(self) -> ProducerIdsImage:
        if self._next_producer_id is None:
            return self._base.producer_ids
        return ProducerIdsImage(self._next_producer_id)

    def _finish_retained(self) -> RetainedImage:
        if not self._retained:
            return self._base.retained
        by_kind = {**self._base.retained.by_kind, **self._retained}
        return RetainedImage({kind: records for kind, records in by_kind.items() if records})

    def _finish_tier(self) -> TierState:
        try:
            return self._tier.finish()
        except TierContradictionError as error:
            raise MetadataCorruptError(str(error)) from error

    # topics

    def _topic(self, record: MetadataRecord) -> None:
        self._topics.create(record.name, Uuid(bytes(record.topic_id)))

    def _remove_topic(self, record: MetadataRecord) -> None:
        topic_id = Uuid(bytes(record.topic_id))
        partitions = self._topics.partition_count(topic_id)
        name = self._topics.remove(topic_id)
        self._tier.remove_topic(topic_id, partitions, self._offset)
        resource = (int(ResourceType.TOPIC), name)
        if resource in self._configs or name in self._base.configs.topics:
            self._configs[resource] = {}

    def _partition(self, record: MetadataRecord) -> None:
        self._topics.put_partition(record)

    def _partition_change(self, record: MetadataRecord) -> None:
        self._topics.change_partition(record)

    def _clear_elr(self, record: MetadataRecord) -> None:
        self._topics.clear_elr(record.topic_name)

    # brokers

    def _register_broker(self, record: MetadataRecord) -> None:
        cordoned = record.cordoned_log_dirs
        self._brokers[record.broker_id] = BrokerImage(
            broker_id=record.broker_id,
            epoch=record.broker_epoch,
            incarnation_id=Uuid(bytes(record.incarnation_id)),
            endpoints=tuple(
                Endpoint(point.name, point.host, point.port, point.security_protocol)
                for point in record.end_points
            ),
            features=tuple(
                (entry.name, VersionRange(entry.min_supported_version, entry.max_supported_version))
                for entry in record.features
            ),
            rack=record.rack,
            fenced=record.fenced,
            in_controlled_shutdown=record.in_controlled_shutdown,
            log_dirs=tuple(Uuid(bytes(entry)) for entry in record.log_dirs),
            cordoned_log_dirs=_uuids_or_none(cordoned),
        )

    def _unregister_broker(self, record: MetadataRecord) -> None:
        self._broker(record.broker_id, record.broker_epoch)
        self._brokers[record.broker_id] = None

    def _broker_registration_change(self, record: MetadataRecord) -> None:
        broker = self._broker(record.broker_id, record.broker_epoch)
        if record.fenced:
            broker = replace(broker, fenced=record.fenced > 0)
        if record.in_controlled_shutdown:
            broker = replace(broker, in_controlled_shutdown=record.in_controlled_shutdown > 0)
        if record.log_dirs:
            broker = replace(broker, log_dirs=_uuids_or_none(record.log_dirs) or ())
        if record.cordoned_log_dirs is not None:
            broker = replace(broker, cordoned_log_dirs=_uuids_or_none(record.cordoned_log_dirs))
        self._brokers[record.broker_id] = broker

    def _fence_broker(self, record: MetadataRecord) -> None:
        self._brokers[record.id] = replace(self._broker(record.id, record.epoch), fenced=True)

    def _unfence_broker(self, record: MetadataRecord) -> None:
        self._brokers[record.id] = replace(self._broker(record.id, record.epoch), fenced=False)

    def _broker(self, broker_id: int, epoch: int) -> BrokerImage:
        broker = (
            self._brokers[broker_id]
            if broker_id in self._brokers
            else self._base.brokers.get(broker_id)
        )
        if broker is None or broker.epoch != epoch:
            raise MetadataCorruptError(
                f"a record changes broker {broker_id} of epoch {epoch}, registered is {broker}"
            )
        return broker

    # configs, features, producer ids

    def _config(self, record: MetadataRecord) -> None:
        resource = (record.resource_type, record.resource_name)
        values = self._configs.get(resource)
        if values is None:
            values = self._configs[resource] = dict(self._base.configs.of(*resource))
        if record.value is None:
            values.pop(record.name, None)
        else:
            values[record.name] = record.value

    def _feature_level(self, record: MetadataRecord) -> None:
        self._features[record.name] = record.feature_level

    def _producer_ids(self, record: MetadataRecord) -> None:
        self._next_producer_id = record.next_producer_id

    # nouns that are only kept

    def _keep(self, kind: str, key: object, record: MetadataRecord | None) -> None:
        records = self._retained.get(kind)
        if records is None:
            records = self._retained[kind] = dict(self._base.retained.by_kind.get(kind, {}))
        if record is None:
            records.pop(key, None)
        else:
            records[key] = record

    def _access_control_entry(self, record: MetadataRecord) -> None:
        self._keep("AccessControlEntryRecord", bytes(record.id), record)

    def _remove_access_control_entry(self, record: MetadataRecord) -> None:
        self._keep("AccessControlEntryRecord", bytes(record.id), None)

    def _scram(self, record: MetadataRecord) -> None:
        self._keep("UserScramCredentialRecord", (record.name, record.mechanism), record)

    def _remove_scram(self, record: MetadataRecord) -> None:
        self._keep("UserScramCredentialRecord", (record.name, record.mechanism), None)

    def _delegation_token(self, record: MetadataRecord) -> None:
        self._keep("DelegationTokenRecord", record.token_id, record)

    def _remove_delegation_token(self, record: MetadataRecord) -> None:
        self._keep("DelegationTokenRecord", record.token_id, None)

    def _client_quota(self, record: MetadataRecord) -> None:
        entity = tuple(sorted((part.entity_type, part.entity_name or "") for part in record.entity))
        defaults = tuple(sorted(p.entity_type for p in record.entity if p.entity_name is None))
        key = (entity, defaults, record.key)
        self._keep("ClientQuotaRecord", key, None if record.remove else record)

    def _register_controller(self, record: MetadataRecord) -> None:
        self._keep("RegisterControllerRecord", record.controller_id, record)

    def _zk_migration_state(self, record: MetadataRecord) -> None:
        self._keep("ZkMigrationStateRecord", None, record)

    # the object tier

    def _no_op(self, record: MetadataRecord) -> None:
        event = tier_event(record)
        if event is not None:  # else it only moves the offset
            self._tier.apply(event, self._offset)


def _edited(
    base: Mapping[int, BrokerImage], edits: Mapping[int, BrokerImage | None]
) -> Mapping[int, BrokerImage]:
    if not edits:
        return base
    merged = {**base, **edits}
    return {broker_id: broker for broker_id, broker in merged.items() if broker is not None}


def _uuids_or_none(values: list[bytes] | None) -> tuple[Uuid, ...] | None:
    return None if values is None else tuple(Uuid(bytes(value)) for value in values)


# By class name, so that reading a log imports only the record modules that occur in it.
_HANDLERS: dict[str, Callable[[MetadataDelta, MetadataRecord], None]] = {
    "AccessControlEntryRecord": MetadataDelta._access_control_entry,
    "BrokerRegistrationChangeRecord": MetadataDelta._broker_registration_change,
    "ClearElrRecord": MetadataDelta._clear_elr,
    "ClientQuotaRecord": MetadataDelta._client_quota,
    "ConfigRecord": MetadataDelta._config,
    "DelegationTokenRecord": MetadataDelta._delegation_token,
    "FeatureLevelRecord": MetadataDelta._feature_level,
    "FenceBrokerRecord": MetadataDelta._fence_broker,
    "NoOpRecord": MetadataDelta._no_op,
    "PartitionChangeRecord": MetadataDelta._partition_change,
    "PartitionRecord": MetadataDelta._partition,
    "ProducerIdsRecord": MetadataDelta._producer_ids,
    "RegisterBrokerRecord": MetadataDelta._register_broker,
    "RegisterControllerRecord": MetadataDelta._register_controller,
    "RemoveAccessControlEntryRecord": MetadataDelta._remove_access_control_entry,
    "RemoveDelegationTokenRecord": MetadataDelta._remove_delegation_token,
    "RemoveTopicRecord": MetadataDelta._remove_topic,
    "RemoveUserScramCredentialRecord": MetadataDelta._remove_scram,
    "TopicRecord": MetadataDelta._topic,
    "UnfenceBrokerRecord": MetadataDelta._unfence_broker,
    "UnregisterBrokerRecord": MetadataDelta._unregister_broker,
    "UserScramCredentialRecord": MetadataDelta._scram,
    "ZkMigrationStateRecord": MetadataDelta._zk_migration_state,
}
