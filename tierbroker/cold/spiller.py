"""Moves the entries of old segments from the metadata log to manifest objects (D-7).

A partition that is kept for years has hundreds of thousands of segments; the metadata keeps one
entry for a thousand of them then. A manifest counts once its slice is committed, like a segment.
While the store fails, attempts become ever more seldom: each leaves an object to be cleared away.
"""

import logging

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.story import Stories, until
from tierbroker.cold.errors import ObjectDamagedError, StoreError
from tierbroker.cold.keys import MANIFEST_SUFFIX, ObjectName, object_key
from tierbroker.cold.manifest import build_manifest
from tierbroker.cold.outage_log import OutageLog
from tierbroker.cold.ports import LocalLogs, LocalPartition, ObjectWriter, TierLedger, UploadPlan
from tierbroker.records.tier.segment import ObjectKind, SegmentArray, TierSlice
from tierbroker.records.tier.state import PartitionTier

logger = logging.getLogger(__name__)

SLICE_SEGMENTS = 1000
KEPT_SEGMENTS = 250
"""The newest ones stay in the metadata."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0


class Spiller:
    """The manifests of one broker's partitions. One at a time."""

    def __init__(
        self,
        store: ObjectWriter,
        ledger: TierLedger,
        logs: LocalLogs,
        stories: Stories,
        *,
        cluster_id: str,
        clock: Clock,
        slice_segments: int = SLICE_SEGMENTS,
        kept_segments: int = KEPT_SEGMENTS,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._logs = logs
        self._stories = stories
        self._cluster_id = cluster_id
        self._clock = clock
        self._slice_segments = slice_segments
        self._kept_segments = kept_segments
        self._outage = OutageLog(logger, clock, "manifests of the cold tier")
        self._busy = False
        self._stopped = False
        self._pause_s = 0.0
        self._next_try = 0.0

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopped = True

    def resume(self) -> None:
        """Begin again with the next `tick`."""
        self._stopped = False

    def tick(self) -> None:
        """Begin the next manifest, if a partition has entries enough for one."""
        if self._busy or self._stopped or self._clock.monotonic() < self._next_try:
            return
        limit = self._slice_segments + self._kept_segments
        for partition in self._logs:
            index = partition.topic_partition.partition
            tier = self._ledger.state.partition(partition.topic_id, index)
            if tier is None:
                continue
            if len(tier.segments) >= limit or tier.intents_of(ObjectKind.MANIFEST):
                self._busy = True
                self._stories.begin(
                    self._spill(partition, tier, limit), f"manifest of {partition.topic_partition}"
                )
                return

    async def _spill(self, partition: LocalPartition, tier: PartitionTier, limit: int) -> None:
        try:
            left = tier.intents_of(ObjectKind.MANIFEST)
            if left:
                # Of an earlier run or leader: only one manifest is under way here at a time.
                await until(self._ledger.abandon_uploads(left))
            if len(tier.segments) >= limit:
                await self._spill_front(partition, tier)
            self._pause_s = self._next_try = 0.0
            self._outage.worked()
        except (ApiError, StoreError) as error:
            self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            self._next_try = self._clock.monotonic() + self._pause_s
            self._outage.failed(f"no manifest of {partition.topic_partition} yet: {error}")
        finally:
            self._busy = False

    async def _spill_front(self, partition: LocalPartition, tier: PartitionTier) -> None:
        segments = tier.segments.front(self._slice_segments)
        plan = UploadPlan(
            tier.topic_id,
            tier.partition,
            partition.leader_epoch,
            segments.start_offset,
            segments.end_offset,
            ObjectKind.MANIFEST,
        )
        (intent,) = await until(self._ledger.begin_uploads([plan]))
        if isinstance(intent, ApiError):
            raise intent
        try:
            await self._write(plan, intent.intent_offset, segments)
        except (ApiError, StoreError):
            await until(self._ledger.abandon_uploads([intent]))
            raise

    async def _write(self, plan: UploadPlan, intent_offset: int, segments: SegmentArray) -> None:
        state = self._ledger.state
        name = ObjectName(
            plan.topic_id,
            plan.partition,
            plan.base_offset,
            plan.end_offset,
            plan.leader_epoch,
            intent_offset,
        )
        key = object_key(self._cluster_id, state.incarnations[-1], name, MANIFEST_SUFFIX)
        data = build_manifest(segments, state.incarnations)
        stored = await until(self._store.put(key, [data]))
        if stored.size_bytes != len(data) or stored.checksum is None:
            raise ObjectDamagedError(f"{key} has {stored.size_bytes} bytes, {len(data)} were sent")
        spilled = TierSlice(
            base_offset=plan.base_offset,
            end_offset=plan.end_offset,
            max_timestamp_ms=max(segment.max_timestamp_ms for segment in segments),
            log_bytes_total=segments.log_bytes,
            count=len(segments),
            leader_epoch=plan.leader_epoch,
            intent_offset=intent_offset,
            incarnation=len(state.incarnations) - 1,
            object_bytes=len(data),
            checksum=stored.checksum,
        )
        await until(self._ledger.commit_slice(plan.topic_id, plan.partition, spilled))
