"""Hot log and cold tier as one partition: the one place where the two are joined (INV-5).

The log on this disk is the newer part, objects in the store are the older one; where both hold an
offset they are equal. `ColdPart` is what a partition asks about its older part. The tier sees the
partitions through `TieredPartition`, and never the other way round. Nothing here waits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.cold.planner import TierConfig
from tierbroker.cold.reader import ColdRead
from tierbroker.cold.time_search import ColdOffset
from tierbroker.hot import log_tiering
from tierbroker.hot.config import FlushMode
from tierbroker.records.tier.local import LocalSegment, SegmentContent
from tierbroker.records.tier.state import PartitionTier

if TYPE_CHECKING:
    from tierbroker.hot.config import LogConfig
    from tierbroker.hot.log import Log
    from tierbroker.replication.partition import Partition


class ColdTier(Protocol):
    """What partitions may ask the broker's cold tier for."""

    def part_of(self, place: TopicPartition, topic_id: Uuid) -> "ColdPart":
        """The older part of a partition."""

    def tier_of(self, topic_id: Uuid, partition: int) -> PartitionTier | None:
        """What the tier holds of a partition, by the committed metadata."""

    def read(
        self, tier: PartitionTier, place: TopicPartition, offset: int, max_bytes: int
    ) -> ColdRead | None:
        """See `cold.reader.TierReader.read`."""

    def offset_for_timestamp(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int, start_offset: int
    ) -> Pending[ColdOffset | None]:
        """See `cold.reader.TierReader.offset_for_timestamp`."""

    def retire(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """The log starts there from now on: durable when done. Fails with an ApiError."""

    def settings_changed(self, partition: "Partition") -> None:
        """The topic's settings are new, and whoever changed them has not heard of that yet."""

    def is_ahead(self, topic_id: Uuid, partition: int, log: "Log") -> bool:
        """Whether the tier holds offsets that the local log does not reach (D-8)."""

    def catch_up(self, partition: "Partition", log: "Log") -> None:
        """Let the log go on behind the tier's end, then give it to the partition."""


@dataclass(slots=True)
class ColdPart:
    """The older part of one partition."""

    _cold: ColdTier
    _place: TopicPartition
    _topic_id: Uuid

    @property
    def tier(self) -> PartitionTier | None:
        """What the tier holds; None if it holds nothing."""
        tier = self._cold.tier_of(self._topic_id, self._place.partition)
        return None if tier is None or tier.empty else tier

    @property
    def begun(self) -> bool:
        """Whether the tier was ever to hold anything of it; an upload may be under way."""
        return self._cold.tier_of(self._topic_id, self._place.partition) is not None

    def joined_start(self, log: "Log") -> int:
        """The first offset that may be read, wherever it lies."""
        tier = self._cold.tier_of(self._topic_id, self._place.partition)
        local = log.log_start_offset
        if tier is None:
            return local
        if tier.empty or log.segments.first.base_offset <= tier.start_offset:
            # All is here: the log knows what of it was deleted, the tier what of it was decided.
            return max(local, tier.log_start_offset)
        return max(tier.log_start_offset, tier.start_offset)

    def read(self, log: "Log", offset: int, max_bytes: int) -> ColdRead | None:
        """Records below the local part; None while they are on their way, KafkaStorageError."""
        tier = self.tier
        if tier is None or not tier.start_offset <= offset <= tier.end_offset:
            # Neither here nor there: below the start this would have been said before.
            end_offset = -1 if tier is None else tier.end_offset
            raise KafkaStorageError(
                f"{self._place} has no offset {offset}: the local part begins at "
                f"{log.log_start_offset}, the cold one ends at {end_offset}"
            )
        return self._cold.read(tier, self._place, offset, max_bytes)

    def offset_for_timestamp(
        self, timestamp_ms: int, start_offset: int
    ) -> Pending[ColdOffset | None]:
        """The first record of the cold part at or after the time; fails with KafkaStorageError.

        With `cold.time_search.NEWEST` the first of those with the highest time.
        """
        tier = self.tier
        if tier is None:
            nothing: Pending[ColdOffset | None] = Pending()
            nothing.resolve(None)
            return nothing
        return self._cold.offset_for_timestamp(tier, self._place, timestamp_ms, start_offset)

    def newest_timestamp(self, start_offset: int) -> int:
        """No record of the cold part from there on has a higher timestamp; -1 without one.

        One may have had it that is deleted: objects are cut by the offset alone.
        """
        tier = self.tier
        if tier is None:
            return -1
        entries = tier.segments_from(start_offset)
        return max((entry.max_timestamp_ms for entry in entries), default=-1)

    def retire(self, leader_epoch: int, log_start_offset: int) -> Pending[None]:
        """Let the log start there, before a local record below it goes."""
        return self._cold.retire(
            self._topic_id, self._place.partition, leader_epoch, log_start_offset
        )


def tier_config(config: "LogConfig") -> TierConfig:
    """A topic's settings as the tier's planner wants them."""
    keeps = not config.deletes_by_retention
    return TierConfig(
        copies=config.remote_storage_enable and not config.remote_log_copy_disable,
        copy_lag_ms=config.remote_copy_lag_ms,
        copy_lag_bytes=config.remote_copy_lag_bytes,
        retention_ms=-1 if keeps else config.retention_ms,
        retention_bytes=-1 if keeps else config.retention_bytes,
    )


class TieredPartition:
    """A partition as the tier sees it (`cold.ports.LocalPartition`)."""

    __slots__ = ("_log", "_partition", "leader_epoch", "topic_id", "topic_partition")

    def __init__(self, partition: "Partition", log: "Log") -> None:
        self._partition = partition
        self._log = log
        self.topic_partition = partition.topic_partition
        self.topic_id = partition.topic_id
        self.leader_epoch = partition.leader_epoch

    @property
    def is_leader(self) -> bool:
        """Whether this broker still leads it in that epoch."""
        partition = self._partition
        return partition.is_leader and partition.leader_epoch == self.leader_epoch

    @property
    def config(self) -> TierConfig:
        """The topic's settings, as they are now."""
        return tier_config(self._log.config)

    @property
    def upload_limit(self) -> int:
        """Nothing at or above goes: not decided, not acknowledged, or not durable (D-7).

        A broker that never flushes keeps nothing, and so has nothing to wait for.
        """
        partition, log = self._partition, self._log
        stable = min(partition.last_stable_offset, partition.high_watermark)
        if log.config.flush_mode is FlushMode.NONE:
            return stable
        return min(stable, log.flushed_offset)

    @property
    def log_start_offset(self) -> int:
        """The first offset that may be read, wherever it lies."""
        return self._partition.log_start_offset

    @property
    def active_base_offset(self) -> int:
        """Where the segment begins that is not closed yet."""
        return self._log.segments.active.base_offset

    @property
    def active_bytes(self) -> int:
        """What that segment holds."""
        return self._log.segments.active.size_bytes

    @property
    def local_start_offset(self) -> int:
        """Where the part on this disk begins."""
        return self._log.log_start_offset

    @property
    def size_bytes(self) -> int:
        """What lies on this disk."""
        return self._log.size_bytes

    def closed_segments(self, from_offset: int) -> Sequence[LocalSegment]:
        """The closed segments that hold `from_offset` or come later; raises KafkaStorageError."""
        return log_tiering.closed_segments(self._log, from_offset)

    def open_segment(self, base_offset: int) -> SegmentContent:
        """Borrow a closed segment; raises KafkaStorageError, LookupError when it is gone."""
        return log_tiering.open_segment(self._log, base_offset)


def led_logs(partitions: "Iterable[Partition]") -> "Iterator[tuple[Partition, Log]]":
    """The partitions that this broker leads and whose topics are tiered, with their logs."""
    for partition in partitions:
        log = partition.log
        if (
            partition.is_leader
            and log is not None
            and not log.offline
            and log.config.remote_storage_enable
        ):
            yield partition, log


def tiered_partitions(partitions: "Iterable[Partition]") -> Iterator[TieredPartition]:
    """The same as the tier sees them."""
    return (TieredPartition(partition, log) for partition, log in led_logs(partitions))
