"""`leader-epoch-checkpoint`: at which offset each leader epoch of a partition began.

A lineage is a tuple of entries with rising epochs and offsets; every function is pure and answers
a new one (Kafka: LeaderEpochFileCache, KIP-101, KIP-279).
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from tierbroker.records import text_checkpoint
from tierbroker.records.errors import CorruptCheckpointError

UNDEFINED_EPOCH = -1
UNDEFINED_OFFSET = -1

_epoch_of = attrgetter("epoch")
_start_of = attrgetter("start_offset")


class EpochEntry(NamedTuple):
    """The first offset written under a leader epoch."""

    epoch: int
    start_offset: int


def encode(lineage: Sequence[EpochEntry]) -> bytes:
    """The bytes of the checkpoint file."""
    return text_checkpoint.encode_lines([f"{e.epoch} {e.start_offset}" for e in lineage])


def decode(data: bytes) -> tuple[EpochEntry, ...]:
    """Read the file; CorruptCheckpointError unless epochs and offsets rise."""
    lineage = tuple(
        EpochEntry(text_checkpoint.parse_number(epoch), text_checkpoint.parse_number(start))
        for epoch, start in text_checkpoint.decode_lines(data, fields=2)
    )
    for before, after in pairwise(lineage):
        if after.epoch <= before.epoch or after.start_offset < before.start_offset:
            raise CorruptCheckpointError(f"leader epoch {after} does not follow {before}")
    return lineage


def assigned(
    lineage: tuple[EpochEntry, ...], epoch: int, start_offset: int
) -> tuple[EpochEntry, ...]:
    """The lineage once `epoch` begins at `start_offset`.

    Entries at or above either number are superseded; an epoch that is the latest already, or an
    older one, changes nothing unless its offset contradicts what is known.
    """
    if lineage:
        latest = lineage[-1]
        if epoch == latest.epoch and start_offset >= latest.start_offset:
            return lineage
    kept = tuple(e for e in lineage if e.epoch < epoch and e.start_offset < start_offset)
    return (*kept, EpochEntry(epoch, start_offset))


def end_offset_for(
    lineage: Sequence[EpochEntry], epoch: int, log_end_offset: int
) -> tuple[int, int]:
    """(epoch, end offset) of the largest epoch at or below `epoch`; (-1, -1) if unknown.

    The end of an epoch is the start of the next one, that of the latest the log end. Asked for an
    epoch older than all that are known, the answer is that epoch and the earliest start.
    """
    if epoch == UNDEFINED_EPOCH or not lineage or epoch > lineage[-1].epoch:
        return UNDEFINED_EPOCH, UNDEFINED_OFFSET
    if epoch == lineage[-1].epoch:
        return epoch, log_end_offset
    above = bisect_right(lineage, epoch, key=_epoch_of)
    if above == 0:
        return epoch, lineage[0].start_offset
    return lineage[above - 1].epoch, lineage[above].start_offset


def epoch_at(lineage: Sequence[EpochEntry], offset: int) -> int:
    """The leader epoch under which `offset` was written, -1 if it is older than all known."""
    slot = bisect_right(lineage, offset, key=_start_of)
    return lineage[slot - 1].epoch if slot else UNDEFINED_EPOCH


def truncated_from_end(lineage: tuple[EpochEntry, ...], end_offset: int) -> tuple[EpochEntry, ...]:
    """What stays when the log is cut at `end_offset`: the epochs that began below it."""
    return tuple(e for e in lineage if e.start_offset < end_offset)


def truncated_from_start(
    lineage: tuple[EpochEntry, ...], start_offset: int
) -> tuple[EpochEntry, ...]:
    """What stays when the log begins at `start_offset`: its epoch, moved there, and later ones."""
    later = bisect_right(lineage, start_offset, key=_start_of)
    if later == 0:
        return lineage
    return (EpochEntry(lineage[later - 1].epoch, start_offset), *lineage[later:])
