"""Logs that must begin anew behind the cold tier's end, because it knows better (D-8).

After a lost disk or a restore the tier holds offsets that the log on this disk does not reach, and
after an old copy of a disk came back the log may hold other records at offsets that the tier has.
What is committed in the tier counts: the log goes on at its end; epochs and producers come from
the tail of its newest object. The partition gets its log only after that, so nobody appends at an
offset that is taken.
"""

import logging

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories, sleep, until
from tierbroker.cold.errors import StoreError
from tierbroker.cold.ports import TierLedger
from tierbroker.cold.reader import TierReader
from tierbroker.hot import log_tiering
from tierbroker.hot.log import Log
from tierbroker.records.tier.state import PartitionTier
from tierbroker.replication.partition import Partition

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


def must_catch_up(tier: PartitionTier | None, log: Log) -> bool:
    """Whether the tier holds offsets that the log does not reach, or holds otherwise."""
    if tier is None:
        return False
    if tier.empty:
        return log.log_end_offset < tier.log_start_offset
    return log.log_end_offset <= tier.end_offset or contradicts(tier, log)


def contradicts(tier: PartitionTier, log: Log) -> bool:
    """Whether the log holds, at the tier's last offset, a record of a later epoch than the tier.

    A segment is uploaded by a leader of the epoch of its last record or a later one: a log that
    has a record of an epoch after that leader's was cut below there, and written anew.
    """
    segment = tier.segments.last
    if segment is None or log.log_start_offset > segment.end_offset:
        return False
    return log.epochs.epoch_at(segment.end_offset) > segment.leader_epoch


class CatchingUp:
    """The logs that are on their way to the tier's end. Loop thread only."""

    def __init__(
        self, ledger: TierLedger, reader: TierReader, stories: Stories, scheduler: Scheduler
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._stories = stories
        self._scheduler = scheduler
        self.waiting = 0
        """Partitions that have no log yet."""
        self._moved = 0
        self._told = False

    def begin(self, partition: Partition, log: Log) -> None:
        """Let the log go on behind the tier's end, then give it to the partition."""
        self._stories.begin(
            self._catch_up(partition, log), f"catching up of {partition.topic_partition}"
        )

    async def _catch_up(self, partition: Partition, log: Log) -> None:
        self.waiting += 1
        pause_s = 0.0
        try:
            while not await self._try(partition, log):
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                await until(sleep(self._scheduler, pause_s))
        except KafkaStorageError as error:
            logger.error("%s has no log: %s", partition.topic_partition, error)
        finally:
            self.waiting -= 1
            if not self.waiting:
                self._say_done()

    def _say_done(self) -> None:
        """One line for all: after a restore every log of the broker was on its way."""
        if self._moved:
            logger.warning(
                "logs that ended before the cold tier does, and go on behind it: %d", self._moved
            )
        self._moved, self._told = 0, False

    async def _try(self, partition: Partition, log: Log) -> bool:
        """Whether it is done, or nobody waits for it any more. Raises KafkaStorageError."""
        place = partition.topic_partition
        tier = self._ledger.state.partition(partition.topic_id, place.partition)
        if log.closed or tier is None:
            return True  # the topic is deleted
        if tier.empty:
            self._go_on(partition, log, tier.log_start_offset)
            log_tiering.start_at(log, tier.log_start_offset, (), ())
            partition.take_log(log)
            return True
        try:
            tail = await until(self._reader.last_tail(tier))
            producers = tail.producer_entries()
        except StoreError as error:
            if not self._told:
                self._told = True
                logger.warning("%s waits for the store, as others may: %s", place, error)
            return False
        if not log.closed:
            self._go_on(partition, log, tier.end_offset + 1)
            log_tiering.start_at(log, tier.end_offset + 1, tail.lineage, producers)
            partition.take_log(log)
        return True

    def _go_on(self, partition: Partition, log: Log, offset: int) -> None:
        self._moved += 1
        if log.log_end_offset > log.log_start_offset:
            logger.warning(
                "%s ends at %d here and at %d in the cold tier: it goes on there, and what is "
                "here goes",
                partition.topic_partition,
                log.log_end_offset,
                offset,
            )
