import pytest

from tierbroker.base.metrics import counter, gauge
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


def test_every_metric_of_the_node_has_a_name_and_a_sentence_of_its_own() -> None:
    metrics = list(all_metrics())
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert len({metric.doc for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.doc.endswith(".")
        assert "_ms" not in metric.name, "base units"
