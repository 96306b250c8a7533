"""Members that join, sync, vanish and come back, while records fail and the coordinator crashes.

What must hold whatever happens: the assignments that are handed out in one generation are those
that its leader sent, all from one request; generations never go back; what was answered survives;
no request waits for ever.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.group_world import GroupWorld
from tierbroker.base.errors import KafkaStorageError, NotEnoughReplicasError
from tierbroker.base.pending import Pending
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.group import GroupState
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.join_group import JoinGroupResponse
from tierbroker.wire.messages.leave_group import LeaveGroupResponse
from tierbroker.wire.messages.sync_group import SyncGroupResponse

NAMES = ("A", "B", "C", "S", "T")
INSTANCES = {"S": "s", "T": "t"}
PROTOCOLS = (
    (("range", b"r"),),
    (("range", b"r2"), ("sticky", b"s")),
    (("sticky", b"s"), ("range", b"r")),
)

names = st.sampled_from(NAMES)


@dataclass
class Process:
    """What one client knows: it has one connection, so one request at a time."""

    name: str
    member_id: str = ""
    generation: int = -1
    protocols: int = 0
    assigned: bool = False
    """It has its assignment of this generation."""
    parked: Pending[JoinGroupResponse] | Pending[SyncGroupResponse] | None = None
    syncs: bool = False
    """What is parked is a SyncGroup."""


@dataclass
class Generation:
    """What the model knows of one generation of the group."""

    leader: str
    members: dict[str, str] = field(default_factory=dict)
    """Member ids with their owners: the instance of a static member, or the id itself."""
    sent: list[dict[str, bytes]] = field(default_factory=list)
    """By owner, what the leader sent: one for each of its requests that may have been taken."""


class Groups(RuleBasedStateMachine):
    @initialize(
        delay_ms=st.sampled_from((0, 0, 3_000)),
        max_size=st.sampled_from((3, 100, 100)),
        at_once=st.sampled_from((True, False, False)),
    )
    def begin(self, delay_ms: int, max_size: int, at_once: bool) -> None:
        config = GroupConfig(initial_rebalance_delay_ms=delay_ms, max_size=max_size)
        self.world = GroupWorld(config, flush_at_once=at_once)
        self.processes = {name: Process(name) for name in NAMES}
        self.generations: dict[int, Generation] = {}
        self.seen: dict[str, int] = {}
        """The last generation that each member id was told since the coordinator started."""
        self.synced = 0
        """The last generation in which somebody got an assignment."""
        self.waiting: list[Pending[object]] = []
        self.nonce = 0

    # --- what clients do

    @rule(name=names, fresh=st.integers(0, 4), protocols=st.none() | st.integers(0, 2))
    def join(self, name: str, fresh: int, protocols: int | None) -> None:
        """With the id that it has, or as a new process."""
        process = self.processes[name]
        if process.parked is not None:
            return
        if fresh == 0:
            process.member_id = ""
        if protocols is not None:
            process.protocols = protocols
        pending = self.world.join(
            process.member_id,
            instance=INSTANCES.get(name),
            protocols=PROTOCOLS[process.protocols],
        )
        self._park(process, pending, syncs=False)
        pending.on_done(lambda done: self._joined(process, done))

    @rule(name=names, older=st.integers(0, 6))
    def sync(self, name: str, older: int) -> None:
        """For the generation that it knows; now and then for the one before."""
        process = self.processes[name]
        if process.parked is not None or not process.member_id:
            return
        generation = process.generation - (older == 0)
        known = self.generations.get(generation)
        assignments: dict[str, bytes] = {}
        if known is not None and self._owner(process, process.member_id) == known.leader:
            self.nonce += 1
            assignments = {
                member: f"{generation}/{owner}/{self.nonce}".encode()
                for member, owner in known.members.items()
            }
            known.sent.append({known.members[member]: v for member, v in assignments.items()})
        pending = self.world.sync(
            process.member_id, generation, assignments, instance=INSTANCES.get(name)
        )
        self._park(process, pending, syncs=True)
        pending.on_done(lambda done: self._synced(process, generation, done))

    @rule(name=names)
    def heartbeat(self, name: str) -> None:
        self._beat(name)

    def _beat(self, name: str) -> int:
        process = self.processes[name]
        error = self.world.heartbeat(
            process.member_id, process.generation, instance=INSTANCES.get(name)
        )
        if error in (ErrorCode.NONE, ErrorCode.REBALANCE_IN_PROGRESS):
            assert process.generation == self._current()
        if error in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
            process.member_id = ""
        return error

    @rule(name=names)
    def commit(self, name: str) -> None:
        process = self.processes[name]
        if process.generation < 0 or not process.member_id:
            return
        error = self.world.groups.check_commit(
            "g", process.member_id, INSTANCES.get(name), process.generation
        )
        if error is ErrorCode.NONE:
            assert process.generation == self._current()
            assert self.world.state() in ("Stable", "PreparingRebalance")

    @rule(name=names, by_instance=st.booleans())
    def leave(self, name: str, by_instance: bool) -> None:
        process = self.processes[name]
        instance = INSTANCES.get(name)
        member_id = "" if by_instance and instance is not None else process.member_id
        pending = self.world.leave((member_id, instance))
        self.waiting.append(pending)  # type: ignore[arg-type]
        if not by_instance:
            process.member_id = ""

        def left(done: Pending[LeaveGroupResponse]) -> None:
            response = done.result()
            assert response.error_code != ErrorCode.NONE or len(response.members) == 1

        pending.on_done(left)

    @rule(name=names)
    def disconnect(self, name: str) -> None:
        """The connection is gone, and with it the answer."""
        process = self.processes[name]
        if process.parked is not None:
            process.parked.cancel()
            process.parked = None

    @rule(name=names)
    def retry(self, name: str) -> None:
        """The answer takes too long: once more, over another connection."""
        process = self.processes[name]
        if process.parked is None:
            return
        syncs = process.syncs
        self.disconnect(name)
        if syncs:
            self.sync(name, 1)
        else:
            self.join(name, 1, None)

    @rule(
        chosen=st.lists(names, min_size=1, max_size=20),
        flush=st.sampled_from(("never", "always", "at the end")),
        restarts=st.sampled_from(("", "", *NAMES)),
        patient=st.booleans(),
    )
    def behave(self, chosen: list[str], flush: str, restarts: str, patient: bool) -> None:
        """Some go on as clients do that mean well; one of them may start anew on its way."""
        for name in chosen:
            process = self.processes[name]
            if process.parked is not None:
                if not patient:
                    self.retry(name)
                continue
            if name == restarts:
                self.join(name, 0, None)
                restarts = ""
            elif not process.member_id or process.generation < 0:
                self.join(name, 1, None)
            elif not process.assigned:
                self.sync(name, 1)
            elif self._beat(name) != ErrorCode.NONE:
                self.join(name, 1, None)
            if flush == "always":
                self.world.journal.flush()
        if flush != "never":
            self.world.journal.flush()

    # --- what the world does

    @rule(ms=st.sampled_from((1, 500, 3_000, 9_900, 10_100, 60_000)))
    def tick(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(count=st.integers(1, 3))
    def flush(self, count: int) -> None:
        self.world.journal.flush(min(count, len(self.world.journal.waiting)))

    @rule(error=st.sampled_from((NotEnoughReplicasError, KafkaStorageError)))
    def fail(self, error: type[NotEnoughReplicasError | KafkaStorageError]) -> None:
        self.world.journal.fail(error())
        if self.world.state() is None:
            # Not even that there is such a group was on disk: the next one begins anew.
            assert self.synced == 0
            self.generations, self.seen = {}, {}

    @rule()
    def crash(self) -> None:
        """Everything in memory is gone; what was flushed is there again, unchanged."""
        kept = self.world.journal.groups().get("g")
        self.world.restart()
        self.waiting.clear()
        for process in self.processes.values():
            process.parked = None
        described = self.world.groups.describe("g")
        if kept is None:
            assert described is None
            assert self.synced == 0
            self.generations = {}
        else:
            assert described is not None
            assert self._current() == kept.generation >= self.synced
            shown = {m.member_id: bytes(m.member_assignment) for m in described.members}
            assert shown == {m.member_id: bytes(m.assignment) for m in kept.members}
            assert described.group_state == ("Stable" if kept.members else "Empty")
            if kept.generation in self.generations and kept.members:
                self._still_assigned(kept)
            # Later generations were never on disk, and will be others.
            self.generations = {g: k for g, k in self.generations.items() if g <= kept.generation}
        self.seen = {}

    def _still_assigned(self, kept: GroupMetadataValue) -> None:
        """What is on disk is what the leader sent, and what those who synced were told."""
        known = self.generations[kept.generation]
        for member in kept.members:
            owner = member.group_instance_id or member.member_id
            got = bytes(member.assignment)
            known.sent = [sent for sent in known.sent if sent.get(owner, b"") == got]
        assert known.sent

    # --- what clients see

    def _park(
        self,
        process: Process,
        pending: Pending[JoinGroupResponse] | Pending[SyncGroupResponse],
        *,
        syncs: bool,
    ) -> None:
        process.syncs = syncs
        self.waiting.append(pending)  # type: ignore[arg-type]
        process.parked = pending

    def _joined(self, process: Process, done: Pending[JoinGroupResponse]) -> None:
        process.parked = None
        response = done.result()
        if response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            assert response.member_id
            assert process.name not in INSTANCES
            process.member_id, process.generation = response.member_id, -1
            return
        if response.error_code != ErrorCode.NONE:
            if response.error_code in (
                ErrorCode.UNKNOWN_MEMBER_ID,
                ErrorCode.FENCED_INSTANCE_ID,
                ErrorCode.GROUP_MAX_SIZE_REACHED,
            ):
                process.member_id = ""
            return
        member_id, generation = response.member_id, response.generation_id
        assert generation >= self.seen.get(member_id, 0)
        assert generation >= self.synced
        self.seen[member_id] = generation
        process.member_id, process.generation, process.assigned = member_id, generation, False
        self._learn(process, response)

    def _learn(self, process: Process, response: JoinGroupResponse) -> None:
        """The leader of a generation is one, though a static one may change its id."""
        known = self.generations.get(response.generation_id)
        group = self.world.groups._groups["g"]
        instances = {
            member.member_id: member.instance_id
            for member in group.members.values()
            if member.instance_id is not None
        }
        if response.leader in instances:
            leader = instances[response.leader]
        elif known is not None and response.leader in known.members:
            leader = known.members[response.leader]
        else:
            leader = response.leader
        if known is None:
            known = self.generations[response.generation_id] = Generation(leader)
        assert known.leader == leader
        known.members[response.member_id] = self._owner(process, response.member_id)
        for member in response.members:
            known.members[member.member_id] = member.group_instance_id or member.member_id
        if response.members:
            assert response.member_id in {member.member_id for member in response.members}
            assert self._owner(process, response.member_id) == leader

    def _synced(self, process: Process, generation: int, done: Pending[SyncGroupResponse]) -> None:
        process.parked = None
        response = done.result()
        if response.error_code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
            process.member_id = ""
        if response.error_code != ErrorCode.NONE:
            assert bytes(response.assignment) == b""
            process.generation = -1
            return
        process.assigned = True
        assert generation == self._current() >= self.synced
        assert response.protocol_type == "consumer"
        assert response.protocol_name in ("range", "sticky")
        self.synced = generation
        known = self.generations[generation]
        owner = self._owner(process, process.member_id)
        got = bytes(response.assignment)
        known.sent = [sent for sent in known.sent if sent.get(owner, b"") == got]
        assert known.sent, f"{owner} was given {got!r} in generation {generation}"

    def _owner(self, process: Process, member_id: str) -> str:
        return INSTANCES.get(process.name, member_id)

    def _current(self) -> int:
        return self.world.generation()

    # --- what always holds

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "world"):
            return
        for group in self.world.groups._groups.values():
            members = group.members.values()
            assert group.awaiting_join_count == sum(m.awaiting_join is not None for m in members)
            assert group.syncs_owed == sum(member.owes_sync for member in members)
            assert (group.leader_id is None) == (not group.members)
            assert group.leader_id is None or group.leader_id in group.members
            assert group.static_members == {
                m.instance_id: m.member_id for m in members if m.instance_id is not None
            }
            assert not group.pending_joins.keys() & group.members.keys()
            supporters: dict[str, int] = {}
            for member in members:
                for name in member.protocols:
                    supporters[name] = supporters.get(name, 0) + 1
            assert group._supporters == supporters
            if group.state in (GroupState.EMPTY, GroupState.DEAD):
                assert not group.members
            if group.state is GroupState.STABLE:
                assert all(member.awaiting_sync is None for member in members)
            if group.state is GroupState.PREPARING_REBALANCE:
                assert all(member.awaiting_sync is None for member in members)
                assert group.syncs_owed == 0

    @invariant()
    def a_stable_group_is_on_disk_as_it_is(self) -> None:
        if not hasattr(self, "world") or self.world.journal.waiting:
            return
        group = self.world.groups._groups.get("g")
        if group is None or group.state is not GroupState.STABLE:
            return
        kept = self.world.journal.groups()["g"]
        assert kept.generation == group.generation
        assert kept.leader == group.leader_id
        assert {member.member_id: bytes(member.assignment) for member in kept.members} == {
            member.member_id: member.assignment for member in group.members.values()
        }

    def teardown(self) -> None:
        """Left alone, every request is answered, and the group becomes empty."""
        if not hasattr(self, "world"):
            return
        self.world.journal.flush_at_once = True
        for _ in range(20):
            self.world.journal.flush()
            self.world.advance(60_000)
        assert all(pending.done for pending in self.waiting)
        assert self.world.state() in (None, "Empty")
        assert len(self.world.timers) == 0


TestGroups = Groups.TestCase
TestGroups.settings = settings(stateful_step_count=40)
