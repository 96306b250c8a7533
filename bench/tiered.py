"""What the rows about the cold tier have in common: a broker with MinIO beside it, and the way of
a topic from its first record to the moment when none of it is on the broker's disk any more.

MinIO counts the requests, not the broker. It has its data on the same disk, and the two share two
cores with whoever asks: what is compared was taken in turn, with the same objects.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from obstore.store import S3Store

from bench.system import Durability, Tierbroker, new_directory, remove_later
from bench.wire_client import (
    WireClient,
    fetch_request,
    fetched_records,
    list_offset,
    produce_request,
    produced_offset,
)
from integration.object_stores import Minio
from tests.s3_server import KEY_ID, SECRET
from tierbroker.records.batch import walk

BUCKET = "bench"
MIB = 1 << 20
BATCH_BYTES = 16_384
REQUEST_BATCHES_IN_FLIGHT = 16
TIMEOUT_S = 300.0
LATEST, EARLIEST_LOCAL, LATEST_TIERED = -1, -4, -5
_COUNTED = re.compile(r'^minio_api_requests_total\{name="(\w+)".*\} (\S+)$', re.MULTILINE)
_SETTINGS = {
    "tier.checkpoint.interval.ms": "1000",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "0",
}


class ColdBroker:
    """A broker whose cold tier is in a MinIO of its own."""

    def __init__(self, system: Tierbroker, **settings: str) -> None:
        os.environ["MINIO_PROMETHEUS_AUTH_TYPE"] = "public"
        self._directory = new_directory()
        self.minio = Minio(self._directory)
        self.minio.start()
        make_bucket(self.minio.endpoint)
        self.store = plain_store(self.minio.endpoint)
        wanted = {
            **_SETTINGS,
            **settings,
            "cold.s3.endpoint": self.minio.endpoint,
            "cold.s3.access.key.id": KEY_ID,
            "cold.s3.secret.access.key": SECRET,
        }
        arguments = [f"--set={name}={value}" for name, value in wanted.items()]
        self.system = system.variant("--cold", f"s3://{BUCKET}/tier", *arguments)
        self.system.start(Durability.REPLICATED)
        self._connect()

    def stop(self) -> None:
        """Both processes."""
        self.client.close()
        self.system.stop()
        self.minio.stop()
        remove_later(self._directory)

    def restart(self) -> None:
        """The broker, on what it has; its memory begins anew."""
        self.client.close()
        self.system.restart()
        self._connect()

    def _connect(self) -> None:
        self.client = WireClient(self.system.bootstrap)
        self._admin = AdminClient({"bootstrap.servers": self.system.bootstrap, "log_level": 0})

    def requests(self) -> Counter[str]:
        """How often each operation was asked of MinIO so far."""
        with urlopen(f"{self.minio.endpoint}/minio/metrics/v3/api/requests") as answer:
            text = answer.read().decode()
        return Counter({name: int(float(count)) for name, count in _COUNTED.findall(text)})

    def create(self, topic: str, partitions: int, *, tiered: bool = True, **config: str) -> None:
        """A topic with settings by Kafka's names, _ for the dots."""
        named = {name.replace("_", "."): value for name, value in config.items()}
        if tiered:
            named["remote.storage.enable"] = "true"
        wanted = NewTopic(topic, partitions, 1, config=named)
        self._admin.create_topics([wanted])[topic].result(TIMEOUT_S)

    def configure(self, topic: str, name: str, value: str) -> None:
        """Change one setting of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for done in self._admin.incremental_alter_configs([resource]).values():
            done.result(TIMEOUT_S)

    def delete(self, topic: str) -> None:
        """Delete a topic; its objects follow later."""
        self._admin.delete_topics([topic])[topic].result(TIMEOUT_S)

    def fill(self, topic: str, partition: int, size_bytes: int) -> None:
        """Append batches that no disk compresses, and one more record when it is full."""
        for _ in range(size_bytes // BATCH_BYTES // REQUEST_BATCHES_IN_FLIGHT):
            value = os.urandom(BATCH_BYTES - 100)
            request = produce_request(topic, value, partition=partition)
            for answer in self.client.call_together([request] * REQUEST_BATCHES_IN_FLIGHT):
                produced_offset(answer)

    def offset(self, topic: str, partition: int, which: int) -> int:
        """LATEST, EARLIEST_LOCAL or LATEST_TIERED."""
        return list_offset(self.client, topic, partition, which)

    def segments(self, topic: str, partitions: int) -> list[Path]:
        """The closed segments on the broker's disk."""
        found: list[Path] = []
        for partition in range(partitions):
            found += sorted((self.system.data / f"{topic}-{partition}").glob("*.log"))[:-1]
        return found

    def wait_offloaded(self, topic: str, partitions: int) -> None:
        """Until all that is closed is in the store."""
        wait_until(lambda: self.is_offloaded(topic, partitions))

    def is_offloaded(self, topic: str, partitions: int) -> bool:
        """Whether all that is closed is in the store."""
        return all(
            self.offset(topic, partition, LATEST_TIERED)
            >= int(sorted((self.system.data / f"{topic}-{partition}").glob("*.log"))[-1].stem) - 1
            for partition in range(partitions)
        )

    def evict(self, topic: str, partitions: int) -> None:
        """Let all that is in the store leave the broker's disk."""
        self.configure(topic, "local.retention.bytes", "1")
        wait_until(
            lambda: all(
                self.offset(topic, partition, EARLIEST_LOCAL)
                > self.offset(topic, partition, LATEST_TIERED)
                for partition in range(partitions)
            ),
            pause_s=0.2,
        )

    def read(
        self, topic: str, partition: int, start: int, end: int, max_bytes: int
    ) -> tuple[int, int]:
        """Fetch one partition, one request at a time: (bytes of records, where to go on)."""
        return fetch_all(self.client, topic, partition, start, end, max_bytes)

    def segment_objects(self) -> list[tuple[str, int]]:
        """(key, size) of the segments in the store, by a plain list."""
        return segment_objects(self.store)


def segment_objects(store: S3Store) -> list[tuple[str, int]]:
    """(key, size) of the segments in the store, by a plain list."""
    return [
        (str(found["path"]), int(found["size"]))
        for page in store.list()
        for found in page
        if str(found["path"]).endswith(".seg")
    ]


def fetch_all(
    client: WireClient, topic: str, partition: int, start: int, end: int, max_bytes: int
) -> tuple[int, int]:
    """Fetch one partition, one request at a time: (bytes of records, where to go on)."""
    size = 0
    while start < end:
        request = fetch_request(topic, start, partition=partition, max_bytes=max_bytes)
        records = fetched_records(client.call(request))
        for _, header in walk(records):
            start = header.next_offset
        size += len(records)
    return size, start


def plain_store(endpoint: str) -> S3Store:
    """The bucket without a broker."""
    return S3Store(
        BUCKET,
        endpoint=endpoint,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region="us-east-1",
        client_options={"allow_http": True, "timeout": "120s"},
    )


def make_bucket(endpoint: str) -> None:
    """Make the bucket."""
    import boto3

    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)


def wait_until(condition: Callable[[], bool], pause_s: float = 0.01) -> float:
    """Seconds until it holds."""
    started = time.perf_counter()
    while not condition():
        if time.perf_counter() - started > TIMEOUT_S:
            raise TimeoutError("the broker did not come so far")
        time.sleep(pause_s)
    return time.perf_counter() - started
