"""Requests drawn at random from what makes sense and what just does not, by fixed seeds.

DIFFERENTIAL_SEEDS=100-149 draws by others. A step names its seed, so that one can be looked at.
"""

import os
import random
from collections.abc import Callable, Iterable

from integration.differential.script import Connection, Run
from integration.scenarios.group_member import coordinated
from integration.scenarios.requests import NULL_ID, fetched, offsets_at, produced, records
from tierbroker.records.compression import Codec
from tierbroker.wire.api_keys import ApiKey as Api

STEPS = 120
PARTITIONS = 2
SETTINGS: dict[str, list[str | None]] = {
    "retention.ms": ["1000", "-1", "-2", "often", None],
    "cleanup.policy": ["compact", "delete", "compact,delete", "delete,compact", "none", ""],
    "max.message.bytes": ["1000", "-1", "0"],
    "segment.bytes": ["1048576", "1048575"],
    "compression.type": ["gzip", "zstd", "producer", "rar"],
    "min.insync.replicas": ["1", "2", "0"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime", "Never"],
    "follower.replication.throttled.replicas": ["*", "0:1", "0:1,1:1", "x"],
    "preallocate": ["true", "false", "TRUE", "maybe"],
    "no.such.setting": ["1"],
}


def _seeds() -> Iterable[int]:
    first, _, last = os.environ.get("DIFFERENTIAL_SEEDS", "1-2").partition("-")
    return range(int(first), int(last or first) + 1)


class _Log:
    """A topic, and requests about it."""

    def __init__(self, run: Run, rng: random.Random, name: str) -> None:
        self._run = run
        self._rng = rng
        self._topic = run.topic(name, PARTITIONS, config={"segment.bytes": str(1 << 20)})
        self._id = run.topic_id(self._topic)
        self._client: Connection = run.connect()
        self._producers = [self._new_producer() for _ in range(2)]
        self._sequences = [[0] * PARTITIONS for _ in self._producers]
        self._clock_ms = 0

    def _new_producer(self) -> int:
        answer = self._client.settled(
            Api.INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000
        )
        return int(answer.producer_id)

    def _partition(self) -> int:
        return self._rng.choice([0, 0, 0, 1, 1, PARTITIONS])

    def _offset(self) -> int:
        return self._rng.choice([-1, self._rng.randrange(12), self._rng.randrange(120), 10**6])

    def _send(self, partition: int, batch: bytes) -> None:
        data = [{"index": partition, "records": batch}]
        request = {
            **produced(self._topic),
            "topic_data": [{"name": self._topic, "partition_data": data}],
        }
        self._client.call(Api.PRODUCE, self._rng.choice([3, 5, 8, 9, 11]), **request)

    def produce(self) -> None:
        """A batch of any codec and size; times do not always rise."""
        self._clock_ms += self._rng.choice([-500, 10, 10, 1000])
        size = self._rng.choice([1, 50, 50, 2000, 150_000])
        values = [self._rng.randbytes(size) for _ in range(self._rng.randint(1, 5))]
        batch = records(
            self._run,
            values,
            at_ms=self._clock_ms,
            step_ms=self._rng.choice([0, 1, -3]),
            codec=self._rng.choice([Codec.NONE, Codec.NONE, *Codec]),
        )
        self._send(self._partition(), batch)

    def produce_in_sequence(self) -> None:
        """Mostly the next sequence; now and then an old one, a gap or another epoch."""
        which = self._rng.randrange(len(self._producers))
        partition = self._rng.randrange(PARTITIONS)
        count = self._rng.randint(1, 3)
        expected = self._sequences[which][partition]
        sequence = max(0, expected + self._rng.choice([0, 0, 0, 0, -1, -2, -5, 1, 4]))
        batch = records(
            self._run,
            [b"%d" % (sequence + n) for n in range(count)],
            at_ms=self._clock_ms,
            producer_id=self._producers[which],
            producer_epoch=self._rng.choice([1, 1, 1, 1, 1, 1, 0]),
            base_sequence=sequence,
        )
        if sequence == expected:
            self._sequences[which][partition] += count
        self._send(partition, batch)

    def fetch(self) -> None:
        """From anywhere, with all kinds of limits."""
        version = self._rng.choice([4, 7, 11, 12, 13, 16, 18])
        how = {
            "partition": self._partition(),
            "partition_max_bytes": self._rng.choice([1, 100, 5000, 200_000, 1 << 22]),
            "max_bytes": self._rng.choice([1, 5000, 1 << 22]),
            "isolation_level": self._rng.choice([0, 1]),
        }
        if version >= 9:
            how["current_leader_epoch"] = self._rng.choice([-1, 0, 0, 1])
        if version >= 12:
            how["last_fetched_epoch"] = self._rng.choice([-1, 0])
        name = self._id if version >= 13 else self._topic
        self._client.call(Api.FETCH, version, **fetched(name, self._offset(), **how))

    def list_offsets(self) -> None:
        """By time, and special ones."""
        times = [self._run.start_ms + self._rng.randint(-600, 12_000), -1, -2, -3]
        request = offsets_at(self._topic, self._rng.choice(times), partition=self._partition())
        self._client.call(Api.LIST_OFFSETS, self._rng.choice([7, 8, 11]), **request)

    def end_of_epoch(self) -> None:
        """Epoch 0 is all there is."""
        asked = {
            "partition": self._partition(),
            "leader_epoch": self._rng.choice([-1, 0, 1]),
            "current_leader_epoch": self._rng.choice([-1, 0, 1]),
        }
        topics = [{"topic": self._topic, "partitions": [asked]}]
        self._client.call(Api.OFFSET_FOR_LEADER_EPOCH, 4, topics=topics)

    def delete_records(self) -> None:
        """Up to anywhere."""
        asked = {"partition_index": self._partition(), "offset": self._offset()}
        if asked["offset"] == -1:
            return  # all of it at once would leave little to ask for
        topics = [{"name": self._topic, "partitions": [asked]}]
        self._client.call(Api.DELETE_RECORDS, 2, topics=topics, timeout_ms=10_000)


class _Offsets:
    """The offsets of two groups without members."""

    def __init__(self, run: Run, rng: random.Random, name: str) -> None:
        self._rng = rng
        self._topics = [run.topic(f"{name}-{number}", PARTITIONS) for number in range(2)]
        self._groups = [coordinated(run, f"{name}-{number}") for number in range(2)]
        self._client = run.connect()

    def commit(self) -> None:
        """To some partitions, one of which may not be there."""
        partitions = [
            {
                "partition_index": self._rng.randint(0, PARTITIONS),
                "committed_offset": self._rng.randrange(1000),
                "committed_metadata": self._rng.choice(["", None, "text", "x" * 4096]),
            }
            for _ in range(self._rng.randint(1, 3))
        ]
        self._client.call(
            Api.OFFSET_COMMIT,
            self._rng.choice([2, 5, 8, 9]),
            group_id=self._rng.choice(self._groups),
            generation_id_or_member_epoch=self._rng.choice([-1, -1, -1, 1]),
            member_id=self._rng.choice(["", "", "", "stranger"]),
            topics=[{"name": self._rng.choice(self._topics), "partitions": partitions}],
        )

    def fetch(self) -> None:
        """Of some partitions, or all."""
        indexes = list(range(PARTITIONS + 1))
        some = [{"name": self._rng.choice(self._topics), "partition_indexes": indexes}]
        self._client.call(
            Api.OFFSET_FETCH,
            self._rng.choice([2, 5, 7]),
            group_id=self._rng.choice(self._groups),
            topics=self._rng.choice([None, some]),
        )

    def delete(self) -> None:
        """A whole group, or an offset that nobody can have committed."""
        group = self._rng.choice(self._groups)
        if self._rng.random() < 0.5:
            self._client.call(Api.DELETE_GROUPS, 2, groups_names=[group])
            return
        partitions = [{"partition_index": PARTITIONS}]
        topics = [{"name": self._rng.choice(self._topics), "partitions": partitions}]
        self._client.call(Api.OFFSET_DELETE, 0, group_id=group, topics=topics)

    def describe(self) -> None:
        """Both groups."""
        self._client.call(Api.DESCRIBE_GROUPS, self._rng.choice([0, 6]), groups=self._groups)


class _Topics:
    """Four names of topics that come and go."""

    def __init__(self, run: Run, rng: random.Random, seed: int) -> None:
        self._run = run
        self._rng = rng
        self._names = [run.name(f"topic-{seed}-{number}") for number in range(4)]
        self._client = run.connect()

    def _setting(self) -> tuple[str, str | None]:
        key = self._rng.choice(list(SETTINGS))
        return key, self._rng.choice(SETTINGS[key])

    def create(self) -> None:
        """With settings that need not be right."""
        configs = dict(self._setting() for _ in range(self._rng.randint(0, 2)))
        topic = {
            "name": self._rng.choice(self._names),
            "num_partitions": self._rng.choice([-1, 1, 2, 3, 0]),
            "replication_factor": self._rng.choice([-1, 1, 1, 1, 2]),
            "configs": [{"name": key, "value": value} for key, value in configs.items()],
        }
        how = {"validate_only": self._rng.random() < 0.1, "timeout_ms": 10_000}
        self._client.call(Api.CREATE_TOPICS, self._rng.choice([4, 5, 7]), topics=[topic], **how)
        self._run.catch_up()

    def delete(self) -> None:
        """By name."""
        topics = [{"name": self._rng.choice(self._names), "topic_id": NULL_ID}]
        self._client.call(Api.DELETE_TOPICS, 6, topics=topics, timeout_ms=10_000)
        self._run.catch_up()

    def enlarge(self) -> None:
        """By one or none."""
        topic = {
            "name": self._rng.choice(self._names),
            "count": self._rng.randint(1, 5),
            "assignments": self._rng.choice([None, None, [{"broker_ids": [1]}]]),
        }
        self._client.call(Api.CREATE_PARTITIONS, 3, topics=[topic], timeout_ms=10_000)
        self._run.catch_up()

    def alter(self) -> None:
        """One or two settings, in any of the four ways."""
        configs = [
            {"name": key, "value": value, "config_operation": self._rng.choice([0, 0, 1, 2, 3])}
            for key, value in (self._setting() for _ in range(self._rng.randint(1, 2)))
        ]
        resource = {"resource_type": 2, "resource_name": self._rng.choice(self._names)}
        self._client.call(
            Api.INCREMENTAL_ALTER_CONFIGS, 1, resources=[{**resource, "configs": configs}]
        )
        self._run.catch_up()

    def look(self) -> None:
        """All of them, and their settings."""
        topics = [{"name": name} for name in self._names]
        self._client.call(Api.METADATA, 12, topics=topics, allow_auto_topic_creation=False)
        resources = [
            {"resource_type": 2, "resource_name": name, "configuration_keys": list(SETTINGS)}
            for name in self._names
        ]
        self._client.call(Api.DESCRIBE_CONFIGS, 4, resources=resources)


def _draw(
    run: Run,
    rng: random.Random,
    seed: int,
    weighted: dict[Callable[[], None], int],
    steps: int = STEPS,
) -> None:
    for action in rng.choices(list(weighted), list(weighted.values()), k=steps):
        run.note(f"seed {seed}")
        action()


def of_logs(run: Run) -> None:
    """Produce, fetch and list, with deletions that shorten the log."""
    for seed in _seeds():
        rng = random.Random(seed)
        log = _Log(run, rng, f"log-{seed}")
        weighted = {
            log.produce: 6,
            log.produce_in_sequence: 6,
            log.fetch: 10,
            log.list_offsets: 4,
            log.end_of_epoch: 1,
        }
        _draw(run, rng, seed, weighted)
        _draw(run, rng, seed, {log.produce: 3, log.delete_records: 1, log.fetch: 5})


def of_offsets(run: Run) -> None:
    """Commits, fetches and deletions of offsets."""
    for seed in _seeds():
        rng = random.Random(seed)
        offsets = _Offsets(run, rng, f"offsets-{seed}")
        weighted = {
            offsets.commit: 5,
            offsets.fetch: 5,
            offsets.delete: 1,
            offsets.describe: 1,
        }
        _draw(run, rng, seed, weighted)


def of_topics(run: Run) -> None:
    """Topics made, enlarged, changed and deleted."""
    for seed in _seeds():
        rng = random.Random(seed)
        topics = _Topics(run, rng, seed)
        weighted = {
            topics.create: 4,
            topics.delete: 2,
            topics.enlarge: 3,
            topics.alter: 4,
            topics.look: 3,
        }
        _draw(run, rng, seed, weighted, steps=STEPS // 4)
