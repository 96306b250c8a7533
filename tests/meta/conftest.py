"""The files that the rules of this directory are about."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def repository_files() -> list[Path]:
    """All files that are, or are about to be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in (ROOT / name for name in sorted(names)) if path.is_file()]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def all_files() -> list[Path]:
    return repository_files()


@pytest.fixture(scope="session")
def python_files(all_files: list[Path]) -> list[Path]:
    """Every Python file that a person writes: generated ones are guarded by their generator."""
    generated = {
        ROOT / "tierbroker" / folder
        for folder in (
            "wire/messages",
            "controller/records",
            "groups/records",
            "transactions/records",
        )
    }
    return [
        path
        for path in all_files
        if path.suffix == ".py" and not (path.parent in generated and path.name != "__init__.py")
    ]
