"""Simulated clients: producers that send again until they are answered, consumers that remember."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.sim.broker import SimBroker
from tests.sim.judge import Judge
from tierbroker.base.errors import (
    ApiError,
    KafkaStorageError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceNumberError,
)
from tierbroker.hot.batch_scan import scan_headers
from tierbroker.hot.damage import Damage
from tierbroker.hot.log import AppendResult, Log
from tierbroker.records.batch import crc_valid, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.control import read_marker
from tierbroker.records.record import Record, iterate
from tierbroker.replication.partition import ACKS_ALL

IN_FLIGHT = 5
"""Batches that an idempotent producer may have on the way (max.in.flight.requests)."""


@dataclass
class _Sent:
    """A batch until it is acknowledged."""

    sequence: int
    records: tuple[Record, ...]
    life: int = -1
    """The broker's life in which it was last sent."""


@dataclass
class IdempotentProducer:
    """One producer id, one partition; batches are sent again in order after every failure."""

    topic: str
    producer_id: int
    judge: Judge
    keys: int = 0
    """With keys, each record has one of so many."""
    in_flight: int = IN_FLIGHT
    _next_sequence: int = 0
    _count: int = 0
    _is_known: bool = False
    _waiting: deque[_Sent] = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        return not self._waiting

    def send(self, broker: SimBroker, life: int, rng: random.Random, now_ms: int) -> None:
        """A new batch of up to three records, unless too many are on the way."""
        # A broker that knows nothing of the producer takes any sequence for its first (Kafka's
        # rule), so a second batch may only follow once the first is there.
        if len(self._waiting) >= (self.in_flight if self._is_known else 1):
            self.retry(broker, life)
            return
        records = tuple(self._record(slot, rng, now_ms) for slot in range(rng.randint(1, 3)))
        sent = _Sent(self._next_sequence, records)
        self._next_sequence += len(records)
        self._waiting.append(sent)
        # Behind those that were refused or lost meanwhile: the order is what the broker judges.
        self.retry(broker, life)

    def _record(self, slot: int, rng: random.Random, now_ms: int) -> Record:
        self._count += 1
        key = b"k%d" % rng.randrange(self.keys) if self.keys else None
        value = b"%d.%d" % (self.producer_id, self._count)
        age_ms = rng.choices((0, 5_000, 400_000, -900_000), (60, 15, 20, 5))[0]
        return Record(slot, now_ms - age_ms, key, value)

    def retry(self, broker: SimBroker, life: int) -> None:
        """Send again what this life of the broker has not been sent, or refused."""
        for sent in list(self._waiting):
            if sent.life != life:
                self._transmit(broker, sent, life)

    def _transmit(self, broker: SimBroker, sent: _Sent, life: int) -> None:
        sent.life = life
        batch = build_batch(
            sent.records,
            producer_id=self.producer_id,
            producer_epoch=0,
            base_sequence=sent.sequence,
        )

        def done(result: AppendResult | ApiError) -> None:
            self._answered(sent, life, result)

        broker.produce(self.topic, bytearray(batch), done)

    def _answered(self, sent: _Sent, life: int, result: AppendResult | ApiError) -> None:
        if sent not in self._waiting or sent.life != life:
            return
        if isinstance(result, OutOfOrderSequenceNumberError) and self.judge.may_be_forgotten(
            self.topic, sent.records
        ):
            self._waiting.remove(sent)
            return
        if isinstance(result, ApiError):
            # Behind one that was refused a batch is out of order, and is sent again after it.
            follows = isinstance(result, OutOfOrderSequenceNumberError) and sent != self._waiting[0]
            assert result.retriable or follows, f"{self.topic}: {type(result).__name__}: {result}"
            sent.life = -1
            return
        self._is_known = True
        self._waiting.remove(sent)
        self.judge.acknowledged(self.topic, result.base_offset, sent.records)


@dataclass
class PlainProducer:
    """Sends once, with any acks, and forgets."""

    topic: str
    name: str
    judge: Judge
    _count: int = 0

    def send(self, broker: SimBroker, rng: random.Random, now_ms: int) -> None:
        self._count += 1
        record = Record(0, now_ms, None, f"{self.name}.{self._count}".encode())
        acks = rng.choice((ACKS_ALL, 1))

        def done(result: AppendResult | ApiError) -> None:
            if acks == ACKS_ALL and isinstance(result, AppendResult):
                self.judge.acknowledged(self.topic, result.base_offset, (record,))

        broker.produce(self.topic, bytearray(build_batch([record])), done, acks)


@dataclass
class SimConsumer:
    """Reads one partition from its start on, over and over."""

    topic: str
    judge: Judge
    position: int = 0

    def poll(self, broker: SimBroker, rng: random.Random) -> None:
        """One fetch; what it gives is held against what was seen before."""
        try:
            partition = broker.partition(self.topic)
            start = partition.log_start_offset
            if self.position < start:
                self.judge.check_start(self.topic, start)
                self.position = start
            records = read_records(broker, self.topic, self.position, rng.choice((100, 1000)))
        except OffsetOutOfRangeError as error:
            raise AssertionError(f"{self.topic}: what was read is gone: {error}") from error
        except ApiError:
            # The disk failed, or lost what stands here.
            if not broker.offline:
                self.position = self.judge.behind_damage(self.topic, self.position)
            return
        if records is None:
            return
        end, found = records
        self.judge.read(self.topic, self.position, end, found)
        self.position = end
        if rng.random() < 0.05:
            self.position = 0


def read_records(
    broker: SimBroker, topic: str, offset: int, max_bytes: int
) -> tuple[int, Sequence[Record]] | None:
    """(the next offset, the records) that one fetch gives; None at the end."""
    partition = broker.partition(topic)
    result = partition.read(offset, max_bytes, True)
    part = result.slice
    if part is None:
        return None
    log = partition.online_log()
    try:
        data = log.fs.pread(part.fd, part.length, part.position)
    finally:
        part.lease.release()
    found: list[Record] = []
    end = offset
    for position, header in walk(data):
        batch = memoryview(data)[position : position + header.size_bytes]
        if not crc_valid(data, position, header):
            # Sent as it lies on the disk: it is the client that looks (check.crcs).
            if end > offset:
                break
            raise KafkaStorageError(f"the batch at {header.base_offset} has a wrong CRC")
        found += [record for record in iterate(batch) if record.offset >= offset]
        end = header.next_offset
    assert end > offset, f"a fetch at {offset} gives nothing whole"
    return end, found


def committed_values(broker: SimBroker, topic: str) -> list[bytes]:
    """All that a read_committed consumer makes of the partition, from its start on.

    It goes by the list of aborted transactions that comes with the data, and by the markers.
    """
    partition = broker.partition(topic)
    log = partition.online_log()
    position = log.log_start_offset
    seen: list[bytes] = []
    while True:
        result, aborted = partition.read_committed(position, 1_000, True)
        part = result.slice
        if part is None:
            return seen
        try:
            data = log.fs.pread(part.fd, part.length, part.position)
        finally:
            part.lease.release()
        aborting: set[int] = set()
        for at, header in walk(data):
            batch = memoryview(data)[at : at + header.size_bytes]
            while aborted and aborted[0].first_offset <= header.last_offset:
                aborting.add(aborted.pop(0).producer_id)
            marker = read_marker(batch) if header.control else None
            if marker is not None:
                aborting.discard(header.producer_id)
            elif header.producer_id not in aborting:
                found = (record for record in iterate(batch) if record.offset >= position)
                seen += [record.value for record in found if record.value is not None]
            position = header.next_offset


def durable_batches(log: Log) -> list[Damage]:
    """Where the batches of a log lie, as regions that may be damaged."""
    found: list[Damage] = []
    for segment in log.segments:
        fd = segment.handle.acquire()
        try:
            for position, header in scan_headers(log.fs, fd, 0, segment.size_bytes):
                found.append(
                    Damage(
                        segment.base_offset,
                        position,
                        position + header.size_bytes,
                        header.base_offset,
                        header.next_offset,
                    )
                )
        finally:
            segment.handle.release()
    return found
