"""DescribeLogDirs (key 35), versions 1 to 5.

v2 flexible. v3 a top-level error. v4 size and free space of the file system (KIP-827). v5 whether
the directory takes no new partitions (KIP-1066), which cannot be asked for here. No topics means
all. A directory whose disk failed answers KAFKA_STORAGE_ERROR and no partitions. The space is
looked at once a second. Absent: replicas that move between directories.
"""

from tierbroker.broker.api import RequestContext
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


def handle(request: DescribeLogDirsRequest, context: RequestContext) -> DescribeLogDirsResponse:
    """Tell of each directory its space and what of the partitions asked for it holds."""
    broker = context.broker
    wanted: set[tuple[str, int]] | None = None
    if request.topics is not None:
        wanted = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
    held: dict[str, list[Partition]] = {}
    for partition in broker.partitions:
        if partition.log_dir is None or partition.log is None:
            continue
        if wanted is None or partition.topic_partition in wanted:
            held.setdefault(partition.log_dir.path, []).append(partition)
    return DescribeLogDirsResponse(
        results=[_result(log_dir, held.get(log_dir.path, [])) for log_dir in broker.log_dirs]
    )


def _result(log_dir: LogDir, partitions: list[Partition]) -> DescribeLogDirsResult:
    if log_dir.offline:
        return DescribeLogDirsResult(
            error_code=ErrorCode.KAFKA_STORAGE_ERROR, log_dir=log_dir.path, topics=[]
        )
    topics: dict[str, DescribeLogDirsTopic] = {}
    for partition in partitions:
        name, index = partition.topic_partition
        topic = topics.setdefault(name, DescribeLogDirsTopic(name=name, partitions=[]))
        assert partition.log is not None
        topic.partitions.append(
            DescribeLogDirsPartition(partition_index=index, partition_size=partition.log.size_bytes)
        )
    return DescribeLogDirsResult(
        log_dir=log_dir.path,
        topics=list(topics.values()),
        total_bytes=log_dir.total_bytes,
        usable_bytes=log_dir.free_bytes,
    )
