"""Kafka's tools for topics and records: each verb and each filter, judged by what was asked for."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.clients import Line
from integration.java_tools import JavaToolError, Output, run_java, run_tool

Tool = Callable[..., Output]

_PARTITION = re.compile(
    r"Topic: (\S+)\s+Partition: (\d+)\s+Leader: (\S+)\s+Replicas: ([\d,]+)\s+Isr: ([\d,]*)"
)


@pytest.fixture
def topics(bootstrap: str) -> Tool:
    """`kafka-topics`."""
    return lambda *args: run_tool("TopicCommand", "--bootstrap-server", bootstrap, *args)


@pytest.fixture
def configs(bootstrap: str) -> Tool:
    """`kafka-configs` for one topic: name first."""

    def run(name: str, *args: str) -> Output:
        entity = ("--entity-type", "topics", "--entity-name", name)
        main = "kafka.admin.ConfigCommand"
        return run_java(main, "--bootstrap-server", bootstrap, *entity, *args)

    return run


def heading_of(described: Output, topic: str) -> str:
    (line,) = (row for row in described.lines if re.match(rf"Topic: {topic}\s", row))
    return line


def partitions_of(described: Output, topic: str) -> list[int]:
    """The partitions of this topic that are named, in the order in which they are."""
    return [int(row[1]) for row in _PARTITION.findall(described.text) if row[0] == topic]


def offsets(bootstrap: str, topic: str, time: str) -> dict[int, int]:
    """Partition to offset, from `kafka-get-offsets`."""
    args = ("--bootstrap-server", bootstrap, "--topic", topic, "--time", time)
    rows = (line.split(":") for line in run_tool("GetOffsetShell", *args).lines)
    return {int(partition): int(offset) for _, partition, offset in rows}


def test_replicas_are_assigned_by_hand(topics: Tool) -> None:
    whole = topics("--describe", "--topic", "by-hand", "--if-exists")
    assert not whole.lines
    topics("--create", "--topic", "by-hand", "--replica-assignment", "1,1,1")
    described = topics("--describe", "--topic", "by-hand")
    assert "PartitionCount: 3" in heading_of(described, "by-hand")
    rows = _PARTITION.findall(described.text)
    assert rows == [("by-hand", str(n), "1", "1", "1") for n in range(3)]
    topics(
        *("--alter", "--topic", "by-hand", "--partitions", "5"),
        *("--replica-assignment", "1,1,1,1,1"),
    )
    assert partitions_of(topics("--describe", "--topic", "by-hand"), "by-hand") == list(range(5))
    with pytest.raises(JavaToolError, match=r"InvalidReplicaAssignmentException.*broker 7"):
        topics("--create", "--topic", "elsewhere", "--replica-assignment", "7")


def test_topics_are_listed_by_pattern(topics: Tool) -> None:
    for name in ("pattern.one", "pattern.two", "another-pattern"):
        topics("--create", "--topic", name)
    assert topics("--list", "--topic", r"pattern\..*").lines == ["pattern.one", "pattern.two"]
    assert topics("--list", "--topic", "pattern.one|another-pattern").lines == [
        "another-pattern",
        "pattern.one",
    ]
    everything = topics("--list").lines
    assert everything == sorted(everything)
    visible = topics("--list", "--exclude-internal").lines
    assert visible == [name for name in everything if not name.startswith("__")]
    with pytest.raises(JavaToolError, match="collide"):
        topics("--create", "--topic", "pattern_one")


def test_a_topic_is_described_by_its_id(topics: Tool) -> None:
    topics("--create", "--topic", "by-id", "--partitions", "2")
    found = re.search(r"TopicId: (\S+)", topics("--describe", "--topic", "by-id").text)
    assert found
    by_id = topics("--describe", "--topic-id", found.group(1))
    assert heading_of(by_id, "by-id")
    assert partitions_of(by_id, "by-id") == [0, 1]
    assert len(by_id.lines) == 3
    with pytest.raises(JavaToolError, match="does not exist"):
        topics("--describe", "--topic-id", "AAAAAAAAAAAAAAAAAAAAAg")


def test_descriptions_are_filtered(topics: Tool) -> None:
    topics("--create", "--topic", "plain", "--partitions", "2")
    topics("--create", "--topic", "set", "--config", "retention.ms=3600000")
    topics("--create", "--topic", "starved", "--config", "min.insync.replicas=2")
    overridden = topics("--describe", "--topics-with-overrides")
    assert "retention.ms=3600000" in heading_of(overridden, "set")
    assert "min.insync.replicas=2" in heading_of(overridden, "starved")
    assert not _PARTITION.findall(overridden.text)
    assert not topics("--describe", "--under-replicated-partitions").lines
    assert not topics("--describe", "--unavailable-partitions").lines
    at_minimum = topics("--describe", "--at-min-isr-partitions")
    assert partitions_of(at_minimum, "plain") == [0, 1]
    assert not partitions_of(at_minimum, "starved")
    below = topics("--describe", "--under-min-isr-partitions")
    assert partitions_of(below, "starved") == [0]
    assert not partitions_of(below, "plain")
    internal = topics("--describe", "--exclude-internal")
    assert heading_of(internal, "plain")
    assert "Topic: __" not in internal.text


@pytest.mark.parametrize(
    "verb", [("--describe",), ("--alter", "--partitions", "4"), ("--delete",)], ids=lambda v: v[0]
)
def test_a_missing_topic_is_an_error_unless_it_need_not_exist(
    topics: Tool, verb: tuple[str, ...]
) -> None:
    with pytest.raises(JavaToolError, match="Topic 'not-there' does not exist as expected"):
        topics(*verb, "--topic", "not-there")
    assert not topics(*verb, "--topic", "not-there", "--if-exists").text.strip()


def test_several_topics_are_deleted_by_pattern(topics: Tool) -> None:
    for name in ("doomed-a", "doomed-b", "kept-c"):
        topics("--create", "--topic", name)
    topics("--delete", "--topic", "doomed-.*")
    left = topics("--list").lines
    assert "kept-c" in left
    assert not [name for name in left if name.startswith("doomed-")]
    topics("--create", "--topic", "doomed-a", "--partitions", "3")
    assert partitions_of(topics("--describe", "--topic", "doomed-a"), "doomed-a") == [0, 1, 2]


def test_settings_of_a_topic_are_altered_and_taken_back(topics: Tool, configs: Tool) -> None:
    topics("--create", "--topic", "settings", "--config", "retention.ms=3600000")
    added = "max.message.bytes=70000,cleanup.policy=[compact,delete]"
    assert "Completed" in configs("settings", "--alter", "--add-config", added).text
    changed = settings_in(configs("settings", "--describe"))
    assert changed == {
        "cleanup.policy": "compact,delete",
        "max.message.bytes": "70000",
        "retention.ms": "3600000",
    }
    configs("settings", "--alter", "--delete-config", "max.message.bytes,cleanup.policy")
    assert settings_in(configs("settings", "--describe")) == {"retention.ms": "3600000"}
    whole = settings_in(configs("settings", "--describe", "--all"))
    assert len(whole) > 30
    assert whole["cleanup.policy"] == "delete"
    assert whole["max.message.bytes"] == "1048588"
    with pytest.raises(JavaToolError, match="InvalidConfigurationException"):
        configs("settings", "--alter", "--add-config", "retention.ms=-7")
    with pytest.raises(JavaToolError, match=r"retention\.milliseconds"):
        configs("settings", "--alter", "--add-config", "retention.milliseconds=7")


def settings_in(described: Output) -> dict[str, str]:
    return dict(re.findall(r"^\s+(\S+?)=(\S*) sensitive=", described.text, re.M))


def test_records_are_deleted_up_to_an_offset(
    bootstrap: str, new_topic: Callable[..., str], tmp_path: Path, lines: list[Line]
) -> None:
    from confluent_kafka import Producer

    topic = new_topic(3)
    producer = Producer({"bootstrap.servers": bootstrap})
    for key, value in lines[:30]:
        for partition in range(3):
            producer.produce(topic, value, key, partition)
    producer.flush(30)
    cuts = {0: 12, 1: -1}
    wanted = [{"topic": topic, "partition": n, "offset": cut} for n, cut in cuts.items()]
    file = tmp_path / "cuts.json"
    file.write_text(json.dumps({"version": 1, "partitions": wanted}))
    args = ("--bootstrap-server", bootstrap, "--offset-json-file", str(file))
    output = run_tool("DeleteRecordsCommand", *args).text
    marks = dict(re.findall(r"partition: \S+-(\d)\s+low_watermark: (\d+)", output))
    assert marks == {"0": "12", "1": "30"}
    assert offsets(bootstrap, topic, "earliest") == {0: 12, 1: 30, 2: 0}
    assert offsets(bootstrap, topic, "latest") == {0: 30, 1: 30, 2: 30}
    wanted[0]["offset"], wanted[1]["offset"] = 31, 5
    file.write_text(json.dumps({"version": 1, "partitions": wanted}))
    again = run_tool("DeleteRecordsCommand", *args).text
    assert re.search(rf"{topic}-0\s+error: .*OffsetOutOfRangeException", again)
    assert re.search(rf"{topic}-1\s+low_watermark: 30", again)
