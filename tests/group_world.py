"""A shard's groups with a clock, timers and a journal that do what a test tells them."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence

from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Expiring
from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.groups.client import Client
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.ports import KeyValue, WriteDone
from tierbroker.groups.records.group_metadata_key import decode as decode_group_key
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.groups.records.group_metadata_value import decode as decode_group_value
from tierbroker.wire.messages.heartbeat import HeartbeatRequest
from tierbroker.wire.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from tierbroker.wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
)
from tierbroker.wire.messages.sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)

CLIENT = Client("c", "/127.0.0.1")


class ManualTimers:
    """Deadlines that pass when the clock is moved here, each at its own moment."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Expiring]] = []
        self._ticks = itertools.count()
        self._armed: set[int] = set()

    def __len__(self) -> int:
        return len(self._armed)

    def add(self, waiter: Expiring, delay_s: float) -> int:
        tick = next(self._ticks)
        heapq.heappush(self._heap, (self.clock.monotonic() + delay_s, tick, waiter))
        self._armed.add(tick)
        return tick

    def remove(self, waiter: Expiring, tick: int) -> None:
        self._armed.discard(tick)

    def advance(self, ms: int) -> None:
        """Let time pass, firing what is due on the way."""
        end_s = self.clock.monotonic() + ms / 1000
        fired = 0
        while self._heap and self._heap[0][0] <= end_s + 1e-9:
            fired += 1
            assert fired < 100_000, "a timer sets itself anew without time going on"
            due_s, tick, waiter = heapq.heappop(self._heap)
            if tick in self._armed:
                self._armed.discard(tick)
                left_ms = round((due_s - self.clock.monotonic()) * 1000)
                self.clock.advance(max(0, left_ms))
                waiter.expire()
        self.clock.advance(max(0, round((end_s - self.clock.monotonic()) * 1000)))


class ModelJournal:
    """Keeps records in memory; they are flushed at once, or when the test says so."""

    def __init__(self, *, flush_at_once: bool = True) -> None:
        self.flush_at_once = flush_at_once
        self.flushed: list[KeyValue] = []
        self.waiting: list[tuple[Sequence[KeyValue], WriteDone]] = []

    def append(self, records: Sequence[KeyValue], done: WriteDone) -> None:
        self.waiting.append((records, done))
        if self.flush_at_once:
            self.flush()

    def flush(self, count: int | None = None) -> None:
        """The oldest writes (all of them, unless told) are on disk."""
        for _ in range(len(self.waiting) if count is None else count):
            records, done = self.waiting.pop(0)
            self.flushed.extend(records)
            done(None)

    def fail(self, error: ApiError) -> None:
        """Nothing of what waits was written."""
        waiting, self.waiting = self.waiting, []
        for _, done in waiting:
            done(error)

    def groups(self) -> dict[str, GroupMetadataValue]:
        """The last value of every group, as compaction would leave them."""
        values: dict[str, GroupMetadataValue] = {}
        for key, value in self.flushed:
            group_id = decode_group_key(key, 2, 0)[0].group
            values.pop(group_id, None)
            if value is not None:
                version = int.from_bytes(value[:2], "big")
                values[group_id] = decode_group_value(value, 2, version)[0]
        return values


class GroupWorld:
    """Memberships and everything around it; `restart` is a crash and a start from the journal."""

    def __init__(
        self,
        config: GroupConfig | None = None,
        *,
        flush_at_once: bool = True,
        has_offsets: Callable[[str], bool] = lambda _: False,
        seed: int = 1,
    ) -> None:
        self.config = config or GroupConfig(initial_rebalance_delay_ms=0)
        self.clock = ManualClock()
        self.rng = random.Random(seed)
        self.has_offsets = has_offsets
        self.journal = ModelJournal(flush_at_once=flush_at_once)
        self.timers = ManualTimers(self.clock)
        self.groups = self._memberships()
        self.groups.start()

    def _memberships(self) -> Memberships:
        return Memberships(
            self.config,
            self.journal,
            self.timers,
            self.clock,
            self.rng,
            has_offsets=self.has_offsets,
        )

    def restart(self) -> None:
        """What was not flushed is gone, and so is everybody who waited."""
        flushed = self.journal.flushed
        self.journal = ModelJournal(flush_at_once=self.journal.flush_at_once)
        self.journal.flushed = flushed
        self.timers = ManualTimers(self.clock)
        self.groups = self._memberships()
        for group_id, value in self.journal.groups().items():
            self.groups.restore(value, group_id)
        self.groups.start()

    def advance(self, ms: int) -> None:
        self.timers.advance(ms)

    # --- requests, with what tests do not care about filled in

    def join(
        self,
        member_id: str = "",
        *,
        group: str = "g",
        instance: str | None = None,
        protocols: Sequence[tuple[str, bytes]] = (("range", b"meta"),),
        protocol_type: str = "consumer",
        session_ms: int = 10_000,
        rebalance_ms: int = 60_000,
        version: int = 9,
        client: Client = CLIENT,
    ) -> Pending[JoinGroupResponse]:
        request = JoinGroupRequest(
            group_id=group,
            session_timeout_ms=session_ms,
            rebalance_timeout_ms=rebalance_ms,
            member_id=member_id,
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocols=[JoinGroupRequestProtocol(name, data) for name, data in protocols],
        )
        return self.groups.join(
            request, client, member_id_required=version >= 4, may_skip_assignment=version >= 9
        )

    def sync(
        self,
        member_id: str,
        generation: int,
        assignments: dict[str, bytes] | None = None,
        *,
        group: str = "g",
        instance: str | None = None,
        protocol_type: str | None = None,
        protocol_name: str | None = None,
    ) -> Pending[SyncGroupResponse]:
        return self.groups.sync(
            SyncGroupRequest(
                group_id=group,
                generation_id=generation,
                member_id=member_id,
                group_instance_id=instance,
                protocol_type=protocol_type,
                protocol_name=protocol_name,
                assignments=[
                    SyncGroupRequestAssignment(name, data)
                    for name, data in (assignments or {}).items()
                ],
            )
        )

    def heartbeat(
        self, member_id: str, generation: int, *, group: str = "g", instance: str | None = None
    ) -> int:
        request = HeartbeatRequest(group, generation, member_id, instance)
        return self.groups.heartbeat(request).error_code

    def leave(
        self, *members: str | tuple[str, str | None], group: str = "g"
    ) -> Pending[LeaveGroupResponse]:
        identities = [
            MemberIdentity(member) if isinstance(member, str) else MemberIdentity(*member)
            for member in members
        ]
        return self.groups.leave(LeaveGroupRequest(group, members=identities))

    # --- whole ways through the protocol

    def join_dynamic(self, **options: object) -> tuple[str, Pending[JoinGroupResponse]]:
        """Both requests of a dynamic member; answers its id and the second one's promise."""
        member_id = self.join(**options).result().member_id  # type: ignore[arg-type]
        return member_id, self.join(member_id, **options)  # type: ignore[arg-type]

    def stable(self, size: int, **options: object) -> list[str]:
        """A stable group of that many members, the leader first; member i has assignment `b"i"`."""
        members: list[str] = []
        for _ in range(size):
            member_id, _ = self.join_dynamic(**options)
            members.append(member_id)
            joins = [self.join(member, **options) for member in members[:-1]]  # type: ignore[arg-type]
            assert all(join.done for join in joins)
        self.settle(members, **options)
        return members

    def settle(self, members: Sequence[str], **options: object) -> None:
        """Everybody syncs, the leader (first) last."""
        group = str(options.get("group", "g"))
        described = self.groups.describe(group)
        assert described is not None
        assert described.group_state == "CompletingRebalance"
        generation = self.generation(group)
        assignments = {member: str(n).encode() for n, member in enumerate(members)}
        for member in reversed(members):
            self.sync(member, generation, assignments, group=group)

    def generation(self, group: str = "g") -> int:
        return self.groups._groups[group].generation

    def state(self, group: str = "g") -> str | None:
        state = self.groups.state(group)
        return None if state is None else state.value
