"""Where tiered logs start, and what of them may leave this disk.

Two rules meet here. Total retention (retention.ms, retention.bytes) moves the start of the whole
log, wherever its records lie: that is decided through the metadata log, then cut here. Local
retention lets closed segments leave this disk, but never one that no durable checkpoint names
(INV-4). Which segments are due is decided in `cold.planner` and `hot.retention`.
"""

import logging
from collections.abc import Iterator

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError, KafkaStorageError
from tierbroker.base.pending import Pending
from tierbroker.cold.planner import retention_start
from tierbroker.cold.ports import TierLedger
from tierbroker.hot.log import Log
from tierbroker.replication.partition import Partition
from tierbroker.replication.partitions import Partitions
from tierbroker.replication.tiering import TieredPartition, led_logs

logger = logging.getLogger(__name__)


class TierRetention:
    """Retention of the tiered partitions that this broker leads. Loop thread only."""

    def __init__(self, ledger: TierLedger, partitions: Partitions, clock: Clock) -> None:
        self._ledger = ledger
        self._partitions = partitions
        self._clock = clock

    def evict_limit(self, log: Log) -> int | None:
        """Up to where a tiered log's segments may leave this disk; None for one that is not tiered.

        Only what the newest durable checkpoint names (INV-4).
        """
        if not log.config.remote_storage_enable:
            return None
        place = log.topic_partition
        tier = self._ledger.state.partition(log.topic_id, place.partition)
        if tier is None or tier.empty:
            return log.log_start_offset
        covered = log.segments.first.base_offset <= tier.start_offset
        if covered and log.log_start_offset > tier.log_start_offset:
            # Records were deleted before the tier began: it must know, or they would be back.
            partition = self._partitions.find(place)
            if partition is not None and partition.is_leader:
                self._note_start(partition, log.log_start_offset)
            return log.log_start_offset
        return self._ledger.state.named_end_offset(log.topic_id, place.partition) + 1

    def apply_total(self) -> Iterator[None]:
        """Let retention.ms and retention.bytes move the start of tiered logs, one log a step."""
        now_ms = self._clock.now_ms()
        for partition, log in list(led_logs(self._partitions)):
            if partition.is_leader and not log.closed:
                try:
                    self._apply(partition, log, now_ms)
                except KafkaStorageError as error:
                    logger.warning("no retention of %s: %s", partition.topic_partition, error)
            yield

    def _apply(self, partition: Partition, log: Log, now_ms: int) -> None:
        tier = self._ledger.state.partition(partition.topic_id, partition.topic_partition.partition)
        if tier is None or tier.empty:
            return
        if log.log_start_offset < tier.log_start_offset:
            self._cut_local(log, tier.log_start_offset)
        tiered = TieredPartition(partition, log)
        behind = tiered.closed_segments(tier.end_offset + 1)
        local_bytes = tiered.active_bytes + sum(segment.size_bytes for segment in behind)
        start = retention_start(tier, local_bytes, tiered.config, now_ms)
        if start is not None:
            self._note_start(partition, start)

    def _note_start(self, partition: Partition, start: int) -> None:
        index = partition.topic_partition.partition

        def noted(done: Pending[None]) -> None:
            if done.error is not None:
                logger.warning("%s keeps its start: %s", partition.topic_partition, done.error)
            elif partition.log is not None and partition.log.log_start_offset < start:
                self._cut_local(partition.log, start)

        self._ledger.retire(partition.topic_id, index, partition.leader_epoch, start).on_done(noted)

    def _cut_local(self, log: Log, start: int) -> None:
        try:
            log.advance_log_start(min(start, log.log_end_offset))
        except ApiError as error:
            logger.warning("%s keeps its local start: %s", log.topic_partition, error)
