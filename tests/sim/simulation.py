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
from tests.sim.clients import (
    IdempotentProducer,
    PlainProducer,
    SimConsumer,
    committed_values,
    durable_batches,
    read_records,
)
from tests.sim.disk import SimDisk
from tests.sim.judge import Judge
from tests.sim.transactional_client import Application, Outcome, check_transactions
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import ApiError, KafkaStorageError
from tierbroker.base.ids import Uuid
from tierbroker.base.pending import Pending
from tierbroker.controller.state.brokers import register_broker, unfence_broker
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import TRANSACTION_STATE_TOPIC, NewTopic, create_topics
from tierbroker.hot.file_names import LOG_SUFFIX, offset_file_name
from tierbroker.node.settings import SCHEMA
from tierbroker.records.record import Record

STEPS = 150
RETENTION_MS = 300_000
SMALL = (
    ("internal.segment.bytes", "700"),
    ("index.interval.bytes", "128"),
    ("file.delete.delay.ms", "1000"),
)
ROTTING = "rotting"
"""Its disk loses bytes. Only producers without sequences write to it: those of a lost batch are
unknown, and who goes on behind it is refused."""
COMPACTED = "compacted"
TOPICS = ("kept", "aging", ROTTING, COMPACTED)
TRANSACTED = ("left", "right")
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
            for slot, topic in enumerate(("kept", "aging", "kept"))
        ]
        # One batch on the way: compaction keeps the last one of each producer, as Kafka's does, so
        # after a crash an earlier one that comes again would be out of order.
        keyed = IdempotentProducer(COMPACTED, 200, self.judge, keys=8, in_flight=1)
        self.producers.append(keyed)
        self.judge.topic(COMPACTED).compacted = True
        self.plain = [
            PlainProducer(topic, f"p{topic}", self.judge) for topic in TOPICS if topic != COMPACTED
        ]
        self.consumers = [SimConsumer(topic, self.judge) for topic in TOPICS]
        self.applications = [Application(f"app{slot}", TRANSACTED) for slot in range(2)]
        self.producer_ids = FreshProducerIds()
        self._committed: dict[str, list[bytes]] = {}
        self.start()

    @property
    def path(self) -> str:
        return os.path.join(self.folder, "data")

    def start(self) -> None:
        self.life += 1
        self.broker = SimBroker(
            self.disk, self.path, self.image, self.clock, self.rng, self.producer_ids
        )

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
            (self._transact, 25),
            (self._read_committed, 4),
            (self._poll, 14),
            (self._work, 40),
            (self._second, 8),
            (self._retain, 2),
            (self._clean, 4),
            (self._delete_records, 1),
            (self._roll, 1),
            (self._power_cut, 2),
            (self._kill, 1),
            (self._restart, 1),
            (self._failing_sync, 1),
            (self._full_disk, 1),
            (self._bit_rot, 1),
        ]

    # -- the ordinary course of things ---------------------------------------------------------

    def _send(self) -> None:
        producer = self.rng.choice(self.producers)
        producer.send(self.broker, self.life, self.rng, self.clock.now_ms())

    def _send_plain(self) -> None:
        self.rng.choice(self.plain).send(self.broker, self.rng, self.clock.now_ms())

    def _transact(self) -> None:
        for _ in range(self.rng.randint(1, 4)):
            self.rng.choice(self.applications).act(self.broker, self.life, self.rng)
            self._work()

    def _read_committed(self) -> None:
        """Whatever can be read now as committed stays so, and nothing aborted is among it."""
        if self.broker.offline:
            return
        committed = {topic: committed_values(self.broker, topic) for topic in TRANSACTED}
        for topic, values in committed.items():
            before = self._committed.get(topic, [])
            assert values[: len(before)] == before, (
                f"{topic}: committed before and not any more: {set(before) - set(values)}"
            )
            self._committed[topic] = values
        aborted = {
            value
            for application in self.applications
            for transaction in application.transactions
            if transaction.outcome is Outcome.ABORTED
            for values in transaction.values.values()
            for value in values
        }
        for topic, values in committed.items():
            assert not aborted & set(values), f"{topic}: aborted: {aborted & set(values)}"

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

    def _clean(self) -> None:
        """The active segment is never cleaned, so it becomes one of the others now and then."""
        log = self.broker.partition(COMPACTED).log
        if log is not None and not log.offline and self.rng.random() < 0.7:
            log.roll()
            self.broker.settle()
        self.clock.advance(1_000)
        self.broker.clean()

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
        log = self.broker.partition(self.rng.choice((*TOPICS, *TRANSACTED))).log
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

    def _bit_rot(self) -> None:
        """A bit of what is durable changes while the broker is away: at most its batch is lost."""
        self.broker.settle()
        if self.broker.offline or self.broker.partition(ROTTING).online_log().damage:
            return
        self._second()
        self.broker.settle()
        log = self.broker.partition(ROTTING).online_log()
        batches = [b for b in durable_batches(log) if b.next_offset <= log.recovery_point]
        self.broker.dirs.release()
        self.disk.crash()
        if batches:
            lost = self.rng.choice(batches)
            self.judge.damaged(ROTTING, lost.first_offset, lost.next_offset)
            # Not in the header: a batch whose offsets are wrong is another story.
            path = f"{log.dir}/{offset_file_name(lost.segment, LOG_SUFFIX)}"
            self.disk.rot(path, lost.end_position - 1 - self.rng.randrange(4))
        self.start()

    # -- the end -------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Producers get their answers, the machine stops once more, and everything is read."""
        for _ in range(20):
            for producer in self.producers:
                producer.retry(self.broker, self.life)
            for application in self.applications:
                application.finish(self.broker, self.life)
            self.broker.settle()
            self._second()
            if self._all_settled():
                break
            if self.broker.offline:
                self._power_cut()
        assert self._all_settled(), "somebody is never answered"
        self._read_committed()
        self._power_cut()
        self._read_committed()
        check_transactions(self.applications, self._committed)
        for topic in TOPICS:
            start = self.broker.partition(topic).log_start_offset
            self.judge.check_start(topic, start)
            self.judge.check_all(topic, self._read_all(topic, start), start)
        self.broker.stop()

    def _all_settled(self) -> bool:
        producers = all(producer.idle for producer in self.producers)
        return producers and all(application.settled for application in self.applications)

    def _read_all(self, topic: str, start: int) -> list[Record]:
        found: list[Record] = []
        position = start
        end = self.broker.partition(topic).high_watermark
        while position < end:
            try:
                answer = read_records(self.broker, topic, position, 4_000)
            except KafkaStorageError:
                position = self.judge.behind_damage(topic, position)
                continue
            assert answer is not None, f"{topic}: nothing at {position}, it ends at {end}"
            self.judge.read(topic, position, *answer)
            position = answer[0]
            found += answer[1]
        return found


class FreshProducerIds:
    """Ids beyond those of the producers that have no transactions."""

    def __init__(self) -> None:
        self._last = 1_000

    def next(self) -> Pending[int]:
        self._last += 1
        answer: Pending[int] = Pending()
        answer.resolve(self._last)
        return answer


def _image(directory_id: Uuid) -> MetadataImage:
    """The topics, led by the one broker."""
    image = cluster()
    registered = register_broker(image, registration(BROKER_ID, log_dirs=(directory_id,)))
    image = applied(image, registered)
    image = applied(image, unfence_broker(image, BROKER_ID, registered.response))
    special = {
        "aging": (("retention.ms", str(RETENTION_MS)),),
        COMPACTED: (("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")),
    }
    for_ever = (("retention.ms", "-1"),)
    topics = [
        NewTopic(name, 1, 1, configs=(*SMALL, *special.get(name, for_ever)))
        for name in (*TOPICS, *TRANSACTED, TRANSACTION_STATE_TOPIC)
    ]
    decided = create_topics(image, topics, environment(schema=SCHEMA))
    return applied(image, decided)
