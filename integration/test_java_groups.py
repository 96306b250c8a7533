"""Kafka's tools for consumer groups: what they list, describe, reset and delete is so."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from integration.broker_processes import wait_until
from integration.clients import client
from integration.conftest import StartBroker, create_topic
from integration.java_tools import JavaToolError, Output, run_tool

Tool = Callable[..., Output]

RECORDS = 10
HOUR_MS = 3_600_000


@pytest.fixture
def groups(bootstrap: str) -> Tool:
    """`kafka-consumer-groups`."""
    command = "consumer.group.ConsumerGroupCommand"
    return lambda *args: run_tool(command, "--bootstrap-server", bootstrap, *args)


@pytest.fixture
def aged_topic(bootstrap: str, new_topic: Callable[..., str]) -> str:
    """Two partitions of ten records: five of three hours ago, five of one minute ago."""
    topic = new_topic(2)
    now_ms = int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(RECORDS):
        age_ms = 3 * HOUR_MS if number < RECORDS // 2 else 60_000
        for partition in range(2):
            value = f"{partition}-{number}".encode()
            producer.produce(topic, value, partition=partition, timestamp=now_ms - age_ms + number)
    producer.flush(30)
    return topic


def commit(bootstrap: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    """Commit as a client that is no member."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    assert all(row.error is None for row in consumer.commit(offsets=wanted, asynchronous=False))
    consumer.close()


def committed(groups: Tool, group: str, topic: str) -> dict[int, int]:
    """Committed offset of each partition that has one, as `--describe` tells it."""
    rows = groups("--describe", "--group", group, "--offsets").table()
    return {
        int(row["PARTITION"]): int(row["CURRENT-OFFSET"])
        for row in rows
        if row["TOPIC"] == topic and row["CURRENT-OFFSET"] != "-"
    }


@contextmanager
def member(bootstrap: str, group: str, topic: str, **settings: str) -> Iterator[Consumer]:
    """A member that owns every partition of the topic and commits nothing."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )
    consumer.subscribe([topic])
    try:
        wait_until(lambda: [consumer.poll(0.1), consumer.assignment()][1], "assignment", 90)
        yield consumer
    finally:
        consumer.close()


def test_a_console_consumer_goes_on_where_its_group_was(bootstrap: str, aged_topic: str) -> None:
    def consume(count: int, *args: str) -> list[str]:
        return run_tool(
            "consumer.ConsoleConsumer",
            *("--bootstrap-server", bootstrap, "--topic", aged_topic, "--group", "console"),
            *("--max-messages", str(count), "--timeout-ms", "60000", *args),
        ).lines

    first = consume(7, "--from-beginning")
    assert (len(first), len(set(first))) == (7, 7)
    rest = consume(13)
    assert len(rest) == 13
    assert {*first, *rest} == {f"{p}-{n}" for p in range(2) for n in range(RECORDS)}


def test_groups_are_listed_with_state_and_type(
    bootstrap: str, groups: Tool, aged_topic: str
) -> None:
    commit(bootstrap, "list-empty", aged_topic, {0: 1})
    with member(bootstrap, "list-stable", aged_topic):
        assert {"list-empty", "list-stable"} <= set(groups("--list").lines)
        states = {row["GROUP"]: row["STATE"] for row in groups("--list", "--state").table()}
        assert (states["list-empty"], states["list-stable"]) == ("Empty", "Stable")
        stable = groups("--list", "--state", "stable").table()
        assert "list-stable" in {row["GROUP"] for row in stable}
        assert {row["STATE"] for row in stable} == {"Stable"}
        classic = groups("--list", "--type", "classic").table()
        assert {"list-empty", "list-stable"} <= {row["GROUP"] for row in classic}
        assert {row["TYPE"] for row in classic} == {"Classic"}
        assert not groups("--list", "--type", "consumer").table()
        both = {
            row["GROUP"]: (row["TYPE"], row["STATE"])
            for row in groups("--list", "--type", "classic", "--state", "empty,stable").table()
        }
        assert both["list-empty"] == ("Classic", "Empty")


def test_all_groups_are_listed_by_the_general_tool(bootstrap: str, aged_topic: str) -> None:
    commit(bootstrap, "general-empty", aged_topic, {0: 1})

    def listed(*filters: str) -> dict[str, tuple[str, str]]:
        output = run_tool("GroupsCommand", "--bootstrap-server", bootstrap, "--list", *filters)
        rows = (line.split(maxsplit=2) for line in output.lines[1:])
        return {row[0]: (row[1], row[2].strip() if len(row) > 2 else "") for row in rows}

    with member(bootstrap, "general-stable", aged_topic):
        everything = listed()
        assert everything["general-stable"] == ("Classic", "consumer")
        assert everything["general-empty"][0] == "Classic"
        assert "general-stable" in listed("--consumer")
        assert "general-stable" in listed("--group-type", "classic")
        assert "general-stable" in listed("--protocol", "consumer")
        assert "general-stable" not in listed("--protocol", "connect")
        assert not listed("--group-type", "consumer")
        assert not listed("--share")


def test_offsets_and_lag_are_described(bootstrap: str, groups: Tool, aged_topic: str) -> None:
    commit(bootstrap, "lag", aged_topic, {0: 4})
    with member(bootstrap, "lag", aged_topic, client_id="reader"):
        rows = groups("--describe", "--group", "lag").table()
    cells = {row["PARTITION"]: row for row in rows}
    assert (cells["0"]["CURRENT-OFFSET"], cells["0"]["LOG-END-OFFSET"]) == ("4", str(RECORDS))
    assert cells["0"]["LAG"] == "6"
    assert (cells["1"]["CURRENT-OFFSET"], cells["1"]["LAG"]) == ("-", "-")
    for row in rows:
        assert row["CONSUMER-ID"].startswith("reader-")
        assert (row["HOST"], row["CLIENT-ID"]) == ("/127.0.0.1", "reader")
    alone = groups("--describe", "--group", "lag", "--offsets", "--verbose")
    (row,) = (row for row in alone.table() if row["PARTITION"] == "0")
    assert (row["CURRENT-OFFSET"], row["CONSUMER-ID"]) == ("4", "-")
    assert "has no active members" in alone.errors


def test_members_and_state_are_described(bootstrap: str, groups: Tool, aged_topic: str) -> None:
    ours = ("--describe", "--group", "people")
    with member(bootstrap, "people", aged_topic, client_id="one", group_instance_id="seat-1"):
        (row,) = groups(*ours, "--members").table()
        assert row["CONSUMER-ID"].startswith("seat-1-")
        assert (row["GROUP-INSTANCE-ID"], row["CLIENT-ID"]) == ("seat-1", "one")
        assert row["#PARTITIONS"] == "2"
        (row,) = groups(*ours, "--members", "--verbose").table()
        assert row["CURRENT-ASSIGNMENT"] == f"{aged_topic}:0,1"
        (state,) = groups(*ours, "--state").table()
        assert state["COORDINATOR(ID)"] == f"{bootstrap}(1)"
        assert (state["STATE"], state["#MEMBERS"]) == ("Stable", "1")
        assert state["ASSIGNMENT-STRATEGY"] == "range"
    (state,) = groups(*ours, "--state").table()
    assert state["STATE"] == "Stable", "a static member stays until it times out"


def test_a_missing_group_is_named(groups: Tool) -> None:
    assert "Group nobody not found" in groups("--describe", "--group", "nobody").text


RESETS = [
    (("--to-earliest",), 0),
    (("--to-latest",), RECORDS),
    (("--to-current",), 4),
    (("--shift-by", "3"), 7),
    (("--shift-by", "-2"), 2),
    (("--shift-by", "100"), RECORDS),
    (("--shift-by", "-100"), 0),
    (("--to-offset", "8"), 8),
    (("--to-offset", "99"), RECORDS),
    (("--to-datetime", "two hours ago"), 5),
    (("--by-duration", "PT2H"), 5),
    (("--by-duration", "PT9H"), 0),
]


@pytest.mark.parametrize(("how", "offset"), RESETS, ids=[" ".join(how) for how, _ in RESETS])
def test_offsets_are_reset(
    bootstrap: str, groups: Tool, aged_topic: str, how: tuple[str, ...], offset: int
) -> None:
    """First told, then done; the other partition stays where it is."""
    commit(bootstrap, "resets", aged_topic, {0: 4, 1: 6})
    if how[0] == "--to-datetime":
        then = datetime.fromtimestamp(time.time() - 2 * HOUR_MS / 1000, UTC)
        how = (how[0], then.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    reset = ("--reset-offsets", "--group", "resets", "--topic", f"{aged_topic}:0", *how)
    for mode in ("--dry-run", "--execute"):
        (row,) = groups(*reset, mode).table()
        assert (row["TOPIC"], row["PARTITION"]) == (aged_topic, "0")
        assert int(row["NEW-OFFSET"]) == offset
        expected = {0: offset if mode == "--execute" else 4, 1: 6}
        assert committed(groups, "resets", aged_topic) == expected


def test_offsets_are_exported_and_taken_from_a_file(
    bootstrap: str, groups: Tool, aged_topic: str, tmp_path: Path
) -> None:
    commit(bootstrap, "exported", aged_topic, {0: 3, 1: 9})
    file = tmp_path / "offsets.csv"
    every = ("--reset-offsets", "--group", "exported", "--all-topics")
    exported = groups(*every, "--to-current", "--export", "--dry-run")
    rows = [line for line in exported.lines if line]
    assert sorted(rows) == [f"{aged_topic},0,3", f"{aged_topic},1,9"]
    file.write_text("\n".join(rows) + "\n")
    groups(*every, "--to-earliest", "--execute")
    assert committed(groups, "exported", aged_topic) == {0: 0, 1: 0}
    groups("--reset-offsets", "--group", "exported", "--from-file", str(file), "--execute")
    assert committed(groups, "exported", aged_topic) == {0: 3, 1: 9}


def test_what_a_group_uses_is_not_touched(bootstrap: str, groups: Tool, aged_topic: str) -> None:
    commit(bootstrap, "busy", aged_topic, {0: 4})
    whole = ("--group", "busy", "--topic", aged_topic)
    with member(bootstrap, "busy", aged_topic):
        refused = groups("--reset-offsets", *whole, "--to-earliest", "--execute")
        assert re.search(r"only be reset if the group 'busy' is inactive.* Stable", refused.text)
        assert "GroupNotEmptyException" in groups("--delete", "--group", "busy").text
        cut = groups("--delete-offsets", *whole)
        assert cut.text.count("GroupSubscribedToTopicException") == 2
        assert committed(groups, "busy", aged_topic)[0] == 4


def test_offsets_of_a_topic_are_deleted(bootstrap: str, groups: Tool, aged_topic: str) -> None:
    commit(bootstrap, "forgetful", aged_topic, {0: 4, 1: 5})
    one = ("--delete-offsets", "--group", "forgetful", "--topic")
    output = groups(*one, f"{aged_topic}:1")
    assert re.search(rf"{aged_topic}\s+1\s+Successful", output.text)
    assert committed(groups, "forgetful", aged_topic) == {0: 4}
    output = groups(*one, "never-made:0")
    assert re.search(r"never-made\s+0\s+Error:.*UnknownTopicOrPartitionException", output.text)


def test_groups_are_deleted(bootstrap: str, groups: Tool, aged_topic: str) -> None:
    for name in ("gone-1", "gone-2"):
        commit(bootstrap, name, aged_topic, {0: 4})
    output = groups("--delete", "--group", "gone-1", "--group", "gone-2")
    assert re.search(r"\('gone-1', 'gone-2'\) was successful", output.text)
    assert not {"gone-1", "gone-2"} & set(groups("--list").lines)
    again = groups("--delete", "--group", "gone-1")
    assert "'gone-1' could not be deleted due to" in again.text
    assert "GroupIdNotFoundException" in again.text
    commit(bootstrap, "gone-1", aged_topic, {1: 2})
    assert committed(groups, "gone-1", aged_topic) == {1: 2}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_groups_outlive_the_broker(start_broker: StartBroker, end: str) -> None:
    """Offsets, the static member and its generation are there after a restart."""
    broker = start_broker()
    create_topic(broker.bootstrap, "kept", 3)
    client("confluent-kafka").write(broker.bootstrap, "kept", [(b"k", b"v")] * 300, "none")
    address = ("--bootstrap-server", broker.bootstrap)
    read = ("--topic", "kept", "--group", "reader", "--timeout-ms", "60000")
    console = ("consumer.ConsoleConsumer", *address, *read)
    run_tool(*console, "--from-beginning", "--max-messages", "120")
    commit(broker.bootstrap, "other", "kept", {0: 5, 2: 7})

    def told() -> list[list[dict[str, str]]]:
        tool = ("consumer.group.ConsumerGroupCommand", *address)
        seen = [run_tool(*tool, "--describe", "--all-groups", "--offsets").table()]
        seen.append(run_tool(*tool, "--list", "--state").table())
        members = ("--describe", "--group", "seated", "--members", "--verbose")
        seen.append(run_tool(*tool, *members).table())
        return [sorted(rows, key=lambda row: tuple(row.values())) for rows in seen]

    seat = {"group_instance_id": "seat-1", "session_timeout_ms": "290000"}
    with member(broker.bootstrap, "seated", "kept", **seat):
        pass
    before = told()
    getattr(broker, end)()
    broker.start()

    def as_before() -> bool:
        # A coordinator that still loads says so, and the tool lists what it has by then.
        with suppress(JavaToolError):
            return told() == before
        return False

    with suppress(AssertionError):
        wait_until(as_before, "groups", 90)
    assert told() == before
    run_tool(*console, "--max-messages", "180")
    groups = ("consumer.group.ConsumerGroupCommand", *address, "--describe", "--group", "reader")
    assert {row["LAG"] for row in run_tool(*groups).table()} == {"0"}
    broker.stop()
