import pytest

from tierbroker.base.metrics import Histogram, counter, gauge
from tierbroker.node.metrics import all_metrics


def test_names_are_prometheus_style() -> None:
    assert counter("requests_total", "doc", "api").name == "tierbroker_requests_total"
    with pytest.raises(AssertionError):
        counter("requests", "doc")
    with pytest.raises(AssertionError):
        gauge("requests_total", "doc")


def test_a_sample_has_a_text_for_each_label() -> None:
    metric = gauge("size_bytes", "doc", "topic")
    assert metric.at(3, "t") == (metric, ("t",), 3)
    with pytest.raises(AssertionError):
        metric.at(3)


def test_a_histogram_counts_by_size() -> None:
    histogram = Histogram([1, 2.5])
    for value in (0.5, 1, 2, 3, 100):
        histogram.observe(value)
    assert histogram.value == ((1, 2.5), (2, 1, 2), 106.5)
    with pytest.raises(AssertionError):
        Histogram([2, 1])


def test_every_metric_of_the_node_has_a_name_and_a_sentence_of_its_own() -> None:
    metrics = list(all_metrics())
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert len({metric.doc for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.doc.endswith(".")
        assert "_ms" not in metric.name, "base units"
