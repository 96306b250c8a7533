"""The roles a replica plays, one after the other, each with exactly what it must remember.

Times are the caller's monotonic milliseconds.
"""

from dataclasses import dataclass, field

from tierbroker.controller.raft.messages import FetchRequest


@dataclass(slots=True)
class Unattached:
    """It knows no leader of the epoch. A voter stands for election at the deadline."""

    deadline_ms: int


@dataclass(slots=True)
class Follower:
    """It fetches from the leader; without an answer until the deadline it doubts the leader."""

    deadline_ms: int
    fetch_correlation: int | None = None
    """Of the fetch whose answer is due; any other answer is an old one and means nothing now."""
    retry_ms: int = 0
    """When to fetch (again): the last fetch was refused, or its answer is due by then."""
    has_fetched: bool = False
    """The leader answered since this replica follows it."""


@dataclass(slots=True)
class Prospective:
    """It asks whether it would be elected, without a new epoch (pre-vote, KIP-996)."""

    deadline_ms: int
    granted: set[int]
    rejected: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Candidate:
    """It asks to be elected in an epoch of its own."""

    deadline_ms: int
    granted: set[int]
    rejected: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Progress:
    """How far another replica has come, as its last fetch said."""

    fetch_offset: int = -1
    last_fetch_ms: int = -1
    sent_high_watermark: int = -1


@dataclass(slots=True)
class ParkedFetch:
    """A fetch at the log's end that waits for more."""

    peer: int
    correlation: int
    request: FetchRequest
    deadline_ms: int


@dataclass(slots=True)
class Leader:
    """It appends, and counts who has flushed what."""

    epoch_start_offset: int
    progress: dict[int, Progress] = field(default_factory=dict)
    unacknowledged: set[int] = field(default_factory=set)
    """Voters that have not answered BeginQuorumEpoch, nor fetched, yet."""
    parked: dict[int, ParkedFetch] = field(default_factory=dict)
    announce_ms: int = 0
    """When to repeat BeginQuorumEpoch."""


@dataclass(slots=True)
class Resigned:
    """It gave up leading the epoch, or led it before a restart; it must not lead it again."""

    deadline_ms: int


Role = Unattached | Follower | Prospective | Candidate | Leader | Resigned
