"""Apache Kafka's tools for those who run a cluster understand what this one answers.

Their main classes are those of kafka-log-dirs, kafka-leader-election, kafka-metadata-quorum,
kafka-features, kafka-reassign-partitions, kafka-transactions and kafka-configs.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.clients import client
from integration.java_tools import JavaToolError, run_java, run_tool

REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
CONFIGS = "kafka.admin.ConfigCommand"

Tool = Callable[..., str]


@pytest.fixture
def tool(bootstrap: str) -> Tool:
    """Runs a tool, by the name of its class, and gives what it printed."""

    def run(name: str, *args: str) -> str:
        runner = run_java if "." in name else run_tool
        return runner(name, "--bootstrap-server", bootstrap, *args).text

    return run


def test_log_dirs(tool: Tool, new_topic: Callable[..., str], bootstrap: str) -> None:
    topic = new_topic(2)
    client("confluent-kafka").write(bootstrap, topic, [(b"key", b"x" * 5_000)], "none")
    printed = tool("LogDirsCommand", "--describe", "--topic-list", topic)
    (broker,) = json.loads(printed.splitlines()[-1])["brokers"]
    (log_dir,) = broker["logDirs"]
    assert log_dir["error"] is None
    sizes = {entry["partition"]: entry["size"] for entry in log_dir["partitions"]}
    assert set(sizes) == {f"{topic}-0", f"{topic}-1"}
    assert 5_000 < sum(sizes.values()) < 6_000


def test_elections_that_nobody_needs(tool: Tool, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    preferred = ("LeaderElectionCommand", "--election-type", "preferred")
    one = tool(*preferred, "--topic", topic, "--partition", "1")
    assert f"Valid replica already elected for partitions {topic}-1" in one
    tool(*preferred, "--all-topic-partitions")
    with pytest.raises(JavaToolError, match="UnknownTopicOrPartitionException"):
        tool(*preferred, "--topic", topic, "--partition", "2")


def test_the_quorum(tool: Tool) -> None:
    status = tool("MetadataQuorumCommand", "describe", "--status")
    said = dict(re.findall(r"(\w+): +(.+)", status))
    (voter,) = json.loads(said["CurrentVoters"])
    assert voter["id"] == int(said["LeaderId"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", voter["directoryId"])
    assert int(said["HighWatermark"]) > 0
    assert (said["MaxFollowerLag"], said["CurrentObservers"]) == ("0", "[]")
    heading, row = tool("MetadataQuorumCommand", "describe", "--replication").splitlines()
    replica = dict(zip(heading.split(), row.split(), strict=True))
    assert (replica["NodeId"], replica["Lag"]) == (said["LeaderId"], "0")
    assert (replica["DirectoryId"], replica["Status"]) == (voter["directoryId"], "Leader")


def test_features(tool: Tool) -> None:
    listed = tool("FeatureCommand", "describe")
    level = r"Feature: {}\s.*FinalizedVersionLevel: {}\s"
    assert re.search(level.format("metadata.version", "4.3-IV0"), listed)
    assert re.search(level.format("kraft.version", "1"), listed)
    tool("FeatureCommand", "upgrade", "--metadata", "4.3-IV0")
    with pytest.raises(JavaToolError, match=r"Could not downgrade metadata.version to 25"):
        tool("FeatureCommand", "downgrade", "--metadata", "4.0-IV3")
    with pytest.raises(JavaToolError, match=r"Could not upgrade no.such to 3"):
        tool("FeatureCommand", "upgrade", "--feature", "no.such=3")


def test_a_partition_stays_where_it_is(
    tool: Tool, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = new_topic()
    plan = tmp_path / "plan.json"
    partition = {"topic": topic, "partition": 0, "replicas": [1]}
    plan.write_text(json.dumps({"version": 1, "partitions": [partition]}))
    of_the_plan = ("--reassignment-json-file", str(plan))
    assert "No partition reassignments found" in tool(REASSIGN, "--list")
    executed = tool(REASSIGN, "--execute", *of_the_plan)
    assert f"Successfully started partition reassignment for {topic}-0" in executed
    verified = tool(REASSIGN, "--verify", *of_the_plan)
    assert f"Reassignment of partition {topic}-0 is completed" in verified
    assert "None of the specified" in tool(REASSIGN, "--cancel", *of_the_plan)


def test_producers(tool: Tool, new_topic: Callable[..., str], bootstrap: str) -> None:
    topic = new_topic()
    client("kafka-python").write(bootstrap, topic, [(b"", b"x")] * 3, "none")
    printed = tool(
        "TransactionsCommand", "describe-producers", "--topic", topic, "--partition", "0"
    )
    heading, row = printed.splitlines()
    state = dict(zip(heading.split(), row.split(), strict=True))
    assert (state["ProducerEpoch"], state["CurrentTransactionStartOffset"]) == ("0", "None")
    assert int(state["ProducerId"]) >= 0
    assert int(state["LastSequence"]) == 2


def test_settings(tool: Tool, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    of_the_topic = ("--entity-type", "topics", "--entity-name", topic)
    tool(CONFIGS, "--alter", *of_the_topic, "--add-config", "retention.ms=7000")
    assert "retention.ms=7000" in tool(CONFIGS, "--describe", *of_the_topic)
    # Without a name all resources are listed first.
    listed = tool(CONFIGS, "--describe", "--entity-type", "topics")
    assert f"Dynamic configs for topic {topic} are:" in listed
    brokers = tool(CONFIGS, "--describe", "--entity-type", "brokers", "--all")
    assert "All configs for broker 1 are:" in brokers
    assert "log.retention.hours=168" in brokers
    assert tool(CONFIGS, "--describe", "--entity-type", "client-metrics").strip() == ""
