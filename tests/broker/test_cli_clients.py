"""The client commands against a broker, each as a process of its own."""

import base64
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.broker.cli_calls import DEADLINE_S, TIERBROKER, Cli, ok


@pytest.fixture
def wide_topic(cli: Cli, kafka_topic: str) -> Iterator[str]:
    """A topic with three partitions."""
    name = f"{kafka_topic}-wide"
    assert cli("topic", "new", name, "--partitions", "3").returncode == 0
    yield name
    cli("topic", "rm", name, "--yes")


def rows(output: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_values_go_in_and_come_out(cli: Cli, kafka_topic: str) -> None:
    assert (
        ok(cli("produce", kafka_topic, "first", "second"))
        == f"{kafka_topic}\t0\t2\t0\t1\n".encode()
    )
    assert ok(cli("consume", kafka_topic, "--from", "start", "--exit")) == b"first\nsecond\n"


def test_produce_makes_a_topic_as_stock_clients_do(cli: Cli, kafka_topic: str) -> None:
    name = f"{kafka_topic}-auto"
    assert ok(cli("produce", name, "x", "--json"))
    assert name in ok(cli("topic", "ls")).decode()
    ok(cli("topic", "rm", name))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_lines_of_any_bytes_round_trip(cli: Cli, kafka_topic: str, codec: str) -> None:
    data = b"".join(bytes([n % 256 or 1]).replace(b"\n", b"") * 40 + b"\n" for n in range(3000))
    summary = rows(ok(cli("produce", kafka_topic, "--codec", codec, "--json", stdin=data)))
    assert summary == [
        {
            "topic": kafka_topic,
            "partition": 0,
            "records": 3000,
            "first_offset": 0,
            "last_offset": 2999,
        }
    ]
    assert ok(cli("consume", kafka_topic, "--from", "start", "--exit")) == data


@pytest.mark.parametrize("acks", ["all", "1", "0"])
def test_every_acks(cli: Cli, kafka_topic: str, acks: str) -> None:
    ok(cli("produce", kafka_topic, "--acks", acks, stdin=b"a\nb\n"))
    ok(cli("produce", kafka_topic, "--acks", acks, "c"))
    deadline = time.monotonic() + 10  # acks=0 says nothing about when
    while ok(cli("consume", kafka_topic, "--from", "start", "--exit")) != b"a\nb\nc\n":
        assert time.monotonic() < deadline


def test_keys_and_headers(cli: Cli, kafka_topic: str) -> None:
    header = ("--header", "h=1", "--header", "h=2=3")
    ok(cli("produce", kafka_topic, "--key", "k", *header, "v"))
    ok(cli("produce", kafka_topic, "--key-separator", r"\t", stdin=b"k1\tv1\nv2\n"))
    records = rows(ok(cli("consume", kafka_topic, "--from", "start", "--exit", "--json")))
    assert [(record["key"], record["value"]) for record in records] == [
        ("k", "v"),
        ("k1", "v1"),
        (None, "v2"),
    ]
    assert records[0]["headers"] == [{"key": "h", "value": "1"}, {"key": "h", "value": "2=3"}]
    assert "headers" not in records[1]
    pairs = ok(cli("consume", kafka_topic, "--from", "start", "--exit", "--key-separator", "=>"))
    assert pairs == b"k=>v\nk1=>v1\nv2\n"


def test_bytes_that_are_no_text_are_base64_in_json(cli: Cli, kafka_topic: str) -> None:
    ok(cli("produce", kafka_topic, stdin=b"\xff\xfe\n"))
    (record,) = rows(ok(cli("consume", kafka_topic, "--from", "start", "--exit", "--json")))
    assert base64.b64decode(str(record["value_base64"])) == b"\xff\xfe"
    assert "value" not in record


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("start", b"0\n1\n2\n3\n4\n"),
        ("end", b""),
        ("3", b"3\n4\n"),
        ("-2", b"3\n4\n"),
        ("-99", b"0\n1\n2\n3\n4\n"),
        ("99", b""),
        ("@0", b"0\n1\n2\n3\n4\n"),
        ("@-1h", b"0\n1\n2\n3\n4\n"),
        ("@4102444800000", b""),
        ("@2100-01-01T00:00:00Z", b""),
    ],
)
def test_from(cli: Cli, kafka_topic: str, position: str, expected: bytes) -> None:
    ok(cli("produce", kafka_topic, stdin=b"0\n1\n2\n3\n4\n"))
    assert ok(cli("consume", kafka_topic, "--from", position, "--exit")) == expected


def test_from_the_time_of_a_record(cli: Cli, kafka_topic: str) -> None:
    ok(cli("produce", kafka_topic, "old"))
    time.sleep(0.05)
    ok(cli("produce", kafka_topic, "new"))
    records = rows(ok(cli("consume", kafka_topic, "--from", "start", "--exit", "--json")))
    at = f"@{records[1]['timestamp']}"
    assert ok(cli("consume", kafka_topic, "--from", at, "--exit")) == b"new\n"


def test_an_empty_topic_ends_at_once(cli: Cli, kafka_topic: str) -> None:
    assert ok(cli("consume", kafka_topic, "--from", "start", "--exit")) == b""


def test_limit(cli: Cli, kafka_topic: str) -> None:
    ok(cli("produce", kafka_topic, stdin=b"a\nb\nc\n"))
    assert ok(cli("consume", kafka_topic, "--from", "start", "-n", "2")) == b"a\nb\n"
    assert ok(cli("consume", kafka_topic, "--from", "start", "-n", "9", "--exit")) == b"a\nb\nc\n"


def test_partitions(cli: Cli, wide_topic: str) -> None:
    for partition in ("0", "2"):
        ok(cli("produce", wide_topic, "--partition", partition, f"in {partition}"))
    read = ok(cli("consume", wide_topic, "--from", "start", "--exit"))
    assert sorted(read.splitlines()) == [b"in 0", b"in 2"]
    assert ok(cli("consume", wide_topic, "--from", "start", "--exit", "-p", "2")) == b"in 2\n"
    refused = cli("consume", wide_topic, "--partition", "3")
    assert refused.returncode == 1
    assert b"0 to 2" in refused.stderr


def test_records_of_one_key_stay_in_order(cli: Cli, wide_topic: str) -> None:
    data = b"".join(b"k%d\t%d\n" % (n % 7, n) for n in range(5000))
    ok(cli("produce", wide_topic, "--key-separator", r"\t", stdin=data))
    read = ok(cli("consume", wide_topic, "--from", "start", "--exit", "--key-separator", r"\t"))
    for number in range(7):
        prefix = b"k%d\t" % number
        sent = [line for line in data.splitlines() if line.startswith(prefix)]
        assert [line for line in read.splitlines() if line.startswith(prefix)] == sent


def test_refused_records_are_counted_and_the_rest_is_sent(cli: Cli, kafka_topic: str) -> None:
    big = b"x" * 2_000_000
    done = cli("produce", kafka_topic, stdin=b"a\n" + big + b"\nb\n")
    assert done.returncode == 1
    assert b"1 of 3 records" in done.stderr
    assert ok(cli("consume", kafka_topic, "--from", "start", "--exit")) == b"a\nb\n"


def test_produce_to_a_partition_that_is_not_there(cli: Cli, kafka_topic: str) -> None:
    done = cli("produce", kafka_topic, "--partition", "5", "x", "y")
    assert done.returncode == 1
    assert b"2 of 2 records" in done.stderr


@pytest.mark.parametrize("command", [["consume", "no-such"], ["topic", "show", "no-such"]])
def test_an_unknown_topic_is_named_and_not_made(cli: Cli, command: list[str]) -> None:
    done = cli(*command)
    assert done.returncode == 1
    assert b"'no-such'" in done.stderr
    assert b"tierbroker topic new no-such" in done.stderr
    assert b"no-such" not in ok(cli("topic", "ls", "--all"))


def test_an_illegal_topic_name_is_explained(cli: Cli) -> None:
    for command in (["produce", "a b", "x"], ["topic", "new", "a b"]):
        done = cli(*command)
        assert done.returncode == 1
        assert b"a b" in done.stderr


def test_topics_are_made_shown_listed_and_removed(cli: Cli, kafka_topic: str) -> None:
    name = f"{kafka_topic}-made"
    made = cli("topic", "new", name, "-p", "2", "-c", "retention.ms=5000", "--json")
    assert rows(ok(made)) == [{"topic": name, "partitions": 2, "replicas": 1}]
    again = cli("topic", "new", name)
    assert again.returncode == 1
    assert b"already" in again.stderr
    ok(cli("produce", name, "--partition", "1", "a", "b"))
    (shown,) = rows(ok(cli("topic", "show", name, "--json")))
    partitions = shown["partitions"]
    assert isinstance(partitions, list)
    assert [(row["partition"], row["earliest"], row["latest"]) for row in partitions] == [
        (0, 0, 0),
        (1, 0, 2),
    ]
    assert all(row["leader"] in row["in_sync"] for row in partitions)
    configs = shown["configs"]
    assert isinstance(configs, dict)
    configs.pop("flush.mode", None)  # an ephemeral broker has its own
    assert configs == {"retention.ms": "5000"}
    plain = ok(cli("topic", "show", name)).decode().splitlines()
    assert [line.split("\t")[0] for line in plain][:3] == ["partition", "partition", "config"]
    assert "config\tretention.ms\t5000\ttopic" in plain
    assert f"{name}\t2\t1" in ok(cli("topic", "ls")).decode().splitlines()
    ok(cli("topic", "rm", name))
    assert name not in ok(cli("topic", "ls")).decode()
    assert cli("topic", "rm", name).returncode == 1


@pytest.mark.parametrize("config", ["no.such.key=1", "retention.ms=soon"])
def test_a_wrong_topic_setting_is_named(cli: Cli, kafka_topic: str, config: str) -> None:
    done = cli("topic", "new", f"{kafka_topic}-x", "--config", config)
    assert done.returncode == 1
    assert config.partition("=")[0].encode() in done.stderr


def test_apis_of_a_running_broker(cli: Cli) -> None:
    listed = {row["api"]: row for row in rows(ok(cli("apis", "--json")))}
    assert {"Produce", "Fetch", "Metadata", "ApiVersions", "CreateTopics"} <= listed.keys()


def test_following_writes_what_comes_and_ends_with_the_interrupt(
    environment: dict[str, str], cli: Cli, kafka_topic: str
) -> None:
    ok(cli("produce", kafka_topic, "before"))
    follower = subprocess.Popen(
        [*TIERBROKER, "consume", kafka_topic, "--from", "start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"before\n"
    ok(cli("produce", kafka_topic, "after"))
    assert follower.stdout.readline() == b"after\n"
    follower.send_signal(signal.SIGINT)
    rest, complaints = follower.communicate(timeout=DEADLINE_S)
    assert (follower.returncode, rest, complaints) == (0, b"", b"")


def test_a_reader_that_leaves_is_no_error(
    environment: dict[str, str], cli: Cli, kafka_topic: str
) -> None:
    ok(cli("produce", kafka_topic, stdin=b"x" * 100 + b"\n" + b"line\n" * 200_000))
    reader = subprocess.Popen(
        [*TIERBROKER, "consume", kafka_topic, "--from", "start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.readline()
    reader.stdout.close()
    assert reader.wait(timeout=DEADLINE_S) == 0
    assert reader.stderr.read() == b""
    reader.stderr.close()


def test_an_interrupted_produce_sends_what_it_has_read(
    environment: dict[str, str], cli: Cli, kafka_topic: str
) -> None:
    sender = subprocess.Popen(
        [*TIERBROKER, "produce", kafka_topic],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert sender.stdin is not None
    sender.stdin.write(b"a\nb\n")
    sender.stdin.flush()
    deadline = time.monotonic() + DEADLINE_S
    while not cli("consume", kafka_topic, "--from", "start", "--exit").stdout:
        assert time.monotonic() < deadline
    sender.send_signal(signal.SIGINT)
    summary, complaints = sender.communicate(timeout=DEADLINE_S)
    assert sender.returncode == 130
    assert summary.decode().split("\t")[1:3] == ["0", "2"]
    assert complaints == b""


@pytest.mark.parametrize(
    "command",
    [["produce", "t", "x"], ["consume", "t"], ["topic", "ls"], ["topic", "rm", "t"], ["apis"]],
    ids=" ".join,
)
def test_nobody_listens(cli: Cli, command: list[str]) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        started = time.monotonic()
        done = cli(*command, "-b", address)
    assert done.returncode == 3
    assert address.encode() in done.stderr
    assert re.search(rb"-b HOST:PORT", done.stderr)
    assert b"%3|" not in done.stderr, "log lines of the client library"
    assert time.monotonic() - started < 5


def test_somebody_listens_who_is_no_broker(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def hang_up() -> None:
            try:
                while True:
                    server.accept()[0].close()
            except OSError:
                return

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        done = cli("topic", "ls", "-b", address)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert done.returncode == 3
    assert address.encode() in done.stderr
