"""Counts of values by size, for metrics. Without the metrics themselves, which no start needs."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class HistogramValue(NamedTuple):
    """A histogram as it stands: counts of values up to each bound, and beyond the last one."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    """One more than bounds; not cumulative."""
    sum: float


class Histogram:
    """Counts values by size; some hundred nanoseconds each."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds grow"
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def value(self) -> HistogramValue:
        """What was counted so far."""
        return HistogramValue(self._bounds, tuple(self._counts), self._sum)
