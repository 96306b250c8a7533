"""A group coordinator with its log in memory, and a loop and a clock that stand still."""

import random
from collections.abc import Callable, Mapping

from tests.group_log import GroupLog
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.groups.client import Client
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tierbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponseGroup,
)
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)

CONFIG = GroupConfig(initial_rebalance_delay_ms=0, offsets_partitions=1)
CLIENT = Client("client", "/127.0.0.1")
Offsets = dict[tuple[str, int], int]


class GroupBroker:
    """A coordinator of `partitions` shards, loaded unless `load` is False."""

    def __init__(
        self,
        log: GroupLog | None = None,
        config: GroupConfig = CONFIG,
        *,
        load: bool = True,
        clock: ManualClock | None = None,
    ) -> None:
        self.log = GroupLog() if log is None else log
        self.clock = clock or ManualClock()
        self.scheduler = ManualScheduler()
        self.turns = 0
        """Turns of the loop that the coordinator asked for."""
        self.deadlines = Deadlines(self.scheduler, self.clock)
        self.coordinator = GroupCoordinator(
            config,
            self.log,
            self.log,
            self.deadlines,
            self.clock,
            random.Random(7),
            self._yield,
        )
        if load:
            for partition in range(config.offsets_partitions):
                self.coordinator.load(partition)
            self.scheduler.end_turn()

    def _yield(self, callback: Callable[[], None]) -> None:
        self.turns += 1
        self.scheduler.call_soon(callback)

    def advance(self, ms: int) -> None:
        """Let time pass, for both the clock and the timers."""
        self.clock.advance(ms)
        self.scheduler.advance(ms / 1000)

    def restarted(self, config: GroupConfig = CONFIG) -> "GroupBroker":
        """Another coordinator on the same log at the same time; what was not flushed is gone."""
        self.log.crash()
        return GroupBroker(self.log, config, clock=self.clock)

    def commit(
        self,
        group_id: str,
        offsets: Offsets,
        *,
        member: tuple[str, int] = ("", -1),
        metadata: str | None = "",
        epoch: int = -1,
        retention_ms: int = -1,
        topic_id: Uuid = ZERO_UUID,
    ) -> Pending[OffsetCommitResponse]:
        """OffsetCommit of offsets by topic and partition."""
        return self.coordinator.commit_offsets(
            commit_request(
                group_id,
                offsets,
                member=member,
                metadata=metadata,
                epoch=epoch,
                retention_ms=retention_ms,
                topic_id=topic_id,
            )
        )

    def commit_transactional(
        self,
        group_id: str,
        offsets: Offsets,
        *,
        producer: tuple[int, int] = (9, 0),
        member: tuple[str, int] = ("", -1),
        metadata: str | None = "",
        topic_ids: Mapping[str, Uuid] | None = None,
    ) -> Pending[TxnOffsetCommitResponse]:
        """TxnOffsetCommit of offsets by topic and partition."""
        request = transactional_request(
            group_id, offsets, producer=producer, member=member, metadata=metadata
        )
        return self.coordinator.commit_transactional(request, topic_ids or {})

    def end_transaction(
        self, producer_id: int = 9, *, commit: bool = True, partition: int = 0
    ) -> None:
        """A marker is appended; the coordinator hears of it once it is flushed."""

        def done(error: ApiError | None) -> None:
            if error is None:
                self.coordinator.complete_transaction(partition, producer_id, commit=commit)

        self.log.append_marker(partition, producer_id, commit=commit, done=done)

    def fetch(
        self,
        group_id: str,
        wanted: dict[str, list[int]] | None = None,
        *,
        require_stable: bool = False,
    ) -> OffsetFetchResponseGroup:
        """OffsetFetch of some partitions, or of all."""
        topics = (
            None
            if wanted is None
            else [
                OffsetFetchRequestTopics(name, partition_indexes=partitions)
                for name, partitions in wanted.items()
            ]
        )
        return self.coordinator.fetch_offsets(
            OffsetFetchRequestGroup(group_id, topics=topics), require_stable=require_stable
        )

    def committed(self, group_id: str) -> Offsets:
        """All offsets of a group, as OffsetFetch tells them."""
        answer = self.fetch(group_id)
        assert answer.error_code == 0, answer
        return {
            (topic.name, partition.partition_index): partition.committed_offset
            for topic in answer.topics
            for partition in topic.partitions
        }

    def forget_topics(self, *names: str, topic_id: Uuid = ZERO_UUID) -> None:
        """Topics with this id were deleted; time enough for their offsets to go."""
        self.coordinator.forget_topics(dict.fromkeys(names, topic_id))
        self.scheduler.end_turn()

    def join(self, group_id: str, *topics: str, kind: str = "consumer") -> tuple[str, int]:
        """The only member of a group joins and gets its assignment: (member id, generation)."""
        request = join_request(group_id, "", *topics, kind=kind)
        joined = self.coordinator.join_group(request, CLIENT, member_id_required=False)
        self.log.flush()
        answer = joined.result()
        assert answer.error_code == 0, answer
        synced = self.coordinator.sync_group(
            SyncGroupRequest(
                group_id,
                answer.generation_id,
                answer.member_id,
                assignments=[SyncGroupRequestAssignment(answer.member_id, b"")],
            )
        )
        self.log.flush()
        assert synced.result().error_code == 0, synced.result()
        return answer.member_id, answer.generation_id

    def leave(self, group_id: str, member_id: str) -> None:
        """The member leaves."""
        left = self.coordinator.leave_group(
            LeaveGroupRequest(group_id, members=[MemberIdentity(member_id)])
        )
        self.log.flush()
        assert left.result().error_code == 0, left.result()


def join_request(
    group_id: str, member_id: str = "", *topics: str, kind: str = "consumer"
) -> JoinGroupRequest:
    """JoinGroup of a member that subscribes to the topics."""
    subscription = b"\x00\x00" + len(topics).to_bytes(4, "big")
    for topic in topics:
        subscription += len(topic).to_bytes(2, "big") + topic.encode()
    subscription += b"\xff\xff\xff\xff"
    return JoinGroupRequest(
        group_id,
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        member_id=member_id,
        protocol_type=kind,
        protocols=[JoinGroupRequestProtocol("range", subscription)],
    )


def commit_request(
    group_id: str,
    offsets: Offsets,
    *,
    member: tuple[str, int] = ("", -1),
    metadata: str | None = "",
    epoch: int = -1,
    retention_ms: int = -1,
    topic_id: Uuid = ZERO_UUID,
) -> OffsetCommitRequest:
    """OffsetCommit of offsets by topic and partition, all with the same metadata."""
    topics: dict[str, OffsetCommitRequestTopic] = {}
    for (name, partition), offset in offsets.items():
        topic = topics.setdefault(name, OffsetCommitRequestTopic(name, topic_id))
        topic.partitions.append(OffsetCommitRequestPartition(partition, offset, epoch, metadata))
    member_id, generation = member
    return OffsetCommitRequest(
        group_id, generation, member_id, None, retention_ms, list(topics.values())
    )


def transactional_request(
    group_id: str,
    offsets: Offsets,
    *,
    producer: tuple[int, int] = (9, 0),
    member: tuple[str, int] = ("", -1),
    metadata: str | None = "",
) -> TxnOffsetCommitRequest:
    """TxnOffsetCommit of offsets by topic and partition, all with the same metadata."""
    topics: dict[str, TxnOffsetCommitRequestTopic] = {}
    for (name, partition), offset in offsets.items():
        topic = topics.setdefault(name, TxnOffsetCommitRequestTopic(name))
        topic.partitions.append(TxnOffsetCommitRequestPartition(partition, offset, -1, metadata))
    return TxnOffsetCommitRequest(
        "tx", group_id, *producer, member[1], member[0], None, list(topics.values())
    )


def errors_of(
    done: Pending[OffsetCommitResponse] | Pending[TxnOffsetCommitResponse],
) -> dict[tuple[str, int], int]:
    """The error code of each partition of a commit."""
    return {
        (topic.name, partition.partition_index): partition.error_code
        for topic in done.result().topics
        for partition in topic.partitions
    }
