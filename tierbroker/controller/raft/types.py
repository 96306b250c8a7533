"""The vocabulary of the Raft core: replicas, voters, positions in the log, entries."""

from dataclasses import dataclass
from typing import NamedTuple

from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.records.control import ControlType

NO_NODE = -1


class OffsetAndEpoch(NamedTuple):
    """A place in the log: the offset after the last record, and that record's epoch."""

    offset: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ReplicaKey:
    """A replica of the metadata log: a node and the directory it keeps the log in (KIP-853)."""

    id: int
    directory_id: Uuid = ZERO_UUID


@dataclass(frozen=True, slots=True)
class VoterEndpoint:
    """Where a voter's listener can be reached."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Voter:
    """A replica with a vote."""

    key: ReplicaKey
    endpoints: tuple[VoterEndpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class VoterSet:
    """Everybody who has a vote. Never empty."""

    voters: tuple[Voter, ...]

    def __post_init__(self) -> None:
        assert self.voters, "a quorum has at least one voter"
        assert len(self.ids) == len(self.voters), "a voter id occurs once"

    @property
    def ids(self) -> frozenset[int]:
        """The node ids of the voters."""
        return frozenset(voter.key.id for voter in self.voters)

    def contains(self, key: ReplicaKey) -> bool:
        """`key` is a voter; an unknown directory id on either side matches any."""
        return any(
            voter.key.id == key.id
            and (
                voter.key.directory_id == key.directory_id
                or ZERO_UUID in (voter.key.directory_id, key.directory_id)
            )
            for voter in self.voters
        )


@dataclass(frozen=True, slots=True)
class QuorumState:
    """What a replica must never forget: its epoch, and whom it voted for or follows in it."""

    epoch: int = 0
    leader_id: int = NO_NODE
    voted: ReplicaKey | None = None


class ControlRecord(NamedTuple):
    """A record of the log itself, not of the state machine on top."""

    type: ControlType
    value: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch of the log: what its leader proposed, or the bytes a follower fetched.

    A batch is atomic: all of it is appended, or nothing. Exactly one of `records`, `control` and
    `data` is filled; the first two become a batch where they are written.
    """

    base_offset: int
    count: int
    epoch: int
    records: tuple[bytes, ...] = ()
    control: tuple[ControlRecord, ...] = ()
    data: bytes = b""

    @property
    def next_offset(self) -> int:
        """The offset after its last record."""
        return self.base_offset + self.count
