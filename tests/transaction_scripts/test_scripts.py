"""Every transcript of this directory happens as it is written."""

from pathlib import Path

import pytest

from tests.transaction_scripts.runner import Script
from tests.transcripts import check

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    check(path, Script().run)
