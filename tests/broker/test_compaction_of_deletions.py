"""Deleted values of a compacted topic stay deleted: clients, real child processes, restarts.

Upserts and tombstones, some in transactions of which half are aborted, are compacted all the
while. Whoever reads from the start then finds of each key what a dictionary says.
"""

import asyncio
import random
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tierbroker.node.node import Node
from tierbroker.node.settings import Settings

TOPIC = "deletions"
KEYS = [b"key-%d" % number for number in range(60)]
ROUNDS = 2
CONFIG = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "6000",
    "min.cleanable.dirty.ratio": "0.0",
    "delete.retention.ms": "0",
    "file.delete.delay.ms": "0",
}


def node_on(directory: Path) -> Node:
    return Node(
        Settings.load(
            {
                "log.dirs": str(directory),
                "listeners": "PLAINTEXT://127.0.0.1:0",
                "log.disk.reserve.bytes": "0",
                "log.cleaner.backoff.ms": "50",
                "transaction.state.log.num.partitions": "1",
            }
        )
    )


class Writer:
    """Writes, and knows what must be there."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.values: dict[bytes, bytes] = {}

    def write(self, bootstrap: str, name: str) -> None:
        """Plain and transactional stretches in turn."""
        plain = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
        transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
        transactional.init_transactions(20)
        for number in range(30):
            if number % 2:
                self.values |= self._send(plain)
                assert plain.flush(20) == 0
                continue
            transactional.begin_transaction()
            sent = self._send(transactional)
            if self.rng.random() < 0.5:
                transactional.commit_transaction(20)
                self.values |= sent
            else:
                transactional.abort_transaction(20)

    def _send(self, producer: Producer) -> dict[bytes, bytes]:
        sent: dict[bytes, bytes] = {}
        for _ in range(self.rng.randrange(5, 25)):
            key = self.rng.choice(KEYS)
            # An empty text stands for what is deleted.
            sent[key] = b"" if self.rng.random() < 0.4 else self.rng.randbytes(20).hex().encode()
            producer.produce(TOPIC, key=key, value=sent[key] or None)
        return sent

    def check(self, bootstrap: str) -> None:
        found = committed(bootstrap)
        there = {key: value for key, value in found.items() if value is not None}
        assert there == {key: value for key, value in self.values.items() if value}


def committed(bootstrap: str) -> dict[bytes, bytes | None]:
    """The last committed value of each key, read from the start."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "none", "enable.partition.eof": True}
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    found: dict[bytes, bytes | None] = {}
    while True:
        message = consumer.poll(20)
        assert message is not None
        if message.error():
            break
        key = message.key()
        assert key is not None
        found[key] = message.value()
    consumer.close()
    return found


def make_topic(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.create_topics([NewTopic(TOPIC, 1, 1, config=CONFIG)]).values():
        done.result(20)


async def compacted_more(directory: Path, before: str) -> str:
    """Wait until a round has come to its end; how far it came."""
    path = directory / "cleaner-offset-checkpoint"
    async with asyncio.timeout(30):
        while not path.exists() or (found := path.read_text()) == before:
            await asyncio.sleep(0.05)
    return found


@pytest.mark.timeout(150)
async def test_what_was_deleted_stays_deleted(tmp_path: Path) -> None:
    writer = Writer(seed=5)
    reached = ""
    for number in range(ROUNDS):
        node = node_on(tmp_path)
        await node.start()
        try:
            if not number:
                await asyncio.to_thread(make_topic, node.bootstrap)
            else:
                await asyncio.to_thread(writer.check, node.bootstrap)
            for part in range(2):
                name = f"writer-{number}-{part}"
                writing = asyncio.to_thread(writer.write, node.bootstrap, name)
                await asyncio.gather(writing, asyncio.to_thread(committed, node.bootstrap))
                await asyncio.to_thread(writer.check, node.bootstrap)
                reached = await compacted_more(tmp_path, reached)
                await asyncio.to_thread(writer.check, node.bootstrap)
        finally:
            await node.stop()
    assert any(not value for value in writer.values.values())
