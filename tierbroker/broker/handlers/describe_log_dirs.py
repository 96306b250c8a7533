"""DescribeLogDirs (key 35), versions 1 to 5.

v2 flexible. v3 a top-level error. v4 size and free space of the file system (KIP-827). v5 whether
the directory takes no new partitions (KIP-1066), which cannot be asked for here. No topics means
all. A directory whose disk failed answers KAFKA_STORAGE_ERROR and no partitions. The space is
looked at once a second. Many partitions are described in several turns of the loop. Absent:
replicas that move between directories.
"""

import asyncio

from tierbroker.base.ids import TopicPartition
from tierbroker.broker.api import RequestContext
from tierbroker.broker.services import BrokerServices
from tierbroker.hot.log_dir import LogDir
from tierbroker.replication.partition import Partition
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)

_PARTITIONS_PER_TURN = 1_000


async def handle(
    request: DescribeLogDirsRequest, context: RequestContext
) -> DescribeLogDirsResponse:
    """Tell of each directory its space and what of the partitions asked for it holds."""
    broker = context.broker
    held: dict[str, dict[str, DescribeLogDirsTopic]] = {
        log_dir.path: {} for log_dir in broker.log_dirs
    }
    for number, partition in enumerate(_wanted(broker, request), start=1):
        log_dir, log = partition.log_dir, partition.log
        if log_dir is None or log is None or log_dir.offline:
            continue
        name, index = partition.topic_partition
        topics = held[log_dir.path]
        if name not in topics:
            topics[name] = DescribeLogDirsTopic(name=name)
        topics[name].partitions.append(DescribeLogDirsPartition(index, log.size_bytes))
        if number % _PARTITIONS_PER_TURN == 0:
            await asyncio.sleep(0)
    return DescribeLogDirsResponse(
        results=[_result(log_dir, held[log_dir.path]) for log_dir in broker.log_dirs]
    )


def _wanted(broker: BrokerServices, request: DescribeLogDirsRequest) -> list[Partition]:
    """The partitions asked for that are here, each once."""
    if request.topics is None:
        return list(broker.partitions)
    places = {
        TopicPartition(topic.topic, index): None
        for topic in request.topics
        for index in topic.partitions
    }
    found = (broker.partitions.find(place) for place in places)
    return [partition for partition in found if partition is not None]


def _result(log_dir: LogDir, topics: dict[str, DescribeLogDirsTopic]) -> DescribeLogDirsResult:
    if log_dir.offline:
        return DescribeLogDirsResult(error_code=ErrorCode.KAFKA_STORAGE_ERROR, log_dir=log_dir.path)
    return DescribeLogDirsResult(
        log_dir=log_dir.path,
        topics=list(topics.values()),
        total_bytes=log_dir.total_bytes,
        usable_bytes=log_dir.free_bytes,
    )
