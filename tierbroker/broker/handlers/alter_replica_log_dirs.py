"""AlterReplicaLogDirs (key 34), versions 1 to 2.

v2 flexible. A replica stays where it is: asking for the directory that holds it succeeds, a
directory that is not in log.dirs is LOG_DIR_NOT_FOUND. Absent: moving a replica to another
directory, which is answered with UNSUPPORTED_VERSION, so that nobody waits for it.
"""

from tierbroker.base.errors import (
    ApiError,
    KafkaStorageError,
    LogDirNotFoundError,
    UnsupportedVersionError,
)
from tierbroker.broker.api import RequestContext
from tierbroker.broker.services import BrokerServices
from tierbroker.wire.error_codes import ErrorCode, code_of
from tierbroker.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)


def handle(
    request: AlterReplicaLogDirsRequest, context: RequestContext
) -> AlterReplicaLogDirsResponse:
    """Say of each replica whether it is in the directory asked for; the last word counts."""
    codes: dict[str, dict[int, int]] = {}
    for wanted in request.dirs:
        for topic in wanted.topics:
            for index in topic.partitions:
                code = _code(context.broker, wanted.path, topic.name, index)
                codes.setdefault(topic.name, {})[index] = code
    return AlterReplicaLogDirsResponse(
        results=[
            AlterReplicaLogDirTopicResult(
                topic_name=name,
                partitions=[
                    AlterReplicaLogDirPartitionResult(index, code) for index, code in found.items()
                ],
            )
            for name, found in codes.items()
        ]
    )


def _code(broker: BrokerServices, path: str, topic: str, index: int) -> int:
    try:
        _check(broker, path, topic, index)
    except ApiError as error:
        return code_of(error)
    return ErrorCode.NONE


def _check(broker: BrokerServices, path: str, topic: str, index: int) -> None:
    """The replica is in that directory; raises ApiError if not."""
    log_dir = next((one for one in broker.log_dirs if one.path == path), None)
    if log_dir is None:
        raise LogDirNotFoundError(f"{path} is not in log.dirs")
    if log_dir.offline:
        raise KafkaStorageError(f"{path} is offline")
    partition = broker.partitions.get(topic, index)
    if partition.log_dir is not log_dir:
        raise UnsupportedVersionError(f"{topic}-{index} cannot be moved to {path}")
