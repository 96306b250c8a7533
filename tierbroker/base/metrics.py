"""Metrics: declared once, beside what they measure, and read when somebody scrapes.

Nothing is registered anywhere: `node` asks the parts that it has made for their samples. Counting
is the business of the parts, in plain attributes; a name, a type and a sentence are declared here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tierbroker.base.histogram import HistogramValue

PREFIX = "tierbroker_"


class MetricKind(StrEnum):
    """Prometheus's types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Names are Prometheus's style with Kafka's nouns: base units, `_total` counts."""

    name: str
    kind: MetricKind
    doc: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.name.startswith(PREFIX), self.name
        assert (self.kind is MetricKind.COUNTER) == self.name.endswith("_total"), self.name

    def at(self, value: float | HistogramValue, *labels: str) -> "Sample":
        """A sample of it; one text for each label."""
        assert len(labels) == len(self.labels), f"{self.name} has the labels {self.labels}"
        return Sample(self, labels, value)


def counter(name: str, doc: str, *labels: str) -> Metric:
    """What only grows, from 0 at the start."""
    return Metric(PREFIX + name, MetricKind.COUNTER, doc, labels)


def gauge(name: str, doc: str, *labels: str) -> Metric:
    """What is so now."""
    return Metric(PREFIX + name, MetricKind.GAUGE, doc, labels)


def histogram(name: str, doc: str, *labels: str) -> Metric:
    """How often what took how long."""
    return Metric(PREFIX + name, MetricKind.HISTOGRAM, doc, labels)


class Sample(NamedTuple):
    """A value of a metric at one moment."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | HistogramValue


Samples = Iterator[Sample]
