"""A classic group: its members, its state and its generation, and the rules that need no clock.

`Group` changes only in memory and decides nothing about time, records or answers: `Rebalancer`
and `Memberships` drive it. The rules are those of Kafka's ClassicGroup.
"""

from collections import Counter
from enum import Enum

from tierbroker.base.pending import Pending
from tierbroker.groups.member import Member, Protocols
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.groups.sessions import Alarm, Session
from tierbroker.groups.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.join_group import JoinGroupResponse, JoinGroupResponseMember


class GroupState(Enum):
    """Kafka's states; the value is the name that DescribeGroups and ListGroups show."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


_MAY_FOLLOW = {
    GroupState.EMPTY: {GroupState.PREPARING_REBALANCE},
    GroupState.PREPARING_REBALANCE: {
        GroupState.EMPTY,
        GroupState.COMPLETING_REBALANCE,
        GroupState.STABLE,
    },
    GroupState.COMPLETING_REBALANCE: {GroupState.PREPARING_REBALANCE},
    GroupState.STABLE: {GroupState.COMPLETING_REBALANCE},
    GroupState.DEAD: set(GroupState),
}


class Group:
    """All of one group. Loop thread only."""

    __slots__ = (
        "_supporters",
        "awaiting_join_count",
        "doomed_generation",
        "generation",
        "group_id",
        "join_alarm",
        "leader_id",
        "member_added",
        "members",
        "pending_joins",
        "previous_state",
        "protocol_name",
        "protocol_type",
        "state",
        "state_since_ms",
        "static_members",
        "subscribed",
        "sync_alarm",
        "syncs_owed",
        "writing_generation",
    )

    def __init__(self, group_id: str, now_ms: int, join_alarm: Alarm, sync_alarm: Alarm) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.previous_state = GroupState.DEAD
        self.state_since_ms = now_ms
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.pending_joins: dict[str, Session] = {}
        """Member ids that were handed out and have not joined yet."""
        self.subscribed: frozenset[str] | None = None
        self.member_added = False
        """Somebody joined while the initial rebalance waited: it waits longer."""
        self.awaiting_join_count = 0
        self.syncs_owed = 0
        self.writing_generation = -1
        """The generation whose assignment is being written."""
        self.doomed_generation = -1
        """The generation, an empty one, whose tombstone is being written."""
        self.join_alarm = join_alarm
        self.sync_alarm = sync_alarm
        self._supporters: dict[str, int] = {}

    def transition(self, state: GroupState, now_ms: int) -> None:
        """Go to another state."""
        assert self.state in _MAY_FOLLOW[state], f"{self.group_id}: {self.state} -> {state}"
        self.previous_state = self.state
        self.state = state
        self.state_since_ms = now_ms

    @property
    def can_rebalance(self) -> bool:
        """Whether a rebalance may begin now; none is being prepared yet."""
        return self.state in _MAY_FOLLOW[GroupState.PREPARING_REBALANCE]

    # --- members

    def add(self, member: Member, awaiting: Pending[JoinGroupResponse] | None) -> None:
        """A new member; its protocols must have been accepted."""
        if member.instance_id is not None:
            assert member.instance_id not in self.static_members
            self.static_members[member.instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self._count(member.protocols, 1)
        self.await_join(member, awaiting)
        self.pending_joins.pop(member.member_id, None)

    def remove(self, member: Member) -> None:
        """The member is gone; a parked request must have been answered, or taken over."""
        assert member.awaiting_join is None
        assert member.awaiting_sync is None
        del self.members[member.member_id]
        self._count(member.protocols, -1)
        self.pay_sync(member)
        if member.instance_id is not None:
            del self.static_members[member.instance_id]
        if self.leader_id == member.member_id:
            self.leader_id = next(iter(self.members), None)

    def replace_static(self, old: Member, new: Member) -> None:
        """The instance came back under a new member id: it takes the place of the old one."""
        assert old.instance_id is not None
        assert old.awaiting_join is None
        assert old.awaiting_sync is None
        del self.members[old.member_id]
        self.members[new.member_id] = new
        self._count(old.protocols, -1)
        self._count(new.protocols, 1)
        new.owes_sync, old.owes_sync = old.owes_sync, False
        if self.leader_id == old.member_id:
            self.leader_id = new.member_id
        self.static_members[old.instance_id] = new.member_id

    def offer(self, member: Member, protocols: Protocols) -> None:
        """The member speaks other protocols from now on."""
        self._count(member.protocols, -1)
        member.protocols = protocols
        self._count(protocols, 1)

    def await_join(self, member: Member, awaiting: Pending[JoinGroupResponse] | None) -> None:
        """Its JoinGroup is parked, or no longer."""
        self.awaiting_join_count += (awaiting is not None) - (member.awaiting_join is not None)
        member.awaiting_join = awaiting

    def owe_sync(self, member: Member) -> None:
        """The member was told the generation and must come for its assignment."""
        if not member.owes_sync:
            member.owes_sync = True
            self.syncs_owed += 1

    def pay_sync(self, member: Member) -> None:
        """The member came for its assignment, or nobody waits for that any more."""
        if member.owes_sync:
            member.owes_sync = False
            self.syncs_owed -= 1

    @property
    def all_joined(self) -> bool:
        """Everybody waits for the new generation, also those who only have an id so far."""
        return len(self.members) == self.awaiting_join_count and not self.pending_joins

    @property
    def rebalance_timeout_ms(self) -> int:
        """How long a rebalance waits: the longest that a member asks for."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def check_member(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """Whether the sender of a request is the member that it says it is."""
        if instance_id is not None:
            current = self.static_members.get(instance_id)
            if current is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if current != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    # --- protocols and generations

    def supports(self, protocol_type: str, protocols: Protocols) -> bool:
        """Whether somebody with these protocols could join."""
        if self.state is GroupState.EMPTY:
            return bool(protocol_type) and bool(protocols)
        if self.protocol_type != protocol_type:
            return False
        size = len(self.members)
        return any(self._supporters.get(name, 0) == size for name in protocols)

    def select_protocol(self) -> str:
        """The protocol that most members like best, among those that all speak."""
        size = len(self.members)
        candidates = {name for name, count in self._supporters.items() if count == size}
        votes = Counter(member.vote(candidates) for member in self.members.values())
        return votes.most_common(1)[0][0]

    def elect_joined_leader(self) -> bool:
        """Make sure that the leader takes part in the next generation; False if nobody does."""
        if self.leader_id is None:
            return False
        if self.members[self.leader_id].awaiting_join is not None:
            return True
        for member in self.members.values():
            if member.awaiting_join is not None:
                self.leader_id = member.member_id
                return True
        return False

    def begin_generation(self, now_ms: int) -> None:
        """All who take part are here: the next generation, or an empty group."""
        self.generation += 1
        for member in self.members.values():
            self.pay_sync(member)
        if self.members:
            self.protocol_name = self.select_protocol()
            self.transition(GroupState.COMPLETING_REBALANCE, now_ms)
        else:
            self.protocol_name = None
            self.transition(GroupState.EMPTY, now_ms)
        self.subscribed = self._subscribed()

    def restore(self, value: GroupMetadataValue, members: list[Member]) -> None:
        """What its record says."""
        self.protocol_type = value.protocol_type or None
        self.generation = value.generation
        self.protocol_name = value.protocol
        self.state_since_ms = value.current_state_timestamp
        for member in members:
            self.add(member, None)
        if value.leader in self.members:
            self.leader_id = value.leader
        self.state = GroupState.STABLE if members else GroupState.EMPTY
        self.subscribed = self._subscribed()

    # --- views

    @property
    def uses_consumer_protocol(self) -> bool:
        """Whether its members are consumers, whose metadata can be understood."""
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    def joined_members(self) -> list[JoinGroupResponseMember]:
        """All members, for the leader."""
        return [member.as_joined(self.protocol_name) for member in self.members.values()]

    def record(self, assignments: dict[str, bytes] | None = None) -> GroupMetadataValue:
        """What is to be kept of it, with the assignments given or those in force."""
        return GroupMetadataValue(
            protocol_type=self.protocol_type or "",
            generation=self.generation,
            protocol=self.protocol_name,
            leader=self.leader_id,
            current_state_timestamp=self.state_since_ms,
            members=[
                member.as_record(
                    self.protocol_name,
                    member.assignment
                    if assignments is None
                    else assignments.get(member.member_id, b""),
                )
                for member in self.members.values()
            ],
        )

    def _subscribed(self) -> frozenset[str] | None:
        if not self.uses_consumer_protocol:
            return None
        if self.members and self.protocol_name is None:
            return None
        name = self.protocol_name
        return subscribed_topics(member.metadata(name) for member in self.members.values())

    def _count(self, protocols: Protocols, step: int) -> None:
        supporters = self._supporters
        for name in protocols:
            count = supporters.get(name, 0) + step
            if count:
                supporters[name] = count
            else:
                del supporters[name]
