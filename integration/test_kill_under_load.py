"""kill -9 while four kinds of client write: nothing that was acknowledged or read is lost.

Checked after every restart: each acknowledged record is at the offset of its acknowledgement, and
no offset ever showed two values, to whichever reader, before or after a kill. TORTURE_ROUNDS sets
the number of kills, TORTURE_SEED repeats their timing.
"""

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from integration.broker_processes import BrokerProcess
from integration.conftest import StartBroker, create_topic
from integration.event_files import TellingProcess
from integration.java_tools import TOOLS, java_command
from integration.log_dump import all_faults

ROUNDS = int(os.environ.get("TORTURE_ROUNDS", "15"))
ROUNDS_PER_TOPIC = 15
"""A new topic now and then keeps the check after each round short."""
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
PARTITIONS = 3
CALM_S = (0.3, 1.5)
"""A round writes for a time between these before its kill."""

Place = tuple[int, int]
"""Partition and offset."""


class Writer:
    """One writing process and what it was acknowledged."""

    def __init__(self, name: str, command: list[str], file: Path) -> None:
        self.name = name
        self._process = TellingProcess(name, command, file)
        self._acknowledged: dict[Place, str] = {}

    def acknowledged(self) -> dict[Place, str]:
        """All that was acknowledged so far. AssertionError when an offset was given out twice."""
        for event in self._process.new_events():
            if event.get("name") != "producer_send_success":
                continue
            place = (event["partition"], event["offset"])
            value = self._acknowledged.setdefault(place, event["value"])
            assert value == event["value"], f"{self.name}: {event}, which was {value} before"
        return self._acknowledged

    def check_alive(self) -> None:
        self._process.check_alive()

    def end(self) -> None:
        self._process.kill()


@pytest.fixture
def own_broker(start_broker: StartBroker) -> BrokerProcess:
    return start_broker()


def start_writers(bootstrap: str, topic: str, directory: Path) -> Iterator[Writer]:
    """Three Python clients and Kafka's own verifiable producer."""
    for name in ("kafka-python", "confluent-kafka", "aiokafka"):
        command = [sys.executable, "-m", "integration.clients.steady_writer"]
        command += [name, bootstrap, topic, name]
        yield Writer(name, command, directory / f"{topic}-{name}.acks")
    java = java_command(
        f"{TOOLS}.VerifiableProducer",
        *("--bootstrap-server", bootstrap, "--topic", topic, "--acks", "-1"),
        *("--throughput", "1000", "--value-prefix", "4"),
        heap_mb=128,
    )
    yield Writer("java", java, directory / f"{topic}-java.acks")


def read_all(bootstrap: str, topic: str) -> dict[Place, str]:
    """Every record that a consumer can see now, by its place."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "none", "log_level": 0}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    try:
        places = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        left = {p.partition: consumer.get_watermark_offsets(p, timeout=90)[1] for p in places}
        consumer.assign([p for p in places if left[p.partition]])
        seen: dict[Place, str] = {}
        done = {number for number, end in left.items() if end == 0}
        last_news = time.monotonic()
        while len(done) < PARTITIONS:
            for message in consumer.consume(10_000, timeout=0.1):
                assert message.error() is None, message.error()
                partition, offset = message.partition(), message.offset()
                seen[partition, offset] = message.value().decode()
                if offset >= left[partition] - 1:
                    done.add(partition)
                last_news = time.monotonic()
            silence_s = time.monotonic() - last_news
            assert silence_s < 90, f"nothing came for 90 s; ends {left}, done {done}"
        return seen
    finally:
        consumer.close()


def must_hold(log: dict[Place, str], claimed: dict[Place, str], who: str) -> None:
    """Every claim stands in the log as it was made."""
    missing = sorted(place for place in claimed if place not in log)
    assert not missing, f"{len(missing)} records of {who} are lost, such as {missing[:10]}"
    changed = sorted(place for place, value in claimed.items() if log[place] != value)
    assert not changed, f"{len(changed)} offsets of {who} have two values, such as {changed[:10]}"


@pytest.mark.torture
@pytest.mark.timeout(600 + ROUNDS * 30)
def test_nothing_acknowledged_is_lost(own_broker: BrokerProcess, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print(f"TORTURE_SEED={SEED} TORTURE_ROUNDS={ROUNDS}")
    for episode, first in enumerate(range(0, ROUNDS, ROUNDS_PER_TOPIC)):
        topic = f"torture-{episode}"
        config = {"segment.bytes": str(1 << 20)}
        create_topic(own_broker.bootstrap, topic, PARTITIONS, config)
        writers = list(start_writers(own_broker.bootstrap, topic, tmp_path))
        try:
            rounds = min(ROUNDS_PER_TOPIC, ROUNDS - first)
            kill_repeatedly(own_broker, topic, writers, rounds, rng)
        finally:
            for writer in writers:
                writer.end()
    own_broker.stop()
    faults = all_faults(own_broker.data_dir)
    assert not faults, "\n".join(faults[:50])


def kill_repeatedly(
    broker: BrokerProcess, topic: str, writers: list[Writer], rounds: int, rng: random.Random
) -> None:
    """`rounds` times: load, kill, start, check. All writers must get on after each restart."""
    seen: dict[Place, str] = {}
    written = dict.fromkeys((writer.name for writer in writers), 0)
    for number in range(rounds):
        wait_for_progress(writers, written)
        time.sleep(rng.uniform(*CALM_S))
        read_before = read_all(broker.bootstrap, topic)
        broker.kill()
        broker.start()
        claims = {writer.name: writer.acknowledged() for writer in writers}
        log = read_all(broker.bootstrap, topic)
        where = f"round {number} of {topic}, TORTURE_SEED={SEED}"
        for name, claimed in claims.items():
            must_hold(log, claimed, f"{name} ({where})")
            written[name] = len(claimed)
        must_hold(log, seen, f"an earlier reader ({where})")
        must_hold(log, read_before, f"the reader before the kill ({where})")
        seen = log
    print(f"{topic}: {rounds} kills, {len(seen)} records, acknowledged {written}")


def wait_for_progress(
    writers: list[Writer], written: dict[str, int], timeout_s: float = 150
) -> None:
    """Return once each writer got more acknowledged than before the last kill."""
    deadline = time.monotonic() + timeout_s
    for writer in writers:
        while len(writer.acknowledged()) <= written[writer.name]:
            writer.check_alive()
            assert time.monotonic() < deadline, f"{writer.name} does not get on after a restart"
            time.sleep(0.1)
