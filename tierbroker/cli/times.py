"""How commands show points in time."""

from datetime import UTC, datetime


def utc_text(time_ms: int) -> str:
    """UTC, ISO 8601; years that no calendar has as they are."""
    try:
        found = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")
