"""For all tests of the repository: how Hypothesis explores.

In CI it explores the same examples every time and never judges by the speed of a busy machine; on
a developer's machine it goes on looking for new ones.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")
