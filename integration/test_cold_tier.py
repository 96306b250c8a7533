"""Topics in a bucket: written by every client, sent away, read again, lost with the disk, restored.

The store is MinIO, the broker a process as a user starts it, and each reader is a stock client that
knows nothing of tiers. What is expected is computed while it is written; offsets are those of the
first reading, when all was still on the broker's disk.
"""

import hashlib
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from struct import pack

import pytest

from integration.broker_processes import Tierbroker
from integration.clients import CODECS, Line
from integration.clients.streams import STREAMS, Written
from integration.conftest import CHOICE, create_topic
from integration.java_tools import TOOLS, run_java
from integration.object_stores import Minio
from tests.broker.cli_calls import cli_with, ok
from tests.s3_server import KEY_ID, SECRET, judge

pytestmark = [
    pytest.mark.skipif(CHOICE not in ("",), reason="these tests look into the broker's bucket"),
]

GENERATED_BYTES = int(os.environ.get("COLD_TIER_BYTES", str(2 << 30)))
"""Of generated records, over all clients."""
PARTITIONS = 3
URL = "s3://archive/production"
KINDS = ("plain", "compressed", "transactional")
SETTINGS = {
    "cold.url": URL,
    "tier.checkpoint.interval.ms": "1000",
    "log.retention.check.interval.ms": "500",
    "transaction.state.log.num.partitions": "4",
    "offsets.topic.num.partitions": "4",
}


@dataclass
class Sum:
    """What one partition holds, or was read from it."""

    count: int = 0
    content: "hashlib._Hash" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    offsets: "hashlib._Hash" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def add(self, key: bytes, value: bytes) -> None:
        self.count += 1
        self.content.update(pack(">II", len(key), len(value)))
        self.content.update(key)
        self.content.update(value)


Sums = dict[int, Sum]


@dataclass(frozen=True)
class Topic:
    """A topic of the test: who writes it and how."""

    name: str
    writer: str
    kind: str
    records: Callable[[], Iterator[Written]]
    segment_bytes: int

    @property
    def codec(self) -> str:
        if self.kind != "compressed":
            return "none"
        return CODECS[1 + list(STREAMS).index(self.writer)]


def text_records(lines: list[Line]) -> Iterator[Written]:
    """A file's lines keep together."""
    for key, value in lines:
        yield hashlib.md5(key).digest()[0] % PARTITIONS, key, value


def generated_records(seed: str, size_bytes: int) -> Iterator[Written]:
    """Values of 8 to 64 KiB, half of each noise that no codec makes smaller."""
    rng = random.Random(seed)
    noise = rng.randbytes(1 << 20)
    number = 0
    while size_bytes > 0:
        half = rng.randrange(4_096, 32_768)
        start = rng.randrange(len(noise) - half)
        value = noise[start : start + half] + b"%08d" % number * (half // 8)
        yield number % PARTITIONS, b"%d" % number, value
        number += 1
        size_bytes -= len(value)


def all_topics(corpus: list[Line]) -> list[Topic]:
    """The library's source text in nine parts, and generated records in nine more."""
    topics = []
    share = -(-len(corpus) // 9)
    for slot in range(9):
        writer, kind = list(STREAMS)[slot // 3], KINDS[slot % 3]
        part = corpus[slot * share : (slot + 1) * share]
        name = f"{kind}-{writer}"
        topics += [
            Topic(f"text-{name}", writer, kind, lambda part=part: text_records(part), 1 << 20),
            Topic(
                f"generated-{name}",
                writer,
                kind,
                lambda name=name: generated_records(name, GENERATED_BYTES // 9),
                8 << 20,
            ),
        ]
    return topics


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Minio]:
    """MinIO with the bucket, and the environment that leads every process to it."""
    server = Minio(tmp_path / "minio")
    server.start()
    judge(server.endpoint).create_bucket(Bucket="archive")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    yield server
    server.stop()


@pytest.fixture
def broker(tmp_path: Path, bucket: Minio) -> Iterator[Tierbroker]:
    """One that keeps its cold data in the bucket."""
    broker = Tierbroker(tmp_path, SETTINGS)
    broker.start()
    yield broker
    if broker.running:
        broker.stop()


@pytest.mark.timeout(1200)
def test_every_client_reads_all_again_from_the_bucket_and_after_the_loss_of_the_disk(
    broker: Tierbroker, corpus: list[Line]
) -> None:
    topics = all_topics(corpus)
    expected = {topic.name: written(broker, topic) for topic in topics}
    for topic in topics:
        sums = read(broker, "confluent-kafka", topic.name, expected[topic.name])
        assert_equal(sums, expected[topic.name], topic.name)
        expected[topic.name] = sums  # with the offsets
    places = {name: read_half(broker, name) for name in STREAMS}

    for topic in topics:
        command("tier", "offload", topic.name, "--evict", "--wait", "-b", broker.bootstrap)
    assert local_bytes(broker, "text-") + local_bytes(broker, "generated-") < 1 << 20
    everyone_reads_everything(broker, topics, expected)

    broker.kill()
    shutil.rmtree(broker.data_dir)
    told = command("restore", "--from", URL, "--data", str(broker.data_dir), "--json")
    rows = [json.loads(line) for line in told.splitlines()]
    assert {row["topic"] for row in rows if "topic" in row} >= {topic.name for topic in topics}
    assert not [row for row in rows if row.get("missing") and not row["topic"].startswith("__")]
    broker.start()
    everyone_reads_everything(broker, topics, expected)
    for name, stream in STREAMS.items():
        topic, offset = places[name]
        assert stream.goes_on_at(broker.bootstrap, f"group-{name}", topic) == offset
    kafkas_tools_work(broker, topics[0], expected[topics[0].name])
    goes_on_behind_the_cold_end(broker, topics[0], expected[topics[0].name])


def written(broker: Tierbroker, topic: Topic) -> Sums:
    """Let the topic's client write it; what must come back."""
    config = {"remote.storage.enable": "true", "segment.bytes": str(topic.segment_bytes)}
    create_topic(broker.bootstrap, topic.name, PARTITIONS, config)
    sums: Sums = {partition: Sum() for partition in range(PARTITIONS)}

    def noted() -> Iterator[Written]:
        for record in topic.records():
            partition, key, value = record
            sums[partition].add(key, value)
            yield record

    name = f"{topic.name}-producer" if topic.kind == "transactional" else None
    STREAMS[topic.writer].write(
        broker.bootstrap, topic.name, noted(), codec=topic.codec, transactional_id=name
    )
    return sums


def read(broker: Tierbroker, reader: str, topic: str, expected: Sums) -> Sums:
    """All that a client gets of a topic."""
    sums: Sums = {partition: Sum() for partition in expected}
    counts = {partition: wanted.count for partition, wanted in expected.items()}
    for record in STREAMS[reader].read(broker.bootstrap, topic, counts):
        found = sums[record.partition]
        found.add(record.key, record.value)
        found.offsets.update(pack(">q", record.offset))
    return sums


def assert_equal(sums: Sums, expected: Sums, what: str, *, offsets: bool = False) -> None:
    for partition, wanted in expected.items():
        found = sums[partition]
        assert found.count == wanted.count, f"{what}-{partition}"
        assert found.content.digest() == wanted.content.digest(), f"{what}-{partition} differs"
        if offsets:
            assert found.offsets.digest() == wanted.offsets.digest(), f"{what}-{partition} moved"


def everyone_reads_everything(
    broker: Tierbroker, topics: list[Topic], expected: dict[str, Sums]
) -> None:
    for reader in STREAMS:
        for topic in topics:
            sums = read(broker, reader, topic.name, expected[topic.name])
            what = f"{topic.name} as {reader} reads it"
            assert_equal(sums, expected[topic.name], what, offsets=True)


def read_half(broker: Tierbroker, name: str) -> tuple[str, int]:
    """Let a group of that client have read some of a text: topic, and the offset it comes to."""
    stream, topic = STREAMS[name], f"text-plain-{name}"
    records = stream.read(broker.bootstrap, topic, {0: 1_000})
    offset = 1 + max(record.offset for record in records)
    stream.commit(broker.bootstrap, f"group-{name}", topic, offset)
    return topic, offset


def local_bytes(broker: Tierbroker, prefix: str) -> int:
    """In the log files of some topics on the broker's disk; deleted ones count no more."""
    total = 0
    for path in broker.data_dir.glob(f"{prefix}*/*.log"):
        with suppress(FileNotFoundError):  # deleted since it was listed
            total += path.stat().st_size
    return total


def kafkas_tools_work(broker: Tierbroker, topic: Topic, expected: Sums) -> None:
    """On a topic of which nothing is on the disk."""
    at = ("--bootstrap-server", broker.bootstrap)

    def offsets(time: str) -> dict[int, int]:
        told = run_java(f"{TOOLS}.GetOffsetShell", *at, "--topic", topic.name, "--time", time)
        rows = (line.rsplit(":", 2) for line in told.lines)
        return {int(partition): int(offset) for _, partition, offset in rows}

    ends = {partition: wanted.count for partition, wanted in expected.items()}
    assert offsets("earliest") == dict.fromkeys(range(PARTITIONS), 0)
    assert offsets("latest") == ends
    assert offsets("latest-tiered") == {partition: end - 1 for partition, end in ends.items()}
    assert offsets("earliest-local") == ends

    count = sum(ends.values())
    told = run_java(
        f"{TOOLS}.ConsumerPerformance",
        *at,
        *("--topic", topic.name, "--messages", str(count), "--timeout", "60000"),
    )
    heading, values = (line.split(", ") for line in told.lines[-2:])
    row = dict(zip(heading, values, strict=True))
    assert int(row["data.consumed.in.nMsg"]) == count, told.text

    cut = {partition: end // 2 for partition, end in ends.items()}
    request = broker.data_dir.parent / "delete-records.json"
    request.write_text(
        json.dumps(
            {
                "version": 1,
                "partitions": [
                    {"topic": topic.name, "partition": partition, "offset": offset}
                    for partition, offset in cut.items()
                ],
            }
        )
    )
    run_java(f"{TOOLS}.DeleteRecordsCommand", *at, "--offset-json-file", str(request))
    assert offsets("earliest") == cut
    for name, stream in STREAMS.items():
        first = next(iter(stream.read(broker.bootstrap, topic.name, {0: 1})))
        assert first.offset == cut[0], name


def goes_on_behind_the_cold_end(broker: Tierbroker, topic: Topic, expected: Sums) -> None:
    """New records follow the old ones, and a consumer crosses from the bucket to the disk."""
    stream = STREAMS["confluent-kafka"]
    stream.write(broker.bootstrap, topic.name, [(0, b"new", b"%d" % n) for n in range(100)])
    end = expected[0].count
    start = end // 2
    read_back = list(stream.read(broker.bootstrap, topic.name, {0: end - start + 100}))
    assert [record.offset for record in read_back] == list(range(start, end + 100))
    old = [
        (key, value)
        for _, key, value in islice(
            (record for record in topic.records() if record[0] == 0), start, None
        )
    ]
    assert [(record.key, record.value) for record in read_back[: len(old)]] == old
    assert Counter(record.key for record in read_back[len(old) :]) == {b"new": 100}


def command(*arguments: str) -> str:
    """Run the command line tool; its standard output."""
    return ok(cli_with(os.environ, deadline_s=300)(*arguments)).decode()
