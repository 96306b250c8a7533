"""Expiry: offsets that nobody wants any more, and groups that have none left.

Offsets of a group expire `offsets.retention.minutes` after it became Empty; those of a consumer
group that is Stable, and of consumers that are no group, after their commit, topics that members
subscribe to excepted. A commit may name its own time of expiry. The rules are those of Kafka's
OffsetMetadataManager.cleanupExpiredOffsets; the work is spread over turns of the loop.
"""

import logging
from collections.abc import Iterator

from tierbroker.base.background import Background
from tierbroker.base.clock import Clock
from tierbroker.groups.committed_offsets import CommittedOffsets
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.deletion import is_subscribed
from tierbroker.groups.group import GroupState
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.record_codec import NO_TIMESTAMP, CommittedOffset
from tierbroker.wire.error_codes import ErrorCode

logger = logging.getLogger(__name__)


class Expiry:
    """One shard's; a round at a time. Loop thread only."""

    def __init__(
        self,
        config: GroupConfig,
        offsets: CommittedOffsets,
        memberships: Memberships,
        clock: Clock,
        background: Background,
    ) -> None:
        self._retention_ms = config.offsets_retention_ms
        self._offsets = offsets
        self._memberships = memberships
        self._clock = clock
        self._background = background
        self._steps: Iterator[None] | None = None
        self._cancelled = False

    def start(self) -> None:
        """Begin a round in a later turn, unless one is under way."""
        if self._steps is None and not self._cancelled:
            self._steps = self._round()
            self._background.begin(self._steps)

    def cancel(self) -> None:
        """End the round where it is; there is no other."""
        self._cancelled = True
        if self._steps is not None:
            self._background.cancel(self._steps)

    def _round(self) -> Iterator[None]:
        """Every group once, a topic a step."""
        groups = dict.fromkeys(row.group_id for row in self._memberships.listed())
        groups.update(dict.fromkeys(self._offsets.store.groups()))
        yield
        for group_id in groups:
            for topic in self._offsets.store.topics(group_id):
                self._expire(group_id, topic)
                yield
            self._maybe_delete(group_id)
            yield
        self._steps = None

    def _expire(self, group_id: str, topic: str) -> None:
        """Write the tombstones of a topic's offsets that have expired.

        Nothing is decided while a commit is on its way: it would come before the tombstone in
        the log, and be lost with the offset that it replaces.
        """
        if self._offsets.is_writing(group_id) or is_subscribed(self._memberships, group_id, topic):
            return
        state = self._memberships.state(group_id)
        if state is GroupState.EMPTY:
            empty_since_ms = self._memberships.empty_since_ms(group_id)
        elif state is GroupState.STABLE and self._memberships.uses_consumer_protocol(group_id):
            empty_since_ms = None
        else:
            return
        store, now_ms = self._offsets.store, self._clock.now_ms()
        expired = [
            (topic, partition)
            for partition, committed in store.committed(group_id, topic)
            if self._is_expired(committed, empty_since_ms, now_ms)
            and not store.pending.is_unstable(group_id, topic, partition)
        ]
        if expired:
            logger.info("%d offsets of group %r in topic %r expired", len(expired), group_id, topic)
            self._offsets.write_tombstones(
                group_id, expired, None, lambda _: self._maybe_delete(group_id)
            )

    def _is_expired(
        self, committed: CommittedOffset, empty_since_ms: int | None, now_ms: int
    ) -> bool:
        if committed.expire_timestamp_ms != NO_TIMESTAMP:
            return now_ms >= committed.expire_timestamp_ms
        since_ms = committed.commit_timestamp_ms if empty_since_ms is None else empty_since_ms
        return now_ms - since_ms >= self._retention_ms

    def _maybe_delete(self, group_id: str) -> None:
        """An Empty group that has no offsets, nor will have any, goes as well."""
        if (
            self._cancelled
            or self._offsets.is_writing(group_id)
            or self._offsets.store.has_offsets(group_id)
        ):
            return
        error, tombstone = self._memberships.delete(group_id)
        if error is ErrorCode.NONE:
            self._offsets.write_tombstones(group_id, [], tombstone, lambda _: None)
