"""Warnings about record timestamps that retention will not take as their writers mean them.

Retention goes by timestamps: one far in the future keeps its segment and all behind it, those far
in the past go at the next check. Looked at where retention looks; never for each record.
"""

import logging
from typing import TYPE_CHECKING

from tierbroker.hot.retention_reasons import FAR_MS

if TYPE_CHECKING:
    from tierbroker.hot.log import Log

WARN_EVERY_MS = 3_600_000
"""A topic is warned about once in this time."""

logger = logging.getLogger(__name__)


class TimestampWarnings:
    """Remembers what was warned about."""

    def __init__(self) -> None:
        self._warned_ms: dict[str, int] = {}

    def look(self, log: "Log", now_ms: int) -> None:
        """Judge the oldest segment and the active one. Raises OSError."""
        config = log.config
        if not config.deletes_by_retention or config.retention_ms < 0:
            return
        topic = log.topic_partition.topic
        if now_ms - self._warned_ms.get(topic, now_ms - WARN_EVERY_MS) < WARN_EVERY_MS:
            return
        first = log.segments.first
        oldest_ms = first.max_timestamp()[0]
        newest_ms = max(oldest_ms, log.segments.active.max_timestamp()[0])
        if newest_ms > now_ms + FAR_MS:
            self._warned_ms[topic] = now_ms
            logger.warning(
                "%s holds a record %d hours ahead of the clock: retention.ms=%d keeps it, and all"
                " that was written after it, until it is of age. See: tierbroker topic why %s",
                log.topic_partition,
                (newest_ms - now_ms) // 3_600_000,
                config.retention_ms,
                topic,
            )
        elif 0 <= oldest_ms < now_ms - config.retention_ms:
            late_ms = log.segments.cache.fs.mtime_ms(first.handle.path) - oldest_ms
            if first.size_bytes and late_ms > max(config.retention_ms, FAR_MS):
                self._warned_ms[topic] = now_ms
                logger.warning(
                    "%s was given records whose timestamps were %d hours old already:"
                    " retention.ms=%d removes them at once. Raise it, or set"
                    " message.timestamp.type=LogAppendTime for topic %s",
                    log.topic_partition,
                    late_ms // 3_600_000,
                    config.retention_ms,
                    topic,
                )
