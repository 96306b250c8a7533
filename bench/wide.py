"""A broker with ten thousand partitions: made, described, restarted, served."""

import time
from collections.abc import Callable, Mapping

from bench.process_cost import cpu_seconds
from bench.row import Bound, Figure
from bench.stock_client import ProducerLoad, create_topics, first_records
from bench.system import Durability, System
from bench.wire_client import WireClient, metadata_of_everything

TOPICS = 100
PARTITIONS = 100
RECORD = b"\x42" * 100
ASKED = 20


class ManyPartitions:
    """100 topics of 100 partitions: created, a record written to each, all metadata asked for,
    an orderly restart, and the record read from each partition again.

    Kafka acknowledges a creation before the partitions can be used; what is left of it is in the
    time of the first records. Resource: the broker's one busy core, and the file system, which
    makes some files for every partition. Physical limit: one answer is about half a megabyte that
    has to be packed.

    Metadata by a raw client: a library asks when it likes, and its own work on the answer is
    longer than the broker's.
    """

    name = "partitions"
    title = "10,000 partitions"
    figures = (
        Figure("created", "s"),
        Figure("one record written to each", "s"),
        Figure("Metadata of all, CPU per request", "ms", budget=Bound(10.0)),
        Figure("stopped", "s"),
        Figure("started", "s"),
        Figure("a record read from each", "s"),
        Figure("all of that but Metadata", "s", budget=Bound(30.0)),
    )
    repetitions = 1
    durability = None

    def prepare(self, system: System) -> None:
        """Every repetition starts a broker of its own."""

    def measure(self, system: System) -> Mapping[str, float]:
        names = [f"wide-{number}" for number in range(TOPICS)]
        system.start(Durability.REPLICATED)
        try:
            created_s = _seconds(lambda: create_topics(system.bootstrap, names, PARTITIONS))
            written_s = _seconds(lambda: _write(system, names))
            metadata_s = _metadata_cpu(system)
            stopped_s, started_s = system.restart()
            read_s = _seconds(lambda: first_records(system.bootstrap, names, PARTITIONS))
        finally:
            system.stop()
        return {
            "created": created_s,
            "one record written to each": written_s,
            "Metadata of all, CPU per request": metadata_s * 1e3,
            "stopped": stopped_s,
            "started": started_s,
            "a record read from each": read_s,
            "all of that but Metadata": created_s + written_s + stopped_s + started_s + read_s,
        }

    def floor(self) -> Mapping[str, float]:
        return {}


def _write(system: System, names: list[str]) -> None:
    with ProducerLoad(system.bootstrap, 1, **{"linger.ms": 0}) as load:
        for name in names:
            load.send(name, RECORD, PARTITIONS, PARTITIONS)


def _metadata_cpu(system: System) -> float:
    """CPU seconds of the broker for an answer that names every partition."""
    client = WireClient(system.bootstrap)
    expected = TOPICS * PARTITIONS
    for _ in range(ASKED):
        assert metadata_of_everything(client) >= expected
    cpu = 0.0
    for _ in range(ASKED):
        before = cpu_seconds(system.pid)
        metadata_of_everything(client, decode=False)
        cpu += cpu_seconds(system.pid) - before
    client.close()
    return cpu / ASKED


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
