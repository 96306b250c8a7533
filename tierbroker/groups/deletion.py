"""Deletes on somebody's word: DeleteGroups, OffsetDelete, and topics that are gone.

Commits that are on their way are deleted as well: they come before the tombstone in the log. The
rules are those of Kafka's ClassicGroup and OffsetMetadataManager.
"""

import logging
from collections.abc import Mapping
from functools import partial

from tierbroker.base.ids import Uuid
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

logger = logging.getLogger(__name__)


class Deletion:
    """Loop thread only; the shard must be active."""

    def __init__(self, offsets: CommittedOffsets, memberships: Memberships) -> None:
        self._offsets = offsets
        self._memberships = memberships

    def delete_group(self, group_id: str) -> Pending[ErrorCode]:
        """NONE once the group is gone with all its offsets; NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND."""
        pending: Pending[ErrorCode] = Pending()
        error, tombstone = self._memberships.delete(group_id)
        if error is not ErrorCode.NONE:
            pending.resolve(error)
            return pending
        named = self._offsets.named(group_id)
        self._offsets.write_tombstones(group_id, named, tombstone, pending.resolve)
        return pending

    def delete_offsets(self, request: OffsetDeleteRequest) -> Pending[OffsetDeleteResponse]:
        """OffsetDelete: of topics that the group does not subscribe to."""
        pending: Pending[OffsetDeleteResponse] = Pending()
        group_id = request.group_id
        error = self._check_offset_delete(group_id)
        if error is not ErrorCode.NONE:
            pending.resolve(OffsetDeleteResponse(error_code=error))
            return pending
        named = set(self._offsets.named(group_id))
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
                    if (topic.name, asked.partition_index) in named
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
        return pending

    def _check_offset_delete(self, group_id: str) -> ErrorCode:
        state = self._memberships.state(group_id)
        if state is None or state is GroupState.DEAD:
            return ErrorCode.GROUP_ID_NOT_FOUND
        if state is not GroupState.EMPTY and not self._memberships.uses_consumer_protocol(group_id):
            return ErrorCode.NON_EMPTY_GROUP
        return ErrorCode.NONE

    def forget_topics(self, group_id: str, topics: Mapping[str, Uuid]) -> None:
        """The topics (name, id) were deleted, and so are the group's offsets of them.

        Meanwhile there may be a new topic of the same name, with offsets of its own.
        """
        committed = self._offsets.committed_for(group_id, topics)
        self._offsets.write_tombstones(group_id, committed, None, partial(_warn_if_kept, group_id))


def _warn_if_kept(group_id: str, error: ErrorCode) -> None:
    if error is not ErrorCode.NONE:
        logger.warning("group %r keeps offsets of deleted topics: %s", group_id, error.name)


def is_subscribed(memberships: Memberships, group_id: str, topic: str) -> bool:
    """Whether members use the topic, or may do so for all that is known."""
    topics = memberships.subscribed_topics(group_id)
    return memberships.uses_consumer_protocol(group_id) if topics is None else topic in topics
