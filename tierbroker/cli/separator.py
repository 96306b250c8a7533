"""The separator between key and value in lines, as produce reads and consume writes them."""

import os
from typing import Any

import click

_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\0": "\0", "\\\\": "\\"}


class SeparatorType(click.ParamType):
    r"""Any non-empty text; \t, \n, \0 and \\ stand for tab, newline, zero byte and backslash."""

    name = "SEP"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        if isinstance(value, bytes):
            return value
        text = unescape(value)
        if not text:
            self.fail("a separator has at least one character", param, ctx)
        return os.fsencode(text)


def unescape(text: str) -> str:
    """Replace the escapes that a shell leaves alone; other backslashes stay."""
    pieces: list[str] = []
    position = 0
    while position < len(text):
        pair = text[position : position + 2]
        if pair in _ESCAPES:
            pieces.append(_ESCAPES[pair])
            position += 2
        else:
            pieces.append(text[position])
            position += 1
    return "".join(pieces)
