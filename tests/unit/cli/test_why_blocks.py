"""What a terminal shows of `topic why`."""

import pytest

from tierbroker.cli.output import Cell
from tierbroker.cli.why_blocks import print_blocks
from tierbroker.cli.why_rows import COLUMNS


def row(**cells: Cell) -> dict[str, Cell]:
    return {column.key: None for column in COLUMNS} | {"partition": 0, "log_start": 0} | cells


def test_a_paragraph_for_each_segment(capsys: pytest.CaptureFixture[str]) -> None:
    aged: dict[str, Cell] = {"rule": "age", "until": "2030-01-01T00:00:00Z", "why": "it is young"}
    waits: dict[str, Cell] = {"compaction_rule": "dirty-ratio", "compaction_until_more_bytes": 7}
    print_blocks(
        "t",
        [
            row(segment=0, end=5, bytes=9, setting="retention.ms=5", source="topic", **aged),
            row(segment=5, end=5, bytes=0, rule="active", until="later", why="still written"),
            row(partition=1, segment=0, bytes=3, end=2, cleaner_point=2, **aged, **waits),
        ],
    )
    assert capsys.readouterr().out.splitlines() == [
        "t-0  log start 0",
        "  offsets 0 to 4, 9 bytes: age",
        "    it is young",
        "    until 2030-01-01T00:00:00Z (retention.ms=5, set by: topic)",
        "  from offset 5, no record, 0 bytes: active",
        "    still written",
        "",
        "t-1  log start 0, cleaner point 2",
        "  offsets 0 to 1, 3 bytes: age",
        "    it is young",
        "    until 2030-01-01T00:00:00Z; until 7 bytes more are written",
    ]
