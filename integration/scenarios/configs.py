"""Settings of topics and brokers: told, changed one by one, replaced, and refused."""

from typing import Any

from integration.differential.script import ALL, Run
from tierbroker.wire.api_keys import ApiKey as Api

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
BROKER_KEYS = [
    *("auto.create.topics.enable", "num.partitions", "default.replication.factor"),
    *("log.retention.ms", "log.retention.bytes", "log.segment.bytes", "message.max.bytes"),
    *("log.roll.ms", "log.cleanup.policy", "compression.type", "min.insync.replicas"),
    *("log.message.timestamp.type", "unclean.leader.election.enable", "log.preallocate"),
    "transaction.two.phase.commit.enable",
]


def _resource(kind: int, name: str, keys: list[str] | None = None) -> dict[str, Any]:
    return {"resource_type": kind, "resource_name": name, "configuration_keys": keys}


def of_a_topic(run: Run) -> None:
    """All keys, some keys, with synonyms and documentation, at every version."""
    name = run.topic("orders", config={"retention.ms": "1000000", "cleanup.policy": "compact"})
    client = run.connect()
    whole = [_resource(TOPIC, name)]
    client.call(Api.DESCRIBE_CONFIGS, ALL, resources=whole)
    client.call(Api.DESCRIBE_CONFIGS, ALL, resources=whole, include_synonyms=True)
    client.call(Api.DESCRIBE_CONFIGS, 4, resources=whole, include_documentation=True)
    some = ["retention.ms", "no.such.setting", "segment.bytes"]
    client.call(
        Api.DESCRIBE_CONFIGS, ALL, resources=[_resource(TOPIC, name, some)], include_synonyms=True
    )
    run.note("no keys at all")
    client.call(Api.DESCRIBE_CONFIGS, ALL, resources=[_resource(TOPIC, name, [])])


def of_a_broker(run: Run) -> None:
    """The keys that both have."""
    client = run.connect()
    asked = [_resource(BROKER, "1", BROKER_KEYS)]
    client.call(Api.DESCRIBE_CONFIGS, ALL, resources=asked)
    client.call(Api.DESCRIBE_CONFIGS, ALL, resources=asked, include_synonyms=True)
    run.note("of all brokers: only what was set for them")
    client.call(Api.DESCRIBE_CONFIGS, ALL, resources=[_resource(BROKER, "")])


def description_refused(run: Run) -> None:
    """What is not there, and what is no resource."""
    name = run.topic("orders")
    client = run.connect()
    for what, resource in {
        "a topic that is not there": _resource(TOPIC, run.name("nobody")),
        "an illegal name": _resource(TOPIC, "a b"),
        "an empty name": _resource(TOPIC, ""),
        "another broker": _resource(BROKER, "77"),
        "a broker without a number": _resource(BROKER, "first"),
        "a kind that nobody knows": _resource(0, name),
        "another kind that nobody knows": _resource(99, name),
    }.items():
        run.note(what)
        client.call(Api.DESCRIBE_CONFIGS, ALL, resources=[resource])
    run.note("one among others")
    both = [_resource(TOPIC, run.name("nobody"), []), _resource(TOPIC, name, ["retention.ms"])]
    client.call(Api.DESCRIBE_CONFIGS, 4, resources=both)


def _change(key: str, operation: int, value: str | None = None) -> dict[str, Any]:
    return {"name": key, "config_operation": operation, "value": value}


def changed_one_by_one(run: Run) -> None:
    """Set, deleted, appended to and subtracted from; read back each time."""
    name = run.topic("orders", config={"retention.ms": "1000000"})
    client = run.connect()
    keys = ["retention.ms", "cleanup.policy", "max.message.bytes"]
    for what, changes in {
        "set": [_change("retention.ms", SET, "5"), _change("max.message.bytes", SET, "77")],
        "deleted": [_change("retention.ms", DELETE)],
        "deleted again": [_change("retention.ms", DELETE)],
        "appended": [_change("cleanup.policy", APPEND, "compact")],
        "appended again": [_change("cleanup.policy", APPEND, "compact")],
        "subtracted": [_change("cleanup.policy", SUBTRACT, "delete")],
        "subtracted again": [_change("cleanup.policy", SUBTRACT, "delete")],
        "set to what it is": [_change("cleanup.policy", SET, "compact")],
        "nothing": [],
    }.items():
        resources = [{"resource_type": TOPIC, "resource_name": name, "configs": changes}]
        run.note(f"{what}, only to try")
        client.call(Api.INCREMENTAL_ALTER_CONFIGS, ALL, resources=resources, validate_only=True)
        run.catch_up()
        client.call(Api.DESCRIBE_CONFIGS, 4, resources=[_resource(TOPIC, name, keys)])
        run.note(what)
        client.call(Api.INCREMENTAL_ALTER_CONFIGS, ALL, resources=resources)
        run.catch_up()
        client.call(Api.DESCRIBE_CONFIGS, 4, resources=[_resource(TOPIC, name, keys)])


def change_refused(run: Run) -> None:
    """Each reason; nothing of a refused resource is changed."""
    name = run.topic("orders")
    client = run.connect()

    def alter(kind: int, resource: str, *changes: dict[str, Any]) -> None:
        one = {"resource_type": kind, "resource_name": resource, "configs": list(changes)}
        client.call(Api.INCREMENTAL_ALTER_CONFIGS, ALL, resources=[one])

    retention = _change("retention.ms", SET, "5")
    for what, (kind, resource, *changes) in {
        "a topic that is not there": (TOPIC, run.name("nobody"), retention),
        "an illegal name": (TOPIC, "a b", retention),
        "an empty name": (TOPIC, "", retention),
        "a setting that nobody knows": (TOPIC, name, retention, _change("no.such", SET, "1")),
        "a value without a number": (TOPIC, name, _change("retention.ms", SET, "often")),
        "a value out of range": (TOPIC, name, _change("segment.bytes", SET, "-1")),
        "no value": (TOPIC, name, _change("retention.ms", SET)),
        "appended to what is no list": (TOPIC, name, _change("retention.ms", APPEND, "5")),
        "an element that is not allowed": (TOPIC, name, _change("cleanup.policy", APPEND, "no")),
        "an operation that nobody knows": (TOPIC, name, _change("retention.ms", 9, "5")),
        "the same key twice": (TOPIC, name, retention, _change("retention.ms", SET, "6")),
        "another broker": (BROKER, "77", _change("log.retention.ms", SET, "5")),
        "a broker without a number": (BROKER, "first", _change("log.retention.ms", SET, "5")),
        "what a broker cannot change": (BROKER, "1", _change("log.dirs", SET, "nowhere")),
        "a kind that nobody knows": (0, name, retention),
        "another kind that nobody knows": (99, name, retention),
    }.items():
        run.note(what)
        alter(kind, resource, *changes)
    run.catch_up()
    run.note("nothing was changed")
    client.call(Api.DESCRIBE_CONFIGS, 4, resources=[_resource(TOPIC, name, ["retention.ms"])])
    run.note("the same resource twice")
    one = {"resource_type": TOPIC, "resource_name": name, "configs": [retention]}
    client.call(Api.INCREMENTAL_ALTER_CONFIGS, ALL, resources=[one, one])


def spellings(run: Run) -> None:
    """Lists, switches and numbers in many spellings: what is taken, and how it is told."""
    client = run.connect()
    name = run.topic("orders")
    keys = {
        "cleanup.policy": [
            *("delete,", ",", "delete,,compact", "delete,delete", " delete ", "compact , delete"),
            *("Delete", " ", "", "delete"),
        ],
        "follower.replication.throttled.replicas": ["", ",", "0:1,", "0:1,0:1", "*", "*,0:1"],
        "preallocate": ["TRUE", " true ", "yes", "1", ""],
        "retention.ms": [" 5 ", "+5", "5.0", "0x5", "9223372036854775807", "9223372036854775808"],
        "min.cleanable.dirty.ratio": ["0.5", "1", "1e-1", ".5", "1.5", "-0.1"],
        "compression.type": ["GZIP", " gzip ", ""],
    }
    for key, values in keys.items():
        for value in values:
            run.note(f"{key} = {value!r}")
            resource = {"resource_type": TOPIC, "resource_name": name}
            changes = [_change(key, SET, value)]
            client.call(
                Api.INCREMENTAL_ALTER_CONFIGS, 1, resources=[{**resource, "configs": changes}]
            )
            run.catch_up()
            client.call(Api.DESCRIBE_CONFIGS, 4, resources=[_resource(TOPIC, name, [key])])
    for value in ("compact", "delete", ""):
        run.note(f"cleanup.policy appended {value!r}")
        changes = [_change("cleanup.policy", APPEND, value)]
        client.call(Api.INCREMENTAL_ALTER_CONFIGS, 1, resources=[{**resource, "configs": changes}])
