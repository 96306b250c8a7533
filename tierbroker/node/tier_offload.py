"""Bringing a topic to the store now, because somebody asks for it."""

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

from tierbroker.base.errors import (
    InvalidRequestError,
    KafkaStorageError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import TopicPartition
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
    wanted: MutableMapping[TopicPartition, int],
    scheduler: Scheduler,
    *,
    evict: bool,
) -> int:
    """The story of `Tiering.offload`.

    `hurry` asks for uploads and a checkpoint at once; `refusal` says why there will be none;
    `wanted` is where the uploader sees what shall not wait for the topic's copy lags.
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
            f"The topic {topic!r} has no partition on this broker that is tiered. "
            "Set remote.storage.enable=true on the topic."
        )
    try:
        for partition, log, end in targets:
            while not _is_there(partition, log, end, ledger):
                if (reason := refusal()) is not None:
                    raise KafkaStorageError(reason)
                for each, _, wanted_end in targets:
                    # Again and again: another offload of the topic may have ended meanwhile.
                    place = each.topic_partition
                    wanted[place] = max(wanted_end, wanted.get(place, -1))
                hurry()
                await until(sleep(scheduler, OFFLOAD_POLL_S))
            if evict and not log.closed:
                if (reason := refusal()) is not None:  # named once, but by whose checkpoint now?
                    raise KafkaStorageError(reason)
                index = partition.topic_partition.partition
                limit = ledger.state.named_end_offset(log.topic_id, index) + 1
                log_cutting.evict_below(log, min(limit, end + 1))
    finally:
        for partition, _, _ in targets:
            wanted.pop(partition.topic_partition, None)
    return len(targets)


def _is_there(partition: "Partition", log: "Log", end: int, ledger: TierLedger) -> bool:
    """Whether a checkpoint names all up to that offset, or there is nothing to wait for."""
    index = partition.topic_partition.partition
    if ledger.state.named_end_offset(log.topic_id, index) >= end:
        return True
    # Empty, deleted, let go already, or led elsewhere.
    return log.log_start_offset > end or log.closed or not partition.is_leader
