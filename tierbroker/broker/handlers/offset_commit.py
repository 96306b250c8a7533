"""OffsetCommit (key 8), versions 2 to 10.

v2 to v4 carry a retention time: the offset expires by it, whatever its group does. v3 throttle
time. v6 leader epoch. v7 static members (KIP-345). v8 flexible. v9 member epochs of the consumer
protocol (KIP-848); a group that is not there is GROUP_ID_NOT_FOUND, before ILLEGAL_GENERATION. v10
topics by id. What does not exist is refused partition by partition, the rest is committed; a
request that names nothing that exists does not reach the coordinator.
"""

from collections.abc import Callable

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

_GROUP_ID_NOT_FOUND_SINCE = 9
_BY_ID_SINCE = 10

Refused = dict[str | bytes, OffsetCommitResponseTopic]
"""What is refused, by the topic's name or id as the client gave it."""


def handle(
    request: OffsetCommitRequest, context: RequestContext
) -> OffsetCommitResponse | Pending[OffsetCommitResponse]:
    """Commit the offsets of partitions that exist."""
    by_id = context.api_version >= _BY_ID_SINCE
    refused: Refused = {}
    request.topics = _existing(request.topics, context, by_id, refused)
    if not request.topics:
        return OffsetCommitResponse(topics=list(refused.values()))
    committing = context.broker.groups.commit_offsets(request)
    if context.api_version < _GROUP_ID_NOT_FOUND_SINCE:
        committing.on_done(_name_missing_group)
    if by_id or refused:
        committing.on_done(_complete(request, by_id, refused))
    return committing


def _existing(
    topics: list[OffsetCommitRequestTopic], context: RequestContext, by_id: bool, refused: Refused
) -> list[OffsetCommitRequestTopic]:
    """The topics and partitions that there are, with name and id; the others go to `refused`."""
    image = context.broker.image
    existing = []
    for topic in topics:
        found = image.topic_by_id(topic.topic_id) if by_id else image.topic(topic.name)
        if found is None:
            unknown = ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            for partition in topic.partitions:
                _refuse(refused, topic, by_id, partition.partition_index, unknown)
            continue
        topic.name, topic.topic_id = found.name, found.topic_id
        count = len(found.partitions)
        partitions = []
        for partition in topic.partitions:
            index = partition.partition_index
            if 0 <= index < count:
                partitions.append(partition)
            else:
                _refuse(refused, topic, by_id, index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        topic.partitions = partitions
        if partitions:
            existing.append(topic)
    return existing


def _refuse(
    refused: Refused, topic: OffsetCommitRequestTopic, by_id: bool, index: int, error: ErrorCode
) -> None:
    answer = refused.setdefault(
        topic.topic_id if by_id else topic.name,
        OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id),
    )
    answer.partitions.append(OffsetCommitResponsePartition(index, error))


def _name_missing_group(done: Pending[OffsetCommitResponse]) -> None:
    if done.error is not None:
        return
    for topic in done.result().topics:
        for partition in topic.partitions:
            if partition.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
                partition.error_code = ErrorCode.ILLEGAL_GENERATION


def _complete(
    request: OffsetCommitRequest, by_id: bool, refused: Refused
) -> Callable[[Pending[OffsetCommitResponse]], None]:
    """What makes the coordinator's answer whole: ids, and what was refused, which comes first."""

    def complete(done: Pending[OffsetCommitResponse]) -> None:
        if done.error is not None:
            return
        response = done.result()
        ids = {topic.name: topic.topic_id for topic in request.topics}
        topics = dict(refused)
        for topic in response.topics:
            topic.topic_id = ids[topic.name]
            earlier = topics.setdefault(topic.topic_id if by_id else topic.name, topic)
            if earlier is not topic:
                earlier.partitions += topic.partitions
        response.topics = list(topics.values())

    return complete
