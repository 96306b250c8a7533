"""Health of a real broker by HTTP, where it listens, and how clients of Kafka learn that."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

import tierbroker
from tierbroker.base.errors import InvalidConfigError, ListenError
from tierbroker.node.loading import Progress
from tierbroker.node.node import Node
from tierbroker.node.settings import Settings


def get(url: str | None, path: str, **headers: str) -> tuple[int, str]:
    """Status and text; an error status is none of Python's errors here."""
    assert url is not None
    request = urllib.request.Request(url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def told_listener(bootstrap: str) -> tuple[str | None, bool]:
    """What DescribeConfigs says of `http.listener`, and whether it may be changed."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    entry = admin.describe_configs([resource])[resource].result(10)["http.listener"]
    return entry.value, entry.is_read_only


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_broker_tells_its_health_and_where() -> None:
    with tierbroker.Broker() as first, tierbroker.Broker() as second:
        assert first.http_url != second.http_url
        assert get(first.http_url, "/healthz") == (200, "ok\n")
        assert get(first.http_url, "/readyz") == (200, "ready\n")
        assert get(first.http_url, "/")[0] == 404
        assert get(first.http_url, "/readyz", Host="evil.example")[0] == 421
        told = told_listener(first.bootstrap)
        assert (f"http://{told[0]}", told[1]) == (first.http_url, True)


def test_it_can_be_off() -> None:
    with tierbroker.Broker(config={"http.listener": ""}) as broker:
        assert broker.http_url is None
        assert told_listener(broker.bootstrap)[0] == ""


def test_another_address_is_listened_on_when_asked_for() -> None:
    with tierbroker.Broker(config={"http.listener": ":0"}) as broker:
        assert broker.http_url is not None
        assert get(broker.http_url, "/healthz", Host="broker.example")[0] == 200
        told, _ = told_listener(broker.bootstrap)
        assert told is not None
        assert told.endswith(broker.http_url.rpartition(":")[2])


@pytest.mark.parametrize("text", ["9644", "http://127.0.0.1:9644", "127.0.0.1:99999", "::1:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"http\.listener"):
        Settings.load({"http.listener": text})


def test_a_port_that_was_asked_for_and_is_taken_stops_the_start() -> None:
    with taken_port() as port:
        broker = tierbroker.Broker(config={"http.listener": f"127.0.0.1:{port}"})
        with pytest.raises(ListenError, match=r"http\.listener"):
            broker.__enter__()


def test_a_default_port_that_is_taken_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with taken_port() as port, taken_port() as kafka:
        monkeypatch.setattr("tierbroker.node.http_endpoint.DEFAULT_HTTP_PORT", port)
        monkeypatch.setattr("tierbroker.node.http_endpoint.DEFAULT_KAFKA_PORT", kafka)
        listeners = f"A://127.0.0.1:0,B://127.0.0.2:{kafka}"
        protocols = "A:PLAINTEXT,B:PLAINTEXT"
        config = {"listeners": listeners, "listener.security.protocol.map": protocols}
        with tierbroker.Broker(config=config) as broker:
            assert get(broker.http_url, "/readyz")[0] == 200
            assert f"127.0.0.1:{port}" in caplog.text
            assert "A free port is taken" in caplog.text


def test_what_only_a_scrape_needs_is_not_imported_by_a_start() -> None:
    """Nor by a question for health, but for the parser."""
    code = """
import sys, urllib.request, tierbroker
heavy = {"h11", "prometheus_client", "tierbroker.node.metrics", "tierbroker.node.tier_pages"}
with tierbroker.Broker() as broker:
    print(sorted(heavy & set(sys.modules)))
    urllib.request.urlopen(broker.http_url + "/readyz").close()
    print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['h11']"]


async def test_a_start_that_takes_long_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = asyncio.Event()

    async def load_slowly(
        startup: object, partitions: object, executor: object, clock: object, progress: Progress
    ) -> None:
        progress(3, 10)
        await may_go_on.wait()

    monkeypatch.setattr("tierbroker.node.node.load_rest", load_slowly)
    settings = {
        "log.dirs": str(tmp_path),
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "log.disk.reserve.bytes": "0",
    }
    node = Node(Settings.load(settings))
    starting = asyncio.create_task(node.start())
    while not hasattr(node, "_server"):
        await asyncio.sleep(0.01)

    async def ask(path: str) -> tuple[int, str]:
        return await asyncio.to_thread(get, node.http_url, path)

    while "3 of 10 logs are open" not in (await ask("/readyz"))[1]:
        await asyncio.sleep(0.01)
    assert (await ask("/readyz"))[0] == 503
    assert await ask("/healthz") == (200, "ok\n")
    for page in ("/metrics", "/v1/tier"):
        status, text = await ask(page)
        assert (status, "3 of 10 logs are open" in text) == (503, True)
    may_go_on.set()
    await starting
    assert await ask("/readyz") == (200, "ready\n")
    assert (await ask("/metrics"))[0] == 200
    await node.stop()


def test_head_says_what_get_would(tmp_path: Path) -> None:
    with tierbroker.Broker(tmp_path) as broker:
        assert broker.http_url is not None
        for path in ("/healthz", "/readyz", "/metrics", "/v1/tier"):
            request = urllib.request.Request(broker.http_url + path, method="HEAD")
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 200
                assert int(answer.headers["Content-Length"]) > 0
                assert answer.read() == b""


async def test_a_broker_that_is_not_ready_says_why(tmp_path: Path) -> None:
    settings = {
        "log.dirs": f"{tmp_path}/a,{tmp_path}/b",
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "log.disk.reserve.bytes": "0",
    }
    node = Node(Settings.load(settings))
    seen = []

    async def ask() -> None:
        seen.append(await asyncio.to_thread(get, node.http_url, "/readyz"))

    await node.start()
    try:
        await ask()
        node._storage.dirs[f"{tmp_path}/b"].take_offline(OSError(5, "Input/output error"))
        await ask()
        assert await asyncio.to_thread(get, node.http_url, "/healthz") == (200, "ok\n")
    finally:
        await node.stop()
    assert seen[0] == (200, "ready\n")
    assert seen[1][0] == 503
    assert f"{tmp_path}/b is offline: [Errno 5] Input/output error" in seen[1][1]
