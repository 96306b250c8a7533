"""Several Raft cores on in-memory logs, joined by a network that the test commands.

Nothing happens by itself: time passes, messages arrive and disks flush when the test says so.
Every effect is written to `trace`, and the invariants are checked after each one.
"""

import random
from dataclasses import dataclass

from tests.raft_memory import MemoryRaftStorage
from tierbroker.base.ids import Uuid
from tierbroker.controller.raft.batches import encode_entry
from tierbroker.controller.raft.config import RaftConfig
from tierbroker.controller.raft.core import RaftCore, Ready
from tierbroker.controller.raft.log_view import LOG_BEGIN, LogView
from tierbroker.controller.raft.messages import (
    BeginQuorumEpochRequest,
    EndQuorumEpochRequest,
    Envelope,
    FetchRequest,
    FetchResponse,
    Message,
    QuorumEpochResponse,
    VoteRequest,
    VoteResponse,
)
from tierbroker.controller.raft.types import Entry, ReplicaKey, Voter, VoterSet
from tierbroker.records.batch import walk

TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class InTransit:
    """A message on its way."""

    sender: int
    receiver: int
    message: Message
    correlation: int


class RaftCluster:
    """Nodes 1 to `size`, all of them voters."""

    def __init__(self, size: int, seed: int = 0, observers: int = 0) -> None:
        self.now_ms = 0
        self.rng = random.Random(seed)
        keys = [ReplicaKey(node, Uuid(bytes([node]) * 16)) for node in range(1, size + 1)]
        self.voters = VoterSet(tuple(Voter(key) for key in keys))
        self.keys = {key.id: key for key in keys}
        for node in range(size + 1, size + observers + 1):
            self.keys[node] = ReplicaKey(node, Uuid(bytes([node]) * 16))
        self.storages = {node: MemoryRaftStorage() for node in self.keys}
        self.cores: dict[int, RaftCore] = {}
        self.network: list[InTransit] = []
        self.trace: list[str] = []
        self.leaders: dict[int, int] = {}
        self.committed: dict[int, bytes] = {}
        self.acknowledged = 0
        self.last_high_watermark: dict[int, int] = {}
        for node in self.keys:
            self.start(node)

    # commands

    def start(self, node: int) -> None:
        """Start a node on what its storage holds."""
        storage = self.storages[node]
        self.cores[node] = RaftCore(
            local=self.keys[node],
            voter_set=self.voters,
            voters_logged=True,
            log=LogView(
                LOG_BEGIN, storage.log_end_offset, storage.flushed_offset, storage.epoch_starts()
            ),
            quorum_state=storage.load_quorum_state(),
            config=RaftConfig(),
            rng=random.Random(self.rng.random()),
            now_ms=self.now_ms,
        )
        self.last_high_watermark[node] = -1
        self.carry_out(node)

    def crash(self, node: int) -> None:
        """Power off: what is not flushed is gone."""
        if node in self.cores:
            del self.cores[node]
            self.storages[node] = self.storages[node].crash()

    def tick(self, ms: int) -> None:
        """Let time pass on all nodes."""
        self.now_ms += ms
        for node in sorted(self.cores):
            self.cores[node].tick(self.now_ms)
            self.carry_out(node)

    def flush(self, node: int) -> None:
        """The node's disk becomes durable."""
        storage = self.storages[node]
        storage.flushed = storage.log_end_offset
        self.cores[node].advance(storage.flushed)
        self.carry_out(node)

    def propose(self, node: int, *values: bytes) -> int:
        """Propose records on a node that leads."""
        offset = self.cores[node].propose(values)
        self.carry_out(node)
        return offset

    def deliver(self, index: int) -> None:
        """The message at this place of the network arrives."""
        transit = self.network.pop(index)
        core = self.cores.get(transit.receiver)
        if core is None:
            return
        core.step(Envelope(transit.sender, transit.message, transit.correlation))
        self.carry_out(transit.receiver)

    def settle(self, rounds: int = 100) -> None:
        """Deliver and flush until nothing is under way but parked fetches."""
        for _ in range(rounds):
            for _ in range(len(self.network)):
                self.deliver(0)
            for node in sorted(self.cores):
                self.flush(node)
            if not self.network:
                return
        raise AssertionError(f"{rounds} rounds, and messages are still under way")

    # effects

    def carry_out(self, node: int) -> None:
        """Do what the core of the node wants."""
        core = self.cores[node]
        while core.has_ready():
            self._carry_out(node, core.ready())
        self.check(node)

    def _carry_out(self, node: int, ready: Ready) -> None:
        storage = self.storages[node]
        if ready.quorum_state is not None:
            state = ready.quorum_state
            storage.save_quorum_state(state)
            voted = "-" if state.voted is None else state.voted.id
            self.note(node, f"state epoch={state.epoch} leader={state.leader_id} voted={voted}")
        if ready.truncate_to is not None:
            storage.truncate_to(ready.truncate_to)
            self.note(node, f"truncate {ready.truncate_to}")
        for entry in ready.entries:
            storage.append([encode_entry(entry, TIMESTAMP_MS)])
            self.note(node, f"append {_entry_text(entry)}")
        for envelope in ready.messages:
            message = envelope.message
            if isinstance(message, FetchResponse) and message.read_from is not None:
                data = storage.read(message.read_from, 1 << 20, storage.log_end_offset)
                message = FetchResponse(
                    message.epoch, message.leader_id, message.high_watermark, data=data
                )
            self.note(node, f"send {envelope.peer} {message_text(message)}")
            self.network.append(InTransit(node, envelope.peer, message, envelope.correlation))
        if ready.high_watermark > self.last_high_watermark[node]:
            self.note(node, f"high watermark {ready.high_watermark}")

    def note(self, node: int, text: str) -> None:
        self.trace.append(f"{node}> {text}")

    # invariants

    def check(self, node: int) -> None:
        """One leader an epoch; what is committed never changes and never goes back."""
        core = self.cores[node]
        if core.is_leader:
            known = self.leaders.setdefault(core.epoch, node)
            assert known == node, f"{known} and {node} both lead epoch {core.epoch}"
        assert core.high_watermark >= self.last_high_watermark[node], "the high watermark fell"
        self.last_high_watermark[node] = core.high_watermark
        for base, following, epoch, data in self.storages[node].batches:
            if following > core.high_watermark:
                break
            known_data = self.committed.setdefault(base, data)
            assert known_data == data, f"offset {base} has two committed values (epoch {epoch})"

    def leader(self) -> int | None:
        """The node that leads the highest epoch, if one does."""
        leading = [node for node, core in self.cores.items() if core.is_leader]
        return max(leading, key=lambda node: self.cores[node].epoch, default=None)


def _entry_text(entry: Entry) -> str:
    what = ",".join(value.decode() for value in entry.records)
    if entry.control:
        what = ",".join(record.type.name for record in entry.control)
    if entry.data:
        what = f"{len(entry.data)} bytes"
    return f"{entry.base_offset}-{entry.next_offset - 1} epoch={entry.epoch} {what}"


def message_text(message: Message) -> str:
    """A message in one short line."""
    match message:
        case VoteRequest():
            kind = "PreVote" if message.pre_vote else "Vote"
            end = message.log_end
            return f"{kind}? epoch={message.epoch} log={end.offset}@{end.epoch}"
        case VoteResponse():
            kind = "PreVote" if message.pre_vote else "Vote"
            verdict = "granted" if message.granted else "rejected"
            return f"{kind} {verdict} epoch={message.epoch} leader={message.leader_id}"
        case BeginQuorumEpochRequest():
            return f"BeginQuorumEpoch? epoch={message.epoch}"
        case EndQuorumEpochRequest():
            return f"EndQuorumEpoch? epoch={message.epoch} next={message.preferred_successors}"
        case QuorumEpochResponse():
            error = "ok" if message.error is None else message.error.value
            return f"QuorumEpoch {error} epoch={message.epoch} leader={message.leader_id}"
        case FetchRequest():
            position = f"{message.offset}@{message.last_fetched_epoch}"
            return f"Fetch? epoch={message.epoch} from={position}"
        case FetchResponse():
            return f"Fetch {_fetch_text(message)}"


def _fetch_text(message: FetchResponse) -> str:
    if message.error is not None:
        return f"{message.error.value} epoch={message.epoch} leader={message.leader_id}"
    if message.diverging is not None:
        return f"diverging {message.diverging.offset}@{message.diverging.epoch}"
    if message.snapshot is not None:
        return f"snapshot {message.snapshot.offset}@{message.snapshot.epoch}"
    spans = [f"{header.base_offset}-{header.last_offset}" for _, header in walk(message.data)]
    return f"[{' '.join(spans)}] hw={message.high_watermark}"
