"""A cluster whose disk is lost comes back from its bucket."""

import asyncio
import json
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker import Broker
from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import DataDirError
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.story import tell
from tierbroker.cli.main import run
from tierbroker.cold.stores.directory import DirectoryStore
from tierbroker.node.restoring import Restored, restore

PLACE = TopicPartition("t", 0)
RECORDS = [b"%06d" % number + b"x" * 94 for number in range(4000)]


def settings(cold: Path) -> dict[str, str]:
    return {
        "cold.url": f"file://{cold}",
        "tier.checkpoint.interval.ms": "100",
        "log.retention.check.interval.ms": "200",
    }


def create(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    config = {
        "remote.storage.enable": "true",
        "local.retention.ms": "1",
        "internal.segment.bytes": "65536",
        "file.delete.delay.ms": "0",
        "tier.max.lag.ms": "1",
    }
    made = admin.create_topics([NewTopic("t", 1, 1, config=config), NewTopic("hot", 1, 1)])
    for done in made.values():
        done.result(10)


async def fill(broker: Broker, records: Sequence[bytes] = RECORDS) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        sent = [await producer.send("t", value, partition=0) for value in records]
        await asyncio.gather(*sent)
        await producer.send_and_wait("hot", b"lost", partition=0)


async def in_a_transaction(broker: Broker) -> None:
    async with (
        AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="p") as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait("t", b"committed", partition=0)


async def consume(broker: Broker, count: int) -> list[tuple[int, bytes]]:
    """With a group that commits."""
    found: list[tuple[int, bytes]] = []
    async with AIOKafkaConsumer(
        "t",
        bootstrap_servers=broker.bootstrap,
        group_id="g",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        async with asyncio.timeout(40):
            while len(found) < count:
                batches = await consumer.getmany(timeout_ms=1000, max_records=count - len(found))
                for batch in batches.values():
                    found += [(record.offset, record.value) for record in batch]
        await consumer.commit()
    return found


def restore_from(cold: Path, data: Path) -> Restored:
    store = DirectoryStore(str(cold), InlineExecutor(), OsFileSystem(), SystemClock())
    flags = {"log.dirs": str(data)}
    told = tell(restore(store, flags, fs=OsFileSystem(), clock=SystemClock(), rng=random.Random(1)))
    return told.result()


async def wait_checkpointed(cold: Path) -> None:
    """Whatever happened before is in a checkpoint then: there is one a turn while there is news."""
    head = cold / "head"
    unchanged, before = 0, b""
    async with asyncio.timeout(20):
        while unchanged < 3:
            await asyncio.sleep(1)
            unchanged = unchanged + 1 if head.read_bytes() == before else 0
            before = head.read_bytes()


@pytest.mark.timeout(120)
async def test_topics_records_and_groups_come_back(tmp_path: Path) -> None:
    data, cold = tmp_path / "data", tmp_path / "cold"
    async with Broker(data=data, ephemeral=False, config=settings(cold)) as broker:
        await asyncio.to_thread(create, broker)
        await fill(broker)
        async with asyncio.timeout(20):
            while sum(file.stat().st_size for file in (data / "t-0").glob("*.log")):
                await asyncio.sleep(0.05)
        first = await consume(broker, 1000)
        await wait_checkpointed(cold)
    old = tmp_path / "old"
    data.rename(old)

    report = await asyncio.to_thread(restore_from, cold, data)
    by_place = {partition.place: partition for partition in report.partitions}
    tiered, lost = by_place[PLACE], by_place[TopicPartition("hot", 0)]
    assert (tiered.start_offset, tiered.end_offset, tiered.missing) == (0, len(RECORDS), 0)
    assert (lost.start_offset, lost.end_offset, lost.missing) == (1, 1, 1)
    assert report.group_offsets == 1

    async with Broker(data=data, ephemeral=False, config=settings(cold)) as broker:
        rest = await consume(broker, len(RECORDS) - 1000)
        assert first + rest == list(enumerate(RECORDS))
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
            sent = await producer.send_and_wait("t", b"more", partition=0)
            assert sent.offset == len(RECORDS)
        # The old host must not go on where the restored cluster is.
        with pytest.raises(DataDirError, match="restored"):
            await Broker(data=old, ephemeral=False, config=settings(cold)).__aenter__()
    shutil.rmtree(old)


async def test_a_store_of_another_cluster_is_refused(tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    async with Broker(data=tmp_path / "a", ephemeral=False, config=settings(cold)) as broker:
        assert not cold.exists() or not any(cold.iterdir()), "nothing is tiered yet"
        await asyncio.to_thread(create, broker)
        async with asyncio.timeout(20):
            while not (cold / "head").exists():
                await asyncio.sleep(0.02)
    config = {**settings(cold), "cold.threads": "3"}
    command = f"tierbroker restore --from file://{cold} --data DIR .*--set cold.threads=3"
    with pytest.raises(DataDirError, match=command):
        await Broker(data=tmp_path / "b", ephemeral=False, config=config).__aenter__()
    with pytest.raises(DataDirError, match="not empty"):
        await asyncio.to_thread(restore_from, cold, tmp_path / "a")


@pytest.mark.timeout(60)
async def test_the_command_says_what_came_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cold = tmp_path / "data", tmp_path / "cold"
    async with Broker(data=data, ephemeral=False, config=settings(cold)) as broker:
        await asyncio.to_thread(create, broker)
        await fill(broker)
        await in_a_transaction(broker)
        await consume(broker, 10)
        await broker.offload_async("t")
        await wait_checkpointed(cold)
    again = tmp_path / "again"
    arguments = ["restore", "--from", f"file://{cold}", "--data", str(again)]
    assert await asyncio.to_thread(run, [*arguments, "--json"]) == 0
    summary, *partitions = map(json.loads, capsys.readouterr().out.splitlines())
    # Nobody misses what internal topics held.
    assert summary["partitions"] == len(partitions) == 2
    assert {line["topic"]: line["missing"] for line in partitions} == {"hot": 1, "t": 0}
    (tiered,) = (line for line in partitions if line["topic"] == "t")
    assert tiered["last_offset"] == len(RECORDS) + 1
    assert await asyncio.to_thread(run, arguments) == 1
    assert "is not empty" in capsys.readouterr().err


async def in_two_parts(data: Path, cold: Path) -> None:
    """Half of the records are named by a checkpoint, the rest by a later one, which is damaged."""
    async with Broker(data=data, ephemeral=False, config=settings(cold)) as broker:
        await asyncio.to_thread(create, broker)
        await fill(broker, RECORDS[:2000])
        await broker.offload_async("t")
        half = json.loads((cold / "head").read_bytes())["checkpoints"][0]
        kept = (cold / half["key"]).read_bytes()
        await fill(broker, RECORDS[2000:])
        await broker.offload_async("t")
    # As it is where nothing was written in between.
    head = json.loads((cold / "head").read_bytes())
    newest = head["checkpoints"][0]
    head["checkpoints"] = [newest, half]
    (cold / "head").write_text(json.dumps(head))
    (cold / half["key"]).write_bytes(kept)
    path = cold / newest["key"]
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def segments(cold: Path) -> set[Path]:
    return set(cold.glob("**/*.seg"))


@pytest.mark.timeout(120)
async def test_an_older_checkpoint_is_taken_when_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cold = tmp_path / "data", tmp_path / "cold"
    await in_two_parts(data, cold)
    again, url = tmp_path / "again", f"file://{cold}"
    arguments = ["restore", "--from", url, "--data", str(again)]
    assert await asyncio.to_thread(run, arguments) == 1
    refused = capsys.readouterr().err
    assert "2,000 offsets of 1 partition that were uploaded since" in refused
    assert not again.exists()
    (flag,) = re.findall(r"--checkpoint \d+", refused)
    assert await asyncio.to_thread(run, [*arguments, *flag.split(), "--json"]) == 0
    summary, *partitions = map(json.loads, capsys.readouterr().out.splitlines())
    since = summary["older"]["uploaded_since"]
    assert (since["offsets"], since["topics_made_since"]) == (2000, 0)
    assert since["objects"] > 0
    assert [unread["key"] for unread in summary["older"]["unread"]] == [
        json.loads((cold / "head").read_bytes())["checkpoints"][0]["key"]
    ]
    (tiered,) = (line for line in partitions if line["topic"] == "t")
    assert (tiered["last_offset"], tiered["missing"]) == (1999, 2000)

    before = segments(cold)
    async with Broker(data=again, ephemeral=False, config=settings(cold)) as broker:
        found = await consume(broker, 2000)
        assert found == list(enumerate(RECORDS[:2000]))
        await fill(broker, [b"other"])
        await broker.offload_async("t")
        assert before < segments(cold)
        # What the newest checkpoint named is of an earlier incarnation: nobody touches it unasked.
        scrub = ["tier", "scrub", url, "--older-than", "0s", "--json"]
        assert await asyncio.to_thread(run, [*scrub, "--delete"]) == 0
        *_, told = map(json.loads, capsys.readouterr().out.splitlines())
        assert told["other_incarnations"] >= since["objects"]
        assert before < segments(cold)
        assert await asyncio.to_thread(run, [*scrub, "--earlier-incarnations"]) == 0
        *orphans, _ = map(json.loads, capsys.readouterr().out.splitlines())
        assert sum(orphan["what"] == "segment" for orphan in orphans) == since["objects"]
