"""What administrators ask for beside topics, settings and groups: elections, disks, the quorum."""

from typing import Any

from integration.differential.script import ALL, Connection, Run, since, until
from integration.scenarios.requests import produced, records
from tierbroker.wire.api_keys import ApiKey as Api

METADATA_LOG = "__cluster_metadata"
TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32


def _written(run: Run, name: str, partitions: int = 1, **how: Any) -> str:
    topic = run.topic(name, partitions)
    run.setup_connection().call(Api.PRODUCE, 9, **produced(topic, records(run, **how)))
    return topic


def leaders_elected(run: Run) -> None:
    """Nobody needs it in a cluster of one."""
    topic = run.topic("orders", partitions=2)
    client = run.connect()

    def elect(versions: Any, *partitions: tuple[str, list[int]], **how: Any) -> None:
        asked = [{"topic": name, "partitions": numbers} for name, numbers in partitions]
        client.call(Api.ELECT_LEADERS, versions, topic_partitions=asked, timeout_ms=10_000, **how)

    elect(ALL, (topic, [0, 1]))
    run.note("unclean")
    elect(since(1), (topic, [0, 1]), election_type=1)
    run.note("what is not there")
    elect(ALL, (topic, [7]), (run.name("nobody"), [0]))
    run.note("a kind that nobody knows")
    elect(2, (topic, [0]), election_type=9)
    run.note("nothing")
    elect(ALL)
    run.note("everything")
    client.call(Api.ELECT_LEADERS, ALL, topic_partitions=None, timeout_ms=10_000)


def reassigned(run: Run) -> None:
    """To where they are, to nobody, and cancelled without having begun."""
    topic = run.topic("orders", partitions=2)
    client = run.connect()

    def move(name: str, replicas: list[int] | None, partition: int = 0, **how: Any) -> None:
        asked = [{"partition_index": partition, "replicas": replicas}]
        client.call(
            Api.ALTER_PARTITION_REASSIGNMENTS,
            ALL,
            topics=[{"name": name, "partitions": asked}],
            timeout_ms=10_000,
            **how,
        )

    for what, replicas in {
        "to where it is": [1],
        "to nobody": [77],
        "twice to the same": [1, 1],
        "to an empty list": [],
        "to a negative id": [-1],
        "cancelled": None,
    }.items():
        run.note(what)
        move(topic, replicas)
    run.note("what is not there")
    move(topic, [1], partition=9)
    move(run.name("nobody"), [1])
    run.note("nothing")
    client.call(Api.ALTER_PARTITION_REASSIGNMENTS, ALL, topics=[], timeout_ms=10_000)
    run.note("what is under way")
    client.call(Api.LIST_PARTITION_REASSIGNMENTS, ALL, topics=None, timeout_ms=10_000)
    for name, indexes in ((topic, [0, 1]), (topic, [9]), (run.name("nobody"), [0]), (topic, [])):
        asked = [{"name": name, "partition_indexes": indexes}]
        client.call(Api.LIST_PARTITION_REASSIGNMENTS, ALL, topics=asked, timeout_ms=10_000)


def directories(run: Run) -> None:
    """Sizes of logs, and how full the disk is."""
    topic = _written(run, "orders", partitions=2)
    client = run.connect()
    for topics in (
        [{"topic": topic, "partitions": [0, 1]}],
        [{"topic": topic, "partitions": [7]}, {"topic": run.name("nobody"), "partitions": [0]}],
        [],
        None,
    ):
        client.call(Api.DESCRIBE_LOG_DIRS, ALL, topics=topics)
    for path in ("/nowhere", ""):
        run.note(f"moved to {path!r}")
        asked = [
            {"name": topic, "partitions": [0, 9]},
            {"name": run.name("nobody"), "partitions": [0]},
        ]
        client.call(Api.ALTER_REPLICA_LOG_DIRS, ALL, dirs=[{"path": path, "topics": asked}])
    run.note("nothing")
    client.call(Api.ALTER_REPLICA_LOG_DIRS, ALL, dirs=[])


def quorum(run: Run) -> None:
    """Who leads the metadata log; other logs have none."""
    client = run.connect()

    def ask(name: str, *partitions: int) -> None:
        asked = [{"partition_index": number} for number in partitions]
        client.call(Api.DESCRIBE_QUORUM, ALL, topics=[{"topic_name": name, "partitions": asked}])

    ask(METADATA_LOG, 0)
    run.note("what is none")
    ask(METADATA_LOG, 1)
    ask(run.topic("orders"), 0)
    ask(METADATA_LOG)
    client.call(Api.DESCRIBE_QUORUM, ALL, topics=[])


def features(run: Run) -> None:
    """Levels that cannot be had."""
    client = run.connect()

    def update(versions: Any, name: str, level: int, **how: Any) -> None:
        asked = [{"feature": name, "max_version_level": level, **how}]
        client.call(Api.UPDATE_FEATURES, versions, feature_updates=asked, timeout_ms=10_000)

    run.note("what nobody knows")
    update(ALL, "no.such.feature", 1)
    run.note("a level that nobody has")
    update(ALL, "metadata.version", 99)
    run.note("back, without saying so")
    update(ALL, "metadata.version", 8)
    run.note("a negative level")
    update(ALL, "metadata.version", -1)
    run.note("the level that it has, only to try")
    client.call(
        Api.UPDATE_FEATURES,
        since(1),
        feature_updates=[{"feature": "metadata.version", "max_version_level": 30}],
        timeout_ms=10_000,
        validate_only=True,
    )
    run.note("a kind of change that nobody knows")
    update(since(1), "metadata.version", 30, upgrade_type=9)
    run.note("nothing")
    client.call(Api.UPDATE_FEATURES, ALL, feature_updates=[], timeout_ms=10_000)


def _producer(client: Connection) -> int:
    answer = client.settled(
        Api.INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000
    )
    return int(answer.producer_id)


def producers(run: Run) -> None:
    """Who wrote to a partition with an id, and how far."""
    topic = run.topic("orders", partitions=2)
    client = run.connect()
    producer = _producer(client)
    for sequence in (0, 2):
        batch = records(
            run, [b"1", b"2"], producer_id=producer, producer_epoch=0, base_sequence=sequence
        )
        client.call(Api.PRODUCE, 9, **produced(topic, batch))
    client.call(Api.PRODUCE, 9, **produced(topic, records(run)))
    for name, indexes in ((topic, [0, 1, 9]), (run.name("nobody"), [0]), ("a b", [0]), (topic, [])):
        asked = [{"name": name, "partition_indexes": indexes}]
        client.call(Api.DESCRIBE_PRODUCERS, ALL, topics=asked)
    client.call(Api.DESCRIBE_PRODUCERS, ALL, topics=[])


def resources_with_settings(run: Run) -> None:
    """By kind; kinds that nobody knows."""
    run.topic("orders")
    client = run.connect()
    client.call(Api.LIST_CONFIG_RESOURCES, 0)
    for kinds in ([TOPIC], [BROKER], [CLIENT_METRICS], [GROUP], [TOPIC, TOPIC], [TOPIC, BROKER]):
        client.call(Api.LIST_CONFIG_RESOURCES, since(1), resource_types=kinds)
    run.note("all that there are")
    client.call(Api.LIST_CONFIG_RESOURCES, since(1), resource_types=[])
    for kind in (0, 99, -1):
        run.note(f"kind {kind}")
        client.call(Api.LIST_CONFIG_RESOURCES, since(1), resource_types=[kind, TOPIC])


def settings_replaced(run: Run) -> None:
    """AlterConfigs: what is not named is removed."""
    topic = run.topic("orders", config={"retention.ms": "5000", "segment.ms": "70000"})
    client = run.connect()

    def alter(kind: int, name: str, versions: Any, **configs: str | None) -> None:
        values = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
        asked = [{"resource_type": kind, "resource_name": name, "configs": values}]
        client.call(Api.ALTER_CONFIGS, versions, resources=asked)
        run.catch_up()

    def show() -> None:
        keys = ["retention.ms", "segment.ms", "cleanup.policy"]
        asked = {"resource_type": TOPIC, "resource_name": topic, "configuration_keys": keys}
        client.call(Api.DESCRIBE_CONFIGS, 4, resources=[asked])

    alter(TOPIC, topic, until(1), retention_ms="6000")
    show()
    alter(TOPIC, topic, 2, cleanup_policy="compact,delete")
    show()
    alter(TOPIC, topic, ALL)
    show()
    run.note("what is no setting, no value, no topic, no broker")
    alter(TOPIC, topic, ALL, no_such="1", retention_ms="5")
    alter(TOPIC, topic, ALL, retention_ms="often")
    alter(TOPIC, topic, ALL, retention_ms=None)
    alter(TOPIC, run.name("nobody"), ALL, retention_ms="5")
    alter(TOPIC, "", ALL, retention_ms="5")
    alter(BROKER, "77", ALL, log_retention_ms="5")
    alter(0, topic, ALL, retention_ms="5")
    show()
