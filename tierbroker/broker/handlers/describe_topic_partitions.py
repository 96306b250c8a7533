"""DescribeTopicPartitions (key 75), version 0 (KIP-966).

Topics in name order, at most response_partition_limit partitions in one answer; the cursor says
where the next one goes on. No topics means all of them.
"""

from tierbroker.broker.api import RequestContext
from tierbroker.broker.operations import TOPIC_OPERATIONS
from tierbroker.broker.topic_creation import is_internal, is_legal_name
from tierbroker.controller.state.image import TopicImage
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
    ResponseCursor,
)

_MOST_PARTITIONS = 2000


def handle(
    request: DescribeTopicPartitionsRequest, context: RequestContext
) -> DescribeTopicPartitionsResponse:
    """Describe the topics asked, from the cursor on."""
    image = context.broker.image
    if _points_nowhere(request):
        return _refused(request)
    names = {topic.name for topic in request.topics} or {topic.name for topic in image.topics}
    cursor = request.cursor
    response = DescribeTopicPartitionsResponse()
    # One at least: with none at all a client would page for ever.
    room = max(1, min(_MOST_PARTITIONS, request.response_partition_limit))
    for name in sorted(names):
        if cursor is not None and name < cursor.topic_name:
            continue
        first = cursor.partition_index if cursor is not None and name == cursor.topic_name else 0
        if room <= 0:
            response.next_cursor = ResponseCursor(topic_name=name, partition_index=first)
            return response
        topic = image.topic(name)
        if topic is None:
            response.topics.append(_absent(name))
            continue
        last = min(len(topic.partitions), first + room)
        response.topics.append(_describe(topic, range(first, last), context))
        room -= max(0, last - first)
        if last < len(topic.partitions):
            response.next_cursor = ResponseCursor(topic_name=name, partition_index=last)
            return response
    return response


def _points_nowhere(request: DescribeTopicPartitionsRequest) -> bool:
    """Whether the cursor is of no topic that is asked, or of no partition at all."""
    cursor = request.cursor
    if cursor is None:
        return False
    asked = [topic.name for topic in request.topics]
    return cursor.partition_index < 0 or (bool(asked) and cursor.topic_name not in asked)


def _refused(request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse:
    return DescribeTopicPartitionsResponse(
        topics=[
            DescribeTopicPartitionsResponseTopic(
                error_code=ErrorCode.INVALID_REQUEST, name=topic.name
            )
            for topic in request.topics
        ]
    )


def _absent(name: str) -> DescribeTopicPartitionsResponseTopic:
    error = (
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if is_legal_name(name)
        else ErrorCode.INVALID_TOPIC_EXCEPTION
    )
    return DescribeTopicPartitionsResponseTopic(
        error_code=error, name=name, topic_authorized_operations=TOPIC_OPERATIONS
    )


def _describe(
    topic: TopicImage, indexes: range, context: RequestContext
) -> DescribeTopicPartitionsResponseTopic:
    listener = context.peer.listener_name
    partitions = []
    disks = context.broker.disks
    for index in indexes:
        partition = topic.partitions[index]
        reachable = frozenset(
            [
                replica
                for replica in partition.replicas
                if context.broker.endpoint_of(replica, listener) is not None
            ]
        )
        alive = disks.reached(partition, reachable)
        has_leader = partition.leader in alive
        partitions.append(
            DescribeTopicPartitionsResponsePartition(
                error_code=ErrorCode.NONE if has_leader else ErrorCode.LEADER_NOT_AVAILABLE,
                partition_index=index,
                leader_id=partition.leader if has_leader else -1,
                leader_epoch=partition.leader_epoch,
                replica_nodes=list(partition.replicas),
                isr_nodes=list(partition.isr),
                eligible_leader_replicas=list(partition.eligible_leader_replicas),
                last_known_elr=list(partition.last_known_elr),
                offline_replicas=[item for item in partition.replicas if item not in alive],
            )
        )
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=is_internal(topic.name),
        partitions=partitions,
        topic_authorized_operations=TOPIC_OPERATIONS,
    )
