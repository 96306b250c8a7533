"""A broker on a damaged log serves everything around the damage, to stock clients too."""

import asyncio
import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.broker.test_failed_disk import node_on
from tests.broker.test_many_logs import node_at, stop_roughly
from tests.broker.wire_calls import batch_of, create_topic, fetch, produce
from tests.broker.wire_client import DEADLINE_S, ConnectionClosedError, WireClient
from tests.faulty_fs import FaultyFileSystem
from tierbroker.records.batch import walk
from tierbroker.wire.error_codes import ErrorCode

RECORDS = 20
DAMAGED = 7


def write(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic("t", 1, 1)])
    admin.close()
    append(bootstrap, range(RECORDS))


def append(bootstrap: str, values: range) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
    for index in values:
        producer.send("t", b"%d" % index).get(20)
    producer.close()


def read(bootstrap: str, offset: int, timeout_ms: int) -> list[int]:
    """The offsets that a consumer gets from `offset` on."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, consumer_timeout_ms=timeout_ms, auto_offset_reset="none"
    )
    consumer.assign([TopicPartition("t", 0)])
    consumer.seek(TopicPartition("t", 0), offset)
    found = [record.offset for record in consumer]
    consumer.close()
    return found


async def test_everything_around_the_damage_is_served(tmp_path: Path) -> None:
    node = node_at(tmp_path)
    await node.start()
    await asyncio.to_thread(write, node.bootstrap)
    await stop_roughly(node)
    path = tmp_path / "t-0" / f"{0:020}.log"
    content = bytearray(path.read_bytes())
    (position,) = [at for at, header in walk(bytes(content)) if header.base_offset == DAMAGED]
    content[position + 62] ^= 1
    path.write_bytes(content)
    for rough in (True, False):
        node = node_at(tmp_path)
        await node.start()
        assert await asyncio.to_thread(read, node.bootstrap, 0, 1000) == [*range(DAMAGED)]
        behind = await asyncio.to_thread(read, node.bootstrap, DAMAGED + 1, 1000)
        await asyncio.to_thread(append, node.bootstrap, range(1))
        end = (await asyncio.to_thread(read, node.bootstrap, behind[-1], 1000))[-1]
        assert behind[: RECORDS - DAMAGED - 1] == [*range(DAMAGED + 1, RECORDS)]
        assert end == behind[-1] + 1
        await (stop_roughly(node) if rough else node.stop())
    assert path.read_bytes() == content


class UnreadableOs:
    """`os` for the sending side: the bytes of `path` from `start` to `end` cannot be read."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self._file = os.stat(path).st_ino
        self._start = start
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _check(self, fd: int, position: int, length: int) -> None:
        touched = position < self._end and self._start < position + length
        if touched and os.fstat(fd).st_ino == self._file:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sendfile(self, out: int, fd: int, position: int, count: int) -> int:
        self._check(fd, position, count)
        return os.sendfile(out, fd, position, count)

    def preadv(self, fd: int, buffers: list[Any], position: int, flags: int = 0) -> int:
        self._check(fd, position, sum(map(len, buffers)))
        return os.preadv(fd, buffers, position, flags)


@pytest.mark.parametrize("value_bytes", [100, 9000])
async def test_a_fetch_that_the_disk_refuses_is_answered_with_an_error_soon(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value_bytes: int,
) -> None:
    """One connection is closed; then the region is known, and readers go around it."""
    fs = FaultyFileSystem()
    node = node_on(tmp_path, fs)
    await node.start()
    path = tmp_path / "t-0" / f"{0:020}.log"

    def scenario() -> None:
        with WireClient(node.bootstrap) as client:
            for topic in ("t", "other"):
                create_topic(client, topic)
            for _ in range(200):
                produce(client, "t", batch_of([bytes(value_bytes)]))
            produce(client, "other", batch_of())
        batches = [*walk(path.read_bytes())]
        bad, hit = batches[100]
        fs.spoil(str(path), bad, bad + 1)
        for module in ("output", "residency"):
            refusing = UnreadableOs(path, bad, bad + 1)
            monkeypatch.setattr(f"tierbroker.server.{module}.os", refusing)
        with WireClient(node.bootstrap) as client, pytest.raises(ConnectionClosedError):
            fetch(client, "t", hit.base_offset)
        with WireClient(node.bootstrap) as client:
            assert fetch(client, "other").error_code == ErrorCode.NONE
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                with WireClient(node.bootstrap) as client:
                    answer = fetch(client, "t", hit.base_offset)
                break
            except ConnectionClosedError:
                assert time.monotonic() < until
                time.sleep(0.1)
        assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        with WireClient(node.bootstrap) as client:
            offset, refused = 0, 0
            while offset < 200:
                answer = fetch(client, "t", offset)
                if answer.error_code:
                    assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR
                    refused += 1
                    offset += 1
                    continue
                *_, (_, last) = walk(bytes(answer.records))
                offset = last.next_offset
            pages = bad - bad % 4096, bad - bad % 4096 + 4096
            touched = [p for p, h in batches if p < pages[1] and p + h.size_bytes > pages[0]]
            assert refused == len(touched)

    try:
        await asyncio.to_thread(scenario)
    finally:
        monkeypatch.undo()
        fs.mend()
        await node.stop()
    assert f"{path} cannot be read at byte" in caplog.text
    assert "answer KAFKA_STORAGE_ERROR, all others are served" in caplog.text
