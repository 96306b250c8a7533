"""Runs the transcripts of this directory: commands, and after `----` everything they led to.

A block is one or more commands, `----`, the expected trace, an empty line. `#` starts a comment.
Set SCRIPTS_REWRITE=1 to write what happens as what is expected; read the diff then.
"""

from tests.raft_cluster import RaftCluster


class Script:
    """One transcript being played."""

    def __init__(self) -> None:
        self.cluster: RaftCluster | None = None

    def run(self, command: str) -> list[str]:
        """Run one command line; answers what it led to."""
        name, *arguments = command.split()
        handler = getattr(self, f"do_{name.replace('-', '_')}")
        if name == "cluster":
            self.cluster = RaftCluster(*(int(argument) for argument in arguments))
            return self._taken()
        assert self.cluster is not None, "a script begins with `cluster N`"
        said: list[str] | None = handler(self.cluster, *arguments)
        return self._taken() + (said or [])

    def _taken(self) -> list[str]:
        assert self.cluster is not None
        taken, self.cluster.trace = self.cluster.trace, []
        return taken

    def do_cluster(self, *_: object) -> None:
        """cluster VOTERS [SEED [OBSERVERS]]: start anew."""

    def do_tick(self, cluster: RaftCluster, ms: str) -> None:
        """tick MS: time passes everywhere."""
        cluster.tick(int(ms))

    def do_tick_one(self, cluster: RaftCluster, node: str, ms: str) -> None:
        """tick-one NODE MS: time passes, but the others do not notice yet."""
        cluster.now_ms += int(ms)
        cluster.cores[int(node)].tick(cluster.now_ms)
        cluster.carry_out(int(node))

    def do_deliver(self, cluster: RaftCluster, *receivers: str) -> None:
        """deliver [NODE ...]: the messages under way (to these nodes) arrive, once."""
        wanted = {int(receiver) for receiver in receivers} or set(cluster.keys)
        due = [transit for transit in cluster.network if transit.receiver in wanted]
        for transit in due:
            cluster.deliver(cluster.network.index(transit))

    def do_drop(self, cluster: RaftCluster, *nodes: str) -> None:
        """drop [NODE ...]: the messages under way (from or to these nodes) are lost."""
        wanted = {int(node) for node in nodes} or set(cluster.keys)
        cluster.network = [
            transit
            for transit in cluster.network
            if transit.sender not in wanted and transit.receiver not in wanted
        ]

    def do_flush(self, cluster: RaftCluster, node: str) -> None:
        """flush NODE: its disk becomes durable."""
        cluster.flush(int(node))

    def do_propose(self, cluster: RaftCluster, node: str, *values: str) -> None:
        """propose NODE VALUE ...: one entry of these records."""
        cluster.propose(int(node), *(value.encode() for value in values))

    def do_settle(self, cluster: RaftCluster) -> None:
        """settle: everything arrives and is flushed; what happens on the way is not shown."""
        cluster.settle()
        cluster.trace.clear()

    def do_crash(self, cluster: RaftCluster, node: str) -> None:
        """crash NODE: power off."""
        cluster.crash(int(node))

    def do_start(self, cluster: RaftCluster, node: str) -> None:
        """start NODE: power on."""
        cluster.start(int(node))

    def do_resign(self, cluster: RaftCluster, node: str) -> None:
        """resign NODE: it gives leadership up."""
        cluster.cores[int(node)].resign()
        cluster.carry_out(int(node))

    def do_status(self, cluster: RaftCluster) -> list[str]:
        """status: role, epoch and positions of every node."""
        lines = []
        for node in sorted(cluster.cores):
            core = cluster.cores[node]
            lines.append(
                f"{node}: {type(core.role).__name__} epoch={core.epoch} leader={core.leader_id}"
                f" end={core.log.end_offset} flushed={core.log.flushed_offset}"
                f" hw={core.high_watermark}"
            )
        return lines
