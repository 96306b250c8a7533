"""`python -m bench [ROW ...]`: races this broker against Apache Kafka, row by row."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from bench import conditions, report
from bench.beside_work import BesideWork
from bench.cold_read import ColdRead
from bench.cold_scan import ColdScan
from bench.cold_state import ColdState
from bench.connections import IdleConnections
from bench.consume import ConsumeHot
from bench.durable import ProduceDurable
from bench.exactly_once import ProduceExactlyOnce
from bench.kafka import KafkaSystem, is_installed
from bench.latency import EndToEnd
from bench.memory import Resident
from bench.offload import Offload
from bench.produce import ProduceBatches, ProduceSmall
from bench.recovery import Recovery
from bench.row import Brokers, Result, Row, measure
from bench.start import EmbeddedStart, StartToFirstAck
from bench.system import System, Tierbroker, remove_data
from bench.wide import ManyPartitions

ROWS: tuple[Row, ...] = (
    ProduceBatches(),
    ProduceSmall(),
    ProduceExactlyOnce(),
    ConsumeHot(),
    EndToEnd(),
    ProduceDurable(),
    StartToFirstAck(),
    EmbeddedStart(),
    Resident(),
    ColdRead(),
    Offload(),
    BesideWork(),
    Recovery(),
    ColdScan(),
    ColdState(),
    IdleConnections(),
    ManyPartitions(),
)
NAMES = tuple(dict.fromkeys(row.name for row in ROWS))
MARK = "bench"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(NAMES)}; or all")
    parser.add_argument("--only", choices=("tierbroker", "kafka"), help="leave the other out")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another source tree of ours")
    parser.add_argument("--repetitions", type=int, help="instead of each row's own number")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the run there, as JSON")
    parser.add_argument(
        "--from", type=Path, metavar="FILE", dest="kept", help="show a kept run, measure nothing"
    )
    parser.add_argument("--budgets", action="store_true", help="only figures that have a budget")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="one JSON document")
    shape.add_argument("--markdown", action="store_true", help="a table for a page")
    shape.add_argument(
        "--into",
        type=Path,
        nargs="+",
        metavar="PAGE",
        help=f"that, between its marks <!-- {MARK} -->",
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.rows) - set(NAMES)):
        parser.error(f"{', '.join(unknown)}: no such row; there are {', '.join(NAMES)}")
    alone = options.kept or options.only == "tierbroker" or options.against
    if not alone and not is_installed():
        parser.error(
            "Apache Kafka or a JVM is not here. `make bench` fetches Kafka; with "
            "--only tierbroker it runs without both"
        )
    return options


def contestants(options: argparse.Namespace) -> list[System]:
    """Those who race, ours last."""
    if options.only == "kafka":
        return [KafkaSystem()]
    if options.only == "tierbroker":
        return [Tierbroker()]
    other: System = Tierbroker(options.against) if options.against else KafkaSystem()
    return [other, Tierbroker()]


def run(options: argparse.Namespace) -> report.Run:
    """Measure the rows that were asked for."""
    systems = contestants(options)
    told = conditions.conditions(systems)
    started = time.monotonic()
    progress = Console(stderr=True)
    results: list[Result] = []
    brokers = Brokers(systems)
    try:
        with progress.status("starting …") as status:

            def tell(what: str) -> None:
                status.update(f"{time.monotonic() - started:.0f} s  {what}")

            for row in ROWS:
                if options.rows and row.name not in options.rows:
                    continue
                results += measure(row, brokers, options.repetitions, tell)
                progress.print(f"{time.monotonic() - started:4.0f} s  {row.name}: {row.title}")
    finally:
        brokers.stop()
        remove_data()
    told = conditions.after(told, time.monotonic() - started)
    theirs = systems[0].name if len(systems) == 2 else None
    return report.Run(told, systems[-1].name, theirs, results)


def show(done: report.Run, options: argparse.Namespace) -> None:
    """In the shape that was asked for."""
    if options.json:
        print(report.as_json(done.results, done.told, done.ours, done.theirs))
        return
    found = [
        line
        for line in report.lines(done.results, done.ours, done.theirs)
        if (not options.rows or line.row in options.rows)
        and (not options.budgets or line.figure.budget or line.figure.ratio)
    ]
    if options.markdown or options.into:
        told = "".join(f"- {name}: {value}\n" for name, value in done.told.items())
        text = f"{report.as_markdown(found, done.ours, done.theirs)}\n\n{told}".rstrip()
        for page in options.into or ():
            page.write_text(report.between_marks(page.read_text(), MARK, text))
        if options.markdown:
            print(text)
        return
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(report.as_table(found, done.ours, done.theirs))
    for name, value in done.told.items():
        console.print(f"{name}: {value}", highlight=False)


def main() -> None:
    """Measure and show, or only show."""
    options = arguments()
    if options.kept is not None:
        show(report.from_json(options.kept.read_text()), options)
        return
    done = run(options)
    if options.keep is not None:
        options.keep.parent.mkdir(parents=True, exist_ok=True)
        options.keep.write_text(report.as_json(done.results, done.told, done.ours, done.theirs))
    show(done, options)


if __name__ == "__main__":
    main()
