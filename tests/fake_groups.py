"""A group coordinator that remembers what it was asked and answers what the test prepared."""

import pathlib
from types import SimpleNamespace
from typing import Any, cast

from tests.handler_bench import HandlerBench
from tierbroker.base.pending import Pending
from tierbroker.broker.api import RequestContext
from tierbroker.groups.client import Client
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_groups import DescribedGroup
from tierbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse
from tierbroker.wire.messages.list_groups import ListedGroup
from tierbroker.wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from tierbroker.wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequestGroup,
    OffsetFetchResponseGroup,
)
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


class FakeGroups:
    """Keeps each call in `calls`; what takes time is answered when the test resolves `pending`."""

    def __init__(self) -> None:
        self.offsets_of_a_group = 2
        self.calls: list[tuple[Any, ...]] = []
        self.pending: Pending[Any] = Pending()
        self.fetched = OffsetFetchResponseGroup(group_id="g")
        self.described = DescribedGroup(group_id="g", group_state="Stable")
        self.listed: tuple[ErrorCode, list[ListedGroup]] = (ErrorCode.NONE, [])

    def join_group(
        self, request: JoinGroupRequest, client: Client, **how: bool
    ) -> Pending[JoinGroupResponse]:
        self.calls.append((request, client, how))
        return self.pending

    def sync_group(self, request: SyncGroupRequest) -> Pending[SyncGroupResponse]:
        return self._later(request)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        self.calls.append((request,))
        return HeartbeatResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS)

    def leave_group(self, request: LeaveGroupRequest) -> Pending[LeaveGroupResponse]:
        return self._later(request)

    def commit_offsets(self, request: OffsetCommitRequest) -> Pending[OffsetCommitResponse]:
        return self._later(request)

    def fetch_offsets(
        self, group: OffsetFetchRequestGroup, *, require_stable: bool
    ) -> OffsetFetchResponseGroup:
        self.calls.append((group, require_stable))
        return self.fetched

    def count_offsets(self, group_id: str) -> int:
        return self.offsets_of_a_group

    def describe_group(self, group_id: str) -> DescribedGroup:
        self.calls.append((group_id,))
        return self.described

    def list_groups(
        self, states: list[str], types: list[str]
    ) -> tuple[ErrorCode, list[ListedGroup]]:
        self.calls.append((states, types))
        return self.listed

    def delete_groups(self, group_ids: list[str]) -> Pending[dict[str, ErrorCode]]:
        return self._later(group_ids)

    def delete_offsets(self, request: OffsetDeleteRequest) -> Pending[OffsetDeleteResponse]:
        return self._later(request)

    def _later(self, request: Any) -> Pending[Any]:
        self.calls.append((request,))
        return self.pending


class GroupBench:
    """Handlers of groups over a fake coordinator, and real topics."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.groups = FakeGroups()
        self._bench = HandlerBench(folder)
        self.add_topic = self._bench.add_topic
        self.answered = self._bench.answered
        self.count_turns = self._bench.count_turns

    def context(self, version: int) -> RequestContext:
        """A request of that version."""
        context = self._bench.context(version)
        services = SimpleNamespace(
            image=self._bench.services.image,
            groups=self.groups,
            turns=self._bench.services.turns,
        )
        context.broker = cast("Any", services)
        context.peer.client_host = "127.0.0.1"
        return context
