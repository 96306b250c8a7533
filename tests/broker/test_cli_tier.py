"""`tierbroker tier status` and `tierbroker tier offload`, on a store in a directory."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

import tierbroker
from tests.broker.cli_calls import TIERBROKER, Cli, cli_with, ok


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tierbroker.Broker]:
    folder = tmp_path_factory.mktemp("broker")
    config = {"cold.url": f"file://{folder}/cold", "log.disk.reserve.bytes": "0"}
    with tierbroker.Broker(folder / "data", config=config) as running:
        yield running


@pytest.fixture(scope="module")
def cli(broker: tierbroker.Broker) -> Cli:
    return cli_with({**os.environ, "TIERBROKER_BOOTSTRAP": broker.bootstrap})


def make(cli: Cli, topic: str, *configs: str, records: int = 1500) -> None:
    options = [option for each in configs for option in ("--config", each)]
    ok(cli("topic", "new", topic, "--config", "remote.storage.enable=true", *options))
    ok(cli("produce", topic, stdin=b"".join(b"%01000d\n" % each for each in range(records))))


def objects(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_a_topic_goes_to_the_store_and_its_status_shows_it(cli: Cli) -> None:
    make(cli, "clicks")
    (_, before) = objects(ok(cli("tier", "status", "clicks", "--json")))
    assert (before["topic"], before["partition"], before["cold_bytes"]) == ("clicks", 0, 0)

    done = cli("tier", "offload", "clicks", "--evict", "--wait")
    assert b"clicks is in the store, and off the broker's disk." in done.stderr
    assert done.returncode == 0

    summary, after = objects(ok(cli("tier", "status", "--json")))
    assert summary["store"]["state"] == "up"
    assert summary["checkpoint"]["failure"] is None
    assert after["topic"] == "clicks"
    assert (after["hot_bytes"], after["cold_bytes"]) == (0, before["hot_bytes"])

    shown = cli("tier", "status")
    requests = sum(after["requests"].values())
    assert after["requests"]["put"] == 1
    row = ["clicks", 1, 0, before["hot_bytes"], 0, 0, 0, requests, "-"]
    assert ok(shown).decode() == "\t".join(map(str, row)) + "\n"
    for word in (b"Store       file://", b"Checkpoint  ", b"Requests    "):
        assert word in shown.stderr


def test_offload_need_not_wait(cli: Cli) -> None:
    make(cli, "later")
    done = cli("tier", "offload", "later", "--json")
    assert objects(ok(done)) == [{"topic": "later", "done": False}]
    deadline = time.monotonic() + 20
    while objects(ok(cli("tier", "status", "later", "--json")))[1]["cold_bytes"] == 0:
        assert time.monotonic() < deadline


def test_what_keeps_a_segment_is_in_the_table(cli: Cli) -> None:
    make(cli, "waits", "segment.bytes=1048576", "remote.copy.lag.ms=3600000")
    row = ok(cli("tier", "status", "waits")).decode().split("\t")
    assert row[0] == "0"
    assert int(row[4]) >= 1
    assert row[-1].startswith("at 0: it is kept back by remote.copy.lag.ms=3600000")
    assert "partition 0 at 0: it is kept back" in ok(cli("tier", "status")).decode()
    ok(cli("tier", "offload", "waits", "--wait"))  # whoever asks for it need not wait
    assert ok(cli("tier", "status", "waits")).decode().split("\t")[3:6] == ["0", "0", "0"]


def test_ctrl_c_gives_it_up(cli: Cli, broker: tierbroker.Broker) -> None:
    make(cli, "hangs")
    producer = Producer({**broker.config("confluent"), "transactional.id": "hangs"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("hangs", b"x")
    producer.flush(10)
    deadline = time.monotonic() + 30
    command = [*TIERBROKER, "tier", "offload", "hangs", "--wait", "-b", broker.bootstrap]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as waiting:
        while not objects(ok(cli("tier", "status", "--json")))[0]["offloading"]:
            assert time.monotonic() < deadline
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(20) == 130
    while objects(ok(cli("tier", "status", "--json")))[0]["offloading"]:
        assert time.monotonic() < deadline
    producer.abort_transaction(10)


def test_after_its_time_it_says_what_is_not_there_and_why(
    cli: Cli, broker: tierbroker.Broker
) -> None:
    make(cli, "late")
    producer = Producer({**broker.config("confluent"), "transactional.id": "late"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("late", b"x")
    producer.flush(10)
    done = cli("tier", "offload", "late", "--wait", "--timeout", "700ms", "--json")
    assert done.returncode == 1
    told = done.stderr.decode()
    assert "Not all of late is in the store after 0.7 s." in told
    assert "partition 0, from offset 0 on: 1.4 MiB in 1 segment; " in told
    assert "tierbroker tier status late" in told
    (unfinished,) = objects(done.stdout)
    (partition,) = unfinished["partitions"]
    assert (unfinished["topic"], unfinished["done"], partition["partition"]) == ("late", False, 0)
    assert partition["waiting"]["reason"] in told
    deadline = time.monotonic() + 30
    while objects(ok(cli("tier", "status", "--json")))[0]["offloading"]:
        assert time.monotonic() < deadline, "it is given up"
    producer.abort_transaction(10)
    assert cli("tier", "offload", "late", "--wait", "--timeout", "30s").returncode == 0
    done = cli("tier", "offload", "late", "--timeout", "30s")
    assert (done.returncode, b"--timeout is for --wait" in done.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("status", "nowhere"), ("offload", "nowhere", "--wait")])
def test_a_topic_that_is_not_tiered_is_an_error(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli("tier", *arguments)
    assert done.returncode == 1
    assert b"is not tiered, or not on this broker." in done.stderr


def test_a_broker_that_answers_no_http_is_told_apart() -> None:
    with tierbroker.Broker(config={"http.listener": ""}) as silent:
        done = cli_with(os.environ)("tier", "status", "-b", silent.bootstrap)
    assert done.returncode == 1
    assert b"http.listener is empty" in done.stderr


def test_http_that_cannot_be_reached_is_explained() -> None:
    with tierbroker.Broker() as other:
        assert other._hosted is not None
        assert other._hosted._loop is not None
        node = other._hosted._node
        assert node is not None
        other._hosted._loop.call_soon_threadsafe(node._http.close)
        done = cli_with(os.environ)("tier", "status", "-b", other.bootstrap)
    assert done.returncode == 3
    assert b"cannot be reached from here" in done.stderr
    assert b"Run this command on the broker's machine" in done.stderr


def test_a_broker_without_a_cold_tier_is_no_error() -> None:
    with tierbroker.Broker() as plain:
        done = cli_with(os.environ)("tier", "status", "-b", plain.bootstrap)
        assert (ok(done), b"tierbroker dev --cold URL" in done.stderr) == (b"", True)


def test_no_broker_is_exit_code_3(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = cli_with(os.environ)("tier", "status", "-b", address)
    assert done.returncode == 3
    assert b"tierbroker dev" in done.stderr
