"""OffsetFetch: what a group has committed. Only reads the store.

No commit is offset -1 and no error; a group that does not exist has no commits. Member id and
epoch of a request are for the newer group protocol and are not looked at, as in Kafka.
"""

from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.record_codec import CommittedOffset
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequestGroup,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)

NO_OFFSET = -1


def fetch_offsets(
    store: OffsetStore, request: OffsetFetchRequestGroup, *, require_stable: bool
) -> OffsetFetchResponseGroup:
    """The offsets that are asked for, or all if `topics` is null.

    An offset that was committed for an earlier topic of the same name does not exist for who asks
    by topic id.
    """
    group_id = request.group_id
    check_pending = require_stable and store.pending.is_open(group_id)
    topics = []
    if request.topics is None:
        for name in store.topics(group_id):
            found = list(store.committed(group_id, name))
            topic_id = found[0][1].topic_id
            answers = [_answer(partition, committed) for partition, committed in found]
            topics.append(OffsetFetchResponseTopics(name, topic_id, answers))
    else:
        for asked in request.topics:
            answers = [
                _answer(
                    partition,
                    _same_topic(store.get(group_id, asked.name, partition), asked.topic_id),
                )
                for partition in asked.partition_indexes
            ]
            topics.append(OffsetFetchResponseTopics(asked.name, asked.topic_id, answers))
    if check_pending:
        for topic in topics:
            _hide_unstable(store, group_id, topic)
    return OffsetFetchResponseGroup(group_id, topics)


def _answer(partition: int, committed: CommittedOffset | None) -> OffsetFetchResponsePartitions:
    if committed is None:
        return OffsetFetchResponsePartitions(partition, NO_OFFSET)
    return OffsetFetchResponsePartitions(
        partition, committed.offset, committed.leader_epoch, committed.metadata
    )


def _same_topic(committed: CommittedOffset | None, topic_id: Uuid) -> CommittedOffset | None:
    if committed is None or topic_id == ZERO_UUID:
        return committed
    return committed if committed.topic_id in (topic_id, ZERO_UUID) else None


def _hide_unstable(store: OffsetStore, group_id: str, topic: OffsetFetchResponseTopics) -> None:
    for number, answer in enumerate(topic.partitions):
        if store.pending.is_unstable(group_id, topic.name, answer.partition_index):
            topic.partitions[number] = OffsetFetchResponsePartitions(
                answer.partition_index, NO_OFFSET, error_code=ErrorCode.UNSTABLE_OFFSET_COMMIT
            )
