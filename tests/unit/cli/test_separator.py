"""Separators of key and value."""

import pytest

from tierbroker.cli.separator import parse_separator


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        (":", b":"),
        ("=>", b"=>"),
        (r"\t", b"\t"),
        (r"\n|\0", b"\n|\0"),
        (r"\\t", rb"\t"),
        (r"\x", rb"\x"),
        ("\\", b"\\"),
        ("→", "→".encode()),
    ],
)
def test_escapes(text: str, separator: bytes) -> None:
    assert parse_separator(text) == separator


def test_nothing_separates_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        parse_separator("")
