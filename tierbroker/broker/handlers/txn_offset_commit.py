"""TxnOffsetCommit (key 28), versions 0 to 5.

v2 leader epoch; before, a coordinator that loads is COORDINATOR_NOT_AVAILABLE, because clients of
that time crash otherwise. v3 flexible, member and generation (KIP-447). v4 TRANSACTION_ABORTABLE.
v5 is for transactions of version 2: the group's partition is added to the transaction by this
request. Before, it is only looked at whether it was added.
What does not exist is refused partition by partition, the rest is committed; a request that names
nothing that exists does not reach the coordinator.
"""

from collections.abc import Callable

from tierbroker.base.errors import ApiError
from tierbroker.base.ids import Uuid
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.groups.errors import group_write_error
from tierbroker.groups.transactional_commits import refused_transactional_commit
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

_LOADING_KNOWN_SINCE = 2
_ABORTABLE_KNOWN_SINCE = 4
_IMPLICIT_SINCE = 5

Refused = dict[str, TxnOffsetCommitResponseTopic]


def handle(
    request: TxnOffsetCommitRequest, context: RequestContext
) -> TxnOffsetCommitResponse | Pending[TxnOffsetCommitResponse]:
    """Commit the offsets of partitions that exist, once the transaction is known to be open."""
    refused: Refused = {}
    topic_ids: dict[str, Uuid] = {}
    request.topics = _existing(request.topics, context, refused, topic_ids)
    if not request.topics:
        return TxnOffsetCommitResponse(topics=list(refused.values()))
    answer: Pending[TxnOffsetCommitResponse] = Pending()

    def committed(response: TxnOffsetCommitResponse) -> None:
        if context.api_version < _LOADING_KNOWN_SINCE:
            _hide_loading(response)
        _merge(refused, response)
        answer.resolve(response)

    def admitted(error: ErrorCode) -> None:
        if error is not ErrorCode.NONE:
            committed(refused_transactional_commit(request, error))
            return
        committing = context.broker.groups.commit_transactional(request, topic_ids)
        committing.on_done(lambda done: committed(done.result()))

    _ask_gate(request, context, admitted)
    return answer


def _ask_gate(
    request: TxnOffsetCommitRequest, context: RequestContext, then: Callable[[ErrorCode], None]
) -> None:
    """`then` gets NONE while the transaction is open on the group's partition, else the reason."""
    broker = context.broker
    if not request.group_id:
        then(ErrorCode.INVALID_GROUP_ID)
        return
    index = broker.groups.partition_for(request.group_id)
    try:
        partition = broker.partitions.get(OFFSETS_TOPIC, index)
        partition.check_leader()
    except ApiError as error:
        then(group_write_error(error))
        return
    broker.txn_gate.admit(
        request.transactional_id,
        request.producer_id,
        request.producer_epoch,
        partition,
        implicit=context.api_version >= _IMPLICIT_SINCE,
        knows_abortable=context.api_version >= _ABORTABLE_KNOWN_SINCE,
        then=then,
    )


def _existing(
    topics: list[TxnOffsetCommitRequestTopic],
    context: RequestContext,
    refused: Refused,
    topic_ids: dict[str, Uuid],
) -> list[TxnOffsetCommitRequestTopic]:
    """The topics and partitions that there are; the others go to `refused`."""
    existing = []
    for topic in topics:
        found = context.broker.image.topic(topic.name)
        count = 0 if found is None else len(found.partitions)
        partitions = []
        for partition in topic.partitions:
            index = partition.partition_index
            if 0 <= index < count:
                partitions.append(partition)
            else:
                answer = refused.setdefault(topic.name, TxnOffsetCommitResponseTopic(topic.name))
                answer.partitions.append(
                    TxnOffsetCommitResponsePartition(index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
                )
        if found is not None and partitions:
            topic_ids[topic.name] = found.topic_id
            existing.append(TxnOffsetCommitRequestTopic(topic.name, partitions))
    return existing


def _hide_loading(response: TxnOffsetCommitResponse) -> None:
    for topic in response.topics:
        for partition in topic.partitions:
            if partition.error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
                partition.error_code = ErrorCode.COORDINATOR_NOT_AVAILABLE


def _merge(refused: Refused, response: TxnOffsetCommitResponse) -> None:
    """Add what was refused here, which comes first."""
    if refused:
        topics = dict(refused)
        for topic in response.topics:
            earlier = topics.setdefault(topic.name, topic)
            if earlier is not topic:
                earlier.partitions += topic.partitions
        response.topics = list(topics.values())
