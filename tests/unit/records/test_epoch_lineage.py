"""Leader epochs and where they begin."""

import pytest

from tierbroker.records import epoch_lineage
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.errors import CorruptCheckpointError

LINEAGE = (EpochEntry(2, 10), EpochEntry(4, 20), EpochEntry(7, 30))


def test_the_text() -> None:
    assert epoch_lineage.encode(LINEAGE) == b"0\n3\n2 10\n4 20\n7 30\n"
    assert epoch_lineage.decode(epoch_lineage.encode(LINEAGE)) == LINEAGE
    assert epoch_lineage.decode(b"0\n0\n") == ()


@pytest.mark.parametrize(
    "data", [b"", b"0\n2\n4 20\n", b"0\n2\n4 20\n4 30\n", b"0\n2\n4 20\n5 19\n", b"0\n1\na 1\n"]
)
def test_damage(data: bytes) -> None:
    with pytest.raises(CorruptCheckpointError):
        epoch_lineage.decode(data)


@pytest.mark.parametrize(
    ("epoch", "answer"),
    [
        (-1, (-1, -1)),
        (0, (0, 10)),
        (2, (2, 20)),
        (3, (2, 20)),
        (4, (4, 30)),
        (6, (4, 30)),
        (7, (7, 44)),
        (8, (-1, -1)),
    ],
)
def test_end_offset_for(epoch: int, answer: tuple[int, int]) -> None:
    assert epoch_lineage.end_offset_for(LINEAGE, epoch, 44) == answer


def test_end_offset_without_any_epoch() -> None:
    assert epoch_lineage.end_offset_for((), 0, 44) == (-1, -1)


@pytest.mark.parametrize(
    ("offset", "epoch"), [(0, -1), (9, -1), (10, 2), (19, 2), (20, 4), (30, 7), (10**12, 7)]
)
def test_epoch_at(offset: int, epoch: int) -> None:
    assert epoch_lineage.epoch_at(LINEAGE, offset) == epoch


def test_assigned() -> None:
    assert epoch_lineage.assigned((), 3, 0) == (EpochEntry(3, 0),)
    assert epoch_lineage.assigned(LINEAGE, 9, 40) == (*LINEAGE, EpochEntry(9, 40))
    assert epoch_lineage.assigned(LINEAGE, 7, 30) is LINEAGE
    assert epoch_lineage.assigned(LINEAGE, 7, 35) is LINEAGE


def test_assigned_drops_what_it_contradicts() -> None:
    assert epoch_lineage.assigned(LINEAGE, 8, 20) == (LINEAGE[0], EpochEntry(8, 20))
    assert epoch_lineage.assigned(LINEAGE, 4, 40) == (LINEAGE[0], EpochEntry(4, 40))
    assert epoch_lineage.assigned(LINEAGE, 1, 5) == (EpochEntry(1, 5),)


def test_truncation_from_the_end() -> None:
    assert epoch_lineage.truncated_from_end(LINEAGE, 31) == LINEAGE
    assert epoch_lineage.truncated_from_end(LINEAGE, 30) == LINEAGE[:2]
    assert epoch_lineage.truncated_from_end(LINEAGE, 0) == ()


def test_truncation_from_the_start_keeps_the_epoch_it_begins_in() -> None:
    assert epoch_lineage.truncated_from_start(LINEAGE, 5) == LINEAGE
    assert epoch_lineage.truncated_from_start(LINEAGE, 25) == (EpochEntry(4, 25), LINEAGE[2])
    assert epoch_lineage.truncated_from_start(LINEAGE, 20) == LINEAGE[1:]
    assert epoch_lineage.truncated_from_start(LINEAGE, 99) == (EpochEntry(7, 99),)
