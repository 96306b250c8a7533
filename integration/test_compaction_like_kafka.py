"""Our cleaning child and Apache Kafka's cleaner make the same of the same files.

Kafka serves a compacted topic and cleans it when it is told to. The partition's directory is
copied just before; the child cleans the copy. Compared are all batches with all their records.
"""

import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from integration.apache_kafka import ApacheKafka
from integration.broker_processes import wait_until
from integration.conftest import CHOICE
from integration.exchange_content import wait_for_markers
from integration.log_dump import all_faults
from tierbroker.hot.cleaning.job import (
    ActiveProducer,
    CleanJob,
    CleanResult,
    SegmentFile,
    decode_reply,
    encode_job,
)
from tierbroker.records import time_index, txn_index
from tierbroker.records.batch import BatchHeader, crc_valid, walk
from tierbroker.records.record import Record, iterate

pytestmark = [
    pytest.mark.skipif(CHOICE not in ("", "apache"), reason="these tests start Apache Kafka"),
]

TOPIC = "ledger"
SEGMENT_BYTES = 40_000
ROOM_BYTES = 5_000
DELETE_RETENTION_MS = 3_000
KAFKA_SETTINGS = {
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.threads": "1",
    "log.initial.task.delay.ms": "100",
}
NEVER, AT_ONCE = "1.0", "0.0"
KEYS = [f"key-{number}" for number in range(60)] + ["k" * 48 + str(number) for number in range(9)]
# What the tool says of every compacted log, Kafka's own too: offsets are missing, and a batch that
# was emptied keeps its timestamp in its header and in the time index.
HARMLESS = re.compile(
    r"Non-consecutive offsets in \S+|\s*\d+ is followed by \d+"
    r"|Found timestamp mismatch in :\S+|\s*Index timestamp: \d+, log timestamp: -1"
)
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class Content(NamedTuple):
    """A batch as a reader and a producer state see it."""

    base_offset: int
    last_offset: int
    attributes: int
    max_timestamp: int
    producer: tuple[int, int, int]
    leader_epoch: int
    records: tuple[Record, ...]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A broker whose cleaner waits for the test."""
    broker = ApacheKafka(tmp_path_factory.mktemp("kafka"), KAFKA_SETTINGS, heap_mb=512)
    broker.start()
    yield broker
    broker.stop()


def set_dirty_ratio(kafka: ApacheKafka, ratio: str) -> None:
    entry = ConfigEntry(
        "min.cleanable.dirty.ratio", ratio, incremental_operation=AlterConfigOpType.SET
    )
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(60)


def create_topic(kafka: ApacheKafka) -> None:
    config = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": NEVER,
        "internal.segment.bytes": str(SEGMENT_BYTES),
        "index.interval.bytes": "1000",
        "delete.retention.ms": str(DELETE_RETENTION_MS),
    }
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for done in admin.create_topics([NewTopic(TOPIC, 1, 1, config=config)]).values():
        done.result(60)


def write(producer: Producer, rng: random.Random, count: int, keys: list[str]) -> None:
    """Write, and wait until all is acknowledged."""
    failed: list[object] = []
    for _ in range(count):
        tombstone = rng.random() < 0.15
        producer.produce(
            TOPIC,
            key=rng.choice(keys),
            value=None if tombstone else rng.randbytes(rng.randrange(0, 300)),
            headers=[("from", b"test"), ("null", None)] if rng.random() < 0.2 else None,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert not failed, failed[:3]


def fill(kafka: ApacheKafka, seed: int, rounds: int) -> None:
    """Plain, idempotent and transactional records of every codec, aborts and tombstones.

    Producers come and go: some are the last of their key, some have a marker as last entry.
    """
    rng = random.Random(seed)
    # However fast the machine is, several batches go into a segment.
    common = {"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "batch.size": 8_000}
    plain = [
        Producer(common | {"compression.type": codec, "enable.idempotence": position % 2 == 0})
        for position, codec in enumerate(CODECS)
    ]
    transactional = [
        Producer(
            common | {"transactional.id": f"{seed}-{number}", "compression.type": CODECS[number]}
        )
        for number in range(4)
    ]
    for producer in transactional:
        producer.init_transactions(60)
    for _ in range(rounds):
        ending = rng.sample(transactional, 2)
        for producer in ending:
            producer.begin_transaction()
        for _ in range(3):
            for producer in [*ending, *rng.sample(plain, 2)]:
                write(producer, rng, rng.randrange(1, 12), KEYS)
        for producer in ending:
            if rng.random() < 0.4:
                producer.abort_transaction(60)
            else:
                producer.commit_transaction(60)
    # Not to be cleaned: the active segment.
    write(plain[0], rng, 300, KEYS[:3])
    # It has room for what a test writes beside, so that nothing more than this is cleaned.
    while logs_of(kafka.data_dir / f"{TOPIC}-0")[-1].stat().st_size > SEGMENT_BYTES - ROOM_BYTES:
        write(plain[0], rng, 10, KEYS[:3])
    wait_for_markers(kafka.bootstrap, TopicPartition(TOPIC, 0))


def logs_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def headers_of(directory: Path) -> Iterator[tuple[BatchHeader, bytes]]:
    for log in logs_of(directory):
        data = log.read_bytes()
        for position, header in walk(data):
            assert crc_valid(data, position, header)
            yield header, data[position : position + header.size_bytes]


def content_of(directory: Path) -> list[Content]:
    return [
        Content(
            header.base_offset,
            header.last_offset,
            header.attributes,
            header.max_timestamp,
            (header.producer_id, header.producer_epoch, header.base_sequence),
            header.partition_leader_epoch,
            tuple(iterate(batch)),
        )
        for header, batch in headers_of(directory)
    ]


def producers_of(directory: Path) -> tuple[ActiveProducer, ...]:
    """What Kafka's producer state says after that log, of producers that did not expire."""
    last: dict[int, ActiveProducer] = {}
    for header, _ in headers_of(directory):
        if header.producer_id >= 0:
            known = last.get(header.producer_id)
            data_offset = known.last_data_offset if known else -1
            if known and header.producer_epoch != known.epoch:
                data_offset = -1
            if not header.control:
                data_offset = header.last_offset
            last[header.producer_id] = ActiveProducer(
                header.producer_id, header.producer_epoch, data_offset
            )
    return tuple(last.values())


def job_for(directory: Path, first_dirty_offset: int) -> CleanJob:
    bases = [int(log.stem) for log in logs_of(directory)]
    return CleanJob(
        job_id=1,
        directory=str(directory),
        topic=TOPIC,
        partition=0,
        segments=tuple(
            SegmentFile(base, log.stat().st_size, int(log.stat().st_mtime * 1000))
            for base, log in zip(bases, logs_of(directory), strict=True)
        )[:-1],
        later_segments=(bases[-1],),
        first_dirty_offset=first_dirty_offset,
        end_offset=bases[-1],
        producers=producers_of(directory),
        now_ms=int(time.time() * 1000),
        delete_retention_ms=DELETE_RETENTION_MS,
        table_bytes=1 << 20,
        load_factor=0.9,
        segment_bytes=SEGMENT_BYTES,
        index_bytes=10 << 20,
        index_interval_bytes=1000,
        max_message_bytes=1 << 20,
        io_buffer_bytes=32 << 10,
        io_bytes_per_second=1e9,
    )


def clean_copy(job: CleanJob) -> CleanResult:
    """Let the child do the job, and swap its files in as a broker would."""
    command = [sys.executable, "-m", "tierbroker.hot.cleaning.worker"]
    ended = subprocess.run(command, input=encode_job(job), capture_output=True, check=True)
    result = decode_reply(ended.stdout.splitlines()[-1])
    assert isinstance(result, CleanResult), result
    directory = Path(job.directory)
    for segment in result.segments:
        for base in segment.replaces:
            for file in directory.glob(f"{base:020}.*"):
                if file.suffix in (".log", ".index", ".timeindex", ".txnindex"):
                    file.unlink()
        for suffix in segment.files:
            cleaned = directory / f"{segment.base_offset:020}{suffix}.cleaned"
            cleaned.rename(cleaned.with_suffix(""))
    assert not list(directory.glob("*.cleaned"))
    return result


def cleaned_up_to(kafka: ApacheKafka) -> int:
    """The first dirty offset that Kafka's cleaner wrote down, 0 before the first round."""
    checkpoint = kafka.data_dir / "cleaner-offset-checkpoint"
    if checkpoint.exists():
        for line in checkpoint.read_text().splitlines():
            if line.startswith(f"{TOPIC} 0 "):
                return int(line.split()[2])
    return 0


def let_kafka_clean(kafka: ApacheKafka) -> int:
    """Kafka's cleaner runs until the active segment; the offset that it reached."""
    partition = kafka.data_dir / f"{TOPIC}-0"
    end = int(logs_of(partition)[-1].stem)
    set_dirty_ratio(kafka, AT_ONCE)
    wait_until(lambda: cleaned_up_to(kafka) == end, f"cleaning up to {end}", 120)
    set_dirty_ratio(kafka, NEVER)
    return end


def test_three_rounds_come_out_as_kafkas(kafka: ApacheKafka, tmp_path: Path) -> None:
    """The second and third round meet horizons that are set, and horizons that have passed."""
    create_topic(kafka)
    partition = kafka.data_dir / f"{TOPIC}-0"
    for number in range(3):
        if number:
            time.sleep(DELETE_RETENTION_MS / 1000 + 0.5)
        fill(kafka, seed=number, rounds=30)
        copy = tmp_path / f"{TOPIC}-{number}"
        # A running Kafka's indexes of the active segment end in reserved zeros, and what it has
        # cleaned away goes at any time.
        active = logs_of(partition)[-1].stem
        left_out = (f"{active}.index", f"{active}.timeindex", "*.deleted")
        shutil.copytree(partition, copy, ignore=shutil.ignore_patterns(*left_out))
        job = job_for(copy, cleaned_up_to(kafka))
        reached = let_kafka_clean(kafka)
        result = clean_copy(job)

        assert result.cleaned_end_offset == reached
        ours, kafkas = content_of(copy), content_of(partition)
        for mine, theirs in zip(ours, kafkas, strict=False):
            assert mine == theirs
        assert len(ours) == len(kafkas)
        if number == 0:
            # Later the sizes differ by what two compressors make of the same, and so may groups.
            assert segments_of(copy) == segments_of(partition)
        assert abortions_of(copy) == abortions_of(partition)
        assert sum(len(batch.records) for batch in ours) < 3 * len(KEYS) + 600
        assert not [line for line in all_faults(copy) if not HARMLESS.fullmatch(line)]


def segments_of(directory: Path) -> list[tuple[str, bytes]]:
    """Names of the segments that may be cleaned, with their highest timestamps' entries."""
    return [
        (log.name, log.with_suffix(".timeindex").read_bytes()[-time_index.ENTRY_BYTES :])
        for log in logs_of(directory)[:-1]
    ]


def abortions_of(directory: Path) -> list[txn_index.AbortedTxn]:
    """What the transaction indexes say."""
    files = sorted(directory.glob("*.txnindex"))
    return [txn for file in files for txn in txn_index.entries(file.read_bytes())]
