"""Transactions of the Python clients, and Kafka's tool for whoever looks after them."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from integration.broker_processes import BrokerProcess
from integration.clients.transactional import (
    PRODUCERS,
    READERS,
    ConfluentProducer,
    TransactionalProducer,
)
from integration.conftest import StartBroker, create_topic
from integration.java_tools import run_tool
from integration.log_dump import all_faults, faults_of, group_records, transaction_records

Open = Callable[..., TransactionalProducer]
_numbers = itertools.count()


@pytest.fixture
def open_producer(bootstrap: str) -> Iterator[Open]:
    """Make a transactional producer of a client: `open_producer("aiokafka", "an-id")`."""
    opened: list[TransactionalProducer] = []

    def make(client: str, transactional_id: str = "") -> TransactionalProducer:
        producer = PRODUCERS[client](bootstrap, transactional_id or f"txn-{next(_numbers)}")
        opened.append(producer)
        return producer

    yield make
    for producer in opened:
        producer.close()


def values(name: str, count: int = 25) -> list[bytes]:
    return [f"{name}-{number}".encode() for number in range(count)]


@pytest.mark.parametrize("writer", PRODUCERS)
def test_only_what_is_committed_is_read(
    bootstrap: str, new_topic: Callable[..., str], open_producer: Open, writer: str
) -> None:
    """Each reader skips the aborted ones, and stops before the one that is open."""
    topic = new_topic()
    producer = open_producer(writer)
    for name in ("one", "aborted", "two", "open"):
        producer.begin()
        producer.send(topic, values(name))
        if name == "aborted":
            producer.abort()
        elif name != "open":
            producer.commit()
    committed = [*values("one"), *values("two")]
    everything = [*values("one"), *values("aborted"), *values("two"), *values("open")]
    for reader, read in READERS.items():
        got = read(bootstrap, topic, "read_committed", len(committed))
        assert got == committed, reader
        got = read(bootstrap, topic, "read_uncommitted", len(everything))
        assert got == everything, reader
    producer.commit()
    committed += values("open")
    for reader, read in READERS.items():
        assert read(bootstrap, topic, "read_committed", len(committed)) == committed, reader


@pytest.mark.parametrize("client", PRODUCERS)
def test_offsets_are_committed_with_the_records(
    bootstrap: str, new_topic: Callable[..., str], open_producer: Open, client: str
) -> None:
    topic, group = new_topic(), f"in-transactions-of-{client}"
    producer = open_producer(client)
    producer.begin()
    producer.send(topic, values("aborted"))
    producer.send_offset(topic, 5, group)
    producer.abort()
    assert committed(bootstrap, group, topic) < 0
    for offset in (7, 9):
        producer.begin()
        producer.send(topic, values(f"to {offset}"))
        producer.send_offset(topic, offset, group)
        producer.commit()
        assert committed(bootstrap, group, topic) == offset


@pytest.mark.parametrize("client", PRODUCERS)
def test_who_comes_later_fences_who_was_there(
    bootstrap: str, new_topic: Callable[..., str], open_producer: Open, client: str
) -> None:
    topic, name = new_topic(), f"shared-{client}"
    first = open_producer(client, name)
    first.begin()
    first.send(topic, values("first"))
    second = open_producer(client, name)
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        first.commit()
    second.begin()
    second.send(topic, values("second"))
    second.commit()
    for reader, read in READERS.items():
        got = read(bootstrap, topic, "read_committed", len(values("second")))
        assert got == values("second"), reader


def committed(bootstrap: str, group: str, topic: str) -> int:
    """The group's offset of partition 0, negative without one; waits for pending ones to settle."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        return consumer.committed([TopicPartition(topic, 0)], timeout=30)[0].offset
    finally:
        consumer.close()


class Transactions:
    """Kafka's tool, its tables as rows."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def __call__(self, *args: str) -> list[dict[str, str]]:
        output = run_tool("TransactionsCommand", "--bootstrap-server", self._bootstrap, *args)
        heading, *rows = [re.split(r"\s+", line.strip()) for line in output.lines] or [[]]
        return [dict(zip(heading, row, strict=False)) for row in rows]


def test_the_tool_for_transactions(
    bootstrap: str, new_topic: Callable[..., str], open_producer: Open
) -> None:
    tool, topic, name = Transactions(bootstrap), new_topic(), f"looked-at-{next(_numbers)}"
    producer = open_producer("confluent-kafka", name)
    producer.begin()
    producer.send(topic, values("open"))

    listed = {row["TransactionalId"]: row for row in tool("list")}
    assert listed[name]["TransactionState"] == "Ongoing"
    (described,) = tool("describe", "--transactional-id", name)
    assert described["TransactionState"] == "Ongoing"
    assert described["TopicPartitions"] == f"{topic}-0"
    assert described["ProducerId"] == listed[name]["ProducerId"]
    (written_by,) = tool("describe-producers", "--topic", topic, "--partition", "0")
    assert written_by["CurrentTransactionStartOffset"] == "0"
    assert written_by["ProducerId"] == described["ProducerId"]
    # It is open, but its coordinator knows of it.
    assert tool("find-hanging", "--topic", topic, "--max-transaction-timeout", "0") == []

    tool("abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
    (written_by,) = tool("describe-producers", "--topic", topic, "--partition", "0")
    assert written_by["CurrentTransactionStartOffset"] == "None"


def test_the_files_of_transactions(start_broker: StartBroker, tmp_path: Path) -> None:
    """Kafka's dump tool finds no fault, and its decoders read both coordinators' records."""
    broker = start_broker()
    create_topic(broker.bootstrap, "written", config={"segment.bytes": str(1 << 20)})
    run_some_transactions(broker)
    broker.stop()
    assert (faults := all_faults(broker.data_dir)) == [], faults[:50]
    states = list(broker.data_dir.glob("__transaction_state-*/*.log"))
    offsets = list(broker.data_dir.glob("__consumer_offsets-*/*.log"))
    assert faults_of(states, "--transaction-log-decoder") == []
    assert faults_of(offsets, "--offsets-decoder") == []
    ended = [
        value["data"]["transactionStatus"]
        for key, value in transaction_records(states)
        if value is not None and key["data"]["transactionalId"] == "writer"
    ]
    # 0 empty, 1 ongoing, 2 and 3 prepared to commit and to abort, 4 and 5 done.
    assert {0, 1, 2, 3, 4, 5} == set(ended)
    committed_offsets = [
        value["data"]["offset"] for key, value in group_records(offsets) if key["data"].get("topic")
    ]
    assert committed_offsets == [1, 2, 3, 4]
    aborted = [path for path in broker.data_dir.glob("written-0/*.txnindex") if path.stat().st_size]
    assert aborted, "no index of aborted transactions was written"


def run_some_transactions(broker: BrokerProcess) -> None:
    producer = ConfluentProducer(broker.bootstrap, "writer")
    for number in range(1, 5):
        producer.begin()
        producer.send("written", [b"x" * 10_000] * 50)
        producer.send_offset("written", number, "readers")
        if number % 2:
            producer.abort()
        else:
            producer.commit()
    producer.close()
