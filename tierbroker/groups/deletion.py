"""Deletes on somebody's word: DeleteGroups, OffsetDelete, and topics that are gone.

Each waits for the commits that are on their way, so that none of them survives what deletes it.
The rules are those of Kafka's ClassicGroup and OffsetMetadataManager.
"""

from collections.abc import Callable, Iterable
from functools import partial

from tierbroker.base.clock import Clock
from tierbroker.base.pending import Pending
from tierbroker.groups.committed_offsets import CommittedOffsets
from tierbroker.groups.group import GroupState
from tierbroker.groups.memberships import Memberships
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


class Deletion:
    """Loop thread only; the shard must be active."""

    def __init__(
        self,
        offsets: CommittedOffsets,
        memberships: Memberships,
        clock: Clock,
        closed: Callable[[], ErrorCode],
    ) -> None:
        # What the shard has become while a deletion waited; NONE while it is active.
        self._closed = closed
        self._offsets = offsets
        self._memberships = memberships
        self._clock = clock

    def delete_group(self, group_id: str) -> Pending[ErrorCode]:
        """NONE once the group is gone with all its offsets; NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND."""
        pending: Pending[ErrorCode] = Pending()
        self._offsets.when_settled(group_id, partial(self._delete_group, group_id, pending))
        return pending

    def _delete_group(self, group_id: str, pending: Pending[ErrorCode]) -> None:
        error, tombstone = self._closed(), None
        if error is ErrorCode.NONE:
            error, tombstone = self._memberships.delete(group_id)
        if error is not ErrorCode.NONE:
            pending.resolve(error)
            return
        store = self._offsets.store
        named = dict.fromkeys(
            (topic, partition)
            for topic in store.topics(group_id)
            for partition in store.partitions(group_id, topic)
        )
        named.update(dict.fromkeys(store.pending.partitions(group_id)))
        self._offsets.write_tombstones(group_id, list(named), tombstone, pending.resolve)

    def delete_offsets(self, request: OffsetDeleteRequest) -> Pending[OffsetDeleteResponse]:
        """OffsetDelete: of topics that the group does not subscribe to."""
        pending: Pending[OffsetDeleteResponse] = Pending()
        self._offsets.when_settled(
            request.group_id, partial(self._delete_offsets, request, pending)
        )
        return pending

    def _delete_offsets(
        self, request: OffsetDeleteRequest, pending: Pending[OffsetDeleteResponse]
    ) -> None:
        group_id = request.group_id
        error = self._check_offset_delete(group_id)
        if error is not ErrorCode.NONE:
            pending.resolve(OffsetDeleteResponse(error_code=error))
            return
        store = self._offsets.store
        doomed: dict[tuple[str, int], None] = {}
        topics = []
        for topic in request.topics:
            error = ErrorCode.NONE
            if is_subscribed(self._memberships, group_id, topic.name):
                error = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
            else:
                doomed.update(
                    ((topic.name, asked.partition_index), None)
                    for asked in topic.partitions
                    if store.get(group_id, topic.name, asked.partition_index) is not None
                    or store.pending.is_unstable(group_id, topic.name, asked.partition_index)
                )
            answers = [
                OffsetDeleteResponsePartition(asked.partition_index, error)
                for asked in topic.partitions
            ]
            topics.append(OffsetDeleteResponseTopic(topic.name, answers))

        def done(error: ErrorCode) -> None:
            if error is ErrorCode.NONE:
                pending.resolve(OffsetDeleteResponse(topics=topics))
            else:
                pending.resolve(OffsetDeleteResponse(error_code=error))

        self._offsets.write_tombstones(group_id, list(doomed), None, done)

    def _check_offset_delete(self, group_id: str) -> ErrorCode:
        closed = self._closed()
        if closed is not ErrorCode.NONE:
            return closed
        state = self._memberships.state(group_id)
        if state is None or state is GroupState.DEAD:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if state is not GroupState.EMPTY and not self._memberships.uses_consumer_protocol(group_id):
            return ErrorCode.NON_EMPTY_GROUP
        return ErrorCode.NONE

    def forget_topics(self, names: Iterable[str]) -> None:
        """The topics were deleted, and so are their offsets.

        Everything is decided in this turn: a commit for a new topic of the same name comes later.
        Where commits are on their way, only what was committed until now goes once they are there.
        """
        now_ms = self._clock.now_ms()
        store = self._offsets.store
        doomed: dict[tuple[str, str], None] = {}
        for name in names:
            doomed.update(((group_id, name), None) for group_id in store.groups_of_topic(name))
            doomed.update(((group_id, name), None) for group_id in self._offsets.writing_groups())
        for group_id, topic in doomed:
            self._offsets.when_settled(group_id, partial(self._forget, group_id, topic, now_ms))

    def _forget(self, group_id: str, topic: str, until_ms: int) -> None:
        store = self._offsets.store
        doomed = dict.fromkeys(
            (topic, partition)
            for partition, committed in store.committed(group_id, topic)
            if committed.commit_timestamp_ms <= until_ms
        )
        doomed.update(
            ((topic, partition), None)
            for name, partition in store.pending.partitions(group_id)
            if name == topic
        )
        if doomed:
            self._offsets.write_tombstones(group_id, list(doomed), None, lambda _: None)


def is_subscribed(memberships: Memberships, group_id: str, topic: str) -> bool:
    """Whether members use the topic, or may do so for all that is known."""
    topics = memberships.subscribed_topics(group_id)
    return memberships.uses_consumer_protocol(group_id) if topics is None else topic in topics
