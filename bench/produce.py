"""Rows 1 and 2: what a Produce request costs the broker."""

import time
from collections.abc import Mapping

from bench import floor
from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.stock_client import ProducerLoad, create_topic, delete_topic
from bench.system import Durability, System

GIB = 1 << 30


class ProduceBatches:
    """Row 1: records of 1 KiB in batches of 16 KiB, acks=all.

    Resource: the broker's one busy core. Physical limit: receive, CRC and append of 16 KiB, the
    three things that cannot be left out.
    """

    name = "1"
    title = "produce, 1 KiB records, 16 KiB batches"
    figures = (
        Figure("broker CPU per GiB", "CPU-s/GiB", ratio=Bound(0.25)),
        Figure("broker CPU per request", "µs"),
        Figure("client's rate", "MiB/s"),
    )
    repetitions = 5
    durability = Durability.REPLICATED

    _RECORD = b"\x42" * 1024
    _BATCH_RECORDS = 15
    _COUNT = 200_000

    def prepare(self, system: System) -> None:
        """One whole run."""
        self._send(system, self._COUNT)

    def measure(self, system: System) -> Mapping[str, float]:
        cpu, requests, seconds = self._send(system, self._COUNT)
        size = self._COUNT * len(self._RECORD)
        return {
            "broker CPU per GiB": cpu / size * GIB,
            "broker CPU per request": cpu / requests * 1e6,
            "client's rate": size / seconds / (1 << 20),
        }

    def floor(self) -> Mapping[str, float]:
        return {"broker CPU per GiB": floor.receive(floor.BATCH_BYTES)}

    def _send(self, system: System, count: int) -> tuple[float, int, float]:
        return produce(system, self._RECORD, self._BATCH_RECORDS, count)


class ProduceSmall:
    """Row 2: two records of 100 bytes a batch: chatty applications.

    Resource: the broker's one busy core. Physical limit: the system calls: a recv, an append
    and a send for each; requests that arrive together may share them.
    """

    name = "2"
    title = "produce, 2 records a batch"
    figures = (
        Figure("broker CPU per request", "µs", ratio=Bound(0.4)),
        Figure("client's rate", "requests/s"),
    )
    repetitions = 5
    durability = Durability.REPLICATED

    _RECORD = b"\x42" * 100
    _COUNT = 60_000

    def prepare(self, system: System) -> None:
        """One whole run."""
        produce(system, self._RECORD, 2, self._COUNT)

    def measure(self, system: System) -> Mapping[str, float]:
        cpu, requests, seconds = produce(system, self._RECORD, 2, self._COUNT)
        return {
            "broker CPU per request": cpu / requests * 1e6,
            "client's rate": requests / seconds,
        }

    def floor(self) -> Mapping[str, float]:
        return {"broker CPU per request": floor.answer() * 1e6}


def produce(
    system: System, record: bytes, batch_records: int, count: int
) -> tuple[float, int, float]:
    """(broker CPU seconds, Produce requests, seconds) for `count` records to a fresh topic."""
    topic = f"produce-{time.monotonic_ns()}"
    create_topic(system.bootstrap, topic)
    with ProducerLoad(system.bootstrap, batch_records, counted=True) as load:
        load.send(topic, record, batch_records)  # connected, and all is known about the topic
        requests = load.requests()
        cpu = cpu_seconds(system.pid)
        started = time.perf_counter()
        load.send(topic, record, count)
        seconds = time.perf_counter() - started
        cpu = cpu_seconds(system.pid) - cpu
        requests = load.requests() - requests
    delete_topic(system.bootstrap, topic)
    return cpu, requests, seconds
