"""What a row of the table is: how one repetition is taken, and how repetitions become figures."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.system import Durability, System

FLOOR = "floor"
"""Stands where a system's name does: what no broker can be cheaper than."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure may be: at most the limit, or at least."""

    limit: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a row reports."""

    name: str
    unit: str
    budget: Bound | None = None
    """What the figure itself may be, on any machine of this class."""
    ratio: Bound | None = None
    """What the figure divided by Apache Kafka's may be, both taken in one run."""


class Row(Protocol):
    """One row of the budget table. Its docstring names the resource that it saturates and the
    physical limit."""

    name: str
    """As it is asked for: a number of the budget table, or a word."""
    title: str
    figures: Sequence[Figure]
    repetitions: int
    durability: Durability | None
    """What the broker is started with; None if the row starts brokers itself."""

    def prepare(self, system: System) -> None:
        """Once for each system, before the first repetition: one whole run, as warm-up."""

    def measure(self, system: System) -> Mapping[str, float]:
        """One repetition: a value for each figure, by name. A figure that the system does not
        have is left out."""

    def floor(self) -> Mapping[str, float]:
        """One repetition of the physical limit, for the figures that have one."""


@dataclass(frozen=True, slots=True)
class Result:
    """A figure of one system, or of the floor, over all repetitions."""

    row: str
    title: str
    system: str
    figure: Figure
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return min(self.values), max(self.values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Each repetition by the one of the other system that was taken beside it. A pair in which
    the other took nothing that could be measured is left out."""
    return tuple(a / b for a, b in zip(ours, theirs, strict=True) if b)


class Brokers:
    """The brokers that rows share: those with one durability run until another is asked for."""

    def __init__(self, systems: Iterable[System]) -> None:
        self.systems = tuple(systems)
        self._running: list[System] = []
        self._durability: Durability | None = None

    def provide(self, durability: Durability | None) -> None:
        """Have all systems running with that durability, or none of them running."""
        if durability is self._durability:
            return
        self.stop()
        self._durability = durability
        if durability is not None:
            for system in self.systems:
                self._running.append(system)
                system.start(durability)

    def stop(self) -> None:
        """Stop what runs."""
        while self._running:
            self._running.pop().stop()
        self._durability = None


def measure(
    row: Row,
    brokers: Brokers,
    repetitions: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Take the repetitions from each system and the floor in turn, so that whatever else the
    machine does meets all of them. `tell` hears what is being done."""
    values: dict[tuple[str, str], list[float]] = {}
    brokers.provide(row.durability)
    for system in brokers.systems:
        tell(f"{row.name}: {row.title}: {system.name} warms up")
        row.prepare(system)
    count = repetitions or row.repetitions
    for number in range(1, count + 1):
        for system in brokers.systems:
            tell(f"{row.name}: {row.title}: {number} of {count}, {system.name}")
            for name, value in row.measure(system).items():
                values.setdefault((name, system.name), []).append(value)
        for name, value in row.floor().items():
            values.setdefault((name, FLOOR), []).append(value)
    names = [*(system.name for system in brokers.systems), FLOOR]
    return [
        Result(row.name, row.title, name, figure, tuple(values[figure.name, name]))
        for figure in row.figures
        for name in names
        if (figure.name, name) in values
    ]
