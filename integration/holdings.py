"""All that a broker of one node holds, as clients see it, to be compared with what another holds.

Ids, settings, offsets and records of every topic, and what every group committed. Read through
librdkafka alone, with its check of each batch's CRC.
"""

import time
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    ConfigSource,
    ConsumerGroupDescription,
)

READ_TIMEOUT_S = 60.0
OWN_SETTINGS = frozenset({"flush.mode"})
"""Topic settings that Apache Kafka keeps without knowing them."""

Record = tuple[
    int, tuple[int, int], bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]
]
"""Offset, timestamp with its type, key, value, headers."""


@dataclass(frozen=True, slots=True)
class PartitionHoldings:
    """One partition from its first to its last record."""

    log_start: int
    high_watermark: int
    records: list[Record]
    committed: list[int]
    """Offsets of those that a reader of committed records gets."""


@dataclass(frozen=True, slots=True)
class TopicHoldings:
    """One topic; `settings` are its own ones that both brokers know."""

    topic_id: str
    settings: dict[str, str]
    partitions: dict[int, PartitionHoldings]


@dataclass(frozen=True, slots=True)
class GroupHoldings:
    """One group; `offsets` from (topic, partition) to offset, leader epoch and metadata.

    A member is told by its id, instance id, client id, host and assignment.
    """

    state: str
    protocol: str
    members: list[tuple[str, str | None, str, str, list[tuple[str, int]]]]
    offsets: dict[tuple[str, int], tuple[int, int | None, str | None]]


@dataclass(frozen=True, slots=True)
class Holdings:
    """Topics and groups by name, internal topics left out."""

    topics: dict[str, TopicHoldings]
    groups: dict[str, GroupHoldings]


def read_holdings(bootstrap: str) -> Holdings:
    """Read everything. Raises AssertionError when a partition does not come to its end."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    return Holdings(read_topics(admin, bootstrap), read_groups(admin))


def read_topics(admin: AdminClient, bootstrap: str) -> dict[str, TopicHoldings]:
    names = [name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")]
    described = admin.describe_topics(TopicCollection(names)) if names else {}
    topics = {name: future.result(timeout=30) for name, future in described.items()}
    settings = _settings(admin, names)
    places = [
        TopicPartition(name, partition.id, OFFSET_BEGINNING)
        for name, topic in topics.items()
        for partition in topic.partitions
    ]
    read = _read_all(bootstrap, places)
    return {
        name: TopicHoldings(
            str(topic.topic_id),
            settings[name],
            {partition.id: read[name, partition.id] for partition in topic.partitions},
        )
        for name, topic in sorted(topics.items())
    }


def read_groups(admin: AdminClient) -> dict[str, GroupHoldings]:
    listed = admin.list_consumer_groups(request_timeout=30).result()
    assert not listed.errors, listed.errors
    names = sorted(group.group_id for group in listed.valid)
    described = admin.describe_consumer_groups(names, request_timeout=30) if names else {}
    return {
        name: _group(admin, future.result(timeout=30)) for name, future in sorted(described.items())
    }


def _group(admin: AdminClient, group: ConsumerGroupDescription) -> GroupHoldings:
    asked = [ConsumerGroupTopicPartitions(group.group_id)]
    (future,) = admin.list_consumer_group_offsets(asked).values()
    offsets = {
        (row.topic, row.partition): (row.offset, row.leader_epoch, row.metadata)
        for row in future.result(timeout=30).topic_partitions
    }
    members = [
        (
            member.member_id,
            member.group_instance_id,
            member.client_id,
            member.host,
            sorted((row.topic, row.partition) for row in member.assignment.topic_partitions),
        )
        for member in group.members
    ]
    return GroupHoldings(group.state.name, group.partition_assignor, sorted(members), offsets)


def _settings(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    described = admin.describe_configs(resources) if resources else {}
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {
        resource.name: {
            entry.name: entry.value
            for entry in future.result(timeout=30).values()
            if entry.source == own and entry.name not in OWN_SETTINGS
        }
        for resource, future in described.items()
    }


def _read_all(
    bootstrap: str, places: list[TopicPartition]
) -> dict[tuple[str, int], PartitionHoldings]:
    settings = {"bootstrap.servers": bootstrap, "log_level": 0}
    records, ends = _read(settings, places, "read_uncommitted")
    committed, _ = _read(settings, places, "read_committed")
    return {
        place: PartitionHoldings(*ends[place], found, [record[0] for record in committed[place]])
        for place, found in records.items()
    }


def _read(
    settings: dict[str, object], places: list[TopicPartition], isolation: str
) -> tuple[dict[tuple[str, int], list[Record]], dict[tuple[str, int], tuple[int, int]]]:
    """(records, (log start, end)) of each partition, to its end as the isolation level has it."""
    consumer = Consumer(
        settings
        | {
            "group.id": "reader-of-holdings",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
            # Later requests wait behind a Fetch on the same connection.
            "fetch.wait.max.ms": 5,
            "isolation.level": isolation,
        }
    )
    records: dict[tuple[str, int], list[Record]] = {(p.topic, p.partition): [] for p in places}
    open_ends = set(records)
    consumer.assign(places)
    deadline = time.monotonic() + READ_TIMEOUT_S
    while open_ends:
        assert time.monotonic() < deadline, f"no end of {sorted(open_ends)[:10]}"
        for message in consumer.consume(1000, timeout=0.2):
            place = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                headers = tuple(message.headers() or ())
                records[place].append(
                    (
                        message.offset(),
                        message.timestamp(),
                        message.key(),
                        message.value(),
                        headers,
                    )
                )
            else:
                assert error.code() == KafkaError._PARTITION_EOF, (place, error)
                open_ends.discard(place)
    ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=30) for p in places}
    consumer.close()
    return records, ends


def differences(expected: Holdings, found: Holdings) -> list[str]:
    """What differs, one line each, short enough to be read."""
    told = _differences("topic", expected.topics, found.topics)
    for name in expected.topics.keys() & found.topics.keys():
        ours, theirs = expected.topics[name], found.topics[name]
        told += _value(f"{name} id", ours.topic_id, theirs.topic_id)
        told += _differences(f"{name} setting", ours.settings, theirs.settings)
        told += _differences(f"{name} partition", ours.partitions, theirs.partitions)
    return told + _differences("group", expected.groups, found.groups)


def _differences(what: str, expected: dict, found: dict) -> list[str]:
    told = [f"{what} {name} is missing" for name in expected.keys() - found.keys()]
    told += [f"{what} {name} is new" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if not isinstance(expected[name], TopicHoldings):
            told += _value(f"{what} {name}", expected[name], found[name])
    return sorted(told)


def _value(what: str, expected: object, found: object) -> list[str]:
    if expected == found:
        return []
    if isinstance(expected, PartitionHoldings) and isinstance(found, PartitionHoldings):
        ends = (expected.log_start, expected.high_watermark, len(expected.records))
        other = (found.log_start, found.high_watermark, len(found.records))
        pairs = zip(expected.records, found.records, strict=False)
        first = next(((a, b) for a, b in pairs if a != b), "none")
        seen = set(expected.committed) ^ set(found.committed)
        return [
            f"{what}: {ends} != {other}, first other record: {str(first)[:300]}, "
            f"committed for one alone: {sorted(seen)[:10]}"
        ]
    return [f"{what}: {str(expected)[:300]} != {str(found)[:300]}"]
