"""A clone works anywhere: no file names a package index or a path of one machine."""

import re
from pathlib import Path

# Spelled in pieces, so that this file passes its own test.
_HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("maven", "org"),
    ("maven", "apache", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("golang", "org"),
    ("crates", "io"),
    ("debian", "org"),
)
_FOLDERS = (("", "work", ""), ("", "root", ""), ("", "home", ""), ("", "opt", "wheels"))
_OPTIONS = ("-index-url", "--find-links", "--trusted-host")

FORBIDDEN = re.compile(
    "|".join(
        [
            *(rf"\b{re.escape('.'.join(host))}\b" for host in _HOSTS),
            *(rf"(?<![\w.$}}/-]){re.escape('/'.join(folder))}" for folder in _FOLDERS),
            *(rf"(?<!emit){re.escape(option)}\b" for option in _OPTIONS),
        ]
    )
)


def test_no_file_names_an_index_or_a_machine(all_files: list[Path], root: Path) -> None:
    this_file = Path(__file__)
    found = []
    for path in all_files:
        if path == this_file:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(root)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if FORBIDDEN.search(line)
        ]
    assert not found, f"packages are named, never addressed, and paths are relative: {found}"


def test_the_locks_pin_every_package_by_hash(root: Path) -> None:
    for lock in sorted((root / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=\w)", lock.read_text().split("\n", 2)[2])
        loose = [e.split()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e]
        assert not loose, f"{lock.name}: not pinned by hash: {loose}; run `make lock`"
