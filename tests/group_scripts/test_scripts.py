"""Every transcript of this directory happens as it is written."""

import os
from pathlib import Path

import pytest

from tests.group_scripts.runner import play

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    expected, actual = play(path)
    if os.environ.get("GROUP_SCRIPTS_REWRITE"):
        path.write_text(actual)
        return
    assert actual == expected
