"""A store after bad days, with no broker: the archive holds what was acknowledged, it verifies, and
one scrub leaves no orphan."""

import base64
import json
import random
from pathlib import Path

import pytest

from integration.broker_processes import wait_until
from integration.conftest import CHOICE
from integration.store_proxy import Fault, Request
from integration.tiered_world import (
    BUCKET,
    PARTITIONS,
    PATIENCE_S,
    URL,
    TieredTopic,
    store_settings,
    world_in,
)
from tests.s3_server import judge
from tierbroker.cli.main import run

pytestmark = pytest.mark.skipif(CHOICE != "", reason="this test owns its broker and its store")

KILLS = 5


class LateRequests:
    """Uploads and deletes that take effect long after nobody waits for them any more."""

    def __init__(self, rng: random.Random) -> None:
        self.wanted = 0
        self.lost: set[str] = set()
        """So many segments as are wanted, of which no upload arrives, however often it is tried."""
        self._rng = rng

    def plan(self, request: Request) -> Fault | None:
        if (request.method, request.suffix) == ("PUT", "seg") and len(self.lost) < self.wanted:
            self.lost.add(request.key)
        if request.key in self.lost:
            # No delete that comes late: it would take away again what comes late.
            return Fault(late=True) if request.method == "PUT" else None
        chance = {"PUT": 0.4, "DELETE": 0.8}.get(request.method, 0.0)
        chosen = request.suffix in ("seg", "ckpt") and self._rng.random() < chance
        return Fault(late=True) if chosen else None

    def has_lost_enough(self) -> bool:
        return len(self.lost) == self.wanted


def test_a_store_after_bad_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(4)
    late = LateRequests(rng)
    with world_in(tmp_path, {"tier.upload.timeout.ms": "2000"}) as world:
        topic = TieredTopic(world, "t", rng)
        world.proxy.plan = late.plan
        for _ in range(KILLS):
            late.wanted += 1
            topic.write(60)
            topic.delete_records()
            # However fast the rest is: each broker that is killed has left something behind.
            wait_until(late.has_lost_enough, "late upload", PATIENCE_S, world.broker)
            topic.try_to_write(20)
            world.broker.kill()
            world.broker.start()
            topic.reconnect()
        world.proxy.plan = None
        topic.write(10)
        topic.settle()
        topic.check_all()
        topic.settle()
        # The commands ask the store alone.
        flags = [f"{name}={value}" for name, value in store_settings(world.minio.endpoint).items()]
        store = [URL, *(word for flag in flags for word in ("--set", flag))]
        world.broker.stop()
        arrived = world.proxy.replay()
        assert 200 in arrived

        def lines(*arguments: str) -> list[dict[str, object]]:
            assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
            # Not splitlines(): a value may hold what Unicode takes for the end of a line.
            return [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]

        for partition in range(PARTITIONS):
            found = {
                record["offset"]: _value(record)
                for record in lines("archive", "cat", *store, "t", "-p", str(partition))
            }
            assert found == topic.records[partition]
        lines("tier", "verify", *store, "--all")
        *orphans, summary = lines("tier", "scrub", *store, "--older-than", "0s", "--delete")
        assert summary["deleted"] == len(orphans)
        assert orphans, "no upload that came late is there: nothing was tried"
        (summary,) = lines("tier", "scrub", *store, "--older-than", "0s")
        listed = judge(world.minio.endpoint).get_paginator("list_objects_v2")
        keys = [
            entry["Key"]
            for page in listed.paginate(Bucket=BUCKET)
            for entry in page["Contents"]
            if not entry["Key"].endswith("/head")
        ]
        assert len(keys) == summary["alive"] + summary["waiting"] + summary["too_new"]
        assert summary["foreign"] == summary["other_incarnations"] == 0
        lines("tier", "verify", *store, "--all")
        world.broker.start()
        topic.reconnect()
        topic.check_all()
        topic.close()


def _value(record: dict[str, object]) -> bytes:
    encoded = record.get("value_base64")
    return base64.b64decode(str(encoded)) if encoded else str(record["value"]).encode()
