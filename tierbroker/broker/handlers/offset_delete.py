"""OffsetDelete (key 47), version 0.

Forgets committed offsets of a group, partition by partition (KIP-496); not those of a topic that
a member is subscribed to. What does not exist is refused, unless the whole request is.
"""

from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


def handle(request: OffsetDeleteRequest, context: RequestContext) -> Pending[OffsetDeleteResponse]:
    """Delete the offsets of partitions that exist."""
    refused = _take_unknown(request, context)
    deleting = context.broker.groups.delete_offsets(request)
    if refused:
        deleting.on_done(lambda done: _add(done, refused))
    return deleting


def _take_unknown(
    request: OffsetDeleteRequest, context: RequestContext
) -> dict[str, OffsetDeleteResponseTopic]:
    """Takes the partitions that do not exist out of the request; returns the answers for them."""
    image = context.broker.image
    refused: dict[str, OffsetDeleteResponseTopic] = {}
    kept = []
    for topic in request.topics:
        found = image.topic(topic.name)
        count = 0 if found is None else len(found.partitions)
        known = [asked for asked in topic.partitions if 0 <= asked.partition_index < count]
        if len(known) < len(topic.partitions):
            answer = refused.setdefault(topic.name, OffsetDeleteResponseTopic(name=topic.name))
            answer.partitions += [
                OffsetDeleteResponsePartition(
                    asked.partition_index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                )
                for asked in topic.partitions
                if not 0 <= asked.partition_index < count
            ]
            topic.partitions = known
        if known:
            kept.append(topic)
    request.topics = kept
    return refused


def _add(
    done: Pending[OffsetDeleteResponse], refused: dict[str, OffsetDeleteResponseTopic]
) -> None:
    """Refused partitions come first, as in Kafka; an error of the group stands alone."""
    if done.error is not None or done.result().error_code != ErrorCode.NONE:
        return
    response = done.result()
    for topic in response.topics:
        earlier = refused.setdefault(topic.name, topic)
        if earlier is not topic:
            earlier.partitions += topic.partitions
    response.topics = list(refused.values())
