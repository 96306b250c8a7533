"""What the cold tier holds of each partition that this broker leads, and what it still lacks.

Gathered when somebody asks, in turns, so that many partitions never hold up the loop. Nothing is
decided here, and nothing is asked of the store.
"""

from collections.abc import Iterator, Set
from typing import NamedTuple

from tierbroker.base.clock import Clock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition, Uuid, uuid_text
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import sleep, until
from tierbroker.cold.upload_lag import NO_LAG, UploadLag, first_not_uploaded, upload_lag
from tierbroker.cold.watched_store import TopicTraffic
from tierbroker.hot import log_cutting
from tierbroker.hot.log import Log
from tierbroker.node.tiering import Tiering
from tierbroker.records.tier.segment import ObjectKind
from tierbroker.records.tier.state import PartitionKey, PartitionTier
from tierbroker.replication.partition import Partition
from tierbroker.replication.partitions import Partitions
from tierbroker.replication.tiering import TieredPartition

TURN_S = 0.005
_NO_TRAFFIC = TopicTraffic()


class PartitionReport(NamedTuple):
    """One partition. Bytes are those of the log, whatever an object has beside it."""

    place: TopicPartition
    topic_id: Uuid
    hot_bytes: int
    """On this disk, whether they are in the store too or not."""
    cold_bytes: int
    active_bytes: int
    """In the segment that is not closed yet, and so cannot go to the store."""
    lag: UploadLag
    waits_ms: int
    """How old the newest record of the oldest segment is that is not in the store; 0 without."""
    overdue_bytes: int
    """What local retention would have let go, were it safe in the store."""


class Offloading(NamedTuple):
    """What is being brought to the store because somebody asked for it."""

    topic: str
    evict: bool
    since_ms: int


class TierReports:
    """Reports on the partitions of one broker."""

    def __init__(
        self, tiering: Tiering, partitions: Partitions, clock: Clock, scheduler: Scheduler
    ) -> None:
        self.tiering = tiering
        self._partitions = partitions
        self._clock = clock
        self._scheduler = scheduler
        self._sizes: dict[PartitionKey, tuple[PartitionTier, int]] = {}

    async def collect(self, topic: str | None = None) -> list[PartitionReport]:
        """A report on every tiered partition, by topic and number; a story."""
        found: list[PartitionReport] = []
        turn_ends = self._clock.monotonic() + TURN_S
        for partition, log in self._tiered(topic):
            if self._clock.monotonic() >= turn_ends:
                await until(sleep(self._scheduler, 0))
                turn_ends = self._clock.monotonic() + TURN_S
            if not log.closed:
                found.append(self._report(partition, log))
        if topic is None:
            self._forget({each.topic_id for each in self._partitions})
        return sorted(found, key=lambda report: report.place)

    @property
    def garbage_objects(self) -> int:
        """Objects that do not count any more and are still in the store."""
        state = self.tiering.ledger.state
        return sum(len(tier.garbage) for tier in state.partitions_with_garbage())

    def _tiered(self, topic: str | None) -> Iterator[tuple[Partition, Log]]:
        """Those whose topics are tiered, and those that were and have objects left."""
        state = self.tiering.ledger.state
        for partition in list(self._partitions):
            place, log = partition.topic_partition, partition.log
            if log is None or log.offline or (topic is not None and place.topic != topic):
                continue
            tier = state.partition(partition.topic_id, place.partition)
            if log.config.remote_storage_enable or (tier is not None and not tier.empty):
                yield partition, log

    def _report(self, partition: Partition, log: Log) -> PartitionReport:
        now_ms = self._clock.now_ms()
        place = partition.topic_partition
        state = self.tiering.ledger.state
        tier = state.partition(partition.topic_id, place.partition)
        tiered = TieredPartition(partition, log)
        lag, overdue_bytes = NO_LAG, 0
        if log.config.remote_storage_enable and partition.is_leader:
            lag = self._lag(tier, tiered, now_ms)
            safe_end = state.named_end_offset(partition.topic_id, place.partition)
            try:
                overdue = log_cutting.overdue_segments(log, now_ms, safe_end + 1)
                overdue_bytes = sum(segment.size_bytes for segment in overdue)
            except OSError:
                overdue_bytes = 0  # the disk is failing: the broker notices by itself
        return PartitionReport(
            place,
            partition.topic_id,
            log.size_bytes,
            self._cold_bytes(partition, tier),
            tiered.active_bytes,
            lag,
            lag.waits_ms(now_ms),
            overdue_bytes,
        )

    def _lag(self, tier: PartitionTier | None, tiered: TieredPartition, now_ms: int) -> UploadLag:
        start = first_not_uploaded(tier, tiered.log_start_offset)
        if start >= tiered.active_base_offset:
            return NO_LAG
        try:
            closed = tiered.closed_segments(start)
        except KafkaStorageError as error:
            return NO_LAG._replace(reason=str(error))
        lag = upload_lag(
            tier, closed, tiered.upload_limit, tiered.active_bytes, tiered.config, now_ms
        )
        return lag._replace(reason=self._obstacle(tier, tiered.topic_partition) or lag.reason)

    def _obstacle(self, tier: PartitionTier | None, place: TopicPartition) -> str | None:
        """What keeps the segment from the store beside the topic's own settings."""
        tiering = self.tiering
        if tiering.refusal is not None:
            # With a checkpointer it goes on by itself, once the store's head is back.
            state = "is given up" if tiering.checkpointer is None else "waits"
            return f"the cold tier {state}: {tiering.refusal}"
        if tiering.checkpointer is None:
            said = tiering.store.watch.error or "it was not reached"
            return f"the store has not answered since the start: {said}"
        trouble = tiering.uploader.troubles.get(place)
        if trouble is not None:
            return f"it failed and is tried again: {trouble.reason}"
        if tier is not None and tier.intents_of(ObjectKind.SEGMENT):
            return "it is on its way"
        return None

    def _cold_bytes(self, partition: Partition, tier: PartitionTier | None) -> int:
        """Counting a million segments takes long, and most partitions are as they were."""
        if tier is None:
            return 0
        key = partition.topic_id, partition.topic_partition.partition
        known = self._sizes.get(key)
        if known is None or known[0] is not tier:
            known = self._sizes[key] = tier, tier.size_bytes
        return known[1]

    def traffic_of(self, topic_id: Uuid) -> TopicTraffic:
        """What was asked of the store for a topic."""
        return self.tiering.store.watch.topics.get(uuid_text(topic_id), _NO_TRAFFIC)

    def _forget(self, topic_ids: Set[Uuid]) -> None:
        """What is not known of topics that are gone."""
        for key in [key for key in self._sizes if key[0] not in topic_ids]:
            del self._sizes[key]
        traffic = self.tiering.store.watch.topics
        for gone in traffic.keys() - {uuid_text(topic_id) for topic_id in topic_ids}:
            del traffic[gone]
