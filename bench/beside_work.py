"""Row 10: what clients notice of the work that a broker does for itself."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import nice_load
from bench.latency import percentile
from bench.row import Bound, Figure
from bench.stock_client import create_topic
from bench.system import System, Tierbroker
from bench.tiered import LATEST_TIERED, MIB, ColdBroker
from bench.wire_client import (
    WireClient,
    first_acknowledgement,
    keyed_request,
    produce_request,
    produced_offset,
)

PARTITIONS = 4
SEGMENT_BYTES = 64 * MIB
SEGMENTS = 3
KEYED_BATCHES = 16_000
KEYS = 5000
LOOK_S = 0.2
SPIN_S = 3.0
KINDS = ("uploading", "scanning cold", "compacting")


def _figures(kind: str) -> tuple[Figure, ...]:
    return (
        Figure(f"{kind}: p50", "ms"),
        Figure(f"{kind}: p99", "ms"),
        Figure(f"{kind}: p50 to the control run", "×", budget=Bound(1.15)),
        Figure(f"{kind}: p99 to the control run", "×", budget=Bound(2.0)),
    )


class BesideWork:
    """Row 10: one record at a time into a hot topic, acks=all, while the broker has other work.

    Resource: the loop's thread and the cores, which the work must leave to clients. Limit: the
    same broker without work, beside a process of nice 19 that does as much: the plain PUT loop for
    uploading, the plain ranged GETs for scanning (the reader that scans has nice 19 as well), a
    core for compacting, which has a nice 19 process of its own. MinIO works alike in both.
    """

    name = "10"
    title = "hot produce beside other work"
    figures = tuple(figure for kind in KINDS for figure in _figures(kind))
    repetitions = 3
    durability = None

    def prepare(self, system: System) -> None:
        """One whole run."""
        self.measure(system)

    def measure(self, system: System) -> Mapping[str, float]:
        if not isinstance(system, Tierbroker):
            return {}
        broker = ColdBroker(system, **{"log.cleaner.backoff.ms": "500"})
        try:
            hot = _Hot(broker)
            runs = {
                "uploading": _uploading(broker, hot),
                "scanning cold": _scanning(broker, hot),
                "compacting": _compacting(broker, hot),
            }
            hot.close()
        finally:
            broker.stop()
        values: dict[str, float] = {}
        for kind, (control, work) in runs.items():
            for percent in (50, 99):
                there, here = percentile(control, percent), percentile(work, percent)
                values[f"{kind}: p{percent}"] = here
                values[f"{kind}: p{percent} to the control run"] = here / there
        return values

    def floor(self) -> Mapping[str, float]:
        return {}


Runs = tuple[list[float], list[float]]
"""Milliseconds of each record: in the control run, and beside the work."""


class _Hot:
    """Sends records one at a time, and takes the time of each."""

    def __init__(self, broker: ColdBroker) -> None:
        create_topic(broker.system.bootstrap, "hot")
        self._client = WireClient(broker.system.bootstrap)
        self._request = produce_request("hot", b"\x42" * 100)
        first_acknowledgement(self._client, "hot", self._request)
        self.send_until(_after(1.0))

    def close(self) -> None:
        self._client.close()

    def send_until(self, done: Callable[[], bool]) -> list[float]:
        """Send until it is done, which is looked at five times a second."""
        times: list[float] = []
        look = time.perf_counter() + LOOK_S
        while True:
            started = time.perf_counter()
            answer = self._client.call(self._request)
            ended = time.perf_counter()
            times.append((ended - started) * 1e3)
            produced_offset(answer)
            if ended >= look:
                if done():
                    return times
                look = time.perf_counter() + LOOK_S


def _after(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


def _beside(hot: _Hot, *arguments: object) -> list[float]:
    """Records while a process of nice 19 works."""
    process = nice_load.start(*arguments)
    times = hot.send_until(lambda: process.poll() is not None)
    if process.returncode:
        raise RuntimeError(f"bench.nice_load {arguments[0]} ended with {process.returncode}")
    return times


def _uploading(broker: ColdBroker, hot: _Hot) -> Runs:
    broker.create(
        "cold", PARTITIONS, segment_bytes=str(SEGMENT_BYTES), remote_log_copy_disable="true"
    )
    for partition in range(PARTITIONS):
        broker.fill("cold", partition, SEGMENTS * SEGMENT_BYTES + MIB)
    files = broker.segments("cold", PARTITIONS)
    control = _beside(hot, "put", broker.minio.endpoint, *files)
    broker.configure("cold", "remote.log.copy.disable", "false")
    work = hot.send_until(lambda: broker.is_offloaded("cold", PARTITIONS))
    return control, work


def _scanning(broker: ColdBroker, hot: _Hot) -> Runs:
    broker.evict("cold", PARTITIONS)
    end = broker.offset("cold", 0, LATEST_TIERED) + 1
    control = _beside(hot, "get", broker.minio.endpoint)
    work = _beside(hot, "fetch", broker.system.bootstrap, "cold", PARTITIONS, end)
    return control, work


def _compacting(broker: ColdBroker, hot: _Hot) -> Runs:
    """Keys that come again and again, in segments that are closed."""
    config = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "1.0"}
    broker.create("keyed", 1, tiered=False, segment_bytes=str(SEGMENT_BYTES), **config)
    for first in range(0, KEYED_BATCHES, 16):
        value = os.urandom(1000)
        request = keyed_request(
            "keyed", [b"key-%d" % (first * 15 % KEYS + n) for n in range(15)], value
        )
        for answer in broker.client.call_together([request] * 16):
            produced_offset(answer)
    checkpoint = broker.system.data / "cleaner-offset-checkpoint"
    control = _beside(hot, "spin", SPIN_S)
    broker.configure("keyed", "min.cleanable.dirty.ratio", "0.0")
    work = hot.send_until(lambda: _names(checkpoint, "keyed"))
    return control, work


def _names(checkpoint: Path, topic: str) -> bool:
    return checkpoint.exists() and f"\n{topic} " in checkpoint.read_text()
