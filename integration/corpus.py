"""The input of the round trips: the source text of Python's standard library, line by line.

Real text of many shapes: empty lines, tabs, form feeds, lines that are no UTF-8, files with
carriage returns. It lies on every machine that can run these tests.
"""

import sysconfig
from pathlib import Path

from integration.clients import Line

SMALL_COUNT = 100_000


def read_corpus() -> list[Line]:
    """Every line of every source file in the order of the file names: file path, line, as bytes."""
    root = Path(sysconfig.get_path("stdlib"))
    lines: list[Line] = []
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            continue
        key = str(path.relative_to(root)).encode()
        lines.extend((key, line) for line in path.read_bytes().split(b"\n"))
    return lines


def small_corpus(corpus: list[Line]) -> list[Line]:
    """The first 100,000 lines that every client can carry, those of Java's console included.

    That one reads text: files that are no UTF-8 or hold carriage returns are left out.
    """
    unfit = {key for key, value in corpus if b"\r" in value or not _is_text(value)}
    lines = [(key, value) for key, value in corpus if key not in unfit][:SMALL_COUNT]
    assert len(lines) == SMALL_COUNT, "this Python comes without most of its library's source text"
    return lines


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
