from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from tierbroker.base.histogram import Histogram
from tierbroker.base.metrics import Sample, counter, gauge, histogram
from tierbroker.node.exposition import Page

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples() -> list[list[Sample]]:
    seconds = Histogram([0.1, 1])
    for value in (0.05, 0.5, 0.5, 7):
        seconds.observe(value)
    size = gauge("size_bytes", 'Bytes of a "topic".', "topic")
    return [
        [counter("requests_total", "Requests.").at(12)],
        [size.at(1, 'a "b"\n\\'), size.at(2.5, "c")],
        [histogram("flush_seconds", "Flushes.").at(seconds.value)],
    ]


def page(accept: str) -> Page:
    made = Page(accept)
    for family in samples():
        made.add(family)
    made.add_process()
    return made


def test_prometheus_text_says_what_was_sampled() -> None:
    made = page("*/*")
    assert made.content_type.startswith("text/plain; version=0.0.4")
    text = b"".join(made.finish()).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert found["tierbroker_requests"].type == "counter"
    sizes = {each.labels["topic"]: each.value for each in found["tierbroker_size_bytes"].samples}
    assert sizes == {'a "b"\n\\': 1, "c": 2.5}
    flushes = {
        (each.name.removeprefix("tierbroker_flush_seconds"), each.labels.get("le")): each.value
        for each in found["tierbroker_flush_seconds"].samples
    }
    assert flushes == {
        ("_bucket", "0.1"): 1,
        ("_bucket", "1"): 3,
        ("_bucket", "+Inf"): 4,
        ("_count", None): 4,
        ("_sum", None): 8.05,
    }
    assert "process_resident_memory_bytes" in found


def test_a_metric_may_come_in_pieces() -> None:
    size = gauge("size_bytes", "Bytes.", "topic")
    for accept in ("", OPENMETRICS):
        made, whole = Page(accept), Page(accept)
        made.add([size.at(1, "a")])
        made.add([size.at(2, "#"), size.at(3, "c")], goes_on=True)
        whole.add([size.at(1, "a"), size.at(2, "#"), size.at(3, "c")])
        assert b"".join(made.finish()) == b"".join(whole.finish())


def test_openmetrics_is_written_for_who_accepts_it() -> None:
    made = page(OPENMETRICS)
    assert made.content_type.startswith("application/openmetrics-text; version=1.0.0")
    text = b"".join(made.finish()).decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    found = {family.name for family in openmetrics_families(text)}
    assert {"tierbroker_requests", "tierbroker_size_bytes", "tierbroker_flush_seconds"} <= found
