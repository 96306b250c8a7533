"""The reference pages say what the code says."""

from pathlib import Path

import pytest

from tools import docs


@pytest.mark.parametrize("page", docs.PAGES)
def test_a_page_is_what_its_source_says(root: Path, page: str) -> None:
    file = root / page
    assert file.exists(), f"{page} is missing: run `make docs`"
    assert file.read_text() == docs.PAGES[page](root), f"{page} is out of date: run `make docs`"


def test_stale_pages_are_found_and_mended(tmp_path: Path) -> None:
    assert docs.main(["--check"], tmp_path) == 1
    assert docs.main([], tmp_path) == 0
    assert docs.main(["--check"], tmp_path) == 0
    page = tmp_path / "docs" / "apis.md"
    page.write_text(page.read_text().replace("Fetch", "Catch"))
    assert docs.main(["--check"], tmp_path) == 1
