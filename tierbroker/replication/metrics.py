"""Metrics of partitions: sums by topic, and each by itself for who asks."""

from collections.abc import Iterable
from dataclasses import dataclass

from tierbroker.base.metrics import Samples, counter, gauge
from tierbroker.replication.partition import Partition

PARTITIONS = gauge("partitions", "Partitions on this broker.", "topic")
OFFLINE_PARTITIONS = gauge(
    "offline_partitions", "Partitions on this broker whose log cannot be used now."
)
LOG_SIZE = gauge("log_size_bytes", "Size of the logs on this broker's disks.", "topic")
LOG_SEGMENTS = gauge("log_segments", "Segments of the logs on this broker's disks.", "topic")
APPENDED = counter(
    "log_appended_bytes_total", "Bytes that were appended to the topic's logs.", "topic"
)
LOG_END_OFFSETS = gauge(
    "log_end_offsets", "Sum of the log end offsets: its rate is records appended.", "topic"
)
HIGH_WATERMARKS = gauge(
    "high_watermarks", "Sum of the high watermarks: its rate is records readable.", "topic"
)
PARTITION_START = gauge(
    "partition_log_start_offset", "The first offset that can be read.", "topic", "partition"
)
PARTITION_END = gauge(
    "partition_log_end_offset", "The offset of the next record.", "topic", "partition"
)
PARTITION_HIGH_WATERMARK = gauge(
    "partition_high_watermark", "The first offset that cannot be read yet.", "topic", "partition"
)
PARTITION_LAST_STABLE = gauge(
    "partition_last_stable_offset",
    "The first offset that cannot be read with read_committed.",
    "topic",
    "partition",
)
PARTITION_SIZE = gauge(
    "partition_log_size_bytes", "Size of the log on this broker's disk.", "topic", "partition"
)

DETAILS = (
    PARTITION_START,
    PARTITION_END,
    PARTITION_HIGH_WATERMARK,
    PARTITION_LAST_STABLE,
    PARTITION_SIZE,
)
"""Only with `?detail=partition`."""
METRICS = (
    PARTITIONS,
    OFFLINE_PARTITIONS,
    LOG_SIZE,
    LOG_SEGMENTS,
    APPENDED,
    LOG_END_OFFSETS,
    HIGH_WATERMARKS,
    *DETAILS,
)


@dataclass(slots=True)
class _Sums:
    partitions: int = 0
    size_bytes: int = 0
    segments: int = 0
    appended_bytes: int = 0
    end_offsets: int = 0
    high_watermarks: int = 0


class PartitionTotals:
    """Adds up partitions, in as many calls as the caller likes."""

    def __init__(self, *, details: bool) -> None:
        self._topics: dict[str, _Sums] = {}
        self._offline = 0
        self._details: list[Partition] | None = [] if details else None

    def add(self, partitions: Iterable[Partition]) -> None:
        """Look at these."""
        for partition in partitions:
            sums = self._topics.setdefault(partition.topic_partition.topic, _Sums())
            sums.partitions += 1
            log = partition.log
            if log is None or log.offline:
                self._offline += 1
                continue
            sums.size_bytes += log.size_bytes
            sums.segments += len(log.segments)
            sums.appended_bytes += log.appended_bytes
            sums.end_offsets += log.log_end_offset
            sums.high_watermarks += partition.high_watermark
            if self._details is not None:
                self._details.append(partition)

    def samples(self) -> Samples:
        """What was added."""
        yield OFFLINE_PARTITIONS.at(self._offline)
        for topic, sums in sorted(self._topics.items()):
            yield PARTITIONS.at(sums.partitions, topic)
            yield LOG_SIZE.at(sums.size_bytes, topic)
            yield LOG_SEGMENTS.at(sums.segments, topic)
            yield APPENDED.at(sums.appended_bytes, topic)
            yield LOG_END_OFFSETS.at(sums.end_offsets, topic)
            yield HIGH_WATERMARKS.at(sums.high_watermarks, topic)
        for partition in self._details or ():
            log = partition.log
            if log is None:
                continue
            place = partition.topic_partition.topic, str(partition.topic_partition.partition)
            # All of one moment, whoever takes them one by one.
            yield from (
                PARTITION_START.at(partition.log_start_offset, *place),
                PARTITION_END.at(log.log_end_offset, *place),
                PARTITION_HIGH_WATERMARK.at(partition.high_watermark, *place),
                PARTITION_LAST_STABLE.at(partition.last_stable_offset, *place),
                PARTITION_SIZE.at(log.size_bytes, *place),
            )
