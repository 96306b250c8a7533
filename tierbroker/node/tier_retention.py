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
from tierbroker.hot import log_cutting
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.log import Log
from tierbroker.node.tier_overdue import OverdueData
from tierbroker.replication.partition import Partition
from tierbroker.replication.partitions import Partitions
from tierbroker.replication.tiering import TieredPartition, led_logs

logger = logging.getLogger(__name__)


class TierRetention:
    """Retention of the tiered partitions that this broker leads. Loop thread only."""

    def __init__(
        self, ledger: TierLedger, partitions: Partitions, clock: Clock, overdue: OverdueData
    ) -> None:
        self._ledger = ledger
        self._partitions = partitions
        self._clock = clock
        self._overdue = overdue
        self.keeps_all = False
        """The store is somebody else's by now: what is here may be nowhere else."""

    def evict_limit(self, log: Log) -> int | None:
        """Up to where a tiered log's segments may leave this disk; None for one that is not tiered.

        Only what the newest durable checkpoint names (INV-4).
        """
        if not log.config.remote_storage_enable:
            return None
        place = log.topic_partition
        tier = self._ledger.state.partition(log.topic_id, place.partition)
        if tier is None or tier.empty or self.keeps_all:
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
                    self._look_for_overdue(log, now_ms)
                except (KafkaStorageError, OSError) as error:
                    logger.warning("no retention of %s: %s", partition.topic_partition, error)
            yield
        self._overdue.end_round()

    def drop_unwanted(self) -> None:
        """Give up the cold part of topics that are tiered no more and shall not keep it (KIP-950).

        What `drop_if_unwanted` could not do when the settings changed: this broker led nothing
        then, had no store, or the metadata could not be written. Cheap where there is none.
        """
        if len(self._ledger.state.partitions):
            for partition in self._partitions:
                self.drop_if_unwanted(partition)

    def drop_if_unwanted(self, partition: Partition) -> None:
        """Give up the cold part, if by its settings the topic is tiered no more and shall not keep
        it: the log is what is on this disk then.

        As soon as the settings change, before whoever changed them hears of it. A disable is an
        order, not a state to be found in (KIP-950, where every change is carried out): a topic
        that is tiered again a moment later begins anew, with nothing of what was to be deleted.
        Only a second change that is under way with the first one undoes it: `controller.state.tier`
        refuses the drop then.
        """
        log = partition.log
        if log is None or log.offline or not partition.is_leader:
            return
        if log.config.remote_storage_enable or not log.config.remote_log_delete_on_disable:
            return
        index = partition.topic_partition.partition
        tier = self._ledger.state.partition(partition.topic_id, index)
        if tier is not None and not (tier.empty and not tier.intents):
            self._drop(partition, log)

    def _drop(self, partition: Partition, log: Log) -> None:
        place = partition.topic_partition

        def dropped(done: Pending[None]) -> None:
            if done.error is not None:
                logger.warning("the cold part of %s stays for now: %s", place, done.error)
            else:
                logger.info(
                    "%s is tiered no more: it starts at offset %d, its cold data is being deleted",
                    place,
                    log.log_start_offset,
                )

        self._ledger.drop(
            partition.topic_id, place.partition, partition.leader_epoch, log.log_start_offset
        ).on_done(dropped)

    def _apply(self, partition: Partition, log: Log, now_ms: int) -> None:
        index = partition.topic_partition.partition
        tier = self._ledger.state.partition(partition.topic_id, index)
        if tier is not None and log.log_start_offset < tier.log_start_offset:
            self._cut_local(log, tier.log_start_offset)
        tiered = TieredPartition(partition, log)
        start = tiered.log_start_offset
        behind = tiered.closed_segments(
            start if tier is None or tier.empty else tier.end_offset + 1
        )
        due = retention_start(
            tier,
            behind,
            tiered.active_bytes,
            start,
            partition.high_watermark,
            tiered.config,
            now_ms,
        )
        if due is not None:
            self._note_start(partition, due)
        if (start if due is None else due) >= tiered.active_base_offset:
            self._roll_if_over(log, now_ms)
        try:
            log.epochs.cut_start(start)
        except OSError as error:
            if is_disk_failure(error):
                raise log.go_offline(error) from error

    def _roll_if_over(self, log: Log, now_ms: int) -> None:
        """Close the active segment when retention.ms is over for all of it: it goes next time."""
        active, config = log.segments.active, log.config
        if (
            active.size_bytes
            and config.deletes_by_retention
            and config.retention_ms >= 0
            and now_ms - log_cutting.newest_ms(log, active) > config.retention_ms
        ):
            log.roll()

    def _look_for_overdue(self, log: Log, now_ms: int) -> None:
        place = log.topic_partition
        limit = self._ledger.state.named_end_offset(log.topic_id, place.partition) + 1
        overdue = log_cutting.overdue_segments(log, now_ms, limit)
        base_offset = overdue[0].base_offset if overdue else -1
        self._overdue.note(place, sum(segment.size_bytes for segment in overdue), base_offset)

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
