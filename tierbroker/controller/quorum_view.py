"""The quorum of the metadata log as its leader sees it, for whoever wants to look at it.

Read from the Raft core, never kept: nothing here changes it. Only the leader knows how far the
others are.
"""

from dataclasses import dataclass

from tierbroker.base.errors import NotLeaderOrFollowerError
from tierbroker.base.ids import Uuid
from tierbroker.controller.raft.core import RaftCore
from tierbroker.controller.raft.roles import Leader
from tierbroker.controller.raft.types import ReplicaKey, Voter

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """How far a replica is. Times are milliseconds since 1970; -1 stands for unknown."""

    node_id: int
    directory_id: Uuid
    log_end_offset: int
    last_fetch_ms: int
    last_caught_up_ms: int


@dataclass(frozen=True, slots=True)
class QuorumView:
    """Who leads, and how far everybody is."""

    leader_id: int
    leader_epoch: int
    high_watermark: int
    voters: tuple[ReplicaView, ...]
    observers: tuple[ReplicaView, ...]
    voter_set: tuple[Voter, ...]


def view_quorum(core: RaftCore, now_ms: int) -> QuorumView:
    """Describe the quorum at the wall clock time `now_ms`.

    Raises NotLeaderOrFollowerError where this node does not lead it.
    """
    leader = core.role
    if not isinstance(leader, Leader):
        raise NotLeaderOrFollowerError(f"node {core.local.id} does not lead the metadata log")
    voter_keys = [voter.key for voter in core.voters.voters]
    voter_ids = core.voters.ids
    observer_keys = [ReplicaKey(node) for node in leader.progress if node not in voter_ids]
    return QuorumView(
        leader_id=core.leader_id,
        leader_epoch=core.epoch,
        high_watermark=core.high_watermark,
        voters=tuple(_view(core, leader, key, now_ms) for key in voter_keys),
        observers=tuple(_view(core, leader, key, now_ms) for key in observer_keys),
        voter_set=core.voters.voters,
    )


def _view(core: RaftCore, leader: Leader, key: ReplicaKey, now_ms: int) -> ReplicaView:
    if key.id == core.local.id:
        return ReplicaView(key.id, key.directory_id, core.log.end_offset, now_ms, now_ms)
    progress = leader.progress.get(key.id)
    if progress is None or progress.fetch_offset < 0:
        return ReplicaView(key.id, key.directory_id, UNKNOWN, UNKNOWN, UNKNOWN)
    fetched_ms = now_ms - (core.now_ms - progress.last_fetch_ms)
    caught_up = progress.fetch_offset >= core.log.end_offset
    return ReplicaView(
        key.id,
        key.directory_id,
        progress.fetch_offset,
        fetched_ms,
        fetched_ms if caught_up else UNKNOWN,
    )
