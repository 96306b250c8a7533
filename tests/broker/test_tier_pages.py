"""/v1/tier and /v1/tier/offload of a real broker, with a store in memory."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client.parser import text_string_to_metric_families

import tierbroker
from tierbroker.base.pending import Pending
from tierbroker.cold.errors import StoreUnavailableError

TIERED = {"remote.storage.enable": "true"}


class DownStore:
    """Answers nothing but that it cannot be reached."""

    url = "memory://"

    def _fail(self, *_: object, **__: object) -> Pending[Any]:
        failed: Pending[Any] = Pending()
        failed.fail(StoreUnavailableError("no route"))
        return failed

    put = get_range = head = delete = list = _fail

    def close(self) -> None:
        """Nothing is open."""


class Asker:
    """A broker, and what it is asked by HTTP and by Kafka's protocol."""

    def __init__(self, broker: tierbroker.Broker) -> None:
        self.broker = broker
        self.admin = AdminClient(broker.config("confluent"))

    def ask(
        self, path: str, body: object = None, *, expect_json: bool = True, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        assert self.broker.http_url is not None
        data = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(
            self.broker.http_url + path, data, headers={**kind, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read()) if expect_json else {}
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def offload(self, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        return self.ask("/v1/tier/offload", body, **headers)

    def topic(self, name: str) -> dict[str, Any]:
        status, told = self.ask(f"/v1/tier?topic={name}")
        assert status == 200
        (found,) = told["topics"]
        return dict(found)

    def metric(self, name: str, *labels: str) -> float:
        assert self.broker.http_url is not None
        with urllib.request.urlopen(self.broker.http_url + "/metrics", timeout=20) as answer:
            text = answer.read().decode()
        return next(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"tierbroker_tier_{name}" and tuple(sample.labels.values()) == labels
        )

    def make(self, name: str, partitions: int = 1, **configs: str) -> None:
        wanted = NewTopic(name, partitions, 1, config=TIERED | configs)
        self.admin.create_topics([wanted])[name].result(10)

    def fill(self, name: str, records: int = 100, partition: int = 0) -> None:
        producer = Producer(self.broker.config("confluent"))
        for number in range(records):
            producer.produce(name, b"%d" % number + bytes(1000), partition=partition)
            if number % 100 == 99:  # small batches: how many segments it makes is known
                producer.flush(10)
        assert producer.flush(10) == 0


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    config = {"cold.url": "memory://", "tier.checkpoint.interval.ms": "200"}
    with tierbroker.Broker(config=config) as broker:
        yield Asker(broker)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.05)


def test_an_offloaded_topic_is_in_the_store_and_the_sums_say_so(asker: Asker) -> None:
    asker.make("moved", 2)
    asker.fill("moved", 100, 0)
    asker.fill("moved", 50, 1)
    before = asker.topic("moved")
    assert before["partitions"] == 2
    assert before["hot_bytes"] == before["active_bytes"] > 150_000
    assert (before["cold_bytes"], before["lag_bytes"], before["waiting"]) == (0, 0, None)

    status, told = asker.offload({"topic": "moved", "evict": True})
    assert (status, told) == (200, {"topic": "moved", "done": True, "partitions": 2})

    _, after = asker.ask("/v1/tier?topic=moved")
    assert after["topics"][0]["cold_bytes"] == before["hot_bytes"]
    assert after["topics"][0]["hot_bytes"] == 0
    assert after["topics"][0]["requests"]["put"] == 2, "a segment of each partition"
    assert after["topics"][0]["bytes_uploaded"] > before["hot_bytes"]
    sizes = [partition["cold_bytes"] for partition in after["partitions"]]
    assert sum(sizes) == before["hot_bytes"]
    assert sizes[0] > sizes[1] > 0
    store = after["store"]
    assert (store["state"], store["url"], store["last_error"]) == ("up", "memory://", None)
    assert store["bytes_uploaded"] > before["hot_bytes"]
    assert store["requests"]["put"] > 2
    assert store["requests"]["list"] == 0
    assert after["checkpoint"]["age_ms"] < 60_000
    assert after["checkpoint"]["failure"] is None
    assert [topic["topic"] for topic in asker.ask("/v1/tier")[1]["topics"]] == ["moved"]


def test_what_waits_says_why(asker: Asker) -> None:
    asker.make("kept", **{"remote.log.copy.disable": "true", "segment.bytes": "1048576"})
    asker.fill("kept", 1500)
    found = asker.topic("kept")
    assert found["lag_segments"] == 1
    assert 900_000 < found["lag_bytes"] < 1_048_577
    assert found["waiting"]["base_offset"] == 0
    assert found["waiting"]["size_bytes"] == found["lag_bytes"]
    assert "remote.log.copy.disable=true" in found["waiting"]["reason"]

    producer = Producer({**asker.broker.config("confluent"), "transactional.id": "open"})
    asker.make("open", **{"segment.bytes": "1048576"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("open", b"first")
    producer.flush(10)
    asker.fill("open", 1500)
    found = asker.topic("open")
    assert found["lag_segments"] == 1
    assert "open transaction" in found["waiting"]["reason"]
    status, told = asker.offload({"topic": "open", "wait": False})
    assert (status, told["done"]) == (202, False)
    assert asker.offload({"topic": "open", "wait": False})[0] == 202
    listed = asker.ask("/v1/tier")[1]["offloading"]
    assert [(each["topic"], each["evict"]) for each in listed] == [("open", False)]
    producer.abort_transaction(10)
    wait_until(lambda: not asker.ask("/v1/tier")[1]["offloading"])
    found = asker.topic("open")
    # The marker that ends the transaction came after what was asked for.
    assert found["cold_bytes"] == found["hot_bytes"] - found["active_bytes"] > 0


def test_a_store_that_is_down_is_seen_and_so_is_what_it_keeps_here(asker: Asker) -> None:
    assert asker.broker._hosted is not None
    node = asker.broker._hosted._node
    assert node is not None
    assert node.tiering is not None
    watched = node.tiering.store
    asker.make("stuck", **{"segment.bytes": "1048576", "local.retention.bytes": "1"})
    well, watched.inner = watched.inner, DownStore()
    try:
        asker.fill("stuck", 2500)
        wait_until(lambda: asker.ask("/v1/tier")[1]["store"]["state"] == "down")
        store = asker.ask("/v1/tier")[1]["store"]
        assert (store["last_error"], store["failed_requests"] > 0) == ("no route", True)
        assert 0 < store["down_since_ms"] <= store["last_error_at_ms"]
        wait_until(lambda: "tried again: no route" in str(asker.topic("stuck")["waiting"]))
        found = asker.topic("stuck")
        assert found["lag_segments"] == 2
        assert found["overdue_bytes"] == found["lag_bytes"] == asker.metric("lag_bytes", "stuck")
        assert asker.metric("overdue_bytes", "stuck") == found["overdue_bytes"]
        assert asker.metric("store_up") == 0
        assert asker.metric("store_down_seconds") > 0
        assert asker.ask("/readyz", expect_json=False)[0] == 200, "hot topics are served"
    finally:
        watched.inner = well
    wait_until(lambda: asker.ask("/v1/tier")[1]["store"]["state"] == "up")
    wait_until(lambda: asker.topic("stuck")["lag_bytes"] == 0)
    wait_until(lambda: asker.topic("stuck")["overdue_bytes"] == 0)
    assert asker.metric("store_up") == 1


def test_who_waits_and_goes_gives_it_up(asker: Asker) -> None:
    producer = Producer({**asker.broker.config("confluent"), "transactional.id": "gone"})
    asker.make("gone")
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("gone", b"first")
    producer.flush(10)
    assert asker.broker.http_url is not None
    client = http.client.HTTPConnection(asker.broker.http_url.removeprefix("http://"))
    wish = json.dumps({"topic": "gone"})
    client.request("POST", "/v1/tier/offload", wish, {"Content-Type": "application/json"})
    wait_until(lambda: asker.ask("/v1/tier")[1]["offloading"])
    client.close()
    wait_until(lambda: not asker.ask("/v1/tier")[1]["offloading"])
    producer.abort_transaction(10)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"topic": "nowhere"}, 404, "remote.storage.enable=true"),
        ({}, 400, '"topic": TEXT'),
        ({"topic": 1}, 400, '"topic": TEXT'),
        ({"topic": "t", "evict": "yes"}, 400, '"evict": BOOLEAN'),
        ({"topic": "t", "evikt": True}, 400, "unknown: evikt"),
        (["t"], 400, "not a JSON object"),
    ],
)
def test_a_wish_that_is_none_is_refused(asker: Asker, body: object, status: int, said: str) -> None:
    told = asker.offload(body)
    assert told[0] == status
    assert said in told[1]["error"]


def test_browsers_are_refused(asker: Asker) -> None:
    wish = {"topic": "moved"}
    assert asker.offload(wish, **{"Content-Type": "text/plain"})[0] == 415
    assert asker.offload(wish, Origin="http://evil.example")[0] == 403
    assert asker.offload(wish, Host="evil.example")[0] == 421
    assert asker.ask("/v1/tier", Host="evil.example")[0] == 421
    assert asker.ask("/v1/tier/offload")[0] == 405


def test_a_topic_that_is_not_tiered_has_no_status(asker: Asker) -> None:
    status, told = asker.ask("/v1/tier?topic=nowhere")
    assert (status, "not tiered" in told["error"]) == (404, True)


def test_a_broker_without_a_cold_tier_says_so() -> None:
    with tierbroker.Broker() as broker:
        asker = Asker(broker)
        status, told = asker.ask("/v1/tier")
        assert (status, told["store"], told["topics"]) == (200, None, [])
        status, told = asker.offload({"topic": "t"})
        assert (status, "cold.url" in told["error"]) == (409, True)
