"""Row exactly-once: what sequence numbers and transactions add to a Produce request."""

import itertools
import time
from collections.abc import Iterator, Mapping

from bench import floor
from bench.process_cost import cpu_seconds
from bench.produce import GIB
from bench.row import Bound, Figure
from bench.stock_client import create_topic, delete_topic
from bench.system import Durability, System
from bench.wire_client import Producing, WireClient, end_transaction, init_producer, produced_offset

_IN_FLIGHT = 5


class ProduceExactlyOnce:
    """Batches of 15 KiB as in row 1: plain, numbered, and in transactions of 300 batches.

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
    )
    repetitions = 5
    durability = Durability.REPLICATED

    _RECORD = b"\x42" * 1024
    _BATCH_RECORDS = 15
    _BATCHES = 6000
    _TRANSACTION_BATCHES = 300

    def prepare(self, system: System) -> None:
        """One whole run."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        per_gib = GIB / (self._BATCHES * self._BATCH_RECORDS * len(self._RECORD))
        plain, idempotent, transactional = (
            self._cpu(system, producing) * per_gib
            for producing in (Producing.PLAIN, Producing.IDEMPOTENT, Producing.TRANSACTIONAL)
        )
        return {
            "broker CPU per GiB, plain": plain,
            "broker CPU per GiB, idempotent": idempotent,
            "broker CPU per GiB, transactional": transactional,
            "idempotent to plain": idempotent / plain,
            "transactional to plain": transactional / plain,
        }

    def floor(self) -> Mapping[str, float]:
        return {"broker CPU per GiB, plain": floor.receive(floor.BATCH_BYTES)}

    def _cpu(self, system: System, producing: Producing) -> float:
        """Broker CPU seconds for all batches."""
        topic = f"produce-{time.monotonic_ns()}"
        create_topic(system.bootstrap, topic)
        client = WireClient(system.bootstrap)
        producer = init_producer(client, producing, topic)
        cpu = cpu_seconds(system.pid)
        for _ in range(self._BATCHES // self._TRANSACTION_BATCHES):
            requests = (
                producer.request(topic, self._RECORD, self._BATCH_RECORDS)
                for _ in range(self._TRANSACTION_BATCHES)
            )
            _send(client, requests)
            if producing is Producing.TRANSACTIONAL:
                end_transaction(client, producer)
        cpu = cpu_seconds(system.pid) - cpu
        client.close()
        delete_topic(system.bootstrap, topic)
        return cpu


def _send(client: WireClient, requests: Iterator[bytes]) -> None:
    while together := list(itertools.islice(requests, _IN_FLIGHT)):
        for answer in client.call_together(together):
            produced_offset(answer)
