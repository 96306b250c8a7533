import pytest

from tierbroker.base.histogram import Histogram


def test_a_histogram_counts_by_size() -> None:
    histogram = Histogram([1, 2.5])
    for value in (0.5, 1, 2, 3, 100):
        histogram.observe(value)
    assert histogram.value == ((1, 2.5), (2, 1, 2), 106.5)
    with pytest.raises(AssertionError):
        Histogram([2, 1])
