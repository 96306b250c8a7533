"""A store that takes requests and answers none: the broker's end does not wait for it."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.s3_server import KEY_ID, SECRET, judge, moto_server
from tests.silent_relay import SilentRelay, silent_relay
from tierbroker import Broker

DEADLINE_S = 30
BOUND_S = 8.0
"""The tier's few seconds, and what else an end takes on a busy machine."""
BUCKET = "years"
GIVEN_UP = "Given up, for the next start to do: "


@pytest.fixture
def relay() -> Iterator[SilentRelay]:
    """Before a bucket, silent from when a test says so."""
    with moto_server() as endpoint, silent_relay(endpoint) as relay:
        judge(endpoint).create_bucket(Bucket=BUCKET)
        yield relay


def settings(relay: SilentRelay, data: Path) -> dict[str, str]:
    return {
        "cold.url": f"s3://{BUCKET}/{data.name}",
        "cold.s3.endpoint": relay.endpoint,
        "cold.s3.access.key.id": KEY_ID,
        "cold.s3.secret.access.key": SECRET,
        "tier.checkpoint.interval.ms": "100",
    }


def tier_something(bootstrap: str) -> None:
    config = {"remote.storage.enable": "true", "internal.segment.bytes": "10240"}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic("t", 4, 1, config=config)])["t"].result(10)


def write(bootstrap: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": "0"})
    for number in range(count):
        producer.produce("t", b"x" * 1000, partition=number % 4)
        if number % 20 == 19:
            assert producer.flush(DEADLINE_S) == 0
    assert producer.flush(DEADLINE_S) == 0


def wait_for_a_checkpoint(endpoint: str, prefix: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        listed = judge(endpoint).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        if any(each["Key"].endswith(".ckpt") for each in listed):
            return
        assert time.monotonic() < deadline, "no checkpoint is in the store"
        time.sleep(0.05)


def fall_silent(relay: SilentRelay, prefix: str, bootstrap: str) -> None:
    """Until uploads and a checkpoint wait for an answer that never comes."""
    tier_something(bootstrap)
    write(bootstrap, 100)
    wait_for_a_checkpoint(relay.endpoint, prefix)
    relay.silent = True
    write(bootstrap, 100)
    assert relay.swallowed.wait(DEADLINE_S)
    time.sleep(1.5)  # whatever else it asks for


@pytest.mark.timeout(90)
def test_a_signal_ends_the_process(tmp_path: Path, relay: SilentRelay) -> None:
    ready = tmp_path / "ready.json"
    flags = [
        part for pair in settings(relay, tmp_path).items() for part in ("--set", "=".join(pair))
    ]
    data = ["--data", str(tmp_path / "data"), "--port", "0", "--ready-file", str(ready)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("TIERBROKER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tierbroker", "dev", *data, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not ready.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no ready file"
            time.sleep(0.02)
        fall_silent(relay, tmp_path.name, json.loads(ready.read_text())["bootstrap"])
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=DEADLINE_S * 2)
        took_s = time.monotonic() - begun
    finally:
        process.kill()
        process.wait()
    assert took_s < BOUND_S
    assert process.returncode == 0
    assert err.count(GIVEN_UP) == 1
    assert "Traceback" not in err
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()


@pytest.mark.timeout(90)
async def test_an_embedded_broker_ends(
    tmp_path: Path,
    relay: SilentRelay,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    broker = Broker(data=tmp_path / "data", ephemeral=False, config=settings(relay, tmp_path))
    async with broker:
        await asyncio.to_thread(fall_silent, relay, tmp_path.name, broker.bootstrap)
        begun = time.monotonic()
    assert time.monotonic() - begun < BOUND_S
    assert sum(GIVEN_UP in text for text in caplog.messages) == 1
