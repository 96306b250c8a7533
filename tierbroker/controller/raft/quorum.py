"""The arithmetic of majorities. Pure."""

from collections.abc import Iterable


def committed_offset(flushed_offsets: Iterable[int]) -> int:
    """The largest offset that a majority of the voters has flushed; one value for each voter."""
    offsets = sorted(flushed_offsets, reverse=True)
    assert offsets, "a quorum has at least one voter"
    return offsets[len(offsets) // 2]


def is_majority(count: int, voters: int) -> bool:
    """`count` of `voters` decide."""
    return count > voters // 2
