"""Commits of offsets within transactions: they count once the transaction commits.

The journal goes first, as for every commit; what is flushed is pending in the store until the
marker comes. That the transaction is open on the shard's partition is for others to see to. The
rules are those of Kafka's OffsetMetadataManager.
"""

from collections.abc import Mapping

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.base.pending import Pending
from tierbroker.groups.committed_offsets import CommittedOffsets, Decided
from tierbroker.groups.errors import group_write_error
from tierbroker.groups.journal import Journal
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.record_codec import NO_TIMESTAMP
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)


class TransactionalCommits:
    """Loop thread only; the shard must be active."""

    def __init__(
        self, offsets: CommittedOffsets, memberships: Memberships, journal: Journal, clock: Clock
    ) -> None:
        self._offsets = offsets
        self._memberships = memberships
        self._journal = journal
        self._clock = clock

    def commit(
        self, request: TxnOffsetCommitRequest, topic_ids: Mapping[str, Uuid]
    ) -> Pending[TxnOffsetCommitResponse]:
        """All offsets of the request in one batch; answered when it is flushed.

        The batch is appended within this call. A topic's id is kept with the offset.
        """
        pending: Pending[TxnOffsetCommitResponse] = Pending()
        error = self._check(request)
        if error is not ErrorCode.NONE:
            pending.resolve(refused_transactional_commit(request, error))
            return pending
        decided, response = self._decide(request, topic_ids)
        if decided.records:
            self._write(request, decided, response, pending)
        else:
            pending.resolve(response)
        return pending

    def _check(self, request: TxnOffsetCommitRequest) -> ErrorCode:
        error = self._memberships.check_commit(
            request.group_id,
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            transactional=True,
        )
        missing = error is ErrorCode.GROUP_ID_NOT_FOUND
        return ErrorCode.ILLEGAL_GENERATION if missing else error

    def _decide(
        self, request: TxnOffsetCommitRequest, topic_ids: Mapping[str, Uuid]
    ) -> tuple[Decided, TxnOffsetCommitResponse]:
        now_ms = self._clock.now_ms()
        decided = Decided()
        response = TxnOffsetCommitResponse()
        for topic in request.topics:
            name = topic.name
            topic_id = topic_ids.get(name, ZERO_UUID)
            errors = self._offsets.decide(
                decided, request.group_id, name, topic_id, topic.partitions, now_ms, NO_TIMESTAMP
            )
            answers = [TxnOffsetCommitResponsePartition(number, error) for number, error in errors]
            response.topics.append(TxnOffsetCommitResponseTopic(name, answers))
        return decided, response

    def _write(
        self,
        request: TxnOffsetCommitRequest,
        decided: Decided,
        response: TxnOffsetCommitResponse,
        pending: Pending[TxnOffsetCommitResponse],
    ) -> None:
        group_id, producer_id = request.group_id, request.producer_id

        def done(error: ApiError | None) -> None:
            if error is None:
                for change in decided.changes:
                    self._offsets.store.add_pending(producer_id, group_id, *change)
                pending.resolve(response)
            else:
                pending.resolve(refused_transactional_commit(request, group_write_error(error)))

        self._journal.append_transactional(
            decided.records,
            producer_id,
            request.producer_epoch,
            self._offsets.track(group_id, decided.changes, done),
        )


def refused_transactional_commit(
    request: TxnOffsetCommitRequest, error: ErrorCode
) -> TxnOffsetCommitResponse:
    """The same error for every partition, as Kafka answers."""
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                topic.name,
                [
                    TxnOffsetCommitResponsePartition(asked.partition_index, error)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
