"""`tierbroker topic why` on the data directory of a broker that runs."""

import asyncio
import json
import os
import re
import shlex
import time
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

import tierbroker
from tests.broker.cli_calls import cli_with, ok
from tierbroker.hot.compaction_reasons import CompactionRule
from tierbroker.hot.retention_reasons import Rule
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "retention.md"
DAY_MS = 24 * 3_600_000


def fill(bootstrap: str) -> None:
    """A first segment with a record from the future, then ordinary ones."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    own = {"segment.bytes": str(1 << 20), "retention.ms": str(DAY_MS)}
    admin.create_topics(
        [
            NewTopic("trap", 1, 1, topic_configs=own),
            NewTopic("plain", 2, 1),
        ]
    )
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
    now_ms = int(time.time() * 1000)
    for number in range(4):
        ahead_ms = 30 * 60_000 if number == 0 else 0
        producer.send("trap", bytes(500_000), timestamp_ms=now_ms + ahead_ms).get(10)
    producer.send("plain", b"x", partition=1).get(10)
    producer.close()


def why(*arguments: str) -> list[dict[str, Any]]:
    cli = cli_with(os.environ)
    return [json.loads(row) for row in ok(cli("topic", "why", *arguments, "--json")).splitlines()]


async def test_each_segment_has_its_reason(tmp_path: Path) -> None:
    settings = {
        "log.dirs": str(tmp_path / "data"),
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "log.disk.reserve.bytes": "0",
    }
    node = Node(Settings.load(settings))
    await node.start()
    try:
        await asyncio.to_thread(fill, node.bootstrap)
        where = ("--data", str(tmp_path / "data"))
        rows = await asyncio.to_thread(why, "trap", *where)
        assert [row["rule"] for row in rows] == ["age", "older-first"]
        assert [row["active"] for row in rows] == [False, True]
        assert {row["setting"] for row in rows} == {f"retention.ms={DAY_MS}"}
        assert {row["source"] for row in rows} == {"topic"}
        assert rows[0]["until"] == rows[1]["until"]
        assert rows[0]["end"] == rows[1]["segment"]
        assert rows[1]["end"] == 4
        assert "segment.bytes" in rows[1]["why"]

        (row,) = await asyncio.to_thread(why, "plain", "1", *where)
        assert (row["partition"], row["end"], row["rule"]) == (1, 1, "age")
        assert row["source"] == "default (log.retention.hours)"
        given = ("--set", "log.retention.ms=-1")
        (row,) = await asyncio.to_thread(why, "plain", "1", *where, *given)
        assert (row["rule"], row["source"]) == ("forever", "broker (log.retention.ms)")
    finally:
        await node.stop()
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    assert len(await asyncio.to_thread(why, "trap", *where)) == 2
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def fill_compacted(bootstrap: str) -> None:
    """Three closed segments, in the last of them a transaction that stays open."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    own = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20)}
    admin.create_topics([NewTopic("table", 1, 1, topic_configs=own)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
    hanging = KafkaProducer(bootstrap_servers=bootstrap, transactional_id="billing-1")
    for number in range(7):
        if number == 4:
            hanging.init_transactions()
            hanging.begin_transaction()
            hanging.send("table", b"1", key=b"k").get(10)
        producer.send("table", bytes(500_000), key=b"k%d" % number).get(10)
    producer.close()
    hanging.close()


async def test_a_broker_is_asked_for_its_settings(tmp_path: Path) -> None:
    settings = {
        "log.dirs": str(tmp_path / "data"),
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "log.disk.reserve.bytes": "0",
        "log.cleaner.enable": "false",
        "log.cleaner.min.cleanable.ratio": "0.75",
    }
    node = Node(Settings.load(settings))
    await node.start()
    try:
        await asyncio.to_thread(fill_compacted, node.bootstrap)
        broker = ("-b", node.bootstrap)
        rows = await asyncio.to_thread(why, "table", *broker)
        assert [row["rule"] for row in rows] == [*["cleaner-off"] * 3, "active"]
        assert rows[0]["setting"] == "log.cleaner.enable=false"
        assert rows[0]["source"] == "broker"
        assert {row["broker_settings"] for row in rows} == {node.bootstrap}

        rows = await asyncio.to_thread(why, "table", *broker, "--set", "log.cleaner.enable=true")
        assert [row["rule"] for row in rows][2:] == ["open-transaction", "active"]
        assert rows[2]["transactional_id"] == "billing-1"
        assert "tierbroker transaction show billing-1" in rows[2]["why"]

        elsewhere = ("--data", str(tmp_path), *broker)
        done = await asyncio.to_thread(cli_with(os.environ), "topic", "why", "table", *elsewhere)
        assert done.returncode == 1
        assert b"no broker of the cluster" in done.stderr.lower()
    finally:
        await node.stop()
    given = ("--data", str(tmp_path / "data"), "--set", "log.cleaner.min.cleanable.ratio=0.75")
    done = await asyncio.to_thread(cli_with(os.environ), "topic", "why", "table", *given, "--json")
    assert b"Broker settings count as defaults unless given here" in done.stderr
    assert json.loads(ok(done).splitlines()[2])["transaction_producer"] >= 0


def test_what_is_not_there_is_said_with_the_next_step(tmp_path: Path) -> None:
    done = cli_with(os.environ)("topic", "why", "nothing", "--data", str(tmp_path))
    assert done.returncode == 1
    assert b"--data DIR" in done.stderr


def test_what_is_on_its_way_to_the_store_is_told(tmp_path: Path) -> None:
    settings = {"cold.url": f"file://{tmp_path}/cold", "log.retention.check.interval.ms": "3600000"}
    with tierbroker.Broker(tmp_path / "data", config=settings) as broker:
        cli = cli_with({**os.environ, "TIERBROKER_BOOTSTRAP": broker.bootstrap})
        sets = ("remote.storage.enable=true", "local.retention.ms=3600000")
        ok(cli("topic", "new", "t", *(word for text in sets for word in ("--config", text))))
        ok(cli("produce", "t", "one"))
        broker.offload("t")
        ok(cli("produce", "t", "two"))
        first, second = map(json.loads, ok(cli("topic", "why", "t", "--json")).splitlines())
    assert (first["rule"], second["rule"]) == ("age", "age")
    assert first["setting"] == "local.retention.ms=3600000"
    assert "the object store keeps it" in first["why"]


def test_the_page_names_every_rule_and_its_commands_work(tmp_path: Path) -> None:
    page = PAGE.read_text()
    named = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted([*Rule, *CompactionRule, "removed"])
    commands = re.findall(r"^```sh\n(.*?)\n^```$", page, re.MULTILINE | re.DOTALL)
    assert len(commands) == 3
    with tierbroker.Broker(tmp_path / "data") as broker:
        cli = cli_with({**os.environ, "TIERBROKER_BOOTSTRAP": broker.bootstrap})
        ok(cli("topic", "new", "prices", "--config", "cleanup.policy=compact"))
        for command in commands:
            program, *arguments = shlex.split(command)
            assert program == "tierbroker"
            assert ok(cli(*arguments)) or "ls" in arguments
