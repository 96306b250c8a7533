"""What stays on this disk beyond local retention, because the cold tier does not have it yet.

A store that is slow, down or full stops nobody: local retention yields. How much that is stands in
the metrics, and in one line of the log, said again seldom. Nothing is decided here.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from tierbroker.base.clock import Clock
from tierbroker.base.ids import TopicPartition

logger = logging.getLogger(__name__)

PATIENCE_S = 120.0
"""A segment is on its way for a while: nothing to speak of before."""
AGAIN_S = 3600.0


@dataclass(slots=True)
class Overdue:
    """Of one partition."""

    size_bytes: int
    base_offset: int
    """Where the oldest segment begins that should have gone."""
    since: float
    """When that one was first found to be overdue, by the monotonic clock."""


class OverdueData:
    """All that is overdue, as of the last round of retention."""

    def __init__(self, clock: Clock, why: Callable[[TopicPartition], str]) -> None:
        """`why` says of a partition what keeps its next segment from the tier."""
        self._clock = clock
        self._why = why
        self._places: dict[TopicPartition, Overdue] = {}
        self._seen: set[TopicPartition] = set()
        self._said = False
        self._next_word = 0.0

    @property
    def size_bytes(self) -> int:
        """Bytes on this disk that local retention would have let go."""
        return sum(overdue.size_bytes for overdue in self._places.values())

    @property
    def partitions(self) -> int:
        """How many partitions have such bytes."""
        return len(self._places)

    def note(self, place: TopicPartition, size_bytes: int, base_offset: int) -> None:
        """In this round the partition has so many overdue bytes, from that segment on."""
        self._seen.add(place)
        if not size_bytes:
            self._places.pop(place, None)
            return
        known = self._places.get(place)
        if known is None or known.base_offset != base_offset:
            since = self._clock.monotonic()
            self._places[place] = Overdue(size_bytes, base_offset, since)
        else:
            known.size_bytes = size_bytes

    def end_round(self) -> None:
        """Every partition was looked at: forget the others, and say how it stands if need be."""
        for place in self._places.keys() - self._seen:
            del self._places[place]
        self._seen.clear()
        now = self._clock.monotonic()
        stuck = [
            (overdue.since, place)
            for place, overdue in self._places.items()
            if now - overdue.since >= PATIENCE_S
        ]
        if stuck:
            if now >= self._next_word:
                self._next_word = now + AGAIN_S
                self._said = True
                self._say(*min(stuck), now)
        elif self._said and not self._places:
            self._said = False
            self._next_word = 0.0
            logger.info("local retention holds again: the cold tier has what it should have")

    def _say(self, since: float, place: TopicPartition, now: float) -> None:
        logger.warning(
            "%d bytes of %d partitions stay on this disk beyond local retention, because the cold "
            "tier does not have them; %s for %d minutes: %s",
            self.size_bytes,
            len(self._places),
            place,
            (now - since) // 60,
            self._why(place),
        )
