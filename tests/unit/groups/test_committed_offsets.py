"""OffsetCommit and OffsetFetch of one shard."""

from tests.group_broker import GroupBroker, errors_of
from tests.group_log import GroupLog


def test_what_was_committed_is_fetched() -> None:
    broker = GroupBroker()
    done = broker.commit("g", {("t", 0): 5, ("t", 1): 6, ("u", 0): 7})
    assert errors_of(done) == {("t", 0): 0, ("t", 1): 0, ("u", 0): 0}
    assert broker.committed("g") == {("t", 0): 5, ("t", 1): 6, ("u", 0): 7}


def test_all_partitions_of_a_commit_share_one_batch() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5, ("t", 1): 6, ("u", 0): 7})
    assert len(broker.log.batches(0)) == 1


def test_a_commit_is_answered_and_seen_once_it_is_flushed() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    done = broker.commit("g", {("t", 0): 5})
    assert not done.done
    assert broker.committed("g") == {}
    broker.log.flush()
    assert errors_of(done) == {("t", 0): 0}
    assert broker.committed("g") == {("t", 0): 5}


def test_commits_survive_a_restart() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5, ("t", 3): 1}, metadata="note", epoch=4)
    broker.commit("g", {("t", 0): 8})
    again = broker.restarted()
    assert again.committed("g") == {("t", 0): 8, ("t", 3): 1}
    (topic,) = again.fetch("g", {"t": [3]}).topics
    assert topic.partitions[0].metadata == "note"
    assert topic.partitions[0].committed_leader_epoch == 4
