"""Kafka's consumers for measuring and for proving, in groups."""

import json
import threading
from collections.abc import Callable

from integration.clients import Line, client
from integration.java_tools import Output, run_apart, run_tool


def test_what_the_verifiable_producer_sent_the_verifiable_consumer_gets(
    bootstrap: str, new_topic: Callable[..., str]
) -> None:
    """Both at once, so that the consumer waits for records and commits between them."""
    topic, count = new_topic(3), 3000
    sent: list[Output] = []
    to = ("--bootstrap-server", bootstrap, "--topic", topic, "--max-messages", str(count))
    pace = ("--throughput", "3000", "--acks", "-1", "--repeating-keys", "50")
    producing = threading.Thread(
        target=lambda: sent.append(run_apart("VerifiableProducer", *to, *pace))
    )
    producing.start()
    group = ("--group-id", f"verified-{topic}", "--reset-policy", "earliest", "--verbose")
    got = events_of(run_apart("VerifiableConsumer", *to, *group))
    producing.join()
    acknowledged = {
        (event["partition"], event["offset"]): (event["key"], event["value"])
        for event in events_of(sent[0])
        if event["name"] == "producer_send_success"
    }
    assert len(acknowledged) == count
    (summary,) = (event for event in events_of(sent[0]) if event["name"] == "tool_data")
    assert (summary["sent"], summary["acked"]) == (count, count)
    read = [
        ((event["partition"], event["offset"]), (event["key"], event["value"]))
        for event in got
        if event["name"] == "record_data"
    ]
    assert dict(read) == acknowledged
    assert len(read) == count, "a record came twice"
    commits = [event for event in got if event["name"] == "offsets_committed"]
    assert commits
    assert all(event["success"] for event in commits)
    committed = {row["partition"]: row["offset"] for c in commits for row in c["offsets"]}
    rows = run_tool("GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic).lines
    ends = {int(row.split(":")[1]): int(row.split(":")[2]) for row in rows}
    assert {n: committed.get(n, 0) for n in ends} == ends


def events_of(output: Output) -> list[dict]:
    return [json.loads(line) for line in output.lines if line.startswith("{")]


def test_the_consumer_performance_tool_reads_all(
    bootstrap: str, new_topic: Callable[..., str], lines: list[Line]
) -> None:
    topic = new_topic(2)
    client("confluent-kafka").write(bootstrap, topic, lines[:20_000], "zstd")
    heading, row = run_tool(
        "ConsumerPerformance",
        *("--bootstrap-server", bootstrap, "--topic", topic, "--num-records", "20000"),
        *("--group", f"perf-{topic}", "--timeout", "60000"),
    ).lines
    cells = dict(zip(heading.split(", "), row.split(", "), strict=True))
    assert cells["data.consumed.in.nMsg"] == "20000"
    read_bytes = sum(len(key) + len(value) for key, value in lines[:20_000])
    sent_mb = float(cells["data.consumed.in.MB"])
    assert sent_mb <= read_bytes / 2**20 < sent_mb * 1.5
