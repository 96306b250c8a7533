"""Majorities."""

import pytest

from tierbroker.controller.raft.quorum import committed_offset, is_majority


@pytest.mark.parametrize(
    ("flushed", "committed"),
    [([7], 7), ([7, 3], 3), ([7, 3, 5], 5), ([9, 9, 1, 1], 1), ([9, 9, 9, 1, -1], 9)],
)
def test_committed_offset(flushed: list[int], committed: int) -> None:
    assert committed_offset(flushed) == committed


def test_is_majority() -> None:
    assert [is_majority(count, 3) for count in range(4)] == [False, False, True, True]
    assert [is_majority(count, 4) for count in range(4)] == [False, False, False, True]
