"""Row 4: how long one record takes, alone on the wire."""

import select
import statistics
import time
from collections.abc import Mapping

from bench import floor
from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.stock_client import create_topic
from bench.system import Durability, System
from bench.wire_client import (
    WireClient,
    fetch_request,
    fetched_bytes,
    first_acknowledgement,
    produce_request,
    produced_offset,
)


class EndToEnd:
    """Row 4: acks=all, one record at a time, a consumer waiting in a long poll.

    Resource: none; this is what remains when nothing is saturated: wake-ups of two processes and
    the broker's path. Physical limit: one round trip of two processes over loopback.

    A raw client, because a client library's own threads and timers take longer than the broker
    and would be what is measured; both brokers get the same bytes from it.
    """

    name = "4"
    title = "end to end, acks=all, one at a time"
    figures = (
        Figure("record read p50", "ms", ratio=Bound(1.0)),
        Figure("record read p99", "ms", ratio=Bound(1.0)),
        Figure("produce acknowledged p50", "ms"),
        Figure("produce acknowledged p99", "ms"),
        Figure("broker CPU per record", "µs"),
    )
    repetitions = 5
    durability = Durability.REPLICATED

    _TOPIC = "latency"
    _COUNT = 3_000

    def prepare(self, system: System) -> None:
        """One whole run."""
        create_topic(system.bootstrap, self._TOPIC)
        one_at_a_time(system.bootstrap, self._TOPIC, self._COUNT)

    def measure(self, system: System) -> Mapping[str, float]:
        cpu = cpu_seconds(system.pid)
        read, acknowledged = one_at_a_time(system.bootstrap, self._TOPIC, self._COUNT)
        cpu = cpu_seconds(system.pid) - cpu
        return {
            "record read p50": percentile(read, 50),
            "record read p99": percentile(read, 99),
            "produce acknowledged p50": percentile(acknowledged, 50),
            "produce acknowledged p99": percentile(acknowledged, 99),
            "broker CPU per record": cpu / self._COUNT * 1e6,
        }

    def floor(self) -> Mapping[str, float]:
        times = floor.round_trips(self._COUNT)
        p50, p99 = percentile(times, 50), percentile(times, 99)
        return {
            "record read p50": p50,
            "record read p99": p99,
            "produce acknowledged p50": p50,
            "produce acknowledged p99": p99,
        }


def one_at_a_time(bootstrap: str, topic: str, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from sending a record until a consumer has it, and until it is acknowledged.

    One thread watches both connections. The fetch is under way before the record is sent.
    """
    producer, consumer = WireClient(bootstrap), WireClient(bootstrap)
    request = produce_request(topic, b"\x42" * 100)
    poller = select.poll()
    for client in (producer, consumer):
        poller.register(client.socket, select.POLLIN)
    answers = {producer.socket.fileno(): producer, consumer.socket.fileno(): consumer}
    offset = first_acknowledgement(producer, topic, request) + 1
    read, acknowledged = [], []
    for _ in range(count):
        consumer.socket.sendall(fetch_request(topic, offset))
        started = time.perf_counter()
        producer.socket.sendall(request)
        missing = dict(answers)
        while missing:
            for fd, _ in poller.poll():
                client = missing.pop(fd)
                answer = client.receive()
                elapsed = (time.perf_counter() - started) * 1e3
                if client is producer:
                    acknowledged.append(elapsed)
                    acknowledgement = answer
                else:
                    read.append(elapsed)
                    fetched = answer
        # Looked at only now: whichever answer comes second does not wait for that.
        offset = produced_offset(acknowledgement) + 1
        assert fetched_bytes(fetched)
    producer.close()
    consumer.close()
    return read, acknowledged


def percentile(values: list[float], percent: int) -> float:
    """The value that `percent` in a hundred do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
