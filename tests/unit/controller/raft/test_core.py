"""What the transcripts do not show: answers that come late, refusals, misuse."""

import random

import pytest

from tests.raft_cluster import RaftCluster
from tierbroker.base.errors import NotControllerError
from tierbroker.base.ids import Uuid
from tierbroker.controller.raft.config import RaftConfig
from tierbroker.controller.raft.core import RaftCore
from tierbroker.controller.raft.log_view import LogView
from tierbroker.controller.raft.messages import Envelope, FetchRequest, FetchResponse, RaftError
from tierbroker.controller.raft.types import (
    OffsetAndEpoch,
    QuorumState,
    ReplicaKey,
    Voter,
    VoterSet,
)

LOCAL = ReplicaKey(1, Uuid(b"1" * 16))


def core_of_one(state: QuorumState | None = None, *, voters_logged: bool = True) -> RaftCore:
    return RaftCore(
        local=LOCAL,
        voter_set=VoterSet((Voter(LOCAL),)),
        voters_logged=voters_logged,
        log=LogView(),
        quorum_state=state,
        config=RaftConfig(),
        rng=random.Random(1),
        now_ms=0,
    )


def led_by(leader: int) -> RaftCluster:
    """Three nodes at rest, this one leads."""
    cluster = RaftCluster(3)
    cluster.now_ms = 2000
    cluster.cores[leader].tick(2000)
    cluster.carry_out(leader)
    cluster.settle()
    assert cluster.leader() == leader
    return cluster


def test_the_state_is_saved_once_for_a_quorum_of_one() -> None:
    core = core_of_one()
    core.tick(0)
    ready = core.ready()
    assert ready.quorum_state == QuorumState(epoch=1, leader_id=1, voted=LOCAL)
    assert not core.has_ready()


def test_a_restarted_leader_begins_an_epoch() -> None:
    core = core_of_one(QuorumState(epoch=4, leader_id=1))
    core.tick(0)
    assert (core.epoch, core.is_leader) == (5, True)


def test_the_first_leader_writes_the_voters_to_the_log() -> None:
    core = core_of_one(voters_logged=False)
    core.tick(0)
    (entry,) = core.ready().entries
    assert [record.type.name for record in entry.control] == [
        "LEADER_CHANGE",
        "KRAFT_VERSION",
        "KRAFT_VOTERS",
    ]


def test_only_a_leader_takes_proposals() -> None:
    with pytest.raises(NotControllerError):
        core_of_one().propose([b"a"])


def test_revoked_entries_are_gone() -> None:
    core = core_of_one()
    core.tick(0)
    core.ready()
    core.advance(1)
    core.propose([b"a"])
    core.propose([b"b"])
    core.revoke(2)
    assert [entry.records for entry in core.ready().entries] == [(b"a",)]
    assert core.propose([b"c"]) == 2


def test_a_late_answer_about_a_parting_is_ignored() -> None:
    cluster = led_by(1)
    cluster.propose(1, b"a")
    cluster.settle()
    core = cluster.cores[2]
    end = core.log.end_offset
    late = FetchResponse(core.epoch, 1, diverging=OffsetAndEpoch(0, 0))
    core.step(Envelope(1, late, correlation=-5))
    assert core.log.end_offset == end


def test_fetches_of_other_epochs_are_refused() -> None:
    cluster = led_by(1)
    core = cluster.cores[1]
    replica = cluster.keys[2]
    for epoch, error in ((0, RaftError.FENCED_LEADER_EPOCH), (9, RaftError.UNKNOWN_LEADER_EPOCH)):
        core.step(Envelope(2, FetchRequest(epoch, replica, 0, 0, 0), 77))
        (answer,) = core.ready().messages
        assert isinstance(answer.message, FetchResponse)
        assert answer.message.error is error
        assert answer.correlation == 77


def test_a_follower_refuses_fetches_and_names_the_leader() -> None:
    cluster = led_by(1)
    core = cluster.cores[2]
    core.step(Envelope(3, FetchRequest(core.epoch, cluster.keys[3], 0, 0, 0), 77))
    (answer,) = core.ready().messages
    assert isinstance(answer.message, FetchResponse)
    assert (answer.message.error, answer.message.leader_id) == (RaftError.NOT_LEADER, 1)


def test_a_fetch_below_the_log_start_gets_the_snapshot() -> None:
    cluster = led_by(1)
    cluster.propose(1, b"a")
    cluster.settle()
    core = cluster.cores[1]
    core.latest_snapshot = OffsetAndEpoch(2, 1)
    core.log.advance_start(core.latest_snapshot)
    core.step(Envelope(3, FetchRequest(core.epoch, cluster.keys[3], 0, 0, 0), 77))
    (answer,) = core.ready().messages
    assert isinstance(answer.message, FetchResponse)
    assert answer.message.snapshot == OffsetAndEpoch(2, 1)


def test_damaged_entries_are_not_appended() -> None:
    cluster = led_by(1)
    cluster.propose(1, b"a")
    (transit,) = [each for each in cluster.network if each.receiver == 2]
    assert isinstance(transit.message, FetchResponse)
    data = bytearray(transit.message.data)
    data[-1] ^= 1
    core = cluster.cores[2]
    end = core.log.end_offset
    broken = FetchResponse(core.epoch, 1, 1, data=bytes(data))
    core.step(Envelope(1, broken, transit.correlation))
    assert core.log.end_offset == end
    (again,) = core.ready().messages
    assert isinstance(again.message, FetchRequest)
    assert again.message.offset == end
