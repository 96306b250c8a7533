"""The plugin must cost nothing to a run that does not use it."""

import subprocess
import sys

LIGHT = {"tierbroker", "tierbroker.testing", "tierbroker.testing.plugin"}


def test_loading_the_plugin_imports_nothing_else() -> None:
    script = (
        "import sys, pytest, collections.abc, typing; before = set(sys.modules); "
        "import tierbroker.testing.plugin; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(sorted(LIGHT))
