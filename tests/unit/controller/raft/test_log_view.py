"""Positions and epochs of a log."""

from tierbroker.controller.raft.log_view import LogView
from tierbroker.controller.raft.types import Entry, OffsetAndEpoch


def view(*spans: tuple[int, int]) -> LogView:
    """A log of entries (epoch, count)."""
    log = LogView()
    for epoch, count in spans:
        log.append(Entry(log.end_offset, count, epoch))
    log.flushed_offset = log.end_offset
    return log


def test_empty_log() -> None:
    log = LogView()
    assert log.end == OffsetAndEpoch(0, 0)
    assert log.end_of_epoch(0) == log.end_of_epoch(5) == OffsetAndEpoch(0, 0)


def test_end_of_epoch() -> None:
    log = view((1, 3), (1, 1), (3, 2), (4, 1))
    assert log.end == OffsetAndEpoch(7, 4)
    assert log.end_of_epoch(0) == OffsetAndEpoch(0, 0)
    assert log.end_of_epoch(1) == OffsetAndEpoch(4, 1)
    assert log.end_of_epoch(2) == OffsetAndEpoch(4, 1)
    assert log.end_of_epoch(3) == OffsetAndEpoch(6, 3)
    assert log.end_of_epoch(9) == OffsetAndEpoch(7, 4)


def test_truncation() -> None:
    log = view((1, 3), (3, 2), (4, 1))
    log.truncate_to(3)
    assert log.end == OffsetAndEpoch(3, 1)
    assert log.flushed_offset == 3


def test_the_start_moves_to_a_snapshot() -> None:
    log = view((1, 3), (3, 2), (4, 1))
    log.advance_start(OffsetAndEpoch(4, 3))
    assert log.end_of_epoch(1) == OffsetAndEpoch(4, 3)
    assert log.end_of_epoch(3) == OffsetAndEpoch(5, 3)
    log.advance_start(OffsetAndEpoch(6, 4))
    assert log.end == OffsetAndEpoch(6, 4)
    assert log.end_of_epoch(4) == OffsetAndEpoch(6, 4)
