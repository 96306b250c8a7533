"""How commands are told a span of time: 500ms, 90s, 30m, 24h, 7d. Pure."""

import re

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(text: str) -> int:
    """Milliseconds; raises ValueError that says what is allowed."""
    found = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text)
    if found is None:
        raise ValueError(f"{text!r} is no span of time such as 90s, 30m, 24h or 7d")
    return int(found[1]) * _UNIT_MS[found[2]]


def duration_text(span_ms: int) -> str:
    """The way back: in the largest unit of which it is a whole number."""
    unit = next(unit for unit in reversed(_UNIT_MS) if span_ms % _UNIT_MS[unit] == 0)
    return f"{span_ms // _UNIT_MS[unit]}{unit}"
