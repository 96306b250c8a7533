"""Row exactly-once: what sequence numbers and transactions add to a Produce request."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from bench import floor
from bench.process_cost import cpu_of
from bench.produce import GIB
from bench.row import Bound, Figure
from bench.stock_client import create_topic, delete_topic
from bench.system import Durability, System
from bench.wire_client import (
    Producing,
    RawProducer,
    WireClient,
    end_transaction,
    init_producer,
    produced_offset,
)

_IN_FLIGHT = 5
_PAUSE_S = 0.002
"""Until the markers of a transaction are written: the next one would be told to wait for them."""


class ProduceExactlyOnce:
    """Batches of 15 KiB as in row 1: plain, numbered, and in transactions of 1,000 batches.

    That is 50 ms of what one client sends here; Kafka Streams commits every 100 ms. What the
    beginning and the end of a transaction cost, whatever is in it, is a figure of its own.

    By hand, five requests at once: librdkafka sends numbered batches one at a time where it sends
    others together, and its habits would be what is measured. Resource and physical limit as row 1.
    """

    name = "exactly-once"
    title = "produce as row 1, five requests at once"
    figures = (
        Figure("broker CPU per GiB, plain", "CPU-s/GiB"),
        Figure("broker CPU per GiB, idempotent", "CPU-s/GiB"),
        Figure("broker CPU per GiB, transactional", "CPU-s/GiB"),
        Figure("idempotent to plain", "×", budget=Bound(1.1)),
        Figure("transactional to plain", "×", budget=Bound(1.1)),
        Figure("a transaction of one batch", "µs"),
    )
    repetitions = 5
    durability = Durability.REPLICATED

    _RECORD = b"\x42" * 1024
    _BATCH_RECORDS = 15
    _BATCHES = 6000
    _TURN_BATCHES = 250
    _TRANSACTION_TURNS = 4
    _SMALL_TRANSACTIONS = 50

    def prepare(self, system: System) -> None:
        """One whole run."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        per_gib = GIB / (self._BATCHES * self._BATCH_RECORDS * len(self._RECORD))
        *used, small = self._cpu(system)
        plain, idempotent, transactional = (cpu * per_gib for cpu in used)
        return {
            "broker CPU per GiB, plain": plain,
            "broker CPU per GiB, idempotent": idempotent,
            "broker CPU per GiB, transactional": transactional,
            "idempotent to plain": idempotent / plain,
            "transactional to plain": transactional / plain,
            "a transaction of one batch": small / self._SMALL_TRANSACTIONS * 1e6,
        }

    def floor(self) -> Mapping[str, float]:
        return {"broker CPU per GiB, plain": floor.receive(floor.BATCH_BYTES)}

    def _cpu(self, system: System) -> list[float]:
        """Broker CPU seconds of each kind for all its batches, and of the small transactions.

        A turn of each kind after the other, for a broker on a busy machine is dearer from one
        tenth of a second to the next.
        """
        topics = [f"{producing.value}-{time.monotonic_ns()}" for producing in Producing]
        for topic in topics:
            create_topic(system.bootstrap, topic)
        client = WireClient(system.bootstrap)
        producers = [
            (topic, init_producer(client, producing, topic))
            for topic, producing in zip(topics, Producing, strict=True)
        ]
        used = [0.0] * len(producers)
        for turn in range(1, self._BATCHES // self._TURN_BATCHES + 1):
            for kind, (topic, producer) in enumerate(producers):
                requests = self._requests(topic, producer, self._TURN_BATCHES)
                ends = turn % self._TRANSACTION_TURNS == 0
                used[kind] += cpu_of(system.pid, partial(_turn, client, producer, requests, ends))
        topic, producer = producers[-1]
        small = 0.0
        for _ in range(self._SMALL_TRANSACTIONS):
            request = self._requests(topic, producer, 1)
            small += cpu_of(system.pid, partial(_turn, client, producer, request, ends=True))
            time.sleep(_PAUSE_S)
        client.close()
        for topic in topics:
            delete_topic(system.bootstrap, topic)
        return [*used, small]

    def _requests(self, topic: str, producer: RawProducer, count: int) -> list[bytes]:
        return [producer.request(topic, self._RECORD, self._BATCH_RECORDS) for _ in range(count)]


def _turn(client: WireClient, producer: RawProducer, requests: Sequence[bytes], ends: bool) -> None:
    """All requests, and the end of the transaction if the producer has such."""
    for first in range(0, len(requests), _IN_FLIGHT):
        for answer in client.call_together(requests[first : first + _IN_FLIGHT]):
            produced_offset(answer)
    if ends and producer.producing is Producing.TRANSACTIONAL:
        end_transaction(client, producer)
