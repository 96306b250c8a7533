"""/metrics of a real broker, read by Prometheus's own parser; and the page about watching it."""

import asyncio
import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

import tierbroker
from tests.broker.cli_calls import cli_with, ok
from tierbroker.node.metrics import all_metrics
from tierbroker.replication.metrics import DETAILS
from tierbroker.server.config import DEFAULT_HTTP_PORT

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Values = dict[tuple[str, tuple[str, ...]], float]


def fetch(broker: tierbroker.Broker, path: str = "/metrics", accept: str = "*/*") -> str:
    assert broker.http_url is not None
    request = urllib.request.Request(broker.http_url + path, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def scrape(broker: tierbroker.Broker, path: str = "/metrics") -> Values:
    """Values by name and labels' texts, in the order of the labels' names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(fetch(broker, path))
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tierbroker.Broker]:
    folder = tmp_path_factory.mktemp("broker")
    config = {
        "cold.url": f"file://{folder}/cold",
        "log.disk.reserve.bytes": "0",
        "tier.checkpoint.interval.ms": "200",
    }
    with tierbroker.Broker(folder / "data", config=config) as running:
        settings = running.config("confluent")
        topics = [
            NewTopic("clicks", 2, 1, config={"remote.storage.enable": "true"}),
            NewTopic("plain", 1, 1),
        ]
        admin = AdminClient(settings)
        for made in admin.create_topics(topics).values():
            made.result(10)
        producer = Producer(settings)
        for number in range(300):
            producer.produce("clicks", bytes(1000), partition=number % 2)
        producer.produce("plain", b"x")
        assert producer.flush(10) == 0
        running.evict("clicks")
        yield running


def test_every_metric_is_there(broker: tierbroker.Broker) -> None:
    before = scrape(broker)
    found = {name for name, _ in before}
    names = {metric.name for metric in all_metrics() if metric not in DETAILS}
    histograms = {"tierbroker_flush_seconds"}
    assert names - found == histograms
    assert "tierbroker_flush_seconds_count" in found
    assert "process_resident_memory_bytes" in found
    assert not found & {metric.name for metric in DETAILS}

    assert before["tierbroker_ready", ()] == 1
    assert before["tierbroker_partitions", ("clicks",)] == 2
    assert before["tierbroker_log_end_offsets", ("clicks",)] == 300
    assert before["tierbroker_high_watermarks", ("plain",)] == 1
    appended = before["tierbroker_log_appended_bytes_total", ("clicks",)]
    assert appended == before["tierbroker_tier_cold_bytes", ("clicks",)]
    assert before["tierbroker_requests_total", ("Produce",)] >= 2
    assert before["tierbroker_received_bytes_total", ()] > 300_000
    assert before["tierbroker_tier_cold_bytes", ("clicks",)] > 300_000
    assert before["tierbroker_tier_hot_bytes", ("clicks",)] == 0
    assert before["tierbroker_tier_store_up", ()] == 1
    assert before["tierbroker_tier_uploaded_segments_total", ()] == 2
    assert before["tierbroker_tier_requests_total", ("list", "ok")] == 0
    assert before["tierbroker_tier_store_requests_total", ("list",)] == 0
    assert before["tierbroker_tier_topic_requests_total", ("put", "clicks")] == 2
    assert before["tierbroker_tier_topic_uploaded_bytes_total", ("clicks",)] > 300_000
    assert ("tierbroker_tier_cold_bytes", ("plain",)) not in before
    assert before["tierbroker_flush_seconds_count", ()] > 0


def test_reading_cold_records_is_counted(broker: tierbroker.Broker) -> None:
    before = scrape(broker)
    consumer = Consumer({**broker.config("confluent"), "group.id": "g"})
    consumer.assign([TopicPartition("clicks", 0, 0)])
    assert len(consumer.consume(150, timeout=20)) == 150
    during = scrape(broker)
    consumer.close()
    after = scrape(broker)
    deadline = time.monotonic() + 10
    while after["tierbroker_connections", ()] >= during["tierbroker_connections", ()]:
        assert time.monotonic() < deadline, "the broker hears that the consumer is gone"
        after = scrape(broker)

    def grew(name: str, *labels: str) -> float:
        return after[name, labels] - before[name, labels]

    assert grew("tierbroker_tier_cache_misses_total") >= 1
    assert grew("tierbroker_tier_cache_hits_total") + grew("tierbroker_tier_cache_misses_total") > 0
    assert grew("tierbroker_tier_downloaded_bytes_total") > 150_000
    assert grew("tierbroker_tier_requests_total", "get", "ok") >= 2
    assert grew("tierbroker_answered_bytes_total") > 150_000
    assert grew("tierbroker_connections_accepted_total") >= 1


def test_partitions_are_there_for_who_asks(broker: tierbroker.Broker) -> None:
    found = scrape(broker, "/metrics?detail=partition")
    assert {metric.name for metric in DETAILS} <= {name for name, _ in found}
    assert found["tierbroker_partition_log_end_offset", ("0", "clicks")] == 150
    assert found["tierbroker_partition_high_watermark", ("1", "clicks")] == 150
    assert found["tierbroker_partition_log_start_offset", ("0", "clicks")] == 0
    with pytest.raises(urllib.error.HTTPError, match="400"):
        fetch(broker, "/metrics?detail=everything")


def test_openmetrics_is_spoken_too(broker: tierbroker.Broker) -> None:
    families = list(openmetrics_families(fetch(broker, accept=OPENMETRICS)))
    assert {metric.name.removesuffix("_total") for metric in all_metrics()} >= {
        family.name for family in families if family.name.startswith("tierbroker_")
    }


async def test_a_scrape_never_holds_up_the_loop() -> None:
    """In the broker's own loop, with a thousand partitions."""
    async with tierbroker.Broker(config={"cold.url": "memory://"}) as broker:
        settings = broker.config("confluent")
        wanted = NewTopic("wide", 1000, 1, config={"remote.storage.enable": "true"})
        admin = AdminClient(settings)
        await asyncio.to_thread(admin.create_topics([wanted])["wide"].result, 30)
        await asyncio.to_thread(fetch, broker)
        longest = 0.0
        done = asyncio.create_task(asyncio.to_thread(fetch, broker, "/metrics?detail=partition"))
        while not done.done():
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)
        assert 'partition="999"' in done.result()
    assert longest < 0.5, "20 ms is the rule; a machine that tests has other things to do"


def test_the_page_names_metrics_and_commands_that_exist(
    broker: tierbroker.Broker, tmp_path: Path
) -> None:
    page = PAGE.read_text()
    names = {metric.name for metric in all_metrics()}
    assert set(re.findall(r"tierbroker_[a-z_]+", page)) <= names
    assert f'targets: ["127.0.0.1:{DEFAULT_HTTP_PORT}"]' in page
    assert f"http://127.0.0.1:{DEFAULT_HTTP_PORT}/" in page
    assert broker.http_url is not None
    commands = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) == 8
    cli = cli_with({"TIERBROKER_BOOTSTRAP": broker.bootstrap})
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "curl":
            path = arguments[-1].removeprefix("http://127.0.0.1:9644")
            assert fetch(broker, path)
        elif arguments[0] == "restore":  # of a bucket that is not here
            known = ok(cli("restore", "--help")).decode()
            assert {each for each in arguments if each.startswith("--")} <= set(known.split())
        else:
            assert program == "tierbroker"
            ok(cli(*arguments))
