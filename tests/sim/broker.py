"""One life of a broker: the production parts between a Produce request and the disk.

Log directories, logs, flusher, checkpoints, partitions, recovery and retention are the real ones;
loop, threads, clock and disk are driven by the simulation. The metadata does not change.
"""

import random
from collections.abc import Callable
from typing import Any, cast

from tests.cleaning_world import HandChildren
from tests.sim.disk import SimDisk
from tierbroker.base.background import Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import ApiError
from tierbroker.base.executor import ManualExecutor
from tierbroker.base.ids import Uuid
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.broker.txn_gate import TransactionGate
from tierbroker.broker.txn_markers import PartitionMarkers
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.topics import TRANSACTION_STATE_TOPIC
from tierbroker.hot.cleaning.cleaner import Cleaner
from tierbroker.hot.cleaning.config import CleanerConfig
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.flush_strategy import PerFileFlush
from tierbroker.hot.log import AppendResult, Log
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.log_manager import LogManager
from tierbroker.node.settings import Settings
from tierbroker.node.storage import open_logs
from tierbroker.records.batch import read_header
from tierbroker.replication.internal_topics import InternalTopic
from tierbroker.replication.partition import ACKS_ALL, Appender, Partition
from tierbroker.replication.partitions import Partitions
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.coordinator import TransactionCoordinator
from tierbroker.transactions.ports import ProducerIds

BROKER_ID = 1
CLUSTER_ID = "simulated-cluster-id--"


def first_directory_id(disk: SimDisk, path: str, rng: random.Random) -> Uuid:
    """Make the log directory; answers the id that it was given."""
    dirs = LogDirs.open(disk, [path], rng=rng, node_id=BROKER_ID, cluster_id=CLUSTER_ID)
    (log_dir,) = dirs
    dirs.release()
    return log_dir.directory_id


class NoGroups:
    """Nobody commits offsets here."""

    def complete_transaction(self, partition: int, producer_id: int, *, commit: bool) -> None:
        """Not called: there is no offsets topic."""


class SimBroker:
    """From start to crash or stop."""

    def __init__(
        self,
        disk: SimDisk,
        path: str,
        image: MetadataImage,
        clock: ManualClock,
        rng: random.Random,
        producer_ids: ProducerIds,
    ) -> None:
        self.clock = clock
        self.producer_ids = producer_ids
        self.scheduler = ManualScheduler()
        self.executor = ManualExecutor()
        settings = Settings.load({})
        topic_configs = TopicConfigs(settings.layers)
        self.dirs = LogDirs.open(
            disk, [path], rng=rng, node_id=BROKER_ID, cluster_id=CLUSTER_ID, reserve_bytes=0
        )
        self.logs = LogManager(
            self.dirs,
            FileCache(disk, capacity=8),
            self.executor,
            clock,
            rng,
            on_dir_offline=lambda log_dir, error: self._give_up(log_dir.path, error),
        )
        self.flusher = GroupFlusher(
            PerFileFlush(disk),
            self.executor,
            self.logs.take_path_offline,
            self.scheduler.call_soon,
        )
        open_logs(self.logs, image, topic_configs, BROKER_ID, cast("Any", clock))
        self.partitions = Partitions(
            BROKER_ID, self.logs, topic_configs, Appender(self.scheduler), self.flusher
        )
        self.partitions.load(image)
        self._add_transactions(image)
        self.children = HandChildren(disk)
        self.cleaner = Cleaner(
            self.logs,
            CleanerConfig(100_000, 0.9, 1_000, 1e12),
            self.children,
            self.executor,
            clock,
            Background(clock, self.scheduler.call_soon),
            self._stable_offset,
            self.flusher.request,
        )
        self.settle()

    def _add_transactions(self, image: MetadataImage) -> None:
        held, clock = self.partitions, self.clock
        deadlines = Deadlines(self.scheduler, clock)
        records = InternalTopic(TRANSACTION_STATE_TOPIC, held, clock)
        self.transactions = TransactionCoordinator(
            TransactionConfig(partitions=1),
            records,
            records,
            self.producer_ids,
            PartitionMarkers(held, NoGroups(), clock),
            deadlines,
            clock,
            self.scheduler.call_soon,
        )
        self.gate = TransactionGate(self.transactions, deadlines, clock)
        self.transactions.load(0, held.get(TRANSACTION_STATE_TOPIC, 0).leader_epoch)

    @property
    def offline(self) -> bool:
        """Whether the disk was given up."""
        return not self.dirs.online

    def produce(
        self,
        topic: str,
        batch: bytearray,
        done: Callable[[AppendResult | ApiError], None],
        acks: int = ACKS_ALL,
    ) -> None:
        """As the Produce handler does, once the batch is validated."""
        try:
            partition = self.partitions.get(topic, 0)
            partition.log_for_append(acks)
        except ApiError as error:
            done(error)
            return
        partition.append(batch, read_header(batch), acks, done)

    def partition(self, topic: str) -> Partition:
        return self.partitions.get(topic, 0)

    def work(self, rng: random.Random) -> None:
        """A turn of the loop, or a piece of work of a thread."""
        if len(self.executor) and rng.random() < 0.5:
            self.executor.run_one()
        self.scheduler.end_turn()

    def settle(self) -> None:
        """Until nobody has anything to do."""
        self.scheduler.end_turn()
        while len(self.executor):
            self.executor.run_one()
            self.scheduler.end_turn()

    def second(self) -> None:
        """What upkeep does once a second."""
        self.scheduler.advance(1.0)
        self.transactions.abort_timed_out()
        self.logs.tick(self.clock.now_ms())
        self.logs.checkpoint()

    def clean(self) -> None:
        """A look of the cleaner; its child does in one go what it is told."""
        self.cleaner.tick()
        self.scheduler.end_turn()
        if self.children.jobs:
            self.children.work()

    def _stable_offset(self, log: Log) -> int:
        partition = self.partitions.get(log.topic_partition.topic, 0)
        return min(partition.last_stable_offset, log.flushed_offset)

    def retain(self) -> None:
        """A round of retention."""
        list(self.logs.apply_retention(self.clock.now_ms(), self._high_watermark))

    def _high_watermark(self, log: Log) -> int:
        return self.partitions.get(log.topic_partition.topic, 0).high_watermark

    def _give_up(self, path: str, error: OSError) -> None:
        self.flusher.fail(path, error)

    def stop(self) -> None:
        """An orderly end."""
        self.transactions.stop()
        self.cleaner.stop()
        self.settle()
        self.logs.shutdown(clean=True, broker_epoch=1)
        self.dirs.release()
