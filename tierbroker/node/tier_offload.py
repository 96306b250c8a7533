"""Bringing a topic to the store now, because somebody asks for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tierbroker.base.errors import (
    InvalidRequestError,
    KafkaStorageError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import sleep, until
from tierbroker.cold.ports import TierLedger
from tierbroker.hot import log_cutting
from tierbroker.replication.partitions import Partitions
from tierbroker.replication.tiering import led_logs

if TYPE_CHECKING:
    from tierbroker.hot.log import Log
    from tierbroker.replication.partition import Partition

OFFLOAD_POLL_S = 0.05


async def offload(
    topic: str,
    ledger: TierLedger,
    partitions: Partitions,
    hurry: Callable[[], None],
    refusal: Callable[[], str | None],
    scheduler: Scheduler,
    *,
    evict: bool,
) -> int:
    """The story of `Tiering.offload`.

    `hurry` asks for uploads and a checkpoint at once; `refusal` says why there will be none.
    """
    targets: list[tuple[Partition, Log, int]] = []
    for partition, log in led_logs(partitions):
        if partition.topic_partition.topic == topic:
            if log.config.remote_log_copy_disable:
                raise InvalidRequestError(
                    f"Nothing of {topic} is copied: remote.log.copy.disable is true."
                )
            log.roll()
            targets.append((partition, log, log.log_end_offset - 1))
    if not targets:
        raise UnknownTopicOrPartitionError(
            f"{topic} has no partition on this broker that is tiered. "
            "Set remote.storage.enable=true on the topic."
        )
    for partition, log, end in targets:
        index = partition.topic_partition.partition
        while ledger.state.named_end_offset(log.topic_id, index) < end:
            if log.log_start_offset > end or log.closed or not partition.is_leader:
                break  # empty, deleted, led elsewhere, or let go already
            if (reason := refusal()) is not None:
                raise KafkaStorageError(reason)
            hurry()
            await until(sleep(scheduler, OFFLOAD_POLL_S))
        if evict and not log.closed:
            limit = ledger.state.named_end_offset(log.topic_id, index) + 1
            log_cutting.evict_below(log, min(limit, end + 1))
    return len(targets)
