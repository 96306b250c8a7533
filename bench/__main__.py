"""`python -m bench [ROW ...] [--json] [--repetitions N]`: measures rows of the budget table."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.consume import ConsumeHot
from bench.durable import ProduceDurable
from bench.floor import Floor
from bench.latency import EndToEnd
from bench.memory import Resident
from bench.produce import ProduceBatches, ProduceSmall
from bench.row import Result, Row, measure
from bench.start import EmbeddedStart, StartToFirstAck
from bench.system import System, Tierbroker

ROWS: tuple[Row, ...] = (
    Floor(),
    ProduceBatches(),
    ProduceSmall(),
    ConsumeHot(),
    EndToEnd(),
    ProduceDurable(),
    StartToFirstAck(),
    EmbeddedStart(),
    Resident(),
)


def row_number(text: str) -> int:
    """ "floor" is row 0; raises ArgumentTypeError for anything that is no row."""
    names = {"floor" if row.number == 0 else str(row.number): row.number for row in ROWS}
    if text not in names:
        raise argparse.ArgumentTypeError(f"{text!r} is none of the rows {', '.join(names)}")
    return names[text]


def as_json(result: Result) -> str:
    """One line."""
    low, high = result.spread
    return json.dumps(
        {
            "row": result.row,
            "system": result.system,
            "title": result.title,
            "figure": result.figure.name,
            "unit": result.figure.unit,
            "median": result.median,
            "min": low,
            "max": high,
            "repetitions": len(result.values),
            "budget": result.figure.budget,
        }
    )


def as_table(results: Iterable[Result]) -> Table:
    """What a person reads."""
    table = Table(title="median of the repetitions; budgets are those of the design")
    results = list(results)
    several = len({result.system for result in results}) > 1
    table.add_column("row", justify="right")
    table.add_column("what")
    if several:
        table.add_column("system")
    table.add_column("figure")
    for name in ("median", "min", "max", "budget"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    before: str | None = None
    for result in results:
        budget = result.figure.budget
        style = None if budget is None else "green" if result.median <= budget else "red"
        new = result.title != before
        before = result.title
        table.add_row(
            ("floor" if result.row == 0 else str(result.row)) if new else "",
            result.title if new else "",
            *([result.system] if several else []),
            result.figure.name,
            *(_number(value) for value in (result.median, *result.spread)),
            "" if budget is None else f"≤ {_number(budget)}",
            result.figure.unit,
            style=style,
        )
    return table


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def main() -> None:
    """Measure what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", type=row_number, metavar="ROW", help="1 to 7, floor")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--repetitions", type=int, help="instead of each row's own number")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="another source tree, measured in turn"
    )
    options = parser.parse_args()
    systems: list[System] = [Tierbroker()]
    if options.against is not None:
        systems.insert(0, Tierbroker(options.against))
    progress = Console(stderr=True)
    results: list[Result] = []
    for row in ROWS:
        if options.rows and row.number not in options.rows:
            continue
        with progress.status(f"measuring {row.title} …"):
            measured = measure(row, systems, options.repetitions)
        results += measured
        if options.json:
            print("\n".join(map(as_json, measured)), flush=True)
    if not options.json:
        Console(width=None if sys.stdout.isatty() else 120).print(as_table(results))


if __name__ == "__main__":
    main()
