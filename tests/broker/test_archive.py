"""What stock clients wrote, read from the store with no broker; damage and orphans are found."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker import Broker
from tierbroker.cli.main import run

READER = Path(__file__).parents[2] / "docs" / "examples" / "read_cold.py"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TOPIC_SETTINGS = {"remote.storage.enable": "true", "internal.segment.bytes": "32768"}


@dataclass
class Archived:
    """A store, and what was written to each partition of topic `t`: offset, key, value."""

    store: Path
    records: dict[int, list[tuple[int, str, str]]]

    @property
    def url(self) -> str:
        return f"file://{self.store}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Archived:
    """Every compression, plain and in transactions that commit or abort; all of it evicted."""
    folder = tmp_path_factory.mktemp("archive")
    records: dict[int, list[tuple[int, str, str]]] = {0: [], 1: []}

    def delivered(error: object, message) -> None:
        assert error is None, error
        entry = (message.offset(), message.key().decode(), message.value().decode())
        records[message.partition()].append(entry)

    def write(producer: Producer, codec: str, count: int, *, kept: bool) -> None:
        for number in range(count):
            producer.produce(
                "t",
                key=f"{codec} {number}",
                value=f"{codec} value {number} " * 20,
                partition=number % 2,
                headers=[("codec", codec)],
                on_delivery=delivered if kept else None,
            )
            producer.poll(0)

    config = {"cold.url": f"file://{folder / 'store'}", "tier.checkpoint.interval.ms": "200"}
    with Broker(data=folder / "data", ephemeral=False, config=config) as broker:
        admin = AdminClient(broker.config("confluent"))
        topics = [NewTopic("t", 2, 1, config=TOPIC_SETTINGS), NewTopic("hot", 1, 1)]
        for created in admin.create_topics(topics).values():
            created.result(10)
        for codec in CODECS:
            settings = {
                **broker.config("confluent"),
                "compression.type": codec,
                "batch.size": 16384,
            }
            plain = Producer(settings)
            write(plain, codec, 400, kept=True)
            assert plain.flush(20) == 0
            transactional = Producer({**settings, "transactional.id": f"tx-{codec}"})
            transactional.init_transactions(20)
            for kept in (True, False, True):
                transactional.begin_transaction()
                write(transactional, codec, 300, kept=kept)
                transactional.flush(20)
                if kept:
                    transactional.commit_transaction(20)
                else:
                    transactional.abort_transaction(20)
        broker.evict("t")
    shutil.rmtree(folder / "data")
    return Archived(folder / "store", {number: sorted(found) for number, found in records.items()})


@pytest.fixture
def copied(made: Archived, tmp_path: Path) -> Archived:
    """The store to be damaged."""
    return Archived(Path(shutil.copytree(made.store, tmp_path / "store")), made.records)


def read_all(lines: list[str]) -> dict[int, list[tuple[int, str, str]]]:
    found: dict[int, list[tuple[int, str, str]]] = {0: [], 1: []}
    for record in map(json.loads, lines):
        found[record["partition"]].append((record["offset"], record["key"], record["value"]))
    return found


def segments(store: Path, partition: int = 0) -> list[Path]:
    return sorted(path for path in store.rglob("*.seg") if path.parent.name == str(partition))


@pytest.mark.timeout(120)
def test_the_archive_holds_what_was_committed(
    made: Archived, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(segments(made.store)) > 5
    assert run(["archive", "cat", made.url, "t", "--json"]) == 0
    assert read_all(capsys.readouterr().out.splitlines()) == made.records
    assert run(["archive", "cat", made.url, "t", "--json", "--uncommitted"]) == 0
    everything = read_all(capsys.readouterr().out.splitlines())
    assert [len(everything[number]) - len(made.records[number]) for number in (0, 1)] == [750, 750]


@pytest.mark.timeout(120)
def test_a_reader_made_from_the_document_reads_the_same(made: Archived) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(READER), str(made.store), "t"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert read_all(done.stdout.splitlines()) == made.records


def test_parts_of_it(made: Archived, capsys: pytest.CaptureFixture[str]) -> None:
    offset, key, _ = made.records[1][500]
    arguments = ["archive", "cat", made.url, "t", "-p", "1", "--from", str(offset), "-n", "1"]
    assert run([*arguments, "--json"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (record["offset"], record["key"]) == (offset, key)
    assert run([*arguments[:-4], "--from", f"@{record['timestamp']}", "-n", "1", "--json"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["timestamp"] >= record["timestamp"]
    assert found["offset"] <= offset
    assert run(["archive", "ls", made.url, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["topic"], row["partition"], row["not_uploaded"]) for row in rows] == [
        ("t", 0, 0),
        ("t", 1, 0),
    ]


def test_nothing_is_wrong_with_it(made: Archived, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tier", "verify", made.url, "--all"]) == 0
    assert run(["tier", "scrub", made.url, "--older-than", "0s"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "0 orphans" in told.err


def damage_cases() -> Iterator[tuple[str, int]]:
    """What is done to a segment's object, and how many findings follow."""
    yield "cut", 1
    yield "longer", 1
    yield "records", 1
    yield "base offset", 1
    yield "tail", 1
    yield "footer", 1
    yield "missing", 1
    yield "swapped within the partition", 2
    yield "swapped with the other partition", 2


def plant(archived: Archived, damage: str) -> None:
    first, second = segments(archived.store)[2:4]
    data = bytearray(first.read_bytes())
    if damage == "missing":
        first.unlink()
    elif damage == "cut":
        first.write_bytes(data[:-10])
    elif damage == "longer":
        first.write_bytes(data + b"\0")
    elif damage.startswith("swapped"):
        if "other" in damage:
            second = segments(archived.store, partition=1)[2]
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)
    else:
        position = {"records": 500, "base offset": 7, "tail": -300, "footer": -18}[damage]
        data[position] ^= 4
        first.write_bytes(data)


@pytest.mark.parametrize(("damage", "findings"), list(damage_cases()))
def test_each_planted_damage_is_found(
    copied: Archived, capsys: pytest.CaptureFixture[str], damage: str, findings: int
) -> None:
    plant(copied, damage)
    assert run(["tier", "verify", copied.url, "t", "--all", "--json"]) == 1
    told = capsys.readouterr()
    *found, counts = map(json.loads, told.out.splitlines())
    assert counts["findings"] == len(found) == findings, found
    damaged = segments(copied.store)[2].name if damage != "missing" else None
    assert damaged is None or found[0]["key"].endswith(damaged)
    assert found[0]["what"] == ("missing" if damage == "missing" else "damaged")


def test_planted_orphans_and_only_those(
    copied: Archived, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint,) = list(copied.store.rglob("*.ckpt"))[:1]
    alive = segments(copied.store)[0]
    base, end = alive.name.partition(".")[0].split("-")
    orphans = [
        alive.with_name(f"{base}-{end}.0.3.seg"),
        alive.with_name(f"{base}-{end}.0.4.man"),
        checkpoint.with_name(f"{0:020}-0.ckpt"),
    ]
    others = [
        alive.with_name(f"{base}-{end}.0.999999999.seg"),
        alive.with_name("notes.txt"),
        checkpoint.with_name(f"{10**9:020}-{10**6}.ckpt"),
    ]
    for path in (*orphans, *others):
        path.write_bytes(b"planted")
    before = {path for path in copied.store.rglob("*") if path.is_file()}
    arguments = ["tier", "scrub", copied.url, "--older-than", "0s", "--delete", "--json"]
    assert run(arguments) == 0
    *rows, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert {copied.store / row["key"] for row in rows} == set(orphans)
    assert summary["deleted"] == len(orphans)
    assert {path for path in copied.store.rglob("*") if path.is_file()} == before - set(orphans)
    assert run(["archive", "cat", copied.url, "t", "--json"]) == 0
    assert read_all(capsys.readouterr().out.splitlines()) == copied.records


@pytest.mark.timeout(90)
def test_a_scrub_beside_a_running_broker_takes_nothing_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"file://{tmp_path / 'store'}"
    config = {"cold.url": url, "tier.checkpoint.interval.ms": "100000"}
    with Broker(data=tmp_path / "data", ephemeral=False, config=config) as broker:
        admin = AdminClient(broker.config("confluent"))
        admin.create_topics([NewTopic("t", 1, 1, config=TOPIC_SETTINGS)])["t"].result(10)
        producer = Producer({**broker.config("confluent"), "batch.size": 16384})
        for turn in range(3):
            for number in range(500):
                producer.produce("t", f"{turn} {number} ".encode() * 20)
            assert producer.flush(20) == 0
            broker.offload("t")
            arguments = ["tier", "scrub", url, "--older-than", "0s", "--delete", "--json"]
            assert run(arguments) == 0
            *_, summary = map(json.loads, capsys.readouterr().out.splitlines())
            assert summary["deleted"] == 0
        broker.evict("t")
        assert run(["tier", "verify", url, "--all"]) == 0
        assert run(["archive", "cat", url, "t"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1500


@pytest.mark.timeout(120)
def test_a_restored_cluster_is_one_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records of both hosts; what the lost one left beside them goes only when it is said."""
    store = tmp_path / "store"
    url = f"file://{store}"
    config = {"cold.url": url, "tier.checkpoint.interval.ms": "100"}

    def write(data: str, first: int) -> None:
        with Broker(data=tmp_path / data, ephemeral=False, config=config) as broker:
            admin = AdminClient(broker.config("confluent"))
            if not first:
                admin.create_topics([NewTopic("t", 1, 1, config=TOPIC_SETTINGS)])["t"].result(10)
            producer = Producer({**broker.config("confluent"), "batch.size": 16384})
            for number in range(first, first + 500):
                producer.produce("t", f"{number} ".encode() * 30)
            assert producer.flush(20) == 0
            broker.offload("t")

    write("lost", 0)
    stray = segments(store)[0]
    stray = stray.with_name(f"{stray.name.rpartition('.0.')[0]}.0.9999.seg")
    stray.write_bytes(b"uploaded, never committed")
    restored = ["restore", "--from", url, "--data", str(tmp_path / "restored")]
    assert run([*restored]) == 0
    assert run(["tier", "scrub", url, "--older-than", "0s", "--delete"]) == 1
    assert "has written no checkpoint since" in capsys.readouterr().err
    write("restored", 500)

    assert run(["archive", "cat", url, "t"]) == 0
    values = capsys.readouterr().out.splitlines()
    assert [int(value.split()[0]) for value in values] == list(range(1000))
    assert run(["tier", "verify", url, "--all"]) == 0
    arguments = ["tier", "scrub", url, "--older-than", "0s", "--delete", "--json"]
    assert run(arguments) == 0
    (summary,) = (json.loads(line) for line in capsys.readouterr().out.splitlines()[-1:])
    assert (summary["deleted"], summary["other_incarnations"] >= 1) == (0, True)
    assert stray.exists()
    assert run([*arguments, "--earlier-incarnations"]) == 0
    capsys.readouterr()
    assert not stray.exists()
    assert run(["tier", "verify", url, "--all"]) == 0
    assert run(["archive", "cat", url, "t"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1000
