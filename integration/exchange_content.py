"""What the brokers of an exchange put into their data directory: a bit of everything."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from integration.broker_processes import wait_until
from integration.clients import CODECS

SEGMENT_BYTES = 16_384
T0_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """Records for one topic; `keys` is how many keys they take turns with, 0 for other keys."""

    topic: str
    count: int
    codec: str = "none"
    keys: int = 0
    value_bytes: int = 60


def fill(bootstrap: str) -> None:
    """Topics of every kind, records of every codec, deletions and changes."""
    admin = _admin(bootstrap)
    small = {"internal.segment.bytes": str(SEGMENT_BYTES), "index.interval.bytes": "512"}
    _create(admin, "steady")
    for codec in CODECS:
        _create(admin, f"codec-{codec}", 2, small)
    _create(admin, "megabytes", 1, {"segment.bytes": str(1 << 20)})
    _create(admin, "stamped", 1, {"message.timestamp.type": "LogAppendTime"})
    _create(admin, "compacted", 1, {"cleanup.policy": "compact", **small})
    _create(admin, "settings", 3, {"retention.ms": "86400000", "max.message.bytes": "70000"})
    _create(admin, "under_score.and.dot")
    _create(admin, "twice-made", 2)
    _create(admin, "deleted", 2)
    _create(admin, "cut", 1, small)
    _create(admin, "starved", 1, {"min.insync.replicas": "2"})
    _create(admin, "empty")
    _create(admin, "transacted", 2, small)
    write(
        bootstrap,
        *(Load(f"codec-{codec}", 400, codec) for codec in CODECS),
        Load("megabytes", 3000, value_bytes=1000),
        Load("stamped", 50, "lz4"),
        Load("compacted", 300, "zstd", keys=7),
        Load("under_score.and.dot", 5),
        Load("twice-made", 20),
        Load("deleted", 20),
        Load("cut", 400),
    )
    _delete(admin, ["twice-made", "deleted"])
    _create(admin, "twice-made", 3)
    write(bootstrap, Load("twice-made", 10))
    _cut(admin, TopicPartition("cut", 0, 333))
    _alter(admin, "settings", "min.insync.replicas", "1")
    _alter(admin, "settings", "retention.ms", None)
    commit(bootstrap, "plain", {("codec-none", 0): 17, ("codec-none", 1): 0, ("stamped", 0): 50})
    commit(bootstrap, "moving", {("codec-zstd", 0): 3})
    commit(bootstrap, "forgetting", {("codec-lz4", 0): 5, ("codec-lz4", 1): 6})
    commit(bootstrap, "removed", {("codec-lz4", 0): 5})
    commit(bootstrap, "removed-and-back", {("codec-lz4", 0): 5, ("codec-gzip", 0): 7})
    take_seat(bootstrap, "seated", "codec-gzip", "seat")
    take_seat(bootstrap, "left", "codec-gzip", None)
    _change_groups(admin, bootstrap, 0)
    transact(bootstrap, 0)


def change(bootstrap: str, leg: int) -> None:
    """More of everything, by the broker that took the directory over."""
    admin = _admin(bootstrap)
    _create(admin, f"new-{leg}", 2, {"compression.type": "lz4", "segment.bytes": "2097152"})
    (grown,) = admin.create_partitions([NewPartitions("settings", 3 + leg)]).values()
    grown.result(timeout=30)
    _delete(admin, ["twice-made"])
    # Never fewer partitions than before: a client may have the old number, since Kafka answers
    # before its metadata cache knows of the change.
    _create(admin, "twice-made", 3 + leg)
    grow = ("stamped", "under_score.and.dot", "twice-made", "cut", "megabytes", "settings")
    write(
        bootstrap,
        *(Load(f"codec-{codec}", 200, codec) for codec in CODECS),
        *(Load(topic, 30, "snappy") for topic in grow),
        Load("compacted", 30, "gzip", keys=5),
        Load(f"new-{leg}", 100),
    )
    _alter(admin, "settings", "retention.bytes", str(leg * 1_000_000_000))
    _cut(admin, TopicPartition("cut", 0, 333 + 20 * leg))
    commit(bootstrap, "removed", {("codec-lz4", 0): 5 + leg})
    commit(bootstrap, f"new-{leg}", {(f"new-{leg}", 0): 10})
    take_seat(bootstrap, "seated", "codec-gzip", "seat")
    take_seat(bootstrap, "left", "codec-lz4", None)
    _change_groups(admin, bootstrap, leg)
    transact(bootstrap, leg)


def commit(bootstrap: str, group: str, offsets: dict[tuple[str, int], int]) -> None:
    """Commit as a client that is no member, with metadata."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
    wanted = [
        TopicPartition(topic, partition, offset, f"at {offset}")
        for (topic, partition), offset in offsets.items()
    ]
    assert all(row.error is None for row in consumer.commit(offsets=wanted, asynchronous=False))
    consumer.close()


def setting(bootstrap: str, topic: str, key: str, value: str | None = None) -> str:
    """What a setting of a topic is, after it was set to `value` if that is given."""
    admin = _admin(bootstrap)
    if value is not None:
        _alter(admin, topic, key, value)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (described,) = admin.describe_configs([resource]).values()
    return described.result(timeout=30)[key].value


def take_seat(bootstrap: str, group: str, topic: str, instance: str | None) -> None:
    """Join, read a little, commit and go: a static member stays on the list, another leaves."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "client.id": "sitter",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 300_000,
        "max.poll.interval.ms": 300_000,
        "log_level": 0,
    }
    consumer = Consumer(settings | ({"group.instance.id": instance} if instance else {}))
    consumer.subscribe([topic])
    deadline = time.monotonic() + 90
    while (message := consumer.poll(0.1)) is None or message.error():
        assert time.monotonic() < deadline, f"{group} got nothing of {topic}"
    consumer.commit(message, asynchronous=False)
    consumer.close()


def _change_groups(admin: AdminClient, bootstrap: str, leg: int) -> None:
    """Move, forget and delete, so that tombstones and newer records supersede older ones."""
    commit(bootstrap, "moving", {("codec-zstd", 0): 10 + leg, ("codec-zstd", 1): leg})
    for name in ("removed", "removed-and-back"):
        for removed in admin.delete_consumer_groups([name], request_timeout=30).values():
            removed.result(timeout=30)
    commit(bootstrap, "removed-and-back", {("codec-lz4", 1): 1 + leg})


def transact(bootstrap: str, leg: int) -> None:
    """Transactions that are committed and aborted, and one that is left open each time.

    Who takes the directory over finds it open, and its producer ends it by starting again.
    """
    producer = _transactional(bootstrap, "in-order")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "within", "log_level": 0})
    for number in range(6):
        producer.begin_transaction()
        for slot in range(20):
            producer.produce("transacted", f"{leg}.{number}.{slot}".encode(), partition=slot % 2)
        if number % 3 == 2:
            producer.flush(30)
            producer.abort_transaction(30)
            continue
        read = [TopicPartition("codec-none", 0, 10 * leg + number)]
        producer.send_offsets_to_transaction(read, consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
    consumer.close()
    unfinished = _transactional(bootstrap, "unfinished")
    wait_for_markers(bootstrap, *(TopicPartition("transacted", number) for number in range(2)))
    unfinished.begin_transaction()
    for slot in range(10):
        unfinished.produce("transacted", f"{leg}.open.{slot}".encode(), partition=slot % 2)
    assert unfinished.flush(30) == 0


def wait_for_markers(bootstrap: str, *places: TopicPartition) -> None:
    """Until no transaction is open there: a commit is answered before its markers are written."""
    admin = _admin(bootstrap)

    def ends(level: IsolationLevel) -> dict[TopicPartition, int]:
        asked = dict.fromkeys(places, OffsetSpec.latest())
        found = admin.list_offsets(asked, isolation_level=level, request_timeout=30)
        return {place: future.result(timeout=60).offset for place, future in found.items()}

    wait_until(
        lambda: ends(IsolationLevel.READ_COMMITTED) == ends(IsolationLevel.READ_UNCOMMITTED),
        f"end of the transactions in {places}",
        60,
    )


def _transactional(bootstrap: str, transactional_id: str) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": 900_000,
            "log_level": 0,
        }
    )
    producer.init_transactions(60)
    return producer


def write(bootstrap: str, *loads: Load) -> None:
    """Send them all, side by side: librdkafka takes its time to become idempotent."""
    with ThreadPoolExecutor(len(loads)) as threads:
        for written in [threads.submit(_write, bootstrap, load) for load in loads]:
            written.result()


def _write(bootstrap: str, load: Load) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": load.codec,
            "linger.ms": 5,
            "batch.num.messages": 37,
            "log_level": 0,
        }
    )
    failed: list[object] = []
    for number in range(load.count):
        key, value, headers = _record(load, number)
        producer.produce(
            load.topic,
            value,
            key,
            headers=headers,
            timestamp=T0_MS + number if number % 2 else 0,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        if number % 100 == 99:
            producer.flush(30)
    assert producer.flush(60) == 0
    assert not failed, failed[:3]


def _record(
    load: Load, number: int
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Key, value and headers, null and empty ones among them."""
    if load.keys:
        key: bytes | None = f"key-{number % load.keys}".encode()
        value = None if number % 23 == 0 else f"value-{number}".encode()
    else:
        key = None if number % 5 == 0 else f"key-{number}".encode()
        text = f"{load.topic} {number} ".encode() * 200
        value = None if number % 11 == 0 else text[: load.value_bytes]
    headers = [("number", str(number).encode()), ("nothing", None), ("number", b"")]
    return key, value, headers if number % 3 == 0 else []


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _create(
    admin: AdminClient, name: str, partitions: int = 1, config: dict[str, str] | None = None
) -> None:
    """Kafka deletes in the background: a name may still be taken for a moment."""
    topic = NewTopic(name, partitions, 1, config=config or {})
    (created,) = admin.create_topics([topic], operation_timeout=30).values()
    created.result(timeout=30)


def _delete(admin: AdminClient, names: list[str]) -> None:
    for deleted in admin.delete_topics(names, operation_timeout=30).values():
        deleted.result(timeout=30)


def _alter(admin: AdminClient, topic: str, key: str, value: str | None) -> None:
    operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(key, value, incremental_operation=operation)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(timeout=30)


def _cut(admin: AdminClient, place: TopicPartition) -> None:
    for cut in admin.delete_records([place]).values():
        cut.result(timeout=30)
