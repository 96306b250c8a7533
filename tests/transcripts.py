"""Conversations as tests: commands a line, a separator, and everything that came of them.

A block is the commands, a line `----`, the lines that they led to, and an empty line. Lines that
begin with # are for the reader. With SCRIPTS_REWRITE set, a transcript is written as it happened.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

SEPARATOR = "----"


def check(path: Path, run: Callable[[str], Iterable[str]]) -> None:
    """Play a transcript; AssertionError where it does not happen as it is written."""
    expected = path.read_text()
    actual = play(expected, run)
    if os.environ.get("SCRIPTS_REWRITE"):
        path.write_text(actual)
        return
    assert actual == expected


def play(text: str, run: Callable[[str], Iterable[str]]) -> str:
    """The transcript with what really came of its commands."""
    actual: list[str] = []
    lines = iter(text.splitlines())
    pending: list[str] = []
    for line in lines:
        if line == SEPARATOR:
            actual.append(line)
            for command in pending:
                actual.extend(run(command))
            pending = []
            while next(lines, ""):
                pass
            actual.append("")
            continue
        actual.append(line)
        if line and not line.startswith("#"):
            pending.append(line)
    assert not pending, "the transcript ends within a block"
    return "\n".join(actual).rstrip("\n") + "\n"
