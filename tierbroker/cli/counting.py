"""How commands say how many of something there are. Pure."""

from collections.abc import Sequence


def counted(count: int, one: str, many: str | None = None) -> str:
    """ "1 object", "2 objects", "1,000 objects"; `many` where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def verb(count: int, one: str, many: str) -> str:
    """The form that goes with so many: "is" or "are"."""
    return one if count == 1 else many


def enumerated(texts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *rest, last = texts
    return f"{', '.join(rest)} and {last}" if rest else last
