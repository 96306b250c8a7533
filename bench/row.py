"""What a row of the table is: how one repetition is taken, and how repetitions become a figure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.system import Durability, System


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a row reports; less is better unless it is a rate."""

    name: str
    unit: str
    budget: float | None = None
    """What DESIGN allows on the machine where Kafka was measured; None if that is a ratio."""


class Row(Protocol):
    """One row of the budget table. Its docstring names the resource that it saturates and the
    physical limit."""

    number: int
    title: str
    figures: Sequence[Figure]
    repetitions: int
    durability: Durability | None
    """What the broker is started with; None if the row starts brokers itself."""

    def prepare(self, system: System) -> None:
        """Once for each system, before the first repetition."""

    def measure(self, system: System) -> Mapping[str, float]:
        """One repetition: a value for each figure, by name."""


@dataclass(frozen=True, slots=True)
class Result:
    """A figure of one system over all repetitions."""

    row: int
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


def measure(row: Row, systems: Iterable[System], repetitions: int | None = None) -> list[Result]:
    """Take the repetitions from each system in turn, so that whatever else the machine does
    meets all of them."""
    running: list[System] = []
    values: dict[tuple[str, str], list[float]] = {}
    systems = list(systems)
    try:
        for system in systems:
            if row.durability is not None:
                running.append(system)
                system.start(row.durability)
            row.prepare(system)
        for _ in range(repetitions or row.repetitions):
            for system in systems:
                for name, value in row.measure(system).items():
                    values.setdefault((system.name, name), []).append(value)
    finally:
        for system in running:
            system.stop()
    return [
        Result(row.number, row.title, system.name, figure, tuple(values[system.name, figure.name]))
        for figure in row.figures
        for system in systems
    ]
