"""Apache Kafka's command-line tools, run by their main classes, do their work on the broker."""

import re
from collections.abc import Callable

import pytest

from integration.clients import Line, client
from integration.java_tools import JavaToolError, run_tool

T0_MS = 1_700_000_000_000


@pytest.fixture
def topics(bootstrap: str) -> Callable[..., str]:
    """`kafka-topics`, with its output as text."""

    def run(*args: str) -> str:
        return run_tool("TopicCommand", "--bootstrap-server", bootstrap, *args).text

    return run


def test_topics_are_created_described_altered_listed_and_deleted(
    topics: Callable[..., str],
) -> None:
    created = topics(
        *("--create", "--topic", "life", "--partitions", "2", "--replication-factor", "1"),
        *("--config", "retention.ms=3600000", "--config", "max.message.bytes=65536"),
    )
    assert "Created topic life." in created

    described = topics("--describe", "--topic", "life")
    heading = described.splitlines()[0]
    assert re.search(r"TopicId: [A-Za-z0-9_-]{22}\b", heading)
    assert re.search(r"PartitionCount: 2\b", heading)
    assert re.search(r"ReplicationFactor: 1\b", heading)
    assert "retention.ms=3600000" in heading
    assert "max.message.bytes=65536" in heading
    partitions = re.findall(
        r"Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\d+)\s+Isr: (\d+)", described
    )
    assert [row[0] for row in partitions] == ["0", "1"]
    assert all(leader == replica == isr for _, leader, replica, isr in partitions)

    topics("--alter", "--topic", "life", "--partitions", "5")
    assert re.search(r"PartitionCount: 5\b", topics("--describe", "--topic", "life"))

    assert "life" in topics("--list").split()
    topics("--delete", "--topic", "life")
    assert "life" not in topics("--list").split()


def test_topic_errors_are_the_ones_that_people_know(topics: Callable[..., str]) -> None:
    create = ("--create", "--topic", "errors", "--partitions", "1", "--replication-factor", "1")
    topics(*create)
    with pytest.raises(JavaToolError, match="TopicExistsException"):
        topics(*create)
    topics(*create, "--if-not-exists")
    with pytest.raises(JavaToolError, match="InvalidReplicationFactorException"):
        topics("--create", "--topic", "three", "--replication-factor", "3")
    with pytest.raises(JavaToolError, match=r"retention\.ms"):
        topics("--create", "--topic", "odd", "--config", "retention.ms=-7")
    with pytest.raises(JavaToolError, match="InvalidPartitionsException"):
        topics("--alter", "--topic", "errors", "--partitions", "1")
    with pytest.raises(JavaToolError, match="does not exist"):
        topics("--describe", "--topic", "never-created")


def test_a_long_topic_list_is_complete(topics: Callable[..., str]) -> None:
    """The tool pages through descriptions; every partition must come exactly once."""
    topics("--create", "--topic", "wide", "--partitions", "60", "--replication-factor", "1")
    described = topics("--describe", "--topic", "wide", "--partition-size-limit-per-response", "7")
    assert [int(n) for n in re.findall(r"Partition: (\d+)\s", described)] == list(range(60))


def test_offsets_are_found_at_both_ends_and_by_time(
    bootstrap: str, new_topic: Callable[..., str]
) -> None:
    """Ten records ten seconds apart, except that the newest timestamp comes before the last."""
    from confluent_kafka import Producer

    topic = new_topic()
    times_ms = [T0_MS + 10_000 * n for n in range(10)]
    times_ms[7], times_ms[9] = times_ms[9], times_ms[7]
    producer = Producer({"bootstrap.servers": bootstrap})
    for time_ms in times_ms:
        producer.produce(topic, value=b"v", timestamp=time_ms)
        producer.flush(30)

    def offset_at(time: str) -> int | None:
        output = run_tool(
            "GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic, "--time", time
        )
        (row,) = output.lines or [f"{topic}:0:"]
        text = row.removeprefix(f"{topic}:0:")
        return int(text) if text else None

    assert offset_at("earliest") == 0
    assert offset_at("latest") == 10
    assert offset_at("max-timestamp") == 7
    assert offset_at(str(T0_MS)) == 0
    assert offset_at(str(T0_MS + 1)) == 1
    assert offset_at(str(T0_MS + 65_000)) == 7
    assert offset_at(str(T0_MS + 999_999)) in (None, 10)


def test_the_advertised_apis_are_understood(bootstrap: str) -> None:
    output = run_tool("BrokerApiVersionsCommand", "--bootstrap-server", bootstrap).text
    apis = dict(re.findall(r"^\s+(\w+)\((?:\d+)\): (.*?),?$", output, re.M))
    for name in ("Produce", "Fetch", "ListOffsets", "Metadata", "CreateTopics", "InitProducerId"):
        assert "usable" in apis[name], (name, apis[name])
        assert "UNSUPPORTED" not in apis[name], (name, apis[name])


def test_the_performance_tool_sends_all_it_was_asked_to(
    bootstrap: str, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(2)
    output = run_tool(
        "ProducerPerformance",
        *("--bootstrap-server", bootstrap, "--topic", topic, "--num-records", "50000"),
        *("--record-size", "100", "--throughput", "-1"),
        *("--command-property", "acks=all", "compression.type=lz4"),
    )
    assert "50000 records sent" in output.text
    ends = run_tool("GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic).lines
    assert sum(int(line.rsplit(":", 1)[1]) for line in ends) == 50_000


def test_the_console_tools_take_one_partition_from_an_offset(
    bootstrap: str, new_topic: Callable[..., str], lines: list[Line]
) -> None:
    topic = new_topic(2)
    client("java-console").write(bootstrap, topic, lines[:500], "none")
    rows = run_tool("GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic).lines
    ends = {int(row.split(":")[1]): int(row.split(":")[2]) for row in rows}
    assert sum(ends.values()) == 500
    partition, end = max(ends.items(), key=lambda item: item[1])
    output = run_tool(
        "consumer.ConsoleConsumer",
        *("--bootstrap-server", bootstrap, "--topic", topic, "--partition", str(partition)),
        *("--offset", str(end - 10), "--max-messages", "10", "--timeout-ms", "60000"),
        *("--formatter-property", "print.offset=true"),
        *("--formatter-property", "print.partition=true"),
    )
    for number, line in enumerate(output.lines):
        assert line.startswith(f"Partition:{partition}\tOffset:{end - 10 + number}\t"), line
    assert "Processed a total of 10 messages" in output.stderr.decode()
