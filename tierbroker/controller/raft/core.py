"""The Raft core: a state machine that is told of time, messages and proposals, and answers effects.

It never touches a disk, a socket, a clock or a global random source. Whoever drives it calls
`tick`, `step` or `propose`, then takes `ready()` and carries the bundle out in its order: save the
quorum state, truncate, append, send, apply up to the high watermark. When the storage reports
that everything below an offset is durable, `advance(offset)` says so.

The model is KRaft's: followers pull, so the offset of a fetch is also the acknowledgement of all
that lies below it, and a follower therefore fetches only from what it has flushed. The rules of
elections are in `election`, those of fetches in `replication`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tierbroker.base.errors import NotControllerError
from tierbroker.controller.raft import election, replication
from tierbroker.controller.raft.config import RaftConfig
from tierbroker.controller.raft.control_records import kraft_version, leader_change, voters
from tierbroker.controller.raft.log_view import LogView
from tierbroker.controller.raft.messages import (
    BeginQuorumEpochRequest,
    EndQuorumEpochRequest,
    Envelope,
    FetchRequest,
    Message,
    QuorumEpochResponse,
    VoteRequest,
    VoteResponse,
)
from tierbroker.controller.raft.quorum import committed_offset
from tierbroker.controller.raft.roles import (
    Follower,
    Leader,
    Progress,
    Resigned,
    Role,
    Unattached,
)
from tierbroker.controller.raft.types import (
    NO_NODE,
    ControlRecord,
    Entry,
    OffsetAndEpoch,
    QuorumState,
    ReplicaKey,
    VoterSet,
)


@dataclass(frozen=True, slots=True)
class Ready:
    """Effects, to be carried out in the order of the fields.

    No message may leave before the quorum state is durable; appended entries are to be flushed
    soon, and `advance` called once they are.
    """

    quorum_state: QuorumState | None
    truncate_to: int | None
    entries: tuple[Entry, ...]
    messages: tuple[Envelope, ...]
    fetch_snapshot: OffsetAndEpoch | None
    high_watermark: int
    """Entries below it are committed; -1 while that is unknown."""


class RaftCore:
    """One replica of the metadata log. Times are monotonic milliseconds."""

    def __init__(
        self,
        *,
        local: ReplicaKey,
        voter_set: VoterSet,
        voters_logged: bool,
        log: LogView,
        quorum_state: QuorumState | None,
        config: RaftConfig,
        rng: random.Random,
        now_ms: int,
    ) -> None:
        """`voters_logged` is false while the voter set stands in the first snapshot alone."""
        self.local = local
        self.voters = voter_set
        self.voters_logged = voters_logged
        self.log = log
        self.config = config
        self.rng = rng
        self.now_ms = now_ms
        self.state = quorum_state or QuorumState()
        self.high_watermark = -1
        self.latest_snapshot: OffsetAndEpoch | None = None
        self.state_changed = False
        self.fetch_snapshot: OffsetAndEpoch | None = None
        self._entries: list[Entry] = []
        self._messages: list[Envelope] = []
        self._truncate_to: int | None = None
        self._reported_high_watermark = -1
        # Random, so that an answer to what this node asked before a restart fits nothing.
        self._correlation = rng.randrange(1 << 30)
        self.role: Role = self._first_role()

    # what others may know

    @property
    def epoch(self) -> int:
        """The highest epoch this replica has heard of."""
        return self.state.epoch

    @property
    def leader_id(self) -> int:
        """Who leads the epoch, as far as this replica knows; -1 for nobody."""
        # A replica that gave up is no leader to send anybody to, though its epoch had one.
        if self.state.leader_id == self.local.id and not isinstance(self.role, Leader):
            return NO_NODE
        return self.state.leader_id

    @property
    def is_leader(self) -> bool:
        """This replica leads its epoch."""
        return isinstance(self.role, Leader)

    @property
    def is_voter(self) -> bool:
        """This replica has a vote."""
        return self.voters.contains(self.local)

    @property
    def deadline_ms(self) -> int | None:
        """When `tick` is to be called at the latest; None if time alone changes nothing."""
        if isinstance(self.role, Leader):
            return replication.leader_deadline_ms(self, self.role)
        if isinstance(self.role, Follower) and self.role.retry_ms > self.now_ms:
            return min(self.role.deadline_ms, self.role.retry_ms)
        return self.role.deadline_ms

    # inputs

    def tick(self, now_ms: int) -> None:
        """Time has come to `now_ms`."""
        assert now_ms >= self.now_ms, "monotonic time does not go back"
        self.now_ms = now_ms
        if isinstance(self.role, Leader):
            replication.tick_leader(self, self.role)
        elif now_ms >= self.role.deadline_ms:
            election.on_deadline(self)
        replication.maybe_fetch(self)

    def step(self, envelope: Envelope) -> None:
        """A message arrived. Unexpected and outdated ones are ignored or answered with the news."""
        message = envelope.message
        if isinstance(message, VoteRequest):
            election.on_vote_request(self, envelope, message)
        elif isinstance(message, VoteResponse):
            election.on_vote_response(self, envelope.peer, message)
        elif isinstance(message, BeginQuorumEpochRequest):
            election.on_begin_quorum_epoch(self, envelope, message)
        elif isinstance(message, EndQuorumEpochRequest):
            election.on_end_quorum_epoch(self, envelope, message)
        elif isinstance(message, QuorumEpochResponse):
            election.on_quorum_epoch_response(self, envelope.peer, message)
        elif isinstance(message, FetchRequest):
            replication.on_fetch_request(self, envelope, message)
        else:
            replication.on_fetch_response(self, envelope, message)
        replication.maybe_fetch(self)

    def propose(self, records: Sequence[bytes]) -> int:
        """Append the records as one atomic entry; answers the offset of the last one.

        Raises NotControllerError unless this replica leads.
        """
        if not isinstance(self.role, Leader):
            raise NotControllerError(f"Node {self.local.id} does not lead the metadata log")
        assert records, "an entry has at least one record"
        return self.append_entry(records=tuple(records)).next_offset - 1

    def advance(self, flushed_offset: int) -> None:
        """Everything appended below `flushed_offset` is durable."""
        assert flushed_offset <= self.log.end_offset, "a flush from before a truncation is void"
        self.log.flushed_offset = max(self.log.flushed_offset, flushed_offset)
        if isinstance(self.role, Leader):
            self.update_high_watermark(self.role)
        replication.maybe_fetch(self)

    def revoke(self, offset: int) -> None:
        """The storage refused the entries from `offset` on, and holds none of them."""
        assert self.is_leader
        assert offset >= self.log.flushed_offset
        self._entries = [entry for entry in self._entries if entry.next_offset <= offset]
        self.log.truncate_to(offset)

    def resign(self) -> None:
        """Give up leadership, for a graceful stop; the best follower is asked to stand."""
        if isinstance(self.role, Leader):
            election.resign(self, self.role)

    # outputs

    def has_ready(self) -> bool:
        """There is something to carry out."""
        return bool(
            self.state_changed
            or self._entries
            or self._messages
            or self._truncate_to is not None
            or self.fetch_snapshot is not None
            or self.high_watermark > self._reported_high_watermark
        )

    def ready(self) -> Ready:
        """Take the effects of everything since the last call."""
        bundle = Ready(
            quorum_state=self.state if self.state_changed else None,
            truncate_to=self._truncate_to,
            entries=tuple(self._entries),
            messages=tuple(self._messages),
            fetch_snapshot=self.fetch_snapshot,
            high_watermark=self.high_watermark,
        )
        self.state_changed = False
        self._truncate_to = None
        self._entries = []
        self._messages = []
        self.fetch_snapshot = None
        self._reported_high_watermark = self.high_watermark
        return bundle

    # for election and replication

    def send(self, peer: int, message: Message, correlation: int | None = None) -> int:
        """Queue a message; a request gets a correlation of its own, which is answered."""
        if correlation is None:
            self._correlation += 1
            correlation = self._correlation
        self._messages.append(Envelope(peer, message, correlation))
        return correlation

    def set_state(self, state: QuorumState) -> None:
        """Change what must be remembered; it is saved with the next bundle."""
        assert state.epoch >= self.state.epoch, "epochs never go back"
        if state != self.state:
            self.state = state
            self.state_changed = True

    def append_entry(
        self, *, records: tuple[bytes, ...] = (), control: tuple[ControlRecord, ...] = ()
    ) -> Entry:
        """Append an entry of the epoch this replica leads."""
        entry = Entry(
            base_offset=self.log.end_offset,
            count=len(records) + len(control),
            epoch=self.epoch,
            records=records,
            control=control,
        )
        self.append_to_log(entry)
        if isinstance(self.role, Leader):
            replication.wake_parked(self, self.role)
        return entry

    def append_to_log(self, entry: Entry) -> None:
        """Append an entry, proposed or fetched."""
        self.log.append(entry)
        self._entries.append(entry)

    def truncate(self, offset: int) -> None:
        """Drop entries that the leader does not have."""
        assert offset >= self.high_watermark, "a committed entry is never truncated"
        assert not self._entries, "entries are carried out before a later truncation"
        self.log.truncate_to(offset)
        self._truncate_to = offset

    def update_high_watermark(self, leader: Leader) -> None:
        """Commit what a majority has flushed, once that includes an entry of this epoch.

        The restriction is Raft's section 5.4.2: an entry of an older epoch that a majority holds
        may still be overwritten, unless one of the own epoch on top of it is held as well.
        """
        flushed = [
            self.log.flushed_offset
            if voter == self.local.id
            else leader.progress.get(voter, _NO_PROGRESS).fetch_offset
            for voter in self.voters.ids
        ]
        offset = committed_offset(flushed)
        if offset > leader.epoch_start_offset and offset > self.high_watermark:
            self.high_watermark = offset
            replication.wake_parked(self, leader)

    def become_leader(self, granting: set[int]) -> None:
        """Start to lead: the first entry is the LeaderChange record."""
        others = self.voters.ids - {self.local.id}
        self.set_state(replace(self.state, leader_id=self.local.id))
        leader = Leader(epoch_start_offset=self.log.end_offset, unacknowledged=set(others))
        leader.progress = {node: Progress(last_fetch_ms=self.now_ms) for node in others}
        self.role = leader
        control = [leader_change(self.local.id, self.voters.ids, granting)]
        if not self.voters_logged:
            # From here on the log itself says who votes; the first snapshot may go one day.
            control += [kraft_version(), voters(self.voters)]
            self.voters_logged = True
        self.append_entry(control=tuple(control))
        election.announce(self, leader)

    def random_timeout_ms(self) -> int:
        """One to two election timeouts, so that rivals do not stand at the same moment."""
        base = self.config.election_timeout_ms
        return base + self.rng.randrange(base)

    def _first_role(self) -> Role:
        if self.is_voter and len(self.voters.ids) == 1:
            return Unattached(deadline_ms=self.now_ms)  # nobody else to hear from
        if self.state.leader_id == self.local.id:
            # It led this epoch and may have lost unflushed entries: it must not go on leading.
            return Resigned(self.now_ms + self.random_timeout_ms())
        if self.state.leader_id != NO_NODE:
            return Follower(self.now_ms + self.config.fetch_timeout_ms)
        return Unattached(self.now_ms + self.random_timeout_ms())


_NO_PROGRESS = Progress()
