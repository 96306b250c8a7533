"""A data directory goes back and forth between tierbroker and Apache Kafka, and nothing is lost.

One broker fills its directory and ends, in order or by SIGKILL. The other starts on a copy, serves
the same, writes more of everything and ends; then the first kind starts on a copy of that.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from integration.apache_kafka import ApacheKafka
from integration.broker_processes import Tierbroker, free_port, wait_until
from integration.conftest import CHOICE
from integration.exchange_content import change, fill, setting
from integration.holdings import Holdings, differences, read_holdings
from integration.log_dump import all_faults, data_files

pytestmark = [
    pytest.mark.skipif(CHOICE not in ("", "apache"), reason="these tests start both brokers"),
]

SETTINGS = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    # What compaction leaves is compared elsewhere; here no byte may change.
    "log.cleaner.enable": "false",
}
# Kafka writes log starts down once a minute, where an end by SIGKILL loses them.
KAFKA_SETTINGS = {
    "log.flush.start.offset.checkpoint.interval.ms": "200",
    "log.initial.task.delay.ms": "100",
}
STEADY = {"enable.idempotence": True, "reconnect.backoff.max.ms": 500, "log_level": 0}

FAULT = re.compile(r"ERROR|CRITICAL|Traceback|[Cc]orrupt|[Rr]ebuild|[Tt]runcat|[Qq]uarantine")
# Kafka says so of each partition that is added to a topic, whoever wrote the directory.
HARMLESS = re.compile(r"Expected partition \S+ with topic id \S+ to exist, but it was missing")

Place = Callable[[], Path]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A new directory for a broker."""
    numbers = count(1)

    def make() -> Path:
        path = tmp_path / str(next(numbers))
        path.mkdir()
        return path

    return make


@pytest.fixture
def running() -> Iterator[list[Tierbroker | ApacheKafka]]:
    """Brokers that a failed test left behind are killed."""
    brokers: list[Tierbroker | ApacheKafka] = []
    yield brokers
    for broker in brokers:
        if broker.running:
            broker.kill()


# Whose broker runs, and how it ends; in which log directories; bytes between metadata snapshots.
CHAINS = (
    (
        ("ours stop", "Kafka kill", "ours kill", "Kafka stop", "ours stop"),
        ("one", "two"),
        20_971_520,
    ),
    (("Kafka stop", "ours kill", "Kafka kill", "ours stop"), ("one",), 4096),
)


@pytest.mark.timeout(600)
def test_each_serves_what_the_other_left(
    place: Place, running: list[Tierbroker | ApacheKafka]
) -> None:
    """Two chains at a time, since a broker that takes over waits for the other to be missed."""
    with ThreadPoolExecutor(2) as threads:
        chains = [threads.submit(exchange, place, running, *chain) for chain in CHAINS]
    for chain in chains:
        chain.result()


def exchange(
    place: Place,
    running: list[Tierbroker | ApacheKafka],
    legs: Sequence[str],
    log_dirs: Sequence[str],
    snapshot_bytes: int,
) -> None:
    """One producer lives all the time: its sequence numbers go on from broker to broker."""
    port = free_port()
    steady = Producer(STEADY | {"bootstrap.servers": f"127.0.0.1:{port}"})
    before: Holdings | None = None
    data_dir: Path | None = None
    for leg, (kind, end) in enumerate(leg.split() for leg in legs):
        home = place()
        settings = SETTINGS | {
            "log.dirs": ",".join(f"{home}/data/{name}" for name in log_dirs),
            "metadata.log.max.record.bytes.between.snapshots": str(snapshot_bytes),
        }
        if kind == "ours":
            broker = Tierbroker(home, settings, port)
        else:
            broker = ApacheKafka(home, settings | KAFKA_SETTINGS, heap_mb=512, port=port)
        if data_dir is not None:
            copy(data_dir, broker.data_dir)
        running.append(broker)
        broker.start()
        if before is None:
            fill(broker.bootstrap)
            if kind == "ours":
                setting(broker.bootstrap, "empty", "flush.mode", "replicated")
        else:
            wait_for_groups(broker.bootstrap, before)
            found = read_holdings(broker.bootstrap)
            assert not (told := differences(before, found)), "\n".join(told[:40])
            change(broker.bootstrap, leg)
        if kind == "ours":
            # Kafka's snapshots drop settings that it does not know; that chain has none of them.
            kept = setting(broker.bootstrap, "empty", "flush.mode")
            assert kept == ("replicated" if legs[0].startswith("ours") else "fsync")
        send_steadily(steady, leg)
        before = read_holdings(broker.bootstrap)
        wait_for_log_start(broker.data_dir, "cut", before)
        getattr(broker, end)()
        assert not (told := complaints(broker.log_text())), "\n".join(told[:40])
        if data_dir is not None:
            assert not (told := unlike(data_dir, broker.data_dir)), "\n".join(told[:40])
        data_dir = broker.data_dir
        if end == "stop":
            assert not (told := all_faults(data_dir)), "\n".join(told[:40])
    sent = [f"{leg}-{number}".encode() for leg in range(len(legs)) for number in range(200)]
    assert [record[3] for record in before.topics["steady"].partitions[0].records] == sent


def complaints(log: str) -> list[str]:
    """Lines in which a broker finds fault with what it started on."""
    lines = [line for line in log.splitlines() if FAULT.search(line)]
    return [line for line in lines if not HARMLESS.search(line)]


def wait_for_groups(bootstrap: str, expected: Holdings) -> None:
    """A coordinator that still loads tells so, or knows nothing of a group yet."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def listed() -> set[str]:
        return {group.group_id for group in admin.list_consumer_groups().result().valid}

    wait_until(lambda: expected.groups.keys() <= listed(), "groups", 120)


def wait_for_log_start(data_dir: Path, topic: str, held: Holdings) -> None:
    """Until the broker has written down where the topic begins; it takes its time."""
    start = held.topics[topic].partitions[0].log_start
    assert start > 0

    def written() -> bool:
        files = data_dir.rglob("log-start-offset-checkpoint")
        return any(f"{topic} 0 {start}" in file.read_text().splitlines() for file in files)

    wait_until(written, f"checkpoint of {topic} at {start}", 120)


def send_steadily(producer: Producer, leg: int) -> None:
    failed = []
    for number in range(200):
        producer.produce(
            "steady",
            f"{leg}-{number}".encode(),
            partition=0,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        if number % 20 == 0:
            producer.flush(60)
    assert producer.flush(60) == 0
    assert not failed, failed[:3]


def copy(source: Path, target: Path) -> None:
    """Copy a data directory; preallocated indexes stay sparse."""
    subprocess.run(["cp", "-a", "--sparse=always", str(source), str(target)], check=True)


def unlike(earlier: Path, later: Path) -> list[str]:
    """Segments that both directories have and whose later bytes do not begin with the earlier ones.

    Neither broker may rewrite what the other wrote.
    """
    told = []
    for log in data_files(later, ".log"):
        name = log.relative_to(later)
        identity = name.parent / "partition.metadata"
        if (earlier / name).exists() and _same(earlier / identity, later / identity):
            old = (earlier / name).read_bytes()
            if not log.read_bytes().startswith(old):
                told.append(f"{name} was rewritten")
    return told


def _same(one: Path, other: Path) -> bool:
    """Whether two files are equal, or both not there: the metadata log has no topic id."""
    texts = [path.read_text() if path.exists() else None for path in (one, other)]
    return texts[0] == texts[1]
