"""A broker without sockets, disk waits or a quorum: what handlers are tested with.

The metadata image, the deciders and the logs are the real ones; a decision is applied at once, a
flush is over with the turn, and the turn of the loop ends when the test says so.
"""

import pathlib
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from tests.faulty_fs import FaultyFileSystem
from tests.log_setup import NOW_MS
from tests.metadata_cluster import applied, cluster, environment, log_dir
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import ApiError, UnknownTopicOrPartitionError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.broker.api import RequestContext
from tierbroker.broker.fetch_sessions import FetchSessionCache
from tierbroker.broker.producer_ids import ProducerIds
from tierbroker.broker.services import BrokerServices
from tierbroker.broker.session import Session
from tierbroker.broker.txn_gate import TransactionGate
from tierbroker.broker.txn_markers import PartitionMarkers
from tierbroker.controller.state.result import Result
from tierbroker.controller.state.topics import (
    OFFSETS_TOPIC,
    TRANSACTION_STATE_TOPIC,
    NewTopic,
    create_topics,
)
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log
from tierbroker.node.settings import SCHEMA, Settings
from tierbroker.replication.internal_topics import InternalTopic
from tierbroker.replication.partition import Appender, Partition
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.coordinator import TransactionCoordinator

BROKER_ID = 1

T = TypeVar("T")


class FakeController:
    """Applies decisions at once; with `failure` set, nothing can be decided."""

    def __init__(self, brokers: int) -> None:
        self.image = cluster(*range(1, brokers + 1))
        self.failure: ApiError | None = None

    def submit(self, decide: Callable[[Any], Result[Any]]) -> Pending[Any]:
        answer: Pending[Any] = Pending()
        if self.failure is not None:
            answer.fail(self.failure)
            return answer
        result = decide(self.image)
        if result.records:
            self.image = applied(self.image, result)
        answer.resolve(result.response)
        return answer


class FakePartitions:
    """The partitions that the test took up."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, int], Partition] = {}
        self.names: dict[Uuid, str] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(self.held.values())

    def get(self, topic: str, index: int) -> Partition:
        if (topic, index) not in self.held:
            raise UnknownTopicOrPartitionError(f"{topic}-{index} is not on this broker")
        return self.held[topic, index]

    def find(self, place: TopicPartition) -> Partition | None:
        return self.held.get(place)

    def topic_name(self, topic_id: Uuid) -> str | None:
        return self.names.get(topic_id)


class ImmediateFlusher:
    """Every flush is over with the turn; with `error` set, every one fails."""

    def __init__(self, scheduler: ManualScheduler) -> None:
        self.error: OSError | None = None
        self._scheduler = scheduler

    def request(self, log: Log, callback: Callable[[OSError | None], None]) -> None:
        self._scheduler.call_soon(lambda: self._finish(log, callback))

    def _finish(self, log: Log, callback: Callable[[OSError | None], None]) -> None:
        if self.error is None:
            log.dirty_files()
            log.mark_flushed(log.log_end_offset)
        callback(self.error)


class ListedDirs(list[Any]):
    """Directories that a test makes up; the one that the metadata names works, until it is lost."""

    lost = False

    @property
    def online(self) -> list[Any]:
        return [] if self.lost else [SimpleNamespace(directory_id=log_dir(BROKER_ID))]


class HandlerBench:
    """The services of one broker, and topics on it."""

    def __init__(self, folder: pathlib.Path, brokers: int = 1, **settings: str) -> None:
        texts = {name.replace("_", "."): value for name, value in settings.items()}
        loaded = Settings.load(texts)
        self.controller = FakeController(brokers)
        self.partitions = FakePartitions()
        self.log_dirs = ListedDirs()
        self.scheduler = ManualScheduler()
        self.clock = ManualClock(NOW_MS)
        self.flusher = ImmediateFlusher(self.scheduler)
        self.fs = FaultyFileSystem()
        self.granted: list[Pending[range]] = []
        self._folder = folder
        self._cache = FileCache(self.fs)
        self._appender = Appender(self.scheduler)
        rng = random.Random(1)
        partitions = cast("Any", self.partitions)
        offsets_topic = InternalTopic(OFFSETS_TOPIC, partitions, self.clock)
        deadlines = Deadlines(self.scheduler, self.clock)
        self.groups = GroupCoordinator(
            GroupConfig(initial_rebalance_delay_ms=0, offsets_partitions=2),
            offsets_topic,
            offsets_topic,
            deadlines,
            self.clock,
            rng,
            self.scheduler.call_soon,
        )
        self.producer_ids = ProducerIds(self._grant)
        self.markers = PartitionMarkers(partitions, self.groups, self.clock)
        self.transactions = self._transactions(partitions, deadlines)
        self.services = BrokerServices(
            broker_id=BROKER_ID,
            cluster_id="cluster",
            controller=cast("Any", self.controller),
            partitions=partitions,
            log_dirs=cast("Any", self.log_dirs),
            deadlines=deadlines,
            groups=self.groups,
            fetch_sessions=FetchSessionCache(self.clock, rng, slots=10),
            producer_ids=self.producer_ids,
            transactions=self.transactions,
            txn_gate=TransactionGate(self.transactions, deadlines, self.clock),
            txn_markers=self.markers,
            schema=SCHEMA,
            layers=loaded.layers,
            values=loaded.values,
            topic_configs=TopicConfigs(loaded.layers),
            clock=self.clock,
            scheduler=self.scheduler,
            fetch_max_bytes=1 << 20,
            environment=environment(schema=SCHEMA),
        )

    def _transactions(self, partitions: Any, deadlines: Deadlines) -> TransactionCoordinator:
        records = InternalTopic(TRANSACTION_STATE_TOPIC, partitions, self.clock)
        return TransactionCoordinator(
            TransactionConfig(partitions=2),
            records,
            records,
            self.producer_ids,
            self.markers,
            deadlines,
            self.clock,
            self.scheduler.call_soon,
        )

    def context(self, version: int, listener: str = "PLAINTEXT") -> RequestContext:
        """A request of that version from a client of the listener."""
        peer = SimpleNamespace(
            id=1, client_host="client", client_port=7, listener_name=listener, session=None
        )
        return RequestContext(self.services, cast("Any", peer), Session(), version, "test")

    def answered(self, answer: T | Pending[T]) -> T:
        """The answer, when the turns that it takes are over."""
        if isinstance(answer, Pending):
            self.scheduler.end_turn()
            return answer.result()
        return answer

    def count_turns(self, answer: T | Pending[T], at_most: int = 1000) -> int:
        """How many turns more it takes, one after the other, until it is there."""
        turns = 0
        while isinstance(answer, Pending) and not answer.done and turns < at_most:
            self.scheduler.end_turn(follow=False)
            turns += 1
        return turns

    def add_topic(self, name: str, partitions: int = 1, **configs: str) -> Uuid:
        """A topic with logs, led by this broker; `configs` have _ for each dot."""
        texts = {key.replace("_", "."): value for key, value in configs.items()}
        asked = NewTopic(name, partitions, 1, configs=tuple(texts.items()))
        pending = self.controller.submit(
            lambda image: create_topics(image, [asked], self.services.environment)
        )
        (outcome,) = pending.result()
        assert outcome.created is not None, outcome.error
        topic_id: Uuid = outcome.created.topic_id
        self.partitions.names[topic_id] = name
        for index in range(partitions):
            place = TopicPartition(name, index)
            partition = Partition(
                place,
                topic_id,
                self._log(place, topic_id, texts),
                self._appender,
                cast("Any", self.flusher),
            )
            partition.become_leader(0)
            self.partitions.held[place] = partition
        return topic_id

    def _log(self, place: TopicPartition, topic_id: Uuid, texts: dict[str, str]) -> Log:
        directory = str(self._folder / str(place))
        self.fs.mkdir(directory)
        return open_log(
            self._cache,
            directory,
            place,
            self.services.topic_configs.log_config(texts),
            clock=self.clock,
            rng=random.Random(0),
            topic_id=topic_id,
            clean=True,
            recovery_point=0,
            log_start_offset=0,
            on_offline=lambda log, error: None,
        )

    def _grant(self) -> Pending[range]:
        self.granted.append(Pending())
        return self.granted[-1]
