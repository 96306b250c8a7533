"""What a run says: for people, for programs, and for a page of documentation.

Pure: results in, text out. It measures nothing and knows no broker but by the names in the
results.
"""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bench.row import FLOOR, Bound, Figure, Result, ratios

HEADINGS = ("row", "what", "unit", "floor", "theirs", "ours", "ratio", "budget")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure as it is shown: all that was measured of it, side by side."""

    row: str
    title: str
    figure: Figure
    floor: Result | None
    theirs: Result | None
    ours: Result | None

    @property
    def ratio(self) -> tuple[float, ...]:
        """Ours by theirs, repetition by repetition; empty when one is missing."""
        if self.ours is None or self.theirs is None:
            return ()
        return ratios(self.ours.values, self.theirs.values)

    @property
    def met(self) -> bool | None:
        """Whether the budgets are met; None where there is none, or nothing to judge by."""
        verdicts = []
        if self.figure.budget is not None and self.ours is not None:
            verdicts.append(self.figure.budget.met_by(self.ours.median))
        if self.figure.ratio is not None and self.ratio:
            verdicts.append(self.figure.ratio.met_by(statistics.median(self.ratio)))
        return all(verdicts) if verdicts else None


def lines(results: Sequence[Result], ours: str, theirs: str | None) -> Iterator[Line]:
    """Figures in the order in which they were measured."""
    found: dict[tuple[str, str, str], dict[str, Result]] = {}
    for result in results:
        key = result.row, result.title, result.figure.name
        found.setdefault(key, {})[result.system] = result
    for (row, title, _), systems in found.items():
        figure = next(iter(systems.values())).figure
        yield Line(
            row,
            title,
            figure,
            systems.get(FLOOR),
            systems.get(theirs) if theirs else None,
            systems.get(ours),
        )


def number(value: float) -> str:
    """Three digits that matter."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 999.5:
        return f"{value:,.0f}"
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    return f"{value:.{places}f}"


def with_spread(values: Sequence[float]) -> str:
    """Median, and in brackets the smallest and largest where there is more than one."""
    if not values:
        return "–"
    median = number(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} [{number(min(values))}–{number(max(values))}]"


def budget_text(figure: Figure) -> str:
    """Both kinds of budget: of the figure itself, and against the other side (×)."""
    texts = []
    for bound, mark in ((figure.budget, ""), (figure.ratio, "×")):
        if bound is not None:
            texts.append(f"{'≥' if bound.at_least else '≤'} {bound.limit:g}{mark}")
    return ", ".join(texts)


def cells(line: Line) -> tuple[str, ...]:
    """What stands under each of the headings, but for the row and its title."""
    ratio = with_spread(line.ratio) if line.ratio else ""
    return (
        line.figure.name,
        line.figure.unit,
        number(line.floor.median) if line.floor else "",
        with_spread(line.theirs.values) if line.theirs else "",
        with_spread(line.ours.values) if line.ours else "",
        ratio,
        budget_text(line.figure),
    )


def as_table(found: Sequence[Line], ours: str, theirs: str | None) -> Table:
    """What a person reads; red is what misses its budget."""
    table = Table(title=r"median \[smallest–largest]; a ratio is that of two neighbouring runs")
    columns = ("row", "figure", "unit", FLOOR, theirs or "", ours, "ratio", "budget")
    shown = [n for n, name in enumerate(columns) if n not in (4, 6) or theirs]
    for n in shown:
        table.add_column(columns[n], justify="left" if n in (1, 2) else "right")
    before = ""
    for line in found:
        if line.title != before:
            before = line.title
            heading = (line.row, f"[bold]{line.title}", *[""] * 6)
            table.add_row(*(heading[n] for n in shown))
        style = {True: "green", False: "red", None: None}[line.met]
        row = ("", *cells(line))
        table.add_row(*(row[n] for n in shown), style=style)
    return table


def as_markdown(found: Sequence[Line], ours: str, theirs: str | None) -> str:
    """The same as a table of a page."""
    columns = ["", "figure", FLOOR, *([theirs] if theirs else []), ours]
    columns += ["ratio", "budget"] if theirs else ["budget"]
    rows = [columns, ["---"] * 2 + ["--:"] * (len(columns) - 2)]
    before = ""
    for line in found:
        name, unit, floor, their, our, ratio, budget = cells(line)
        if line.met is False:
            budget = f"**{budget}, missed**"
        what = f"{line.title}: {name}" if line.title != before else name
        mark = line.row if line.title != before else ""
        before = line.title
        middle = [floor, *([their] if theirs else []), our, *([ratio] if theirs else [])]
        rows.append([mark, f"{what}, {unit}", *middle, budget])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def as_json(
    results: Sequence[Result], told: Mapping[str, str], ours: str, theirs: str | None
) -> str:
    """One document that `from_json` reads back."""
    document = {
        "conditions": dict(told),
        "ours": ours,
        "theirs": theirs,
        "results": [
            {
                **asdict(result),
                "median": result.median,
                "min": result.spread[0],
                "max": result.spread[1],
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=1)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was kept."""

    told: dict[str, str]
    ours: str
    theirs: str | None
    results: list[Result]


def from_json(text: str) -> Run:
    """What `as_json` wrote."""
    document = json.loads(text)
    return Run(
        document["conditions"],
        document["ours"],
        document["theirs"],
        [_result(item) for item in document["results"]],
    )


def _result(item: Mapping[str, Any]) -> Result:
    figure = item["figure"]
    return Result(
        item["row"],
        item["title"],
        item["system"],
        Figure(figure["name"], figure["unit"], _bound(figure["budget"]), _bound(figure["ratio"])),
        tuple(item["values"]),
    )


def _bound(item: Mapping[str, Any] | None) -> Bound | None:
    return None if item is None else Bound(item["limit"], item["at_least"])


def between_marks(page: str, name: str, text: str) -> str:
    """The page with `text` between its `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises ValueError when the page lacks one of them."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise ValueError(f"no {start} followed by {end} on that page")
    head, tail = page.partition(start)[0], page.partition(end)[2]
    return f"{head}{start}\n{text}\n{end}{tail}"
