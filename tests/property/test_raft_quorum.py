"""Quorums under loss, reordering, duplication and power cuts: Raft's promises hold.

The cluster checks after every step that an epoch has one leader, that no high watermark falls and
that no committed offset ever has two values. The checks here are for the end: a quiet network
elects, commits, and agrees.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.raft_cluster import RaftCluster

Step = tuple[int, int, int]


def take_step(cluster: RaftCluster, step: Step, serial: int) -> None:
    kind, number, amount = step
    nodes = sorted(cluster.keys)
    node = nodes[number % len(nodes)]
    alive = node in cluster.cores
    match kind % 10:
        case 0 | 1 | 2:
            if cluster.network:
                cluster.deliver(number % len(cluster.network))
        case 3:
            if cluster.network:
                cluster.network.pop(number % len(cluster.network))
        case 4:
            if cluster.network:
                cluster.network.append(cluster.network[number % len(cluster.network)])
        case 5:
            cluster.tick(amount)
        case 6:
            if alive:
                cluster.now_ms += amount
                cluster.cores[node].tick(cluster.now_ms)
                cluster.carry_out(node)
        case 7:
            if alive:
                cluster.flush(node)
        case 8:
            leader = cluster.leader()
            if leader is not None:
                cluster.propose(leader, f"v{serial}".encode())
        case 9:
            if alive and amount % 4 == 0:
                cluster.crash(node)
            elif not alive:
                cluster.start(node)


def come_to_rest(cluster: RaftCluster) -> int:
    """Everybody runs and hears everybody: answers the leader that comes of it."""
    for node in cluster.keys:
        if node not in cluster.cores:
            cluster.start(node)
    for _ in range(60):
        cluster.tick(300)
        cluster.settle()
        leader = cluster.leader()
        if leader is not None:
            end = cluster.cores[leader].log.end_offset
            known = {(core.leader_id, core.high_watermark) for core in cluster.cores.values()}
            if known == {(leader, end)}:
                return leader
    raise AssertionError("no leader after 18 quiet seconds")


@settings(deadline=None)
@given(
    size=st.sampled_from([1, 2, 3, 5]),
    seed=st.integers(0, 2**32),
    steps=st.lists(
        st.tuples(st.integers(0, 99), st.integers(0, 999), st.integers(0, 3000)), max_size=150
    ),
)
def test_promises_hold(size: int, seed: int, steps: list[Step]) -> None:
    cluster = RaftCluster(size, seed)
    for serial, step in enumerate(steps):
        take_step(cluster, step, serial)
    leader = come_to_rest(cluster)
    offset = cluster.propose(leader, b"last")
    for _ in range(30):
        cluster.settle()
        cluster.tick(100)
    for node, core in cluster.cores.items():
        assert core.high_watermark > offset, f"node {node} did not commit the last record"
        assert cluster.storages[node].batches == cluster.storages[leader].batches
