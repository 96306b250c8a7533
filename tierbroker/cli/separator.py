"""The separator between key and value in lines, as produce reads and consume writes them."""

import os

_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\0": "\0", "\\\\": "\\"}


def parse_separator(text: str) -> bytes:
    r"""Any non-empty text; \t, \n, \0 and \\ stand for tab, newline, zero byte and backslash."""
    separator = unescape(text)
    if not separator:
        raise ValueError("a separator has at least one character")
    return os.fsencode(separator)


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
