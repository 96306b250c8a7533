"""Topics made, enlarged and deleted, and each way in which that is refused."""

from typing import Any

from integration.differential.script import ALL, Connection, Run, since, until
from integration.scenarios.requests import NOBODYS_ID, NULL_ID
from tierbroker.wire.api_keys import ApiKey as Api

DEFAULTED = 4
"""CreateTopics takes -1 for partitions and replicas from here on."""
BY_ID = 6
"""DeleteTopics takes ids from here on."""


def _create(client: Connection, versions: Any, *topics: dict[str, Any], **how: Any) -> None:
    whole = [{"num_partitions": 1, "replication_factor": 1, **topic} for topic in topics]
    client.call(Api.CREATE_TOPICS, versions, topics=whole, timeout_ms=10_000, **how)


def created(run: Run) -> None:
    """At every version, with settings, and what the answer tells of them."""
    client = run.connect()
    for version in run.versions(Api.CREATE_TOPICS):
        _create(client, version, {"name": run.name(f"plain-{version}"), "num_partitions": 3})
    run.note("settings of every kind")
    configs = [
        {"name": "cleanup.policy", "value": "compact"},
        {"name": "max.message.bytes", "value": "2000"},
        {"name": "segment.ms", "value": "3600000"},
    ]
    _create(client, 7, {"name": run.name("set"), "configs": configs})
    run.note("partitions and replicas by default")
    for version in run.versions(Api.CREATE_TOPICS, since(DEFAULTED)):
        name = run.name(f"default-{version}")
        _create(client, version, {"name": name, "num_partitions": -1, "replication_factor": -1})


def created_only_to_try(run: Run) -> None:
    """validate_only makes nothing."""
    client = run.connect()
    name = run.name("tried")
    _create(client, ALL, {"name": name}, validate_only=True)
    client.call(Api.METADATA, 12, topics=[{"name": name}], allow_auto_topic_creation=False)
    run.note("nor does it where it would be refused")
    _create(client, 7, {"name": name, "num_partitions": 0}, validate_only=True)


def creation_refused(run: Run) -> None:
    """Each reason, at every version; one refusal does not spoil the others."""
    there = run.topic("there")
    client = run.connect()
    name = run.name("refused")
    assigned = {"num_partitions": -1, "replication_factor": -1}
    for what, topic in {
        "it is there": {"name": there},
        "an empty name": {"name": ""},
        "a dot": {"name": "."},
        "an illegal character": {"name": "a b"},
        "a name too long": {"name": "x" * 250},
        "no partitions": {"name": name, "num_partitions": 0},
        "negative partitions": {"name": name, "num_partitions": -2},
        "no replicas": {"name": name, "replication_factor": 0},
        "negative replicas": {"name": name, "replication_factor": -2},
        "more replicas than brokers": {"name": name, "replication_factor": 2},
        "assigned and counted": {
            "name": name,
            "assignments": [{"partition_index": 0, "broker_ids": [1]}],
        },
        "assigned to nobody": {
            "name": name,
            **assigned,
            "assignments": [{"partition_index": 0, "broker_ids": [77]}],
        },
        "assigned twice": {
            "name": name,
            **assigned,
            "assignments": [{"partition_index": 0, "broker_ids": [1, 1]}],
        },
        "assigned with a gap": {
            "name": name,
            **assigned,
            "assignments": [{"partition_index": 1, "broker_ids": [1]}],
        },
        "assigned to an empty list": {
            "name": name,
            **assigned,
            "assignments": [{"partition_index": 0, "broker_ids": []}],
        },
        "a setting that nobody knows": {
            "name": name,
            "configs": [{"name": "no.such.setting", "value": "1"}],
        },
        "a setting without a number": {
            "name": name,
            "configs": [{"name": "retention.ms", "value": "often"}],
        },
        "a setting out of range": {
            "name": name,
            "configs": [{"name": "segment.bytes", "value": "-5"}],
        },
        "a setting of null": {"name": name, "configs": [{"name": "retention.ms", "value": None}]},
        "a policy that nobody knows": {
            "name": name,
            "configs": [{"name": "cleanup.policy", "value": "forget"}],
        },
    }.items():
        run.note(what)
        _create(client, ALL, topic)
    run.note("the same name twice")
    _create(client, [5, 7], {"name": name}, {"name": name})
    run.note("a name that collides with another in the names of metrics")
    _create(client, 7, {"name": run.name("a.b")})
    _create(client, 7, {"name": run.name("a_b")})
    run.note("a good one among bad ones")
    _create(client, 7, {"name": "a b"}, {"name": run.name("good")}, {"name": there})
    run.note("none at all")
    client.call(Api.CREATE_TOPICS, ALL, topics=[], timeout_ms=1000)


def assigned_by_hand(run: Run) -> None:
    """The client says which broker has which partition."""
    client = run.connect()
    for version in run.versions(Api.CREATE_TOPICS):
        topic = {
            "name": run.name(f"assigned-{version}"),
            "num_partitions": -1,
            "replication_factor": -1,
            "assignments": [
                {"partition_index": 1, "broker_ids": [1]},
                {"partition_index": 0, "broker_ids": [1]},
            ],
        }
        _create(client, version, topic)


def deleted(run: Run) -> None:
    """By name and by id; what is not there, and what is named twice."""
    client = run.connect()
    for version in run.versions(Api.DELETE_TOPICS, until(BY_ID - 1)):
        name = run.topic(f"old-{version}")
        nobody = run.name("nobody")
        client.call(
            Api.DELETE_TOPICS, version, topic_names=[name, nobody, "a b", ""], timeout_ms=10_000
        )
    name, other = run.topic("by-name"), run.topic("by-id")
    by_name = {"name": name, "topic_id": NULL_ID}
    by_id = {"name": None, "topic_id": run.topic_id(other)}

    def delete(*topics: dict[str, Any]) -> None:
        client.call(Api.DELETE_TOPICS, since(BY_ID), topics=list(topics), timeout_ms=10_000)

    delete(by_name, by_id)
    run.catch_up()
    run.note("they are gone")
    delete(by_name, by_id)
    client.call(
        Api.METADATA,
        12,
        topics=[{"name": name}, {"name": other}],
        allow_auto_topic_creation=False,
    )
    run.note("an id of nobody")
    delete({"name": None, "topic_id": NOBODYS_ID})
    run.note("neither name nor id")
    delete({"name": None, "topic_id": NULL_ID})
    third = run.topic("third")
    run.note("name and id")
    delete({"name": third, "topic_id": run.topic_id(third)})
    run.note("the same name twice")
    delete({"name": third, "topic_id": NULL_ID}, {"name": third, "topic_id": NULL_ID})
    run.note("none at all")
    delete()


def made_anew(run: Run) -> None:
    """The same name gets another id; its offsets begin anew."""
    client = run.connect()
    name = run.topic("phoenix")
    first = run.topic_id(name)
    client.call(
        Api.DELETE_TOPICS, 6, topics=[{"name": name, "topic_id": NULL_ID}], timeout_ms=10_000
    )
    run.topic("phoenix")
    run.catch_up()
    client.call(Api.METADATA, 12, topics=[{"name": name}], allow_auto_topic_creation=False)
    client.call(Api.METADATA, 12, topics=[{"topic_id": first, "name": None}])


def enlarged(run: Run) -> None:
    """More partitions, and each reason to refuse them."""
    client = run.connect()
    name = run.topic("growing", partitions=2)

    def enlarge(*topics: dict[str, Any], versions: Any = ALL, **how: Any) -> None:
        whole = [{"assignments": None, **topic} for topic in topics]
        client.call(Api.CREATE_PARTITIONS, versions, topics=whole, timeout_ms=10_000, **how)

    for number, version in enumerate(run.versions(Api.CREATE_PARTITIONS), 3):
        enlarge({"name": name, "count": number}, versions=version)
    run.catch_up()
    client.call(Api.METADATA, 12, topics=[{"name": name}])
    for what, topic in {
        "as many as there are": {"name": name, "count": 6},
        "fewer": {"name": name, "count": 1},
        "none": {"name": name, "count": 0},
        "less than none": {"name": name, "count": -1},
        "a topic that is not there": {"name": run.name("nobody"), "count": 3},
        "an illegal name": {"name": "a b", "count": 3},
        "assigned to nobody": {"name": name, "count": 7, "assignments": [{"broker_ids": [77]}]},
        "assigned twice": {"name": name, "count": 7, "assignments": [{"broker_ids": [1, 1]}]},
        "assigned to an empty list": {
            "name": name,
            "count": 7,
            "assignments": [{"broker_ids": []}],
        },
        "too few assignments": {"name": name, "count": 8, "assignments": [{"broker_ids": [1]}]},
        "too many assignments": {
            "name": name,
            "count": 7,
            "assignments": [{"broker_ids": [1]}, {"broker_ids": [1]}],
        },
    }.items():
        run.note(what)
        enlarge(topic)
    run.note("only to try")
    enlarge({"name": name, "count": 9}, validate_only=True)
    run.note("assigned by hand")
    enlarge({"name": name, "count": 7, "assignments": [{"broker_ids": [1]}]}, versions=3)
    run.note("the same name twice")
    enlarge({"name": name, "count": 8}, {"name": name, "count": 9}, versions=[0, 3])
    run.catch_up()
    client.call(Api.METADATA, 12, topics=[{"name": name}])
