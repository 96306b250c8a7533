"""Logs whose newest records are in the cold tier alone: they go on behind it (D-8).

After a lost disk or a restore the tier holds offsets that the log on this disk does not reach. The
log's end is the tier's end then; epochs and producers come from the tail of its newest object. The
partition gets its log only after that, so nobody appends at an offset that is taken.
"""

import logging

from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories, sleep, until
from tierbroker.cold.errors import StoreError
from tierbroker.cold.ports import TierLedger
from tierbroker.cold.reader import TierReader
from tierbroker.hot import log_tiering
from tierbroker.hot.log import Log
from tierbroker.replication.partition import Partition

logger = logging.getLogger(__name__)

RETRY_S = 5.0


class CatchingUp:
    """The logs that are on their way to the tier's end. Loop thread only."""

    def __init__(
        self, ledger: TierLedger, reader: TierReader, stories: Stories, scheduler: Scheduler
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._stories = stories
        self._scheduler = scheduler

    def begin(self, partition: Partition, log: Log) -> None:
        """Let the log go on behind the tier's end, then give it to the partition."""
        self._stories.begin(
            self._catch_up(partition, log), f"catching up of {partition.topic_partition}"
        )

    async def _catch_up(self, partition: Partition, log: Log) -> None:
        place = partition.topic_partition
        while True:
            tier = self._ledger.state.partition(partition.topic_id, place.partition)
            assert tier is not None, "what was ahead is not forgotten while its topic exists"
            try:
                tail = await until(self._reader.last_tail(tier))
                producers = tail.producer_entries()
            except StoreError as error:
                logger.warning("%s waits for the store: %s", place, error)
                await until(sleep(self._scheduler, RETRY_S))
                continue
            if log.closed:
                return
            logger.warning(
                "%s ends at %d here and at %d in the cold tier: it goes on there",
                place,
                log.log_end_offset,
                tier.end_offset + 1,
            )
            log_tiering.start_at(log, tier.end_offset + 1, tail.lineage, producers)
            partition.take_log(log)
            return
