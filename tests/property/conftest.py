"""Property tests have more time than others.

Hypothesis takes the alarm of a test's time limit, wherever it strikes, for a failure of the code
that just runs, runs the example again, and reports "FlakyFailure" when that passes. So the limit is
far beyond what a loaded machine needs: it ends only what hangs.
"""

import pytest

LIMIT_S = 900


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(LIMIT_S))
