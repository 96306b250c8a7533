"""The commands that ask the store alone, on versitygw: what they say is what boto3 finds there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from integration.broker_processes import Tierbroker
from integration.conftest import CHOICE, create_topic
from integration.object_stores import Versitygw
from integration.tiered_world import BUCKET, SETTINGS, TOPIC, URL, store_settings
from tests.s3_server import judge
from tierbroker.cli.main import run

pytestmark = pytest.mark.skipif(CHOICE != "", reason="this test owns its broker and its store")

RECORDS = [b"%06d" % number + b"x" * 994 for number in range(200)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Versitygw]:
    server = Versitygw(tmp_path / "versitygw")
    server.start()
    judge(server.endpoint).create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


@pytest.fixture
def broker(tmp_path: Path, store: Versitygw) -> Iterator[Tierbroker]:
    settings = {**SETTINGS, **store_settings(store.endpoint), "cold.url": URL}
    broker = Tierbroker(tmp_path, settings)
    broker.start()
    yield broker
    if broker.running:
        broker.stop()


class Commands:
    """Commands on the store, and boto3 beside them."""

    def __init__(self, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.judge = judge(endpoint)
        sets = store_settings(endpoint).items()
        self._flags = [word for key, value in sets for word in ("--set", f"{key}={value}")]
        self._capsys = capsys

    def __call__(self, *arguments: str) -> list[dict[str, Any]]:
        """A command on the store: what it prints as JSON."""
        assert run([*arguments, "--json", *self._flags]) == 0, self._capsys.readouterr().err
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]

    def objects(self) -> dict[str, int]:
        """Keys and sizes, below the prefix."""
        pages = self.judge.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        entries = [entry for page in pages for entry in page.get("Contents", [])]
        prefix = URL.removeprefix(f"s3://{BUCKET}/") + "/"
        assert all(entry["Key"].startswith(prefix) for entry in entries)
        return {entry["Key"].removeprefix(prefix): entry["Size"] for entry in entries}

    def path(self, key: str) -> dict[str, str]:
        """How boto3 calls the object."""
        return {"Bucket": BUCKET, "Key": f"{URL.removeprefix(f's3://{BUCKET}/')}/{key}"}


def fill(broker: Tierbroker) -> None:
    create_topic(broker.bootstrap, "t", 1, TOPIC)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number, value in enumerate(RECORDS):
        producer.produce("t", value, partition=0)
        if number % 10 == 0:
            producer.flush(60)
    assert producer.flush(60) == 0
    offload = ["tier", "offload", "t", "--evict", "--wait", "--timeout", "120s"]
    assert run([*offload, "-b", broker.bootstrap]) == 0


def test_a_tiered_topic_in_versitygw(
    store: Versitygw, broker: Tierbroker, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(broker)
    broker.stop()
    capsys.readouterr()
    commands = Commands(store.endpoint, capsys)
    # A checkpoint that was replaced as the broker stopped may still be there.
    commands("tier", "scrub", URL, "--older-than", "0s", "--delete")
    before = commands.objects()
    segments = sorted(key for key in before if key.endswith(".seg"))

    (row,) = commands("archive", "ls", URL)
    assert (row["first_offset"], row["last_offset"]) == (0, len(RECORDS) - 1)
    assert row["segments"] == len(segments) > 1
    assert row["bytes"] < sum(before[key] for key in segments)
    found = commands("archive", "cat", URL, "t")
    assert [(record["offset"], record["value"].encode()) for record in found] == list(
        enumerate(RECORDS)
    )

    (told,) = commands("tier", "verify", URL, "--all")
    assert (told["read_whole"], told["findings"]) == (len(segments), 0)

    # An upload that came late, and one that nobody goes on with: of intents before the checkpoint.
    place, _, _ = segments[0].rpartition(".")
    late, left = f"{place[: place.rindex('.')]}.1.seg", f"{place[: place.rindex('.')]}.2.seg"
    commands.judge.put_object(**commands.path(late), Body=b"late")
    commands.judge.create_multipart_upload(**commands.path(left))
    *orphans, _ = commands("tier", "scrub", URL, "--older-than", "0s")
    assert {orphan["key"] for orphan in orphans} == {late, left}
    assert set(commands.objects()) == {*before, late}
    *_, summary = commands("tier", "scrub", URL, "--older-than", "0s", "--delete")
    assert (summary["orphans"], summary["deleted"], summary["lists_uploads"]) == (2, 2, True)
    assert commands.objects() == before
    prefix = commands.path(left)["Key"]
    uploads = commands.judge.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
    assert uploads.get("Uploads", []) == []
    (summary,) = commands("tier", "scrub", URL, "--older-than", "0s")
    assert summary["alive"] + summary["waiting"] == len(before) - 1, "all but the head"
    (told,) = commands("tier", "verify", URL, "--all")
    assert told["findings"] == 0
