"""Kafka's transactional copier copies a topic while the broker is killed: exactly once.

It reads a partition, writes what it read to another topic and commits both in one transaction;
some transactions it aborts on purpose. COPY_SEED repeats the choice of moments.
"""

import os
import random
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from integration.broker_processes import BrokerProcess
from integration.conftest import StartBroker, create_topic
from integration.event_files import TellingProcess
from integration.exchange_content import wait_for_markers
from integration.java_tools import TOOLS, java_command
from integration.log_dump import all_faults, transaction_records

KILLS = 10
SEED = int(os.environ.get("COPY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
TRANSACTION_RECORDS = 50
RECORDS = 15_000
SOURCE, COPY, GROUP, COPIER = "source", "copy", "copiers", "copier"
STEP_TIMEOUT_S = 150.0


@pytest.fixture
def own_broker(start_broker: StartBroker) -> BrokerProcess:
    return start_broker()


@pytest.mark.timeout(900)
def test_a_copy_through_ten_kills_is_exact(own_broker: BrokerProcess, tmp_path: Path) -> None:
    print(f"COPY_SEED={SEED}")
    rng = random.Random(SEED)
    create_topic(own_broker.bootstrap, SOURCE)
    create_topic(own_broker.bootstrap, COPY, config={"segment.bytes": str(1 << 20)})
    expected = fill(own_broker.bootstrap)
    copier = TellingProcess("copier", copier_command(own_broker.bootstrap), tmp_path / "events")
    try:
        done = 0
        for number in range(KILLS):
            # Each kill has its own stretch of the copy, so that none comes after the end.
            done = wait_for(copier, (number + rng.random()) * RECORDS / (KILLS + 1), done)
            own_broker.kill()
            own_broker.start()
        code = copier.wait(timeout_s=STEP_TIMEOUT_S)
    finally:
        if copier.running:
            copier.kill()
    assert code == 0, copier.errors()
    # Its last commit was answered before all of its markers were written.
    wait_for_markers(own_broker.bootstrap, TopicPartition(COPY, 0))
    assert read(own_broker.bootstrap, COPY, "read_committed") == expected
    written = read(own_broker.bootstrap, COPY, "read_uncommitted")
    assert len(written) > len(expected), "no transaction was aborted: the test shows little"
    assert committed_offset(own_broker.bootstrap) == end_offset(own_broker.bootstrap, SOURCE)
    own_broker.stop()
    check_files(own_broker.data_dir)


def fill(bootstrap: str) -> list[bytes]:
    """Write the source, without transactions: the copier counts offsets, not records."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    values = [b"%d" % number for number in range(RECORDS)]
    for value in values:
        producer.produce(SOURCE, value=value)
    assert producer.flush(60) == 0
    assert end_offset(bootstrap, SOURCE) == RECORDS
    return values


def copier_command(bootstrap: str) -> list[str]:
    return java_command(
        f"{TOOLS}.TransactionalMessageCopier",
        *("--broker-list", bootstrap, "--transactional-id", COPIER, "--consumer-group", GROUP),
        *("--input-topic", SOURCE, "--input-partition", "0", "--output-topic", COPY),
        *("--transaction-size", str(TRANSACTION_RECORDS), "--use-group-metadata"),
        "--enable-random-aborts",
        heap_mb=192,
    )


def wait_for(copier: TellingProcess, records: float, done: int) -> int:
    """How many records are copied, once it is more than `records`; `done` were known before."""
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while True:
        # Before its events are read: what it told before it ended is among them.
        running = copier.running
        done = max(done, *(event.get("totalProcessed", 0) for event in copier.new_events()), 0)
        if done > records:
            return done
        assert running, f"the copier gave up after {done} records: {copier.errors()}"
        assert time.monotonic() < deadline, f"the copier does not get to {records:.0f} records"
        time.sleep(0.005)


def read(bootstrap: str, topic: str, isolation: str) -> list[bytes]:
    """All values of the topic's one partition, in order, up to its end."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "none", "isolation.level": isolation}
    consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        values: list[bytes] = []
        deadline = time.monotonic() + STEP_TIMEOUT_S
        while time.monotonic() < deadline:
            for message in consumer.consume(10_000, timeout=0.2):
                if message.error() is not None:
                    end = end_offset(bootstrap, topic)
                    assert consumer.position([TopicPartition(topic, 0)])[0].offset == end
                    return values
                values.append(message.value())
        raise AssertionError(f"no end of {topic} after {len(values)} records")
    finally:
        consumer.close()


def end_offset(bootstrap: str, topic: str) -> int:
    """Behind the last record or marker; a transaction that is open would hold readers before it."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1]
    finally:
        consumer.close()


def committed_offset(bootstrap: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP})
    try:
        return consumer.committed([TopicPartition(SOURCE, 0)], timeout=30)[0].offset
    finally:
        consumer.close()


def check_files(data_dir: Path) -> None:
    """Kafka's dump tool finds no fault, and the last state of the transaction is its end."""
    faults = all_faults(data_dir)
    assert not faults, "\n".join(faults[:50])
    (last,) = {
        key["data"]["transactionalId"]: value["data"]["transactionStatus"]
        for key, value in transaction_records(data_dir.glob("__transaction_state-*/*.log"))
        if value is not None
    }.items()
    # 4 is a complete commit, 5 a complete abort.
    assert last in {(COPIER, 4), (COPIER, 5)}
