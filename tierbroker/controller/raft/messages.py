"""What replicas of the metadata log say to each other (KRaft's pull model).

The shapes follow Kafka's Vote, BeginQuorumEpoch, EndQuorumEpoch and Fetch; the handlers of those
APIs translate. Errors are part of the answers: a stale epoch is answered with the newer one.
"""

from dataclasses import dataclass
from enum import Enum

from tierbroker.controller.raft.types import NO_NODE, OffsetAndEpoch, ReplicaKey


class RaftError(Enum):
    """Why a request was not served."""

    FENCED_LEADER_EPOCH = "fenced-leader-epoch"
    UNKNOWN_LEADER_EPOCH = "unknown-leader-epoch"
    NOT_LEADER = "not-leader"
    INCONSISTENT_VOTER = "inconsistent-voter"


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """May `candidate` lead `epoch`? A pre-vote (KIP-996) asks without binding anybody."""

    epoch: int
    candidate: ReplicaKey
    voter: ReplicaKey
    log_end: OffsetAndEpoch
    pre_vote: bool


@dataclass(frozen=True, slots=True)
class VoteResponse:
    """The voter's answer, with the epoch and leader that it knows."""

    epoch: int
    leader_id: int
    granted: bool
    pre_vote: bool


@dataclass(frozen=True, slots=True)
class BeginQuorumEpochRequest:
    """`leader_id` won `epoch` and says so."""

    epoch: int
    leader_id: int


@dataclass(frozen=True, slots=True)
class EndQuorumEpochRequest:
    """`leader_id` gives up `epoch`; the successors should stand for election in this order."""

    epoch: int
    leader_id: int
    preferred_successors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class QuorumEpochResponse:
    """The answer to either of the two: the epoch and leader that the sender knows."""

    epoch: int
    leader_id: int
    error: RaftError | None = None


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A replica has flushed everything below `offset` and asks for what follows."""

    epoch: int
    replica: ReplicaKey
    offset: int
    last_fetched_epoch: int
    max_wait_ms: int


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """Entries from the fetch offset on, or where the logs part, or the snapshot to load instead.

    The core never holds log bytes: it answers with `read_from` set, and who sends the answer puts
    the bytes into `data`.
    """

    epoch: int
    leader_id: int = NO_NODE
    high_watermark: int = -1
    diverging: OffsetAndEpoch | None = None
    snapshot: OffsetAndEpoch | None = None
    read_from: int | None = None
    data: bytes = b""
    error: RaftError | None = None


Message = (
    VoteRequest
    | VoteResponse
    | BeginQuorumEpochRequest
    | EndQuorumEpochRequest
    | QuorumEpochResponse
    | FetchRequest
    | FetchResponse
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and the other end of its way: the receiver in a Ready, the sender in `step`.

    `correlation` ties an answer to its request; whoever sends a request chooses it.
    """

    peer: int
    message: Message
    correlation: int = 0
