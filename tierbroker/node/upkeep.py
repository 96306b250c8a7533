"""What a node does by the clock: checkpoints, free space, retention, expiry, flushes that are due.

One task, one turn a second. Long rounds give the loop a turn between logs.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.hot.config import FlushMode
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.log import Log
from tierbroker.hot.log_manager import LogManager
from tierbroker.replication.partitions import Partitions

if TYPE_CHECKING:
    from tierbroker.node.tiering import Tiering

TURN_S = 1.0
PRODUCERS_EVERY = 600
"""Turns between two looks at silent producers (producer.id.expiration.check.interval.ms)."""
HIGH_WATERMARKS_EVERY = 5
"""Turns between two checkpoints of the high watermarks (Kafka: every 5 s)."""
NEVER_MS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Chore:
    """What somebody beside the logs wants done now and then; must not take long."""

    every_s: float
    work: Callable[[], object]


class Upkeep:
    """The periodic work on the logs, and the chores of others."""

    def __init__(
        self,
        logs: LogManager,
        partitions: Partitions,
        flusher: GroupFlusher,
        clock: Clock,
        *,
        retention_every_s: float,
        chores: Sequence[Chore] = (),
        tiering: "Tiering | None" = None,
    ) -> None:
        self._logs = logs
        self._partitions = partitions
        self._flusher = flusher
        self._clock = clock
        self._tiering = tiering
        self._retention_every_s = retention_every_s
        self._next_retention = clock.monotonic() + retention_every_s
        self._chores = [(chore, clock.monotonic() + chore.every_s) for chore in chores]

    async def run(self) -> None:
        """Go on until cancelled."""
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            self._logs.tick(self._clock.now_ms())
            self._partitions.make_missing_logs()
            for log in self._logs:
                if _flush_is_due(log):
                    self._flusher.request(log)
            self._logs.checkpoint()
            if turn % HIGH_WATERMARKS_EVERY == 0:
                self._logs.checkpoint_high_watermarks(self._high_watermark)
            if turn % PRODUCERS_EVERY == 0:
                await self.expire_producers()
            if self._clock.monotonic() >= self._next_retention:
                await self.apply_retention()
            self._do_chores()

    def _do_chores(self) -> None:
        now = self._clock.monotonic()
        for slot, (chore, due) in enumerate(self._chores):
            if now >= due:
                self._chores[slot] = chore, now + chore.every_s
                chore.work()

    async def expire_producers(self) -> None:
        """Forget the producers that have been silent for producer.id.expiration.ms."""
        for log in self._logs:
            log.producer_state.expire(self._clock.now_ms())
            await asyncio.sleep(0)

    async def apply_retention(self) -> int:
        """Delete the segments whose time has come; returns how many went."""
        self._next_retention = self._clock.monotonic() + self._retention_every_s
        deleted = 0
        now_ms, tiering = self._clock.now_ms(), self._tiering
        if tiering is None:
            rounds = self._logs.apply_retention(now_ms, self._high_watermark)
        else:
            for _ in tiering.retention.apply_total():
                await asyncio.sleep(0)
            rounds = self._logs.apply_retention(
                now_ms, self._high_watermark, tiering.retention.evict_limit
            )
        for count in rounds:
            deleted += count
            await asyncio.sleep(0)
        return deleted

    def _high_watermark(self, log: Log) -> int:
        partition = self._partitions.find(log.topic_partition)
        return log.log_start_offset if partition is None else partition.high_watermark


def _flush_is_due(log: Log) -> bool:
    """In replicated mode a rolled segment is flushed soon, and flush.ms is honoured by the second.

    In fsync mode every append has asked for its flush already; in mode none nobody does.
    """
    config = log.config
    if config.flush_mode is not FlushMode.REPLICATED or log.offline or not log.has_unflushed:
        return False
    return log.flushed_offset < log.segments.active.base_offset or config.flush_ms < NEVER_MS
