"""When a segment is full: by size, age, index room, or an offset too far from its base.

Kafka's rules (LogSegment.shouldRoll). Age is judged by records: the highest timestamp to append
against that of the segment's first batch.
"""

import math
import random

from tierbroker.base.clock import Clock
from tierbroker.hot.active_segment import MAX_RELATIVE_OFFSET, ActiveSegment
from tierbroker.hot.config import LogConfig
from tierbroker.records import offset_index, time_index


class RollPolicy:
    """The limits of the active segment, worked out when it or the configuration changes."""

    __slots__ = (
        "_clock",
        "_index_bytes",
        "_rng",
        "_roll_after_timestamp",
        "_segment_ms",
        "_time_index_bytes",
        "segment_bytes",
    )

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._roll_after_timestamp: float = math.inf
        self._segment_ms = 0
        self._index_bytes = self._time_index_bytes = 0
        self.segment_bytes = 0

    def plan(self, config: LogConfig, active: ActiveSegment) -> None:
        """Work out the limits anew: the configuration, the segment or its first batch is new."""
        self.segment_bytes = config.segment_bytes
        self._segment_ms = config.max_segment_ms
        index_bytes = config.segment_index_bytes
        self._index_bytes = index_bytes // offset_index.ENTRY_BYTES * offset_index.ENTRY_BYTES
        # The last slot of the time index is kept for the entry written at a roll.
        self._time_index_bytes = (
            index_bytes // time_index.ENTRY_BYTES - 1
        ) * time_index.ENTRY_BYTES
        if active.first_timestamp < 0:
            self._roll_after_timestamp = math.inf
            return
        jitter_limit = min(config.segment_jitter_ms, self._segment_ms)
        jitter_ms = jitter_limit and self._rng.randrange(jitter_limit)
        self._roll_after_timestamp = active.first_timestamp + self._segment_ms - jitter_ms

    def must_roll(
        self,
        active: ActiveSegment,
        position: int,
        size_bytes: int,
        max_timestamp: int,
        last_offset: int,
    ) -> bool:
        """Whether a batch that would be written at `position` belongs into a new segment."""
        if last_offset - active.base_offset > MAX_RELATIVE_OFFSET:
            return True
        if position == 0:
            return False
        return (
            position + size_bytes > self.segment_bytes
            or max_timestamp > self._roll_after_timestamp
            or len(active.index) >= self._index_bytes
            or len(active.time_index) >= self._time_index_bytes
            or (active.first_timestamp < 0 < active.size_bytes and self._aged(active))
        )

    def _aged(self, active: ActiveSegment) -> bool:
        """By the clock, for records without timestamps."""
        return self._clock.now_ms() - active.created_ms > self._segment_ms
