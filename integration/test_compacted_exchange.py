"""A compacted topic goes back and forth between tierbroker and Apache Kafka, each compacting it.

Each broker serves what the other one left at the same offsets, cleans on from where the other came
to, and passes the directory on. Producers live through all of it, and a transaction is open
whenever the directory changes hands.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from integration.apache_kafka import ApacheKafka
from integration.broker_processes import Tierbroker, free_port
from integration.conftest import CHOICE
from integration.holdings import PartitionHoldings, read_topics
from integration.log_dump import all_faults
from integration.test_compaction_like_kafka import (
    AT_ONCE,
    DELETE_RETENTION_MS,
    HARMLESS,
    KEYS,
    NEVER,
    TOPIC,
    cleaned_up_to,
    content_of,
    create_topic,
    fill,
    let_kafka_clean,
    logs_of,
    set_dirty_ratio,
)
from integration.test_data_dir_exchange import complaints, copy

pytestmark = [
    pytest.mark.skipif(CHOICE not in ("", "apache"), reason="these tests start both brokers"),
]

LEGS = ("ours stop", "Kafka kill", "ours kill", "Kafka stop", "ours stop")
SETTINGS = {
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "log.cleaner.backoff.ms": "200",
}
KAFKA_SETTINGS = {"log.cleaner.threads": "1", "log.initial.task.delay.ms": "100"}
# What Kafka says of a round.
BEGUN = re.compile(
    rf"Building offset map for log {TOPIC}-0 for \d+ segments in offset range \[(\d+), (\d+)\)"
)
CONTROL, HAS_HORIZON = 0x20, 0x40
RESET = re.compile(r"[Rr]esetting first dirty offset|is unreadable|[Mm]alformed")

Broker = Tierbroker | ApacheKafka


@pytest.fixture
def running() -> Iterator[list[Broker]]:
    """Brokers that a failed test left behind are killed."""
    brokers: list[Broker] = []
    yield brokers
    for broker in brokers:
        if broker.running:
            broker.kill()


class Writers:
    """Producers that live as long as the exchange, or end in the middle of something."""

    def __init__(self, bootstrap: str) -> None:
        common = {
            "bootstrap.servers": bootstrap,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            "linger.ms": 2,
        }
        self.steady = Producer(common | {"enable.idempotence": True})
        self._common = common
        self.steady_count = 0

    def write_steadily(self) -> None:
        """Records whose keys others write too, so that no record of the last batch is left."""
        failed: list[object] = []
        for _ in range(10):
            self.steady.produce(
                TOPIC,
                key=KEYS[self.steady_count % 3],
                value=b"steady",
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
            self.steady_count += 1
            assert self.steady.flush(60) == 0
        assert not failed, failed[:3]

    def leave_open(self, leg: int) -> None:
        """A transaction without an end."""
        producer = self._open()
        producer.begin_transaction()
        for slot in range(5):
            producer.produce(TOPIC, key=f"open-{slot}", value=f"{leg}".encode())
        assert producer.flush(30) == 0
        self._left = producer

    def end_what_is_open(self) -> None:
        """Its producer starts again, so that cleaning may go past it."""
        self._open()

    def _open(self) -> Producer:
        producer = Producer(
            self._common | {"transactional.id": "open", "transaction.timeout.ms": 900_000}
        )
        producer.init_transactions(60)
        return producer


@pytest.mark.timeout(900)
def test_each_compacts_on_from_where_the_other_was(tmp_path: Path, running: list[Broker]) -> None:
    port = free_port()
    writers = Writers(f"127.0.0.1:{port}")
    before: PartitionHoldings | None = None
    data_dir: Path | None = None
    reached = 0
    for leg, (kind, end) in enumerate(leg.split() for leg in LEGS):
        broker = made(kind, tmp_path / str(leg), port)
        if data_dir is not None:
            copy(data_dir, broker.data_dir)
        running.append(broker)
        broker.start()
        if before is None:
            create_topic(broker)
            reached = compact_more(broker, 100, reached)
        else:
            assert held(broker) == before
            assert cleaned_up_to(broker) == reached
            nothing_is_compacted_again(broker)
            writers.end_what_is_open()
        writers.write_steadily()
        reached = compact_more(broker, leg, reached)
        writers.leave_open(leg)
        before = held(broker)
        getattr(broker, end)()
        data_dir = broker.data_dir
        told = complaints(broker.log_text())
        told += [line for line in broker.log_text().splitlines() if RESET.search(line)]
        if end == "stop":
            faults = all_faults(data_dir / f"{TOPIC}-0")
            told += [line for line in faults if not HARMLESS.fullmatch(line)]
        assert not told, "\n".join(told[:40])
        everything_of_interest_is_there(data_dir)


def made(kind: str, home: Path, port: int) -> Broker:
    home.mkdir()
    if kind == "ours":
        return Tierbroker(home, SETTINGS, port)
    return ApacheKafka(home, SETTINGS | KAFKA_SETTINGS, heap_mb=512, port=port)


def nothing_is_compacted_again(broker: Broker) -> None:
    """A cleaner that went by another offset than the other broker's would begin at once."""
    partition = broker.data_dir / f"{TOPIC}-0"
    before = [path.stat().st_ino for path in logs_of(partition)]
    set_dirty_ratio(broker, AT_ONCE)
    time.sleep(1)
    set_dirty_ratio(broker, NEVER)
    assert [path.stat().st_ino for path in logs_of(partition)] == before


def compact_more(broker: Broker, seed: int, reached: int) -> int:
    """Write and compact; answers the offset that the broker wrote down as clean.

    The tombstones that the last round kept go in this one.
    """
    fill(broker, seed, rounds=10)
    before = held(broker)
    end = let_kafka_clean(broker)
    assert end > reached
    if isinstance(broker, ApacheKafka):
        assert BEGUN.findall(broker.log_text())[-1] == (str(reached), str(end))
    after = held(broker)
    assert latest_values(after) == latest_values(before)
    assert set(after.records) < set(before.records)
    assert len(after.records) < 2 * len(KEYS) + 500
    assert (after.log_start, after.high_watermark) == (before.log_start, before.high_watermark)
    time.sleep(DELETE_RETENTION_MS / 1000 + 0.1)
    return end


def held(broker: Broker) -> PartitionHoldings:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    return read_topics(admin, broker.bootstrap)[TOPIC].partitions[0]


def latest_values(holdings: PartitionHoldings) -> dict[bytes | None, bytes]:
    """What a reader of committed records knows of each key in the end."""
    committed = set(holdings.committed)
    latest = {record[2]: record[3] for record in holdings.records if record[0] in committed}
    return {key: value for key, value in latest.items() if value is not None}


def everything_of_interest_is_there(data_dir: Path) -> None:
    """What only compaction makes: else the exchange has shown nothing."""
    batches = content_of(data_dir / f"{TOPIC}-0")
    assert any(not batch.records and batch.producer[0] >= 0 for batch in batches)
    assert any(batch.attributes & HAS_HORIZON for batch in batches)
    assert any(batch.attributes & CONTROL for batch in batches)
