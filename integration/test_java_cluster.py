"""Kafka's tools for brokers, disks, leaders and the quorum tell what is so of a cluster of one."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.clients import client
from integration.java_tools import JavaToolError, Output, run_tool

Tool = Callable[..., Output]


@pytest.fixture
def tool(bootstrap: str) -> Tool:
    """A tool that is told of the broker."""
    return lambda name, *args: run_tool(name, "--bootstrap-server", bootstrap, *args)


def test_log_directories_and_sizes(
    tool: Tool, bootstrap: str, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = new_topic(2)
    client("confluent-kafka").write(bootstrap, topic, [(b"key", b"x" * 1000)] * 50, "none")
    output = tool("LogDirsCommand", "--describe", "--topic-list", topic)
    (broker,) = json.loads(output.lines[-1])["brokers"]
    (log_dir,) = (entry for entry in broker["logDirs"] if entry["partitions"])
    assert log_dir["error"] is None
    sizes = {row["partition"]: row["size"] for row in log_dir["partitions"]}
    assert set(sizes) == {f"{topic}-0", f"{topic}-1"}
    assert 50_000 < sum(sizes.values()) < 60_000
    assert not any(row["offsetLag"] or row["isFuture"] for row in log_dir["partitions"])


def test_leaders_need_no_election(tool: Tool, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    assert not tool(
        "LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions"
    ).text.strip()
    one = ("--election-type", "preferred", "--topic", topic, "--partition", "0")
    assert f"already elected for partitions {topic}-0" in tool("LeaderElectionCommand", *one).text
    with pytest.raises(JavaToolError, match="UnknownTopicOrPartitionException"):
        tool(
            *("LeaderElectionCommand", "--election-type", "unclean"),
            *("--topic", "never-made", "--partition", "0"),
        )


def test_no_replica_is_on_its_way(tool: Tool) -> None:
    output = tool("reassign.ReassignPartitionsCommand", "--list")
    assert "No partition reassignments found." in output.text


def test_the_quorum_is_told(tool: Tool) -> None:
    status = tool("MetadataQuorumCommand", "describe", "--status").text
    found = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.M))
    assert found["LeaderId"] == "1"
    assert int(found["HighWatermark"]) > 0
    assert found["MaxFollowerLag"] == "0"
    (voter,) = json.loads(found["CurrentVoters"])
    assert voter["id"] == 1
    assert len(voter["directoryId"]) == 22
    assert found["CurrentObservers"] == "[]"
    heading, row = tool("MetadataQuorumCommand", "describe", "--replication").lines
    cells = dict(zip(heading.split(), row.split(), strict=True))
    assert (cells["NodeId"], cells["Status"], cells["Lag"]) == ("1", "Leader", "0")
    assert cells["DirectoryId"] == voter["directoryId"]


def test_the_cluster_is_told(tool: Tool, bootstrap: str) -> None:
    told = tool("MetadataQuorumCommand", "describe", "--status").text
    cluster = run_tool("ClusterTool", "cluster-id", "--bootstrap-server", bootstrap).text
    assert re.search(r"ClusterId:\s+(\S+)", told).group(1) in cluster  # type: ignore[union-attr]
    heading, row = run_tool("ClusterTool", "list-endpoints", "--bootstrap-server", bootstrap).lines
    cells = dict(zip(heading.split(), row.split(), strict=True))
    assert f"{cells['HOST']}:{cells['PORT']}" == bootstrap
    assert (cells["ID"], cells["STATE"], cells["ENDPOINT_TYPE"]) == ("1", "unfenced", "broker")


def test_features_are_told(tool: Tool) -> None:
    rows = re.findall(
        r"Feature: (\S+)\s+SupportedMinVersion: (\S+)\s+SupportedMaxVersion: (\S+)"
        r"\s+FinalizedVersionLevel: (\S+)",
        tool("FeatureCommand", "describe").text,
    )
    levels = {name: level for name, _, _, level in rows}
    assert levels["metadata.version"] == "4.3-IV0"
    assert levels["kraft.version"] == "1"
