"""OffsetFetch (key 9), versions 1 to 10.

v2 null topics mean all; an error of the group at the top, before at each partition. v3 throttle
time. v5 leader epoch. v6 flexible. v7 the client may insist on offsets that no open transaction
can change (KIP-447). v8 several groups. v9 member epochs of the consumer protocol (KIP-848). v10
topics by id. A partition without a commit is not an error: its offset is -1.
"""

from tierbroker.base.errors import CloseConnection
from tierbroker.base.ids import ZERO_UUID
from tierbroker.base.pending import Pending
from tierbroker.base.turns import at_once_or_later
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.image import MetadataImage
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

_GROUP_ERROR_SINCE = 2
_GROUPS_SINCE = 8
_BY_ID_SINCE = 10
_NO_OFFSET = -1
_OFFSETS_MAX = 1_000_000
"""Most offsets of whole groups in one answer: a few bytes can name a group a thousand times."""


def handle(
    request: OffsetFetchRequest, context: RequestContext
) -> OffsetFetchResponse | Pending[OffsetFetchResponse]:
    """Answer what was committed last, for the groups and partitions asked.

    What is told of one group is of one moment; many groups take several turns.
    """
    return at_once_or_later(_fetch(request, context))


async def _fetch(request: OffsetFetchRequest, context: RequestContext) -> OffsetFetchResponse:
    groups = context.broker.groups
    version = context.api_version
    if version < _GROUPS_SINCE:
        answer = groups.fetch_offsets(
            _as_group(request.group_id, request.topics), require_stable=request.require_stable
        )
        return _single(answer, request.topics, version)
    turns = context.broker.turns()
    offsets = 0
    for group in request.groups:
        if group.topics is None:
            offsets += groups.count_offsets(group.group_id)
            if offsets > _OFFSETS_MAX:
                raise CloseConnection(f"the groups asked for have more than {_OFFSETS_MAX} offsets")
        await turns.after()
    stable = request.require_stable
    response = OffsetFetchResponse()
    for group in request.groups:
        if version < _BY_ID_SINCE:
            answer = groups.fetch_offsets(group, require_stable=stable)
        else:
            answer = _fetch_by_id(group, context, require_stable=stable)
        response.groups.append(answer)
        await turns.after(1 + sum(len(topic.partitions) for topic in answer.topics))
    return response


def _as_group(
    group_id: str, topics: list[OffsetFetchRequestTopic] | None
) -> OffsetFetchRequestGroup:
    asked = None
    if topics is not None:
        asked = [
            OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
            for topic in topics
        ]
    return OffsetFetchRequestGroup(group_id=group_id, topics=asked)


def _single(
    answer: OffsetFetchResponseGroup, asked: list[OffsetFetchRequestTopic] | None, version: int
) -> OffsetFetchResponse:
    """The shape of the versions that know one group."""
    if answer.error_code != ErrorCode.NONE and version < _GROUP_ERROR_SINCE:
        failed = [
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        index, _NO_OFFSET, metadata="", error_code=answer.error_code
                    )
                    for index in topic.partition_indexes
                ],
            )
            for topic in asked or ()
        ]
        return OffsetFetchResponse(topics=failed)
    topics = [
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=[
                OffsetFetchResponsePartition(
                    found.partition_index,
                    found.committed_offset,
                    found.committed_leader_epoch,
                    found.metadata,
                    found.error_code,
                )
                for found in topic.partitions
            ],
        )
        for topic in answer.topics
    ]
    return OffsetFetchResponse(topics=topics, error_code=answer.error_code)


def _fetch_by_id(
    group: OffsetFetchRequestGroup, context: RequestContext, *, require_stable: bool
) -> OffsetFetchResponseGroup:
    image = context.broker.image
    unknown: list[OffsetFetchResponseTopics] = []
    if group.topics is not None:
        group.topics = _named(group.topics, image, unknown)
    answer = context.broker.groups.fetch_offsets(group, require_stable=require_stable)
    if answer.error_code != ErrorCode.NONE:
        return answer
    topics = []
    for topic in answer.topics:
        # Offsets of a topic that is being deleted may still be there; it has no id any more.
        found = image.topic(topic.name)
        if found is not None:
            topic.topic_id = found.topic_id
            topics.append(topic)
    answer.topics = topics + unknown
    return answer


def _named(
    asked: list[OffsetFetchRequestTopics],
    image: MetadataImage,
    unknown: list[OffsetFetchResponseTopics],
) -> list[OffsetFetchRequestTopics]:
    """The topics that there are, with their names; answers for the others go to `unknown`."""
    named = []
    for topic in asked:
        found = image.topic_by_id(topic.topic_id) if topic.topic_id != ZERO_UUID else None
        if found is not None:
            topic.name = found.name
            named.append(topic)
            continue
        partitions = [
            OffsetFetchResponsePartitions(
                index, _NO_OFFSET, metadata="", error_code=ErrorCode.UNKNOWN_TOPIC_ID
            )
            for index in topic.partition_indexes
        ]
        unknown.append(OffsetFetchResponseTopics(topic_id=topic.topic_id, partitions=partitions))
    return named
