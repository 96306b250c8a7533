"""`tierbroker topic why` on the data directory of a broker that runs."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from tests.broker.cli_calls import cli_with, ok
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

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
        before = sorted(str(path) for path in tmp_path.rglob("*"))
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
        assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    finally:
        await node.stop()


def test_what_is_not_there_is_said_with_the_next_step(tmp_path: Path) -> None:
    done = cli_with(os.environ)("topic", "why", "nothing", "--data", str(tmp_path))
    assert done.returncode == 1
    assert b"--data DIR" in done.stderr
