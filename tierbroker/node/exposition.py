"""Samples as text, by prometheus_client: Prometheus's own format, or OpenMetrics.

Imported with the page that is made of it, because prometheus_client takes its time.
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector

from tierbroker.base.histogram import HistogramValue
from tierbroker.base.metrics import MetricKind, Sample

_END = b"# EOF\n"


class _Families:
    """What prometheus_client's encoders take for a registry."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        return iter(self._families)


class Page:
    """One scrape, written metric by metric."""

    def __init__(self, accept: str) -> None:
        """`accept` is the header of the request."""
        self._encode, self.content_type = choose_encoder(accept)
        self._parts: list[bytes] = []

    def add(self, samples: Sequence[Sample], *, goes_on: bool = False) -> None:
        """Samples of one metric; `goes_on`: further ones of the metric that was added last."""
        self._add([_family(samples)], headless=goes_on)

    def add_process(self) -> None:
        """What the kernel knows of this process: memory, CPU, descriptors."""
        self._add(ProcessCollector(registry=None).collect())

    def finish(self) -> list[bytes]:
        """The whole page, in as many pieces as were added: nobody has to join them."""
        end = _END if "openmetrics" in self.content_type else b""
        return [*self._parts, end]

    def _add(self, families: Iterable[Family], *, headless: bool = False) -> None:
        text = self._encode(_Families(families)).removesuffix(_END)
        while headless and text.startswith(b"#"):
            text = text.partition(b"\n")[2]
        self._parts.append(text)


def _family(samples: Sequence[Sample]) -> Family:
    metric = samples[0].metric
    if metric.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.doc, labels=metric.labels)
        for sample in samples:
            assert isinstance(sample.value, HistogramValue)
            histogram.add_metric(sample.labels, *_cumulative(sample.value))
        return histogram
    kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.doc, labels=metric.labels)
    for sample in samples:
        assert not isinstance(sample.value, HistogramValue)
        family.add_metric(sample.labels, sample.value)
    return family


def _cumulative(value: HistogramValue) -> tuple[list[tuple[str, float]], float]:
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
    return buckets, value.sum
