"""Rows on standard output: a table on a terminal, tab-separated when piped, or JSON lines.

Tab-separated output has no heading and no colour, so that cut, awk and `while read` take it as it
is; tabs, newlines and backslashes inside a value are escaped. rich is imported only on a terminal.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import click

Cell = str | int | float | bool | None | list[int]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in JSON, its heading, and whether it holds numbers."""

    key: str
    heading: str
    numeric: bool = False


def print_rows(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    as_json: bool,
    title: str | None = None,
    prefix: str | None = None,
) -> None:
    """Print rows in the form that fits. `prefix` is a first field in tab-separated output only."""
    if as_json:
        for row in rows:
            print_json({column.key: cell for column, cell in zip(columns, row, strict=True)})
    elif sys.stdout.isatty():
        _print_table(columns, rows, title)
    else:
        for row in rows:
            cells = [_plain(cell) for cell in row]
            click.echo("\t".join(cells if prefix is None else [prefix, *cells]))


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _plain(cell: Cell) -> str:
    text = _text(cell)
    if "\\" in text or "\t" in text or "\n" in text:
        text = text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return text


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, list):
        return ",".join(str(item) for item in cell)
    return str(cell)


def _print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], title: str | None
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.numeric else "left")
    for row in rows:
        table.add_row(*(Text(_text(cell)) for cell in row))
    Console().print(table)
