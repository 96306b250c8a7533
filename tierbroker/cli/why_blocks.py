"""The rows of `tierbroker topic why` for a terminal: sentences, which no table holds.

A block for each partition, a paragraph for each segment, the oldest first.
"""

import shutil
from collections.abc import Iterable, Mapping
from itertools import groupby

import click

from tierbroker.cli.output import Cell
from tierbroker.hot.compaction_reasons import CompactionRule

_INDENT = " " * 4
_MOST_COLUMNS = 100
"""Longer lines are hard to read."""


def print_blocks(topic: str, rows: Iterable[Mapping[str, Cell]]) -> None:
    """Print rows that are sorted by partition; the keys are those of the JSON form."""
    width = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    for number, (partition, group) in enumerate(groupby(rows, lambda row: row["partition"])):
        segments = list(group)
        if number:
            click.echo()
        click.echo(click.style(f"{topic}-{partition}", bold=True) + _of_partition(segments[0]))
        for row in segments:
            click.echo(_title(row))
            for text in (str(row["why"]), _limits(row)):
                if text:
                    click.echo(
                        click.wrap_text(
                            text, width, initial_indent=_INDENT, subsequent_indent=_INDENT
                        )
                    )


def _of_partition(row: Mapping[str, Cell]) -> str:
    text = f"  log start {row['log_start']}"
    if row["cleaner_point"] is not None:
        text += f", cleaner point {row['cleaner_point']}"
    return text


def _title(row: Mapping[str, Cell]) -> str:
    """Which segment, how large, and the rule."""
    end, first = row["end"], row["segment"]
    offsets = f"from offset {first}"
    if isinstance(end, int) and isinstance(first, int):
        offsets = f"offsets {first} to {end - 1}" if end > first else f"{offsets}, no record"
    rule = click.style(str(row["rule"]), bold=True)
    return f"  {offsets}, {row['bytes']} bytes: {rule}"


def _limits(row: Mapping[str, Cell]) -> str:
    """Until when, and by which setting; of compaction too where it is beside retention."""
    parts = [_limit(row, "")]
    if row["compaction_rule"] not in (None, row["rule"]):
        parts.append(_limit(row, "compaction_"))
    return "; ".join(part for part in parts if part)


def _limit(row: Mapping[str, Cell], prefix: str) -> str:
    if row[f"{prefix}rule"] == CompactionRule.ACTIVE:
        return ""  # its sentence says all of it
    until, more = row[f"{prefix}until"], row[f"{prefix}until_more_bytes"]
    ends = [] if until is None else [f"until {until}"]
    if more:
        ends.append(f"until {more} bytes more are written")
    limits = " or ".join(ends)
    if row[f"{prefix}setting"] is not None:
        setting = f"{row[f'{prefix}setting']}, set by: {row[f'{prefix}source']}"
        limits = f"{limits} ({setting})" if limits else setting
    return limits
