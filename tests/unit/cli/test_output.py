"""Rows: tab-separated when piped, JSON lines, a table on a terminal."""

import json
import sys

import pytest

from tierbroker.cli.output import Cell, Column, print_rows

COLUMNS = (Column("name", "Name"), Column("n", "N", numeric=True))


def test_piped_rows_are_tab_separated_without_heading(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [("a", 1), ("b", None)], as_json=False)
    assert capsys.readouterr().out == "a\t1\nb\t-\n"


def test_prefix_tells_kinds_of_rows_apart(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [("a", 1)], as_json=False, prefix="row")
    assert capsys.readouterr().out == "row\ta\t1\n"


def test_cells_cannot_break_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[tuple[Cell, ...]] = [("a\tb\nc\\", [1, 2]), ("x", True)]
    print_rows(COLUMNS, rows, as_json=False)
    assert capsys.readouterr().out == "a\\tb\\nc\\\\\t1,2\nx\ttrue\n"


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [("ä", [1]), ("b", None)], as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"name": "ä", "n": [1]},
        {"name": "b", "n": None},
    ]


def test_a_terminal_gets_a_table_that_takes_no_markup_from_data(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_rows(COLUMNS, [("[red]a[/red]", 1)], as_json=False)
    shown = capsys.readouterr().out
    assert "Name" in shown
    assert "[red]a[/red]" in shown
