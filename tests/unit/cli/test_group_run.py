"""How partitions are named in few words."""

import pytest

from tierbroker.cli.group_run import Place, partition_ranges


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], ""),
        ([("a", 0)], "a 0"),
        ([("a", 2), ("a", 0), ("a", 1)], "a 0-2"),
        ([("a", 0), ("a", 2), ("a", 3), ("a", 7)], "a 0,2-3,7"),
        ([("b", 1), ("a", 9), ("b", 0)], "a 9; b 0-1"),
        ([("a", 9), ("a", 10), ("a", 11)], "a 9-11"),
    ],
)
def test_partition_ranges(places: list[Place], expected: str) -> None:
    assert partition_ranges(places) == expected
