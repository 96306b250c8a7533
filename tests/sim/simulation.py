"""One seed: a broker, its clients and its misfortunes, for a few hundred steps (D-12).

Everything random comes from the seed, so a failure can be run again with it.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.log_setup import NOW_MS
from tests.metadata_cluster import applied, cluster, environment, registration
from tests.sim.broker import BROKER_ID, SimBroker, first_directory_id
from tests.sim.clients import IdempotentProducer, PlainProducer, SimConsumer, read_records
from tests.sim.disk import SimDisk
from tests.sim.judge import Judge
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import Uuid
from tierbroker.controller.state.brokers import register_broker, unfence_broker
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import NewTopic, create_topics
from tierbroker.node.settings import SCHEMA
from tierbroker.records.record import Record

STEPS = 150
RETENTION_MS = 300_000
SMALL = (
    ("internal.segment.bytes", "700"),
    ("index.interval.bytes", "128"),
    ("file.delete.delay.ms", "1000"),
)
TOPICS = ("kept", "aging")
"""One that keeps everything, one with retention by time."""


@dataclass
class Simulation:
    """A seed at work in an empty directory."""

    seed: int
    folder: str
    life: int = 0
    """Counts the broker's lives."""
    rotten: bool = False
    """A durable byte was changed: the batch that holds it cannot be read any more."""
    rng: random.Random = field(init=False)
    disk: SimDisk = field(init=False)
    broker: SimBroker = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.clock = ManualClock(NOW_MS)
        self.judge = Judge()
        self.disk = SimDisk(clock=self.clock)
        self.image = _image(first_directory_id(self.disk, self.path, self.rng))
        self.producers = [
            IdempotentProducer(topic, 100 + slot, self.judge)
            for slot, topic in enumerate((*TOPICS, "kept"))
        ]
        self.plain = [PlainProducer(topic, f"p{topic}", self.judge) for topic in TOPICS]
        self.consumers = [SimConsumer(topic, self.judge) for topic in TOPICS]
        self.start()

    @property
    def path(self) -> str:
        return os.path.join(self.folder, "data")

    def start(self) -> None:
        self.life += 1
        self.broker = SimBroker(self.disk, self.path, self.image, self.clock, self.rng)

    def run(self, steps: int = STEPS) -> None:
        actions = self._actions()
        names, weights = [a for a, _ in actions], [w for _, w in actions]
        for action in self.rng.choices(names, weights, k=steps):
            action()
        self._finish()

    def _actions(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self._send, 30),
            (self._send_plain, 6),
            (self._poll, 14),
            (self._work, 40),
            (self._second, 8),
            (self._retain, 2),
            (self._delete_records, 1),
            (self._roll, 1),
            (self._power_cut, 2),
            (self._kill, 1),
            (self._restart, 1),
            (self._failing_sync, 1),
            (self._full_disk, 1),
        ]

    # -- the ordinary course of things ---------------------------------------------------------

    def _send(self) -> None:
        producer = self.rng.choice(self.producers)
        producer.send(self.broker, self.life, self.rng, self.clock.now_ms())

    def _send_plain(self) -> None:
        self.rng.choice(self.plain).send(self.broker, self.rng, self.clock.now_ms())

    def _poll(self) -> None:
        self.rng.choice(self.consumers).poll(self.broker, self.rng)

    def _work(self) -> None:
        self.broker.work(self.rng)

    def _second(self) -> None:
        self.clock.advance(self.rng.choice((1_000, 1_000, 20_000)))
        self.broker.second()

    def _retain(self) -> None:
        self.clock.advance(self.rng.choice((10_000, 200_000)))
        self.broker.retain()
        self._note_retention()

    def _note_retention(self) -> None:
        try:
            start = self.broker.partition("aging").log_start_offset
        except ApiError:
            return
        self.judge.retention("aging", start, self.clock.now_ms(), RETENTION_MS)

    def _delete_records(self) -> None:
        topic = self.rng.choice(TOPICS)
        partition = self.broker.partition(topic)
        try:
            log = partition.online_log()
            offset = self.rng.randint(log.log_start_offset, partition.high_watermark)
            self.judge.delete_records(topic, offset)
            log.advance_log_start(offset)
        except ApiError:
            return

    def _roll(self) -> None:
        log = self.broker.partition(self.rng.choice(TOPICS)).log
        if log is not None and not log.offline:
            log.roll()

    # -- misfortunes ---------------------------------------------------------------------------

    def _power_cut(self) -> None:
        self.broker.dirs.release()
        self.disk.crash(self.rng)
        self.start()

    def _kill(self) -> None:
        self.broker.dirs.release()
        self.disk.kill()
        self.start()

    def _restart(self) -> None:
        # Nobody stops a broker so soon after a crash that its producers have not come back yet. A
        # clean start, as Kafka's, knows only the last batch of each and would refuse the others.
        for producer in self.producers:
            producer.retry(self.broker, self.life)
        self.broker.stop()
        self.disk.kill()
        self.start()

    def _failing_sync(self) -> None:
        self.disk.fail_next("fdatasync", 5, path_part=".log")
        self._send()
        self.broker.settle()
        self.disk.clear_failures()
        for _ in range(3):
            self._send()
            self.broker.settle()
        self._power_cut()

    def _full_disk(self) -> None:
        self.disk.capacity_bytes = self.disk.used_bytes + self.rng.randint(0, 400)
        for _ in range(4):
            self._send()
            self._work()
        self.disk.capacity_bytes = None

    # -- the end -------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Producers get their answers, the machine stops once more, and everything is read."""
        for _ in range(20):
            for producer in self.producers:
                producer.retry(self.broker, self.life)
            self.broker.settle()
            if all(producer.idle for producer in self.producers):
                break
            if self.broker.offline:
                self._power_cut()
        assert all(producer.idle for producer in self.producers), "somebody is never answered"
        self._power_cut()
        for topic in TOPICS:
            start = self.broker.partition(topic).log_start_offset
            self.judge.check_start(topic, start)
            self.judge.check_all(topic, self._read_all(topic, start), start)
        self.broker.stop()

    def _read_all(self, topic: str, start: int) -> list[Record]:
        found: list[Record] = []
        position = start
        while (answer := read_records(self.broker, topic, position, 4_000)) is not None:
            self.judge.read(topic, position, *answer)
            position = answer[0]
            found += answer[1]
        return found


def _image(directory_id: Uuid) -> MetadataImage:
    """The topics, led by the one broker."""
    image = cluster()
    registered = register_broker(image, registration(BROKER_ID, log_dirs=(directory_id,)))
    image = applied(image, registered)
    image = applied(image, unfence_broker(image, BROKER_ID, registered.response))
    retention_ms = {"kept": -1, "aging": RETENTION_MS}
    topics = [
        NewTopic(name, 1, 1, configs=(*SMALL, ("retention.ms", str(retention_ms[name]))))
        for name in TOPICS
    ]
    decided = create_topics(image, topics, environment(schema=SCHEMA))
    return applied(image, decided)
