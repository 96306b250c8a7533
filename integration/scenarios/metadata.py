"""Metadata: topics by name and id, unknown and illegal ones, creation on the way, brokers."""

from integration.differential.script import ALL, Run, between, since
from integration.scenarios.requests import NOBODYS_ID, produced, records
from tierbroker.wire.api_keys import ApiKey as Api

ILLEGAL = ["", ".", "..", "a b", "a/b", "übung", "x" * 250, "a\0b", "a:b"]


def topics_by_name(run: Run) -> None:
    """A topic of three partitions, and one that is not there, at every version."""
    orders = run.topic("orders", partitions=3)
    client = run.connect()
    client.call(Api.METADATA, ALL, topics=[{"name": orders}])
    client.call(
        Api.METADATA,
        since(4),
        topics=[{"name": run.name("nobody")}, {"name": orders}],
        allow_auto_topic_creation=False,
    )
    run.note("the same topic twice")
    client.call(Api.METADATA, ALL, topics=[{"name": orders}, {"name": orders}])


def topics_by_id(run: Run) -> None:
    """By id from version 12 on, by name and id before it."""
    orders = run.topic("orders")
    topic_id = run.topic_id(orders)
    client = run.connect()
    by_id = [{"topic_id": topic_id, "name": None}, {"topic_id": NOBODYS_ID, "name": None}]
    client.call(Api.METADATA, since(12), topics=by_id)
    run.note("an id before its version")
    client.call(Api.METADATA, between(10, 11), topics=[{"topic_id": topic_id, "name": orders}])
    run.note("name and id")
    client.call(Api.METADATA, since(12), topics=[{"topic_id": topic_id, "name": orders}])
    run.note("a name of another topic")
    client.call(Api.METADATA, since(12), topics=[{"topic_id": topic_id, "name": "other"}])
    run.note("names beside ids are not looked at")
    client.call(
        Api.METADATA,
        since(12),
        topics=[{"topic_id": topic_id, "name": None}, {"name": run.name("not-made")}],
    )
    client.call(
        Api.METADATA, 12, topics=[{"name": run.name("not-made")}], allow_auto_topic_creation=False
    )
    run.note("the same id twice")
    client.call(Api.METADATA, since(12), topics=[{"topic_id": topic_id, "name": None}] * 2)


def illegal_names(run: Run) -> None:
    """Refused by name, with and without creation."""
    client = run.connect()
    for name in ILLEGAL:
        client.call(Api.METADATA, [1, 9, 12], topics=[{"name": name}])
        client.call(
            Api.METADATA, since(4), topics=[{"name": name}], allow_auto_topic_creation=False
        )


def none_and_all(run: Run) -> None:
    """An empty list means none, but all in version 0; authorized operations when asked for."""
    client = run.connect()
    client.call(Api.METADATA, since(1), topics=[])
    client.call(
        Api.METADATA,
        between(8, 10),
        topics=[],
        include_cluster_authorized_operations=True,
    )
    orders = run.topic("orders")
    client.call(
        Api.METADATA, since(8), topics=[{"name": orders}], include_topic_authorized_operations=True
    )


def creation_on_the_way(run: Run) -> None:
    """A topic that nobody made is made, at every version."""
    client = run.connect()
    for version in run.versions(Api.METADATA):
        client.settled(Api.METADATA, version, topics=[{"name": run.name(f"made-{version}")}])


def all_topics(run: Run) -> None:
    """Null means all of them, and so does none in version 0."""
    run.topic("one", partitions=2)
    run.topic("two")
    run.look_only_at_own("Metadata.topics", "name")
    client = run.connect()
    client.call(Api.METADATA, 0, topics=[])
    client.call(Api.METADATA, since(1), topics=None)
    client.call(Api.METADATA, since(8), topics=None, include_topic_authorized_operations=True)


def internal_topics(run: Run) -> None:
    """The topic of groups: told as internal, made by the broker."""
    client = run.connect()
    client.settled(Api.FIND_COORDINATOR, 4, coordinator_keys=[run.name("group")])
    topics = [{"name": "__consumer_offsets"}]
    client.settled(Api.METADATA, ALL, topics=topics)
    client.call(Api.DESCRIBE_TOPIC_PARTITIONS, 0, topics=topics, response_partition_limit=10)
    keys = ["cleanup.policy", "segment.bytes", "compression.type", "retention.ms"]
    resource = {
        "resource_type": 2,
        "resource_name": "__consumer_offsets",
        "configuration_keys": keys,
    }
    client.call(Api.DESCRIBE_CONFIGS, 4, resources=[resource], include_synonyms=True)
    run.note("what clients may not do with it")
    client.call(Api.PRODUCE, [3, 9], **produced("__consumer_offsets", records(run)))
    asked = [{"name": "__consumer_offsets", "partitions": [{"partition_index": 0, "offset": 0}]}]
    client.call(Api.DELETE_RECORDS, 2, topics=asked, timeout_ms=1000)
    made = {"name": "__consumer_offsets", "num_partitions": 1, "replication_factor": 1}
    client.call(Api.CREATE_TOPICS, 7, topics=[made], timeout_ms=10_000)
