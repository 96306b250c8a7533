"""What the documentation points at is there."""

import re
from pathlib import Path

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|facts|md))`")


def _pages(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def test_relative_links_lead_somewhere(root: Path) -> None:
    dead = [
        f"{page.relative_to(root)}: {target}"
        for page in _pages(root)
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not dead, f"links to nothing: {dead}"


def test_files_that_the_documentation_names_exist(root: Path) -> None:
    """`broker/registry.py` is meant from the root of the repository or of the package."""
    gone = [
        f"{page.relative_to(root)}: {name}"
        for page in _pages(root)
        for name in MODULE.findall(page.read_text())
        if not ((root / name).exists() or (root / "tierbroker" / name).exists())
    ]
    assert not gone, f"documented files that do not exist: {gone}"
