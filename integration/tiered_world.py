"""A broker process with its store behind a proxy, and a model of what its topics must hold.

Segments are tiny and leave the disk as soon as they may, so that little time brings many objects.
The model knows each record by its offset: one that was acknowledged stays what it was.
"""

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, DeletedRecords

from integration.broker_processes import Tierbroker, wait_until
from integration.conftest import create_topic
from integration.object_stores import Minio
from integration.store_proxy import StoreProxy
from tests.broker.cli_calls import cli_with, ok
from tests.s3_server import KEY_ID, SECRET, judge

ROUNDS = int(os.environ.get("TIER_FAULT_ROUNDS") or os.environ.get("TORTURE_ROUNDS") or "20")
"""Of each kind of fault."""
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

BUCKET = "bucket"
URL = f"s3://{BUCKET}/some/prefix"
PATIENCE_S = 120.0
"""For whatever must come; nothing is measured by it."""
VALUE_BYTES = 1000

PLAIN, TRANSACTIONAL, DELETED = 0, 1, 2
"""Partitions: written plainly, in transactions of which some are aborted, and cut at its start."""
PARTITIONS = 3

TOPIC = {
    "remote.storage.enable": "true",
    "local.retention.ms": "1",
    "internal.segment.bytes": "16384",
    "file.delete.delay.ms": "0",
    "tier.max.lag.ms": "1",
}
SETTINGS = {
    "tier.checkpoint.interval.ms": "100",
    "log.retention.check.interval.ms": "200",
    "tier.delete.grace.ms": "0",
    "cold.request.timeout.ms": "1000",
    "transaction.state.log.num.partitions": "2",
    "offsets.topic.num.partitions": "2",
}


def store_settings(endpoint: str) -> dict[str, str]:
    """How a broker or a command reaches the store at that endpoint."""
    return {
        "cold.s3.endpoint": endpoint,
        "cold.s3.access.key.id": KEY_ID,
        "cold.s3.secret.access.key": SECRET,
    }


class TieredWorld:
    """Broker, proxy and store; `start` and `stop`."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.minio = Minio(directory / "minio")
        self.proxy: StoreProxy
        self.broker: Tierbroker
        self._settings = {**SETTINGS, **(settings or {})}

    def start(self) -> None:
        self.minio.start()
        judge(self.minio.endpoint).create_bucket(Bucket=BUCKET)
        self.proxy = StoreProxy(self.minio.port)
        self.proxy.start()
        self.broker = self.new_broker("first")
        self.broker.start()

    def stop(self) -> None:
        if self.broker.running:
            self.broker.stop()
        self.proxy.stop()
        self.minio.stop()
        log = self.broker.log_text()
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]

    def new_broker(self, name: str) -> Tierbroker:
        """A broker with a directory of its own and the same store; not started."""
        directory = self.directory / name
        directory.mkdir()
        settings = {**self._settings, **store_settings(self.proxy.endpoint), "cold.url": URL}
        return Tierbroker(directory, settings)

    def scrub(self) -> int:
        """Remove what counts for nothing; afterwards nothing such is left. How much it was."""
        options = ["--delete", "--older-than", "0s", "--earlier-incarnations"]
        first = self._ask("scrub", *options)[-1]
        assert first["deleted"] == first["orphans"], first
        # Meanwhile the head may have let go of a checkpoint, of a host before a restore, say.
        deadline = time.monotonic() + PATIENCE_S
        while (again := self._ask("scrub", *options))[-1]["orphans"]:
            kinds = {orphan["what"] for orphan in again[:-1]}
            assert kinds == {"checkpoint"}, again
            assert time.monotonic() < deadline, again
        return int(first["orphans"])

    def verify(self) -> None:
        """Each object that the newest checkpoint names is there, whole and right."""
        self._ask("verify", "--all")

    def _ask(self, command: str, *options: str) -> list[dict[str, Any]]:
        """`tierbroker tier` of the store itself, past the proxy."""
        sets = store_settings(self.minio.endpoint).items()
        settings = [word for key, value in sets for word in ("--set", f"{key}={value}")]
        said = ok(cli_with(os.environ)("tier", command, URL, "--json", *options, *settings))
        return [json.loads(line) for line in said.splitlines()]


class TieredTopic:
    """One topic: what was acknowledged, and whether it can be read."""

    def __init__(self, world: TieredWorld, name: str, rng: random.Random) -> None:
        self.name = name
        self._world = world
        self._rng = rng
        self._count = 0
        self._transaction_end = 0
        self._deleted_before = 0
        self.records: list[dict[int, bytes]] = [{} for _ in range(PARTITIONS)]
        """By partition and offset: what a reader of committed records must find."""
        self.restored_end = [0] * PARTITIONS
        self.maybe: list[dict[int, bytes]] = [{} for _ in range(PARTITIONS)]
        """By partition and value's number: sent and never acknowledged; a reader may find them."""
        create_topic(world.broker.bootstrap, name, PARTITIONS, TOPIC)
        self._connect()

    def _connect(self) -> None:
        common = {
            "bootstrap.servers": self._world.broker.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 1,
            "batch.size": 4096,
            "log_level": 3,
            "delivery.timeout.ms": 60_000,
        }
        self._plain = Producer(common)
        self._transactional = Producer({**common, "transactional.id": f"tx-{self.name}"})
        self._transactional.init_transactions(PATIENCE_S)
        self.reader = Consumer(
            {
                "bootstrap.servers": self._world.broker.bootstrap,
                "group.id": "nobody",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                "log_level": 3,
            }
        )

    def close(self) -> None:
        self.reader.close()

    def reconnect(self) -> None:
        """After the broker came back, perhaps as another one on another port."""
        self.reader.close()
        self._connect()

    def forget_from(self, partition: int, offset: int) -> None:
        """A restore brought back what is before that offset; what was behind it is lost."""
        self.restored_end[partition] = offset
        if partition == TRANSACTIONAL:
            self._transaction_end = 0
        records = self.records[partition]
        for lost in [known for known in records if known >= offset]:
            del records[lost]

    # -- writing ---------------------------------------------------------------------------------

    def write(self, count: int = 12) -> None:
        """That many records to each partition, acknowledged. Some transactions are aborted."""
        for partition in (PLAIN, DELETED):
            self._send(self._plain, partition, count, self.records[partition])
        found: dict[int, bytes] = {}
        self._transactional.begin_transaction()
        self._send(self._transactional, TRANSACTIONAL, count, found)
        self._transaction_end = max(found) + 2  # behind its marker
        if self._rng.random() < 0.3:
            self._transactional.abort_transaction(PATIENCE_S)
        else:
            self._transactional.commit_transaction(PATIENCE_S)
            self.records[TRANSACTIONAL].update(found)

    def timed_write(self, count: int) -> float:
        """As `write`, to the partition of plain records; the seconds until all is acknowledged."""
        begun = time.monotonic()
        self._send(self._plain, PLAIN, count, self.records[PLAIN])
        return time.monotonic() - begun

    def try_to_write(self, count: int = 12) -> None:
        """As `write`, without transactions; the broker may end meanwhile."""
        producer = Producer(
            {
                "bootstrap.servers": self._world.broker.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "batch.size": 4096,
                "log_level": 0,
                "delivery.timeout.ms": 1000,
                "request.timeout.ms": 900,
            }
        )
        for partition in (PLAIN, DELETED):
            self._send(producer, partition, count, self.records[partition], sure=False)

    def _send(
        self,
        producer: Producer,
        partition: int,
        count: int,
        found: dict[int, bytes],
        *,
        sure: bool = True,
    ) -> None:
        errors: list[KafkaError] = []
        for _ in range(count):
            self._count += 1
            value = b"%s-%d-%08d-" % (self.name.encode(), partition, self._count)
            value += self._rng.randbytes(VALUE_BYTES)

            def done(
                error: KafkaError | None,
                message: Message,
                value: bytes = value,
                number: int = self._count,
            ) -> None:
                if error is None:
                    found[message.offset()] = value
                else:
                    errors.append(error)
                    self.maybe[partition][number] = value

            producer.produce(self.name, value, partition=partition, on_delivery=done)
        left = producer.flush(PATIENCE_S)
        assert left == 0, f"{left} of {self.name} neither acknowledged nor failed"
        assert not errors or not sure, errors[:3]

    def delete_records(self) -> None:
        """The start of one partition moves to somewhere in the middle."""
        start = self._rng.choice(sorted(self.records[DELETED]))
        for offset in [known for known in self.records[DELETED] if known < start]:
            del self.records[DELETED][offset]
        assert self._delete_before(start, 60).low_watermark == start

    def try_to_delete(self) -> None:
        """As `delete_records`; the broker may end meanwhile, and nobody knows then what is left."""
        offsets = sorted(self.records[DELETED])
        if len(offsets) < 10:
            return
        start = offsets[len(offsets) // 2]
        for offset in [known for known in offsets if known < start]:
            self._count += 1
            self.maybe[DELETED][self._count] = self.records[DELETED].pop(offset)
        with suppress(KafkaException):
            self._delete_before(start, 2)

    def _delete_before(self, start: int, timeout_s: int) -> DeletedRecords:
        self._deleted_before = start
        admin = AdminClient(
            {
                "bootstrap.servers": self._world.broker.bootstrap,
                "log_level": 0,
                "socket.timeout.ms": timeout_s * 1000,
            }
        )
        place = TopicPartition(self.name, DELETED, start)
        (done,) = admin.delete_records([place], request_timeout=timeout_s).values()
        # It ends by the timeout above; when, depends on how busy this machine is.
        return done.result(timeout_s + PATIENCE_S)

    # -- reading ---------------------------------------------------------------------------------

    def check_some(self) -> None:
        """Read a few records from a random place on."""
        partition = self._rng.randrange(PARTITIONS)
        expected = self.records[partition]
        if not expected:
            return
        start = self._rng.choice(sorted(expected))
        maybe = set(self.maybe[partition].values())
        for offset, value in self._read(partition, start, 30).items():
            if offset not in expected and value in maybe:
                expected[offset] = value  # seen once, it must stay
            assert expected.get(offset) == value, f"{self.name}-{partition} at {offset}"

    def check_all(self) -> None:
        """Read everything: it is what was acknowledged, or was sent at least."""
        for partition, expected in enumerate(self.records):
            if not expected:
                continue
            found = self._read(partition, min(expected), None)
            lost = expected.keys() - found.keys()
            assert not lost, f"{self.name}-{partition} lost {len(lost)}: {sorted(lost)[:5]} ..."
            other = [offset for offset, value in expected.items() if found[offset] != value]
            assert not other, f"{self.name}-{partition} has other values at {other[:5]}"
            more = found.keys() - expected.keys()
            maybe = set(self.maybe[partition].values())
            strange = [offset for offset in more if found[offset] not in maybe]
            assert not strange, f"{self.name}-{partition} shows what nobody wrote: {strange[:5]}"
            for offset in more:
                expected[offset] = found[offset]  # seen once, it must stay

    def check_newest(self, count: int) -> None:
        """Read the newest records of the plain partition."""
        expected = self.records[PLAIN]
        start = sorted(expected)[-count]
        found = self._read(PLAIN, start, None)
        assert found == {offset: value for offset, value in expected.items() if offset >= start}

    def nothing_from(self, partition: int, start: int, seconds: float) -> bool:
        """Whether nothing comes from there for so long, and no error either."""
        self.reader.assign([TopicPartition(self.name, partition, start)])
        messages = self.reader.consume(1, seconds)
        return not messages

    def _read(self, partition: int, start: int, count: int | None) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        self.reader.assign([TopicPartition(self.name, partition, start)])
        deadline = time.monotonic() + PATIENCE_S
        while count is None or len(found) < count:
            assert time.monotonic() < deadline, (
                f"{self.name}-{partition} from {start}: {len(found)} records in {PATIENCE_S} s"
            )
            for message in self.reader.consume(500, 0.2):
                error = message.error()
                if error is None:
                    found[message.offset()] = message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    return found
                else:
                    place = TopicPartition(self.name, partition)
                    bounds = self.reader.get_watermark_offsets(place, timeout=PATIENCE_S)
                    raise AssertionError(f"{place} from {start}, there is {bounds}: {error}")
        return found

    # -- on the broker's disk --------------------------------------------------------------------

    def ends(self) -> list[int]:
        """The log ends, by what the broker says; a marker may not be written yet."""
        ends = [
            self.reader.get_watermark_offsets(TopicPartition(self.name, partition), PATIENCE_S)[1]
            for partition in range(PARTITIONS)
        ]
        ends[TRANSACTIONAL] = max(ends[TRANSACTIONAL], self._transaction_end)
        return ends

    def conclude(self) -> int:
        """All is well in the end: here, in the bucket, and after a scrub; how much that removed."""
        self.settle()
        orphans = self._world.scrub()
        self.check_all()
        self._world.verify()
        self.close()
        return orphans

    def settle(self) -> list[int]:
        """Wait until nothing but empty segments is left on the disk; the log ends.

        What has left the disk is named by a durable checkpoint (INV-4).
        """
        ends = self.ends()
        for partition, end in enumerate(ends):
            wait_until(
                lambda partition=partition, end=end: self.local_start(partition) >= end,
                f"eviction of {self.name}-{partition} up to {end}",
                PATIENCE_S,
                self._world.broker,
            )
        return ends

    def evicted(self, partition: int) -> int:
        """Up to where records have left the disk that nobody has deleted."""
        start = self.local_start(partition)
        return 0 if partition == DELETED and start <= self._deleted_before else start

    def local_start(self, partition: int) -> int:
        """Where the oldest segment on the disk begins."""
        directory = self._world.broker.data_dir / f"{self.name}-{partition}"
        return min((int(path.stem) for path in directory.glob("*.log")), default=0)


@contextmanager
def world_in(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[TieredWorld]:
    """A running one."""
    world = TieredWorld(directory, settings)
    world.start()
    try:
        yield world
    finally:
        world.stop()
