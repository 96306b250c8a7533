"""What the `tierbroker topic` commands do, through the client library's admin client."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports silently
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
    TopicMetadata,
)

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.exits import CommandFailedError
from tierbroker.cli.kafka_client import (
    ANSWER_TIMEOUT_S,
    STALL_TIMEOUT_S,
    AdminSession,
    clock,
    fail_request,
    fail_unknown_topic,
    topic_metadata,
)
from tierbroker.cli.output import Column, print_json, print_rows

if TYPE_CHECKING:
    from concurrent.futures import Future

TOPIC_COLUMNS = (
    Column("topic", "Topic"),
    Column("partitions", "Partitions", numeric=True),
    Column("replicas", "Replicas", numeric=True),
)
PARTITION_COLUMNS = (
    Column("partition", "Partition", numeric=True),
    Column("leader", "Leader", numeric=True),
    Column("replicas", "Replicas"),
    Column("in_sync", "In sync"),
    Column("earliest", "Earliest offset", numeric=True),
    Column("latest", "Latest offset", numeric=True),
)
CONFIG_COLUMNS = (Column("name", "Setting"), Column("value", "Value"), Column("source", "Set by"))

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

PartitionRow = tuple[int, int | None, list[int], list[int], int | None, int | None]


def list_topics(bootstrap: Bootstrap, *, show_internal: bool, as_json: bool) -> None:
    """Print a row for every topic; raises UnreachableError."""
    session = AdminSession(bootstrap)
    try:
        topics = session.client.list_topics(timeout=ANSWER_TIMEOUT_S).topics
    except KafkaException as error:
        fail_request(error, bootstrap, "metadata")
    rows = [
        (name, len(found.partitions), _replicas(found.partitions))
        for name, found in sorted(topics.items())
        if show_internal or not name.startswith("__")
    ]
    print_rows(TOPIC_COLUMNS, rows, as_json=as_json)


def _replicas(partitions: Mapping[int, Any]) -> int:
    return max((len(partition.replicas) for partition in partitions.values()), default=0)


def create_topic(
    bootstrap: Bootstrap,
    name: str,
    partitions: int | None,
    replicas: int | None,
    configs: Mapping[str, str],
    *,
    as_json: bool,
) -> None:
    """Create the topic and wait until clients see it.

    Raises UnreachableError, or CommandFailedError with the broker's reason.
    """
    session = AdminSession(bootstrap)
    request = NewTopic(
        name,
        num_partitions=partitions or -1,
        replication_factor=replicas or -1,
        config=dict(configs),
    )
    _result(session.client.create_topics([request])[name], session, name, "create")
    metadata = _await_visibility(session, name, visible=True)
    if metadata is None:
        raise CommandFailedError(
            f"{bootstrap} made the topic {name!r} but does not show it within "
            f"{ANSWER_TIMEOUT_S:g} s."
        )
    row = (name, len(metadata.partitions), _replicas(metadata.partitions))
    print_rows(TOPIC_COLUMNS, [row], as_json=as_json)


def _await_visibility(session: AdminSession, name: str, *, visible: bool) -> TopicMetadata | None:
    """The topic's metadata when it has appeared or gone, or as it is when time is up."""
    deadline = clock.monotonic() + ANSWER_TIMEOUT_S
    while True:
        metadata = topic_metadata(session.client, session.bootstrap, name)
        if (metadata is not None) is visible or clock.monotonic() > deadline:
            return metadata


def remove_topic(bootstrap: Bootstrap, name: str, *, ask: bool, as_json: bool) -> None:
    """Delete the topic, after a question that shows what would go.

    Raises click.Abort when the answer is no, UnreachableError, CommandFailedError.
    """
    session = AdminSession(bootstrap)
    if ask:
        rows = _partition_rows(session, name, _describe(session, name))
        records = sum((latest or 0) - (earliest or 0) for *_, earliest, latest in rows)
        click.confirm(
            f"Remove {name} with {len(rows)} partitions and about {records:,} records?", abort=True
        )
    _result(session.client.delete_topics([name])[name], session, name, "delete")
    if _await_visibility(session, name, visible=False) is not None:
        raise CommandFailedError(
            f"{bootstrap} took the request to remove {name!r} but still shows it."
        )
    if as_json:
        print_json({"topic": name, "removed": True})


def show_topic(bootstrap: Bootstrap, name: str, *, as_json: bool) -> None:
    """Print partitions, offsets and settings; raises UnreachableError and CommandFailedError."""
    session = AdminSession(bootstrap)
    description = _describe(session, name)
    rows = _partition_rows(session, name, description)
    resource = ConfigResource(ResourceType.TOPIC, name)
    entries = _result(
        session.client.describe_configs([resource])[resource], session, name, "describe"
    )
    configs = _changed_configs(entries.values())
    if as_json:
        print_json(
            {
                "topic": name,
                "id": str(description.topic_id),
                "partitions": [
                    {column.key: cell for column, cell in zip(PARTITION_COLUMNS, row, strict=True)}
                    for row in rows
                ],
                "configs": {setting: value for setting, value, _ in configs},
            }
        )
        return
    print_rows(
        PARTITION_COLUMNS,
        rows,
        as_json=False,
        title=f"{name} ({description.topic_id})",
        prefix="partition",
    )
    if configs:
        print_rows(CONFIG_COLUMNS, configs, as_json=False, prefix="config")


def _describe(session: AdminSession, name: str) -> TopicDescription:
    future = session.client.describe_topics(TopicCollection([name]))[name]
    description: TopicDescription = _result(future, session, name, "describe")
    return description


def _partition_rows(
    session: AdminSession, name: str, description: TopicDescription
) -> list[PartitionRow]:
    led = [found.id for found in description.partitions if found.leader is not None]
    earliest = _offsets(session, name, led, EARLIEST)
    latest = _offsets(session, name, led, LATEST)
    return [
        (
            found.id,
            found.leader.id if found.leader is not None else None,
            [node.id for node in found.replicas],
            [node.id for node in found.isr],
            earliest.get(found.id),
            latest.get(found.id),
        )
        for found in sorted(description.partitions, key=lambda partition: partition.id)
    ]


def _offsets(
    session: AdminSession, name: str, numbers: list[int], spec: OffsetSpec
) -> dict[int, int]:
    """Offsets of the partitions that have a leader."""
    if not numbers:
        return {}
    request = {TopicPartition(name, number): spec for number in numbers}
    futures = session.client.list_offsets(request, request_timeout=STALL_TIMEOUT_S)
    return {
        wanted.partition: _result(future, session, name, "offsets").offset
        for wanted, future in futures.items()
    }


def _changed_configs(entries: Iterable[ConfigEntry]) -> list[tuple[str, str | None, str]]:
    """Name, value and source of every setting that is not at its built-in default.

    What somebody set on the topic itself is shown even where it repeats the default.
    """
    return sorted(
        (entry.name, entry.value, _SOURCES.get(_source(entry), "unknown"))
        for entry in entries
        if _source(entry) is ConfigSource.DYNAMIC_TOPIC_CONFIG
        or (_source(entry) is not ConfigSource.DEFAULT_CONFIG and entry.value != _default(entry))
    )


def _source(entry: ConfigEntry) -> ConfigSource:
    return ConfigSource(entry.source)  # the library hands out the number


def _default(entry: ConfigEntry) -> str | None:
    """The built-in default among the values that the setting falls back to."""
    for synonym in entry.synonyms.values():
        if _source(synonym) is ConfigSource.DEFAULT_CONFIG:
            return synonym.value
    return None


_SOURCES = {
    ConfigSource.DYNAMIC_TOPIC_CONFIG: "topic",
    ConfigSource.DYNAMIC_BROKER_CONFIG: "broker, while running",
    ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG: "cluster",
    ConfigSource.STATIC_BROKER_CONFIG: "broker's configuration",
}


def _result(future: "Future[Any]", session: AdminSession, name: str, what: str) -> Any:
    """The outcome of an admin request; raises what a person should read."""
    try:
        return session.result(future, what)
    except KafkaException as error:
        _fail(error, session.bootstrap, name, what)


def _fail(error: KafkaException, bootstrap: Bootstrap, name: str, what: str) -> NoReturn:
    cause = error.args[0]
    if cause.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        fail_unknown_topic(bootstrap, name)
    if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        raise CommandFailedError(
            f"There is a topic {name!r} already.\nLook at it with: tierbroker topic show {name}"
        ) from error
    fail_request(error, bootstrap, what)
