"""`tierbroker group` and `tierbroker consume --group`, each as a process of its own."""

import contextlib
import json
import os
import pty
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.broker.cli_calls import DEADLINE_S, TIERBROKER, Cli, ok
from tierbroker.testing.target import BrokerTarget

Member = "subprocess.Popen[bytes]"


@pytest.fixture
def group(kafka_topic: str) -> str:
    """The name of a group that nobody else uses."""
    return f"of-{kafka_topic}"


@pytest.fixture
def wide_topic(cli: Cli, kafka_topic: str) -> Iterator[str]:
    """A topic with two partitions, three records in each."""
    name = f"{kafka_topic}-wide"
    ok(cli("topic", "new", name, "--partitions", "2"))
    for partition in ("0", "1"):
        lines = b"".join(f"{partition}-{n}\n".encode() for n in range(3))
        ok(cli("produce", name, "--partition", partition, stdin=lines))
    yield name
    cli("topic", "rm", name, "--yes")


@pytest.fixture
def join(environment: dict[str, str]) -> Iterator[Callable[[str, str], Any]]:
    """Starts members that follow a topic in a group; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(topic: str, group: str) -> "subprocess.Popen[bytes]":
        member = subprocess.Popen(
            [*TIERBROKER, "consume", topic, "--group", group, "--from", "start"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        started.append(member)
        return member

    yield start
    for member in started:
        with contextlib.suppress(ProcessLookupError):
            member.kill()
        member.communicate()


def shown(cli: Cli, group: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok(cli("group", "show", group, "--json")))
    return found


def wait_until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def end(member: Any, told_by: signal.Signals = signal.SIGINT) -> tuple[bytes, bytes]:
    """Ctrl-C, or what service managers do; what it wrote."""
    member.send_signal(told_by)
    output: tuple[bytes, bytes] = member.communicate(timeout=DEADLINE_S)
    assert member.returncode == 0, output
    return output


def test_a_group_goes_on_where_it_stopped(cli: Cli, wide_topic: str, group: str) -> None:
    read = ("consume", wide_topic, "--group", group)
    first = ok(cli(*read, "--from", "start", "--exit"))
    assert sorted(first.split()) == [b"0-0", b"0-1", b"0-2", b"1-0", b"1-1", b"1-2"]
    assert ok(cli(*read, "--from", "start", "--exit")) == b""
    ok(cli("produce", wide_topic, "--partition", "1", "more"))
    assert shown(cli, group)["lag"] == 1
    assert ok(cli(*read, "--exit")) == b"more\n"
    assert shown(cli, group)["lag"] == 0


def test_a_limit_commits_what_was_written_and_no_more(
    cli: Cli, wide_topic: str, group: str
) -> None:
    read = ("consume", wide_topic, "--group", group, "--from", "start")
    first = ok(cli(*read, "-n", "4")).split()
    assert len(first) == 4
    assert shown(cli, group)["lag"] == 2
    rest = ok(cli(*read, "--exit")).split()
    assert sorted(first + rest) == [b"0-0", b"0-1", b"0-2", b"1-0", b"1-1", b"1-2"]


def test_the_end_is_where_a_new_group_starts(cli: Cli, wide_topic: str, group: str) -> None:
    assert ok(cli("consume", wide_topic, "--group", group, "--exit")) == b""


def test_records_as_json(cli: Cli, wide_topic: str, group: str) -> None:
    lines = ok(
        cli("consume", wide_topic, "--group", group, "--from", "start", "--exit", "--json")
    ).splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted((row["partition"], row["offset"]) for row in rows) == [
        (partition, offset) for partition in range(2) for offset in range(3)
    ]


def test_members_share_the_partitions(
    cli: Cli, wide_topic: str, group: str, join: Callable[[str, str], Any]
) -> None:
    members = [join(wide_topic, group), join(wide_topic, group)]

    def shared() -> bool:
        if cli("group", "show", group).returncode:
            return False  # nobody has joined yet
        now = shown(cli, group)
        counts = [len(member["partitions"]) for member in now["members"]]
        return bool(now["state"] == "Stable" and counts == [1, 1])

    wait_until(shared, "a partition for each member")
    now = shown(cli, group)
    assert now["assignor"] == "range"
    assert [member["client"] for member in now["members"]] == ["tierbroker-cli"] * 2
    assert {member["host"] for member in now["members"]} == {"127.0.0.1"}
    assert [row["partition"] for row in now["partitions"]] == [0, 1]
    assert [row["member"] for row in now["partitions"]] == [
        member["member"] for member in now["members"]
    ]
    refused = cli("group", "rm", group)
    assert refused.returncode == 1
    assert b"2 members (tierbroker-cli at 127.0.0.1, tierbroker-cli at 127.0.0.1)" in refused.stderr
    assert f"tierbroker group show {group}".encode() in refused.stderr
    outputs = [end(member) for member in members]
    lines = sorted(line for output, _ in outputs for line in set(output.split()))
    assert set(lines) == {b"0-0", b"0-1", b"0-2", b"1-0", b"1-1", b"1-2"}
    assert [complaints for _, complaints in outputs] == [b"", b""]
    assert shown(cli, group)["state"] == "Empty"
    assert shown(cli, group)["lag"] == 0
    ok(cli("group", "rm", group))
    assert cli("group", "show", group).returncode == 1


def test_more_members_than_partitions(
    cli: Cli, kafka_topic: str, group: str, join: Callable[[str, str], Any]
) -> None:
    ok(cli("produce", kafka_topic, "only"))
    member = join(kafka_topic, group)
    assert member.stdout is not None
    assert member.stdout.readline() == b"only\n"
    # Whoever has nothing to read is at the end of it, or has taken over what was committed.
    assert ok(cli("consume", kafka_topic, "--group", group, "--exit")) in (b"", b"only\n")


def test_a_group_that_shares_partitions_in_another_way(
    cli: Cli, kafka_broker: BrokerTarget, kafka_topic: str, group: str
) -> None:
    from confluent_kafka import Consumer

    config: dict[str, str | int | float | bool] = {
        **kafka_broker.config("confluent"),
        "group.id": group,
        "partition.assignment.strategy": "cooperative-sticky",
    }
    other = Consumer(config)
    other.subscribe([kafka_topic])
    wait_until(lambda: bool(other.poll(0.1)) or bool(other.assignment()), "an assignment")
    refused = cli("consume", kafka_topic, "--group", group)
    other.close()
    assert refused.returncode == 1
    assert b"another assignor" in refused.stderr
    assert f"tierbroker group show {group}".encode() in refused.stderr


@pytest.mark.parametrize("told_by", [signal.SIGINT, signal.SIGTERM])
def test_whoever_is_told_to_end_commits_and_leaves(
    cli: Cli,
    wide_topic: str,
    group: str,
    join: Callable[[str, str], Any],
    told_by: signal.Signals,
) -> None:
    """The next member need not wait for the end of a session."""
    member = join(wide_topic, group)
    assert member.stdout is not None
    member.stdout.readline()
    end(member, told_by)
    assert shown(cli, group)["members"] == []


def test_groups_are_listed_shown_and_removed(cli: Cli, wide_topic: str, group: str) -> None:
    ok(cli("consume", wide_topic, "--group", group, "--from", "start", "--exit"))
    listed = [line.split("\t") for line in ok(cli("group", "ls")).decode().splitlines()]
    assert [group, "Empty", "classic"] in listed
    plain = ok(cli("group", "show", group)).decode().splitlines()
    assert plain == [
        f"group\t{group}\tEmpty\t-\t0",
        f"partition\t{wide_topic}\t0\t3\t3\t0\t-",
        f"partition\t{wide_topic}\t1\t3\t3\t0\t-",
    ]
    removed = json.loads(ok(cli("group", "rm", group, "--json")))
    assert removed == {"group": group, "removed": True}
    assert group not in [line.split("\t")[0] for line in ok(cli("group", "ls")).decode().split()]


@pytest.mark.parametrize("command", ["show", "rm"])
def test_an_unknown_group_is_named(cli: Cli, command: str) -> None:
    done = cli("group", command, "no-such")
    assert done.returncode == 1
    assert b"'no-such'" in done.stderr
    assert b"tierbroker group ls" in done.stderr


def test_an_unknown_topic_leaves_no_group(cli: Cli, group: str) -> None:
    done = cli("consume", "no-such", "--group", group)
    assert done.returncode == 1
    assert b"tierbroker topic new no-such" in done.stderr
    assert group not in ok(cli("group", "ls")).decode()


def test_a_terminal_is_told_who_reads_what(
    environment: dict[str, str], wide_topic: str, group: str
) -> None:
    ours, theirs = pty.openpty()
    member = subprocess.Popen(
        [*TIERBROKER, "consume", wide_topic, "--group", group, "--from", "start"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    assert member.stdout is not None
    member.stdout.readline()
    end(member)
    told = b""
    with contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        while selector.select(1):
            told += os.read(ours, 4096)  # the end of a terminal is EIO
    os.close(ours)
    assert re.findall(rb"[A-Z].*", told) == [
        f"Assigned: {wide_topic} 0-1\r".encode(),
        f"Revoked: {wide_topic} 0-1\r".encode(),
    ]
