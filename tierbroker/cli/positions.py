"""Where reading starts: `--from start|end|OFFSET|-COUNT|@TIME`, and how reading ends.

Pure values and rules; asking the broker for offsets is `cli.consume_run`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from tierbroker.base.clock import Clock

_DURATION = re.compile(r"-(\d+)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_OFFSET = (1 << 63) - 1


class Anchor(Enum):
    """What a position counts from."""

    START = "start"
    END = "end"
    OFFSET = "offset"
    BEFORE_END = "before end"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in every partition; `number` is an offset, a count, or milliseconds since 1970."""

    anchor: Anchor
    number: int = 0

    def resolve(self, earliest: int, end: int, at_time: int | None = None) -> int:
        """The offset in a partition that spans [earliest, end); clamped to that span.

        `at_time` is the first offset at or after the time, None if there is none.
        """
        if self.anchor is Anchor.START:
            return earliest
        if self.anchor is Anchor.END:
            return end
        if self.anchor is Anchor.TIME:
            wanted = end if at_time is None else at_time
        else:
            wanted = end - self.number if self.anchor is Anchor.BEFORE_END else self.number
        return min(max(wanted, earliest), end)


def parse_position(text: str, clock: Clock) -> Position:
    """Parse the value of --from; raises ValueError that says what is allowed."""
    if text == "start":
        return Position(Anchor.START)
    if text == "end":
        return Position(Anchor.END)
    if text.startswith("@"):
        return Position(Anchor.TIME, _parse_time(text[1:], clock))
    if re.fullmatch(r"-?\d{1,19}", text) and abs(int(text)) <= MAX_OFFSET:
        number = int(text)
        return Position(Anchor.BEFORE_END if text.startswith("-") else Anchor.OFFSET, abs(number))
    raise ValueError(f"{text!r} is not start, end, an offset, -COUNT or @TIME")


def _parse_time(text: str, clock: Clock) -> int:
    """Milliseconds since 1970 of epoch ms, ISO 8601 (local time if it names no zone), or -1h."""
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    if duration := _DURATION.fullmatch(text):
        return max(0, clock.now_ms() - int(duration[1]) * _UNIT_MS[duration[2]])
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(
            f"'@{text}' is not @ and milliseconds since 1970, an ISO 8601 time such as "
            "@2026-11-01T10:00, or a time ago such as @-90m"
        ) from None


class EndTracker:
    """Decides which records belong to the part that `--exit` reads, and when it is complete.

    `ends` maps each partition to the offset at which reading it stops; a partition that is not
    in it has nothing to read. A partition is complete with the record before its end, with any
    record at or beyond it, or when the broker says that there is no more: the last offsets may
    belong to no record that a client sees (transaction markers, compaction).
    """

    def __init__(self, ends: Mapping[int, int]) -> None:
        self._ends = dict(ends)

    @property
    def complete(self) -> bool:
        """Nothing is left to read."""
        return not self._ends

    def take(self, partition: int, offset: int) -> bool:
        """A record arrived: whether it belongs to what is read."""
        end = self._ends.get(partition)
        if end is None:
            return False
        if offset >= end - 1:
            del self._ends[partition]
        return offset < end

    def finish(self, partition: int) -> None:
        """The broker has no more of this partition."""
        self._ends.pop(partition, None)
