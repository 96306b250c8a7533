"""One tiered partition with a real log, real deciders and a store in memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from tests.log_setup import NOW_MS, TOPIC_PARTITION, LogSetup, make_batch
from tests.tier_world import CLUSTER, TOPIC_ID, TierWorld
from tierbroker.base.clock import ManualClock
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.cold.reader import ReadLimits, TierReader
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.hot.log import Log
from tierbroker.hot.log_cutting import evict_segments
from tierbroker.node.tier_overdue import OverdueData
from tierbroker.node.tier_retention import TierRetention
from tierbroker.records.tier.state import PartitionTier
from tierbroker.replication.partition import Appender, Partition
from tierbroker.replication.tiering import ColdPart, TieredPartition, tiered_partitions

if TYPE_CHECKING:
    from tierbroker.replication.partitions import Partitions

SETTINGS: dict[str, object] = {"remote.storage.enable": True, "flush.mode": "none"}


class OnePartition:
    """What the tier's rooms ask `Partitions` for."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition

    def __iter__(self) -> Iterator[Partition]:
        return iter((self.partition,))

    def find(self, place: TopicPartition) -> Partition | None:
        return self.partition if place == self.partition.topic_partition else None


class TieredLog(TierWorld):
    """`values` are settings of the topic."""

    def __init__(self, directory: str, **limits: Any) -> None:
        super().__init__(**limits)
        self.setup = LogSetup(directory, values=dict(SETTINGS))
        self.clock = self.setup.clock = ManualClock(NOW_MS)
        self.ledger._clock = self.uploader._clock = self.rate._clock = self.clock
        self.log = self.open()
        self.led = Partition(
            TOPIC_PARTITION,
            TOPIC_ID,
            None,
            Appender(self.scheduler),
            cast("Any", None),
        )
        self.led.cold = ColdPart(cast("Any", self), TOPIC_PARTITION, TOPIC_ID)
        self.led.is_leader = True
        self.led.leader_epoch = 0
        self.led.take_log(self.log)
        self.held = cast("Partitions", OnePartition(self.led))
        self.overdue = OverdueData(self.clock, lambda place: "the store is down")
        self.retention = TierRetention(self.ledger, self.held, self.clock, self.overdue)
        self.reader = TierReader(
            self.store,
            self.ledger,
            self.stories,
            self.scheduler,
            cluster_id=CLUSTER,
            limits=ReadLimits(),
            on_arrival=lambda place: None,
        )

    def open(self) -> Log:
        """The log of the directory."""
        log = self.setup.open()
        log.topic_id = TOPIC_ID
        return log

    def __iter__(self) -> Iterator[TieredPartition]:  # type: ignore[override]
        return tiered_partitions(iter((self.led,)))

    def tier_of(self, topic_id: Uuid, partition: int) -> PartitionTier | None:
        """See ColdTier."""
        return self.state.partition(topic_id, partition)

    def set(self, **values: object) -> None:
        """Change settings of the topic, here and in the metadata."""
        changes = {key.replace("_", "."): value for key, value in values.items()}
        self.setup.values |= changes
        self.log.config = self.setup.config
        self.driver.apply(
            *(ConfigRecord(2, "t", key, str(value).lower()) for key, value in changes.items())
        )

    def fill(self, segments: int = 1) -> None:
        """Closed segments of ten records and about a KiB each."""
        for _ in range(segments):
            values = [b"%d" % n + b"x" * 100 for n in range(10)]
            self.log.append([make_batch(values, times=self.clock.now_ms())], 0)
            self.log.roll()
        self.log.flush()
        self.led.advance_high_watermark(self.log.log_end_offset)

    def checkpoint(self) -> None:
        """What is committed is durable in the bucket."""
        known = self.state.checkpoint
        sequence = 0 if known is None else known.sequence + 1
        self.ledger.note_checkpoint(sequence, self.driver.image.offset).result()

    def retain(self) -> None:
        """A round of retention, total and local."""
        for _ in self.retention.apply_total():
            pass
        limit = self.retention.evict_limit(self.log)
        if limit is not None:
            evict_segments(self.log, self.clock.now_ms(), limit)

    @property
    def local_bases(self) -> list[int]:
        """Where the segments on the disk begin."""
        return [entry.base_offset for entry in self.log.segments]
