"""Who leads: votes, pre-votes, and the announcements of leaders that come and go.

The rules are KRaft's (KIP-595, KIP-853, KIP-996). A replica grants one vote an epoch, and only to
a candidate whose log is not behind its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tierbroker.controller.raft import replication
from tierbroker.controller.raft.messages import (
    BeginQuorumEpochRequest,
    EndQuorumEpochRequest,
    Envelope,
    QuorumEpochResponse,
    RaftError,
    VoteRequest,
    VoteResponse,
)
from tierbroker.controller.raft.quorum import is_majority
from tierbroker.controller.raft.roles import (
    Candidate,
    Follower,
    Leader,
    Prospective,
    Resigned,
    Unattached,
)
from tierbroker.controller.raft.types import NO_NODE, OffsetAndEpoch, QuorumState, ReplicaKey

if TYPE_CHECKING:
    from tierbroker.controller.raft.core import RaftCore


def on_deadline(core: RaftCore) -> None:
    """The role's deadline passed: stand for election, if this replica has a vote."""
    if not core.is_voter:
        become_unattached(core, core.epoch)
        replication.ask_for_leader(core)
    elif isinstance(core.role, Prospective) and len(core.voters.ids) > 1:
        _lose_pre_vote(core)
    else:
        become_prospective(core)


def become_prospective(core: RaftCore) -> None:
    """Ask for pre-votes; the own one may already be a majority."""
    core.role = role = Prospective(core.now_ms + core.random_timeout_ms(), {core.local.id})
    if is_majority(len(role.granted), len(core.voters.ids)):
        become_candidate(core)
        return
    _request_votes(core, pre_vote=True)


def become_candidate(core: RaftCore) -> None:
    """Begin an epoch, vote for oneself, ask for votes."""
    core.set_state(QuorumState(epoch=core.epoch + 1, voted=core.local))
    core.role = role = Candidate(core.now_ms + core.random_timeout_ms(), {core.local.id})
    if is_majority(len(role.granted), len(core.voters.ids)):
        core.become_leader(role.granted)
        return
    _request_votes(core, pre_vote=False)


def _lose_pre_vote(core: RaftCore) -> None:
    """No majority would elect this replica: back to the leader it doubted, if it knew one."""
    if core.leader_id == NO_NODE:
        become_unattached(core, core.epoch)
    else:
        become_follower(core, core.epoch, core.leader_id)


def become_unattached(core: RaftCore, epoch: int) -> None:
    """Forget the leader; in a newer epoch also the vote."""
    if epoch > core.epoch:
        core.set_state(QuorumState(epoch=epoch))
    else:
        core.set_state(QuorumState(epoch=epoch, voted=core.state.voted))
    core.role = Unattached(core.now_ms + core.random_timeout_ms())


def become_follower(core: RaftCore, epoch: int, leader_id: int) -> None:
    """Follow the leader of an epoch."""
    assert leader_id != core.local.id
    voted = core.state.voted if epoch == core.epoch else None
    core.set_state(QuorumState(epoch=epoch, leader_id=leader_id, voted=voted))
    core.role = Follower(core.now_ms + core.config.fetch_timeout_ms)


def resign(core: RaftCore, leader: Leader) -> None:
    """Give up: the followers are told, the most advanced one first in line."""
    others = sorted(
        (node for node in core.voters.ids if node != core.local.id),
        key=lambda node: (-leader.progress[node].fetch_offset, node),
    )
    request = EndQuorumEpochRequest(core.epoch, core.local.id, tuple(others))
    for node in others:
        core.send(node, request)
    core.role = Resigned(core.now_ms + core.random_timeout_ms())


def announce(core: RaftCore, leader: Leader) -> None:
    """Tell the voters that have not shown that they know."""
    leader.announce_ms = core.now_ms + core.config.fetch_timeout_ms // 2
    for node in sorted(leader.unacknowledged):
        core.send(node, BeginQuorumEpochRequest(core.epoch, core.local.id))


def learn(core: RaftCore, epoch: int, leader_id: int) -> bool:
    """Take in what another replica knows; true if that was news about this or a later epoch."""
    if epoch < core.epoch or leader_id == core.local.id:
        return False
    if epoch == core.epoch and (leader_id in (NO_NODE, core.leader_id) or core.is_leader):
        return False
    if leader_id == NO_NODE:
        become_unattached(core, epoch)
    else:
        become_follower(core, epoch, leader_id)
    return True


def on_vote_request(core: RaftCore, envelope: Envelope, request: VoteRequest) -> None:
    """Answer a candidate."""
    if request.voter.id != core.local.id or not core.voters.contains(request.candidate):
        _answer_vote(core, envelope, request, granted=False)
        return
    if request.epoch > core.epoch:
        become_unattached(core, request.epoch)
    granted = request.epoch == core.epoch and (
        _grants_pre_vote(core, request) if request.pre_vote else _grants_vote(core, request)
    )
    if granted and not request.pre_vote:
        core.set_state(QuorumState(epoch=core.epoch, voted=request.candidate))
        core.role = Unattached(core.now_ms + core.random_timeout_ms())
    _answer_vote(core, envelope, request, granted=granted)


def _grants_vote(core: RaftCore, request: VoteRequest) -> bool:
    if core.leader_id != NO_NODE or isinstance(core.role, Leader | Candidate | Resigned):
        return False
    if core.state.voted is not None:
        return core.state.voted == request.candidate
    return _not_behind(core, request.log_end)


def _grants_pre_vote(core: RaftCore, request: VoteRequest) -> bool:
    # Who hears from the leader keeps a disturbed replica from forcing an election. A follower
    # that came back from a lost pre-vote and has not heard since does not, or two of them that
    # doubt the same dead leader in turns would refuse each other for ever.
    role = core.role
    if isinstance(role, Leader) or (isinstance(role, Follower) and role.has_fetched):
        return False
    return _not_behind(core, request.log_end)


def _not_behind(core: RaftCore, other: OffsetAndEpoch) -> bool:
    own = core.log.end
    return (other.epoch, other.offset) >= (own.epoch, own.offset)


def _answer_vote(
    core: RaftCore, envelope: Envelope, request: VoteRequest, *, granted: bool
) -> None:
    answer = VoteResponse(core.epoch, core.leader_id, granted, request.pre_vote)
    core.send(envelope.peer, answer, envelope.correlation)


def on_vote_response(core: RaftCore, peer: int, response: VoteResponse) -> None:
    """Count a vote."""
    if learn(core, response.epoch, response.leader_id) or response.epoch != core.epoch:
        return
    role = core.role
    counts = (isinstance(role, Prospective) and response.pre_vote) or (
        isinstance(role, Candidate) and not response.pre_vote
    )
    if not counts or peer not in core.voters.ids:
        return
    assert isinstance(role, Prospective | Candidate)
    if not response.granted:
        role.rejected.add(peer)
        refused = is_majority(len(role.rejected), len(core.voters.ids))
        if isinstance(role, Prospective) and (refused or peer == core.leader_id):
            _lose_pre_vote(core)  # the leader itself answers: it is there
        # A candidate waits for its deadline: random as it is, it is the back-off.
        return
    role.granted.add(peer)
    if is_majority(len(role.granted), len(core.voters.ids)):
        if isinstance(role, Prospective):
            become_candidate(core)
        else:
            core.become_leader(role.granted)


def on_begin_quorum_epoch(
    core: RaftCore, envelope: Envelope, request: BeginQuorumEpochRequest
) -> None:
    """A leader announces itself."""
    error = None
    if request.epoch < core.epoch:
        error = RaftError.FENCED_LEADER_EPOCH
    else:
        assert not (core.is_leader and request.epoch == core.epoch), "two leaders in one epoch"
        learn(core, request.epoch, request.leader_id)
    answer = QuorumEpochResponse(core.epoch, core.leader_id, error)
    core.send(envelope.peer, answer, envelope.correlation)


def on_end_quorum_epoch(core: RaftCore, envelope: Envelope, request: EndQuorumEpochRequest) -> None:
    """A leader resigns: stand at once if first in line, a little later if not."""
    error = None
    if request.epoch < core.epoch:
        error = RaftError.FENCED_LEADER_EPOCH
    elif not core.is_leader:
        become_unattached(core, request.epoch)
        if core.is_voter and core.local.id in request.preferred_successors:
            place = request.preferred_successors.index(core.local.id)
            core.role = Unattached(core.now_ms + place * core.config.election_timeout_ms)
    answer = QuorumEpochResponse(core.epoch, core.leader_id, error)
    core.send(envelope.peer, answer, envelope.correlation)


def on_quorum_epoch_response(core: RaftCore, peer: int, response: QuorumEpochResponse) -> None:
    """A voter knows now that this replica leads, or knows better."""
    if learn(core, response.epoch, response.leader_id):
        return
    if isinstance(core.role, Leader) and response.epoch == core.epoch and response.error is None:
        core.role.unacknowledged.discard(peer)


def _request_votes(core: RaftCore, *, pre_vote: bool) -> None:
    for voter in core.voters.voters:
        if voter.key.id != core.local.id:
            core.send(
                voter.key.id,
                VoteRequest(
                    epoch=core.epoch,
                    candidate=ReplicaKey(core.local.id, core.local.directory_id),
                    voter=voter.key,
                    log_end=core.log.end,
                    pre_vote=pre_vote,
                ),
            )
