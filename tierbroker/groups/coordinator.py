"""The group coordinator: finds the shard of a group and hands the request to it.

The face towards handlers and `node`. Sans-I/O: it knows no loop, no log and no clock of its own.
A request for a group whose shard is not active is answered with the reason; "there is no offset"
is never said by a shard that does not know.
"""

import random
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TypeVar

from tierbroker.base.background import Background, Yield
from tierbroker.base.clock import Clock
from tierbroker.base.ids import Uuid
from tierbroker.base.java_hash import partition_of
from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.committed_offsets import refused_commit
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.fetching import fetch_offsets
from tierbroker.groups.group import GroupState
from tierbroker.groups.ports import PartitionReader, PartitionWriter, Timers
from tierbroker.groups.record_codec import NAME_BYTES_MAX
from tierbroker.groups.shard import Shard, ShardState
from tierbroker.groups.transactional_commits import refused_transactional_commit
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_groups import DescribedGroup
from tierbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from tierbroker.wire.messages.list_groups import ListedGroup
from tierbroker.wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from tierbroker.wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from tierbroker.wire.messages.offset_fetch import OffsetFetchRequestGroup, OffsetFetchResponseGroup
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)

T = TypeVar("T")

_GROUP_TYPE = "classic"
_UTF8_BYTES_MAX = 4  # of a character


class GroupCoordinator:
    """All shards that this broker leads. Loop thread only."""

    def __init__(
        self,
        config: GroupConfig,
        writer: PartitionWriter,
        reader: PartitionReader,
        timers: Timers,
        clock: Clock,
        rng: random.Random,
        yield_: Yield,
    ) -> None:
        self._config = config
        self._writer = writer
        self._reader = reader
        self._timers = timers
        self._clock = clock
        self._rng = rng
        self._background = Background(clock, yield_)
        self._shards: dict[int, Shard] = {}
        self._stopped = False

    # --- life

    @property
    def loaded(self) -> bool:
        """Whether no shard is loading."""
        return all(shard.state is not ShardState.LOADING for shard in self._shards.values())

    def load(self, partition: int) -> None:
        """This broker leads the partition from now on: load it, over the next turns."""
        if self._stopped or partition in self._shards:
            return
        self._shards[partition] = Shard(
            partition,
            self._config,
            self._writer,
            self._reader,
            self._timers,
            self._clock,
            self._rng,
            self._background,
        )

    def unload(self, partition: int) -> None:
        """Another broker leads the partition: who waits is told NOT_COORDINATOR."""
        shard = self._shards.pop(partition, None)
        if shard is not None:
            shard.close(ErrorCode.NOT_COORDINATOR)

    def expire_offsets(self) -> None:
        """Look for expired offsets; due every `offsets.retention.check.interval.ms`."""
        for shard in self._shards.values():
            shard.expire_offsets()

    def forget_topics(self, topics: Mapping[str, Uuid]) -> None:
        """The topics (name, id) were deleted: their offsets go, over the next turns.

        Offsets that were committed for another topic of the name stay.
        """
        for shard in self._shards.values():
            shard.forget_topics(topics)

    def active_shards(self) -> list[Shard]:
        """Those that are loaded."""
        return [shard for shard in self._shards.values() if shard.state is ShardState.ACTIVE]

    def stop(self) -> None:
        """Answer whoever waits, take all timers back; requests get COORDINATOR_NOT_AVAILABLE."""
        self._stopped = True
        for shard in self._shards.values():
            shard.close(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    # --- routing

    @property
    def num_partitions(self) -> int:
        """Partitions that `__consumer_offsets` has, or will have when it is made."""
        return self._config.offsets_partitions

    def partition_for(self, group_id: str) -> int:
        """The partition of `__consumer_offsets` that keeps the group."""
        return partition_of(group_id, self._config.offsets_partitions)

    def _find(self, group_id: str) -> tuple[Shard | None, ErrorCode]:
        """(the group's shard, NONE), or (None, why there is none to ask)."""
        if self._stopped:
            return None, ErrorCode.COORDINATOR_NOT_AVAILABLE
        if (
            len(group_id) * _UTF8_BYTES_MAX > NAME_BYTES_MAX
            and len(group_id.encode()) > NAME_BYTES_MAX
        ):
            return None, ErrorCode.INVALID_GROUP_ID
        shard = self._shards.get(self.partition_for(group_id))
        if shard is None:
            return None, ErrorCode.NOT_COORDINATOR
        error = shard.error
        return (shard, error) if error is ErrorCode.NONE else (None, error)

    def _find_named(self, group_id: str) -> tuple[Shard | None, ErrorCode]:
        """As `_find`, for requests that Kafka does not accept with the empty group id."""
        return self._find(group_id) if group_id else (None, ErrorCode.INVALID_GROUP_ID)

    # --- membership

    def join_group(
        self,
        request: JoinGroupRequest,
        client: Client,
        *,
        member_id_required: bool,
        may_skip_assignment: bool = False,
    ) -> Pending[JoinGroupResponse]:
        """JoinGroup; see `Memberships.join`."""
        shard, error = self._find_named(request.group_id)
        if shard is None:
            return _resolved(JoinGroupResponse(error_code=error, member_id=request.member_id))
        return shard.memberships.join(
            request,
            client,
            member_id_required=member_id_required,
            may_skip_assignment=may_skip_assignment,
        )

    def sync_group(self, request: SyncGroupRequest) -> Pending[SyncGroupResponse]:
        """SyncGroup; see `Memberships.sync`."""
        shard, error = self._find_named(request.group_id)
        if shard is None:
            return _resolved(SyncGroupResponse(error_code=error))
        return shard.memberships.sync(request)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        """Heartbeat. While the shard loads it is NONE: members must not give up (as Kafka)."""
        shard, error = self._find_named(request.group_id)
        if shard is not None:
            return shard.memberships.heartbeat(request)
        if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            return HeartbeatResponse()
        return HeartbeatResponse(error_code=error)

    def leave_group(self, request: LeaveGroupRequest) -> Pending[LeaveGroupResponse]:
        """LeaveGroup; see `Memberships.leave`."""
        shard, error = self._find_named(request.group_id)
        if shard is None:
            return _resolved(LeaveGroupResponse(error_code=error))
        return shard.memberships.leave(request)

    # --- offsets

    def commit_offsets(self, request: OffsetCommitRequest) -> Pending[OffsetCommitResponse]:
        """OffsetCommit for topics that exist; see `CommittedOffsets.commit`."""
        shard, error = self._find(request.group_id)
        if shard is None:
            return _resolved(refused_commit(request, error))
        return shard.offsets.commit(request)

    def commit_transactional(
        self, request: TxnOffsetCommitRequest, topic_ids: Mapping[str, Uuid]
    ) -> Pending[TxnOffsetCommitResponse]:
        """TxnOffsetCommit for topics (name, id) that exist, of a transaction that is open here.

        The records are appended within this call. See `TransactionalCommits.commit`.
        """
        shard, error = self._find_named(request.group_id)
        if shard is None:
            return _resolved(refused_transactional_commit(request, error))
        return shard.transactional_commits.commit(request, topic_ids)

    def complete_transaction(self, partition: int, producer_id: int, *, commit: bool) -> None:
        """A marker on the partition of `__consumer_offsets` is visible to consumers.

        To be called in log order with the `done` of appends. What the producer committed within
        the transaction counts from now on, or is forgotten.
        """
        shard = self._shards.get(partition)
        if shard is not None:
            shard.complete_transaction(producer_id, commit=commit)

    def fetch_offsets(
        self, group: OffsetFetchRequestGroup, *, require_stable: bool
    ) -> OffsetFetchResponseGroup:
        """OffsetFetch of one group: what is flushed."""
        shard, error = self._find(group.group_id)
        if shard is None:
            return OffsetFetchResponseGroup(group.group_id, error_code=error)
        return fetch_offsets(shard.offsets.store, group, require_stable=require_stable)

    def count_offsets(self, group_id: str) -> int:
        """How many offsets a fetch of all of the group's would answer."""
        shard, _ = self._find(group_id)
        return 0 if shard is None else shard.offsets.store.count(group_id)

    def delete_offsets(self, request: OffsetDeleteRequest) -> Pending[OffsetDeleteResponse]:
        """OffsetDelete; see `Deletion.delete_offsets`."""
        shard, error = self._find_named(request.group_id)
        if shard is None:
            return _resolved(OffsetDeleteResponse(error_code=error))
        return shard.deletion.delete_offsets(request)

    # --- groups as a whole

    def describe_group(self, group_id: str) -> DescribedGroup:
        """DescribeGroups of one group.

        GROUP_ID_NOT_FOUND with a message for one that does not exist: below version 6 that is no
        error, only the state Dead.
        """
        shard, error = self._find(group_id)
        if shard is None:
            return DescribedGroup(error_code=error, group_id=group_id)
        described = shard.memberships.describe(group_id)
        if described is not None:
            return described
        return DescribedGroup(
            error_code=ErrorCode.GROUP_ID_NOT_FOUND,
            error_message=f"Group {group_id} not found.",
            group_id=group_id,
            group_state=GroupState.DEAD.value,
        )

    def list_groups(
        self, states_filter: Iterable[str] = (), types_filter: Iterable[str] = ()
    ) -> tuple[ErrorCode, list[ListedGroup]]:
        """The groups of all shards. A filter that names nothing lets everything pass.

        COORDINATOR_LOAD_IN_PROGRESS, and no group, while a shard loads. A shard that cannot be
        loaded counts as led by nobody, as in Kafka: the log has said so.
        """
        if self._stopped:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE, []
        if not self.loaded:
            return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, []
        states = {state.strip().lower() for state in states_filter}
        types = {kind.strip().lower() for kind in types_filter}
        if types and _GROUP_TYPE not in types:
            return ErrorCode.NONE, []
        active = (shard for shard in self._shards.values() if shard.state is ShardState.ACTIVE)
        rows = [row for shard in active for row in _listed(shard)]
        if states:
            rows = [row for row in rows if row.group_state.lower() in states]
        return ErrorCode.NONE, rows

    def delete_groups(self, group_ids: Iterable[str]) -> Pending[dict[str, ErrorCode]]:
        """DeleteGroups: each with its own error; answered when all tombstones are flushed."""
        pending: Pending[dict[str, ErrorCode]] = Pending()
        asked = list(dict.fromkeys(group_ids))
        results = dict.fromkeys(asked, ErrorCode.NONE)
        missing = set(asked)

        def deleted(group_id: str, done: Pending[ErrorCode]) -> None:
            results[group_id] = done.result()
            missing.discard(group_id)
            if not missing:
                pending.resolve(results)

        if not asked:
            pending.resolve(results)
        for group_id in asked:
            shard, error = self._find(group_id)
            done = _resolved(error) if shard is None else shard.deletion.delete_group(group_id)
            done.on_done(partial(deleted, group_id))
        return pending


def _resolved(value: T) -> Pending[T]:
    pending: Pending[T] = Pending()
    pending.resolve(value)
    return pending


def _listed(shard: Shard) -> Iterable[ListedGroup]:
    """The groups with members or a past, then those that have only offsets."""
    known = set()
    for row in shard.memberships.listed():
        known.add(row.group_id)
        yield row
    for group_id in shard.offsets.store.groups():
        if group_id not in known:
            yield ListedGroup(group_id, "", GroupState.EMPTY.value, _GROUP_TYPE)
