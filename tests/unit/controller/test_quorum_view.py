"""What the leader of the metadata log tells of its quorum."""

import pytest

from tests.raft_cluster import RaftCluster
from tierbroker.base.errors import NotLeaderOrFollowerError
from tierbroker.controller.quorum_view import UNKNOWN, QuorumView, view_quorum

WALL_MS = 1_700_000_000_000


def led_cluster() -> tuple[RaftCluster, int]:
    raft = RaftCluster(3, observers=1)
    for _ in range(20):
        raft.tick(500)
        raft.settle()
    leader = raft.leader()
    assert leader is not None
    return raft, leader


def view(raft: RaftCluster, leader: int) -> QuorumView:
    return view_quorum(raft.cores[leader], WALL_MS)


def test_everybody_has_caught_up() -> None:
    raft, leader = led_cluster()
    found = view(raft, leader)
    core = raft.cores[leader]
    assert (found.leader_id, found.leader_epoch) == (leader, core.epoch)
    assert found.high_watermark == core.high_watermark == core.log.end_offset
    assert [replica.node_id for replica in found.voters] == [1, 2, 3]
    assert {replica.log_end_offset for replica in found.voters} == {core.log.end_offset}
    for replica in found.voters:
        assert replica.directory_id == raft.keys[replica.node_id].directory_id
        assert WALL_MS - 10_000 < replica.last_fetch_ms <= WALL_MS
        assert replica.last_caught_up_ms == replica.last_fetch_ms


def test_the_leader_is_ahead_of_all_who_have_not_fetched_since() -> None:
    raft, leader = led_cluster()
    end = raft.cores[leader].log.end_offset
    raft.propose(leader, b"more")
    behind = {r.node_id: r.last_caught_up_ms for r in view(raft, leader).voters}
    assert behind.pop(leader) == WALL_MS
    assert set(behind.values()) == {UNKNOWN}
    ends = {r.node_id: r.log_end_offset for r in view(raft, leader).voters}
    assert ends.pop(leader) == end + 1
    assert set(ends.values()) == {end}


def test_only_the_leader_knows() -> None:
    raft, leader = led_cluster()
    follower = leader % 3 + 1
    with pytest.raises(NotLeaderOrFollowerError):
        view(raft, follower)
