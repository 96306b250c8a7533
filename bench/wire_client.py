"""A raw Kafka connection that costs next to nothing: requests are packed before they are timed.

Client libraries add threads, timers and tens of microseconds of their own; where a broker's
answer time is what counts, they would be what is measured.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any

from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.wire.header import decode_response_header
from tierbroker.wire.messages import (
    api_versions,
    end_txn,
    fetch,
    find_coordinator,
    init_producer_id,
    list_offsets,
    metadata,
    produce,
)

PRODUCE_VERSION = 9
IMPLICIT_PRODUCE_VERSION = 12
"""Adds the partition to the transaction. Answered as version 9 is, if nothing goes wrong."""
FIND_VERSION = 3
INIT_VERSION = 5
END_VERSION = 5
FETCH_VERSION = 12
LIST_OFFSETS_VERSION = 9
METADATA_VERSION = 9
API_VERSIONS_VERSION = 3
CLIENT_ID = b"bench"

_HEADER = Struct(">ihhih5sB")
_SIZE = Struct(">i")


class WireClient:
    """One blocking connection that takes no answer above 4 MiB."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(4 << 20)

    def close(self) -> None:
        self.socket.close()

    def call(self, request: bytes) -> bytes:
        """Send a packed request and return its whole answer, size not included."""
        self.socket.sendall(request)
        return self.receive()

    def receive(self) -> bytes:
        """The next answer. A caller has one request under way on this connection at a time."""
        buffer = self._buffer
        have = 0
        while have < _SIZE.size:
            have += self._receive_into(memoryview(buffer)[have:])
        size = _SIZE.unpack_from(buffer)[0] + _SIZE.size
        assert size <= len(buffer)
        while have < size:
            have += self._receive_into(memoryview(buffer)[have:])
        assert have == size
        return bytes(buffer[_SIZE.size : size])

    def call_together(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send all in one piece; return their answers."""
        self.socket.sendall(b"".join(requests))
        buffer = self._buffer
        answers: list[bytes] = []
        start = have = 0
        while len(answers) < len(requests):
            have += self._receive_into(memoryview(buffer)[have:])
            while have - start >= _SIZE.size:
                end = start + _SIZE.size + _SIZE.unpack_from(buffer, start)[0]
                if end > have:
                    break
                answers.append(bytes(buffer[start + _SIZE.size : end]))
                start = end
        assert start == have
        return answers

    def _receive_into(self, view: memoryview) -> int:
        count = self.socket.recv_into(view)
        if not count:
            raise ConnectionError("the broker closed the connection")
        return count


def produce_request(
    topic: str, value: bytes, *, partition: int = 0, acks: int = -1, records: int = 1
) -> bytes:
    """A packed Produce request with one batch."""
    batch = [Record(n, _now_ms(), None, value, ()) for n in range(records)]
    return _produce_request(topic, batch, partition, acks)


def keyed_request(topic: str, keys: Sequence[bytes], value: bytes) -> bytes:
    """The same with a record for each key, for partition 0."""
    batch = [Record(n, _now_ms(), key, value, ()) for n, key in enumerate(keys)]
    return _produce_request(topic, batch, 0, -1)


def _produce_request(topic: str, batch: Sequence[Record], partition: int, acks: int) -> bytes:
    records = memoryview(build_batch(batch))
    data = produce.PartitionProduceData(index=partition, records=records)
    request = produce.ProduceRequest(
        acks=acks,
        timeout_ms=30_000,
        topic_data=[produce.TopicProduceData(name=topic, partition_data=[data])],
    )
    return _packed(produce, request, PRODUCE_VERSION)


class Producing(Enum):
    """What a producer promises itself."""

    PLAIN = "plain"
    IDEMPOTENT = "idempotent"
    TRANSACTIONAL = "transactional"


@dataclass(slots=True)
class RawProducer:
    """Packs the requests of one producer, each batch with the sequence that follows."""

    producing: Producing
    transactional_id: str | None = None
    id: int = -1
    epoch: int = -1
    sequence: int = -1

    def request(self, topic: str, value: bytes, records: int) -> bytes:
        """A packed Produce request with one batch for partition 0."""
        batch = build_batch(
            [Record(n, _now_ms(), None, value, ()) for n in range(records)],
            producer_id=self.id,
            producer_epoch=self.epoch,
            base_sequence=self.sequence,
            transactional=self.transactional_id is not None,
        )
        if self.id >= 0:
            self.sequence += records
        data = produce.PartitionProduceData(index=0, records=memoryview(batch))
        request = produce.ProduceRequest(
            transactional_id=self.transactional_id,
            acks=-1,
            timeout_ms=30_000,
            topic_data=[produce.TopicProduceData(name=topic, partition_data=[data])],
        )
        return _packed(produce, request, IMPLICIT_PRODUCE_VERSION)


def init_producer(client: WireClient, producing: Producing, name: str) -> RawProducer:
    """A producer with what it needs; `name` becomes its transactional id."""
    producer = RawProducer(producing)
    if producing is Producing.PLAIN:
        return producer
    if producing is Producing.TRANSACTIONAL:
        producer.transactional_id = name
    request = init_producer_id.InitProducerIdRequest(producer.transactional_id, 60_000)
    while True:
        if producer.transactional_id is not None:
            # The first question makes the coordinator's topic.
            asked = find_coordinator.FindCoordinatorRequest(key=name, key_type=1)
            client.call(_packed(find_coordinator, asked, FIND_VERSION))
        answer = client.call(_packed(init_producer_id, request, INIT_VERSION))
        response = _decoded(init_producer_id, answer, INIT_VERSION)
        if not response.error_code:
            producer.id, producer.epoch = response.producer_id, response.producer_epoch
            producer.sequence = 0
            return producer
        _pause(response.error_code)


def end_transaction(client: WireClient, producer: RawProducer) -> None:
    """Commit; the producer goes on with the epoch that it is told (KIP-890)."""
    assert producer.transactional_id is not None
    request = end_txn.EndTxnRequest(producer.transactional_id, producer.id, producer.epoch, True)
    answer = client.call(_packed(end_txn, request, END_VERSION))
    response = _decoded(end_txn, answer, END_VERSION)
    if response.error_code:
        raise RuntimeError(f"the transaction was not committed: error {response.error_code}")
    producer.id, producer.epoch = response.producer_id, response.producer_epoch
    producer.sequence = 0


def _pause(error_code: int) -> None:
    """Before the next attempt, if the coordinator is merely not ready (14, 15, 16, 51)."""
    if error_code not in (14, 15, 16, 51):
        raise RuntimeError(f"no producer id: error {error_code}")
    time.sleep(0.05)


def fetch_request(
    topic: str,
    offset: int,
    *,
    partition: int = 0,
    max_bytes: int = 1 << 20,
    max_wait_ms: int = 10_000,
) -> bytes:
    """A packed Fetch request for one partition, without a session."""
    asked = fetch.FetchPartition(
        partition=partition,
        fetch_offset=offset,
        partition_max_bytes=max_bytes,
        current_leader_epoch=-1,
    )
    request = fetch.FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=1,
        max_bytes=max_bytes,
        topics=[fetch.FetchTopic(topic=topic, partitions=[asked])],
    )
    return _packed(fetch, request, FETCH_VERSION)


def produced_offset(answer: bytes) -> int:
    """The base offset in the answer to a Produce request; raises RuntimeError if it was refused."""
    response = _decoded(produce, answer, PRODUCE_VERSION)
    item = response.responses[0].partition_responses[0]
    if item.error_code:
        raise RuntimeError(f"produce was refused: error {item.error_code} {item.error_message}")
    return int(item.base_offset)


def fetched_bytes(answer: bytes) -> int:
    """Bytes of records in the answer to a Fetch request; raises RuntimeError for an error."""
    response = _decoded(fetch, answer, FETCH_VERSION)
    item = response.responses[0].partitions[0]
    if response.error_code or item.error_code:
        raise RuntimeError(f"fetch failed: error {response.error_code or item.error_code}")
    return len(item.records or b"")


def fetched_records(answer: bytes) -> memoryview:
    """The same, but the records."""
    response = _decoded(fetch, answer, FETCH_VERSION)
    item = response.responses[0].partitions[0]
    if response.error_code or item.error_code:
        raise RuntimeError(f"fetch failed: error {response.error_code or item.error_code}")
    return memoryview(item.records or b"")


def list_offset(client: WireClient, topic: str, partition: int, timestamp: int) -> int:
    """The offset for a time, or for one of the special ones (-1 the end, -4 where the local part
    begins, -5 the last one in the cold tier); -1 if there is none."""
    asked = list_offsets.ListOffsetsPartition(partition_index=partition, timestamp=timestamp)
    wanted = list_offsets.ListOffsetsTopic(name=topic, partitions=[asked])
    request = list_offsets.ListOffsetsRequest(replica_id=-1, topics=[wanted])
    answer = client.call(_packed(list_offsets, request, LIST_OFFSETS_VERSION))
    item = _decoded(list_offsets, answer, LIST_OFFSETS_VERSION).topics[0].partitions[0]
    if item.error_code:
        raise RuntimeError(f"no offset of {topic}-{partition}: error {item.error_code}")
    return int(item.offset)


def create_by_metadata(client: WireClient, topic: str, timeout_s: float = 30.0) -> None:
    """Ask for a topic's metadata, as a producer does, until it has been made and has a leader."""
    asked = metadata.MetadataRequestTopic(name=topic)
    packed = _packed(metadata, metadata.MetadataRequest(topics=[asked]), METADATA_VERSION)
    deadline = time.monotonic() + timeout_s
    while True:
        response = _decoded(metadata, client.call(packed), METADATA_VERSION)
        partitions = response.topics[0].partitions
        if not response.topics[0].error_code and partitions and partitions[0].leader_id >= 0:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"topic {topic} is not there after {timeout_s} s")
        time.sleep(0.001)


def first_acknowledgement(client: WireClient, topic: str, request: bytes) -> int:
    """Send a record to a topic that makes itself, as a producer does: again when the broker says
    that it does not lead the partition yet. Returns the record's offset."""
    create_by_metadata(client, topic)
    deadline = time.monotonic() + 30.0
    while True:
        try:
            return produced_offset(client.call(request))
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def metadata_of_everything(client: WireClient, *, decode: bool = True) -> int:
    """Ask for the metadata of all topics; the number of partitions in the answer (0 unread)."""
    packed = _packed(metadata, metadata.MetadataRequest(topics=None), METADATA_VERSION)
    answer = client.call(packed)
    if not decode:
        return 0
    response = _decoded(metadata, answer, METADATA_VERSION)
    return sum(len(topic.partitions) for topic in response.topics)


def _packed(module: Any, request: Any, version: int) -> bytes:
    assert version >= module.FLEXIBLE_FROM
    body = bytes(module.encode_request(request, version))
    size = _HEADER.size - _SIZE.size + len(body)
    header = _HEADER.pack(size, module.API_KEY, version, 1, len(CLIENT_ID), CLIENT_ID, 0)
    return header + body


def _decoded(module: Any, answer: bytes, version: int) -> Any:
    _, position = decode_response_header(module.API_KEY, version, answer)
    return module.decode_response(answer, position, version)[0]


def _now_ms() -> int:
    return int(time.time() * 1000)


VERSIONS_REQUEST = _packed(
    api_versions,
    api_versions.ApiVersionsRequest(client_software_name="bench", client_software_version="1"),
    API_VERSIONS_VERSION,
)
"""What every client asks first."""
