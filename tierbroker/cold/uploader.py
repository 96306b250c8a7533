"""Carries closed segments to the store: intent, upload, verification, commit (D-7).

Level-triggered: `tick` looks at what is, and begins what should be done next. One segment of a
partition at a time, so that its tiered part grows without holes; several partitions at once. A
segment counts only once its commit is in the metadata log; whatever fails before that leaves at
most an object that the remover takes away. Nothing local is ever deleted here.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError, KafkaStorageError
from tierbroker.base.ids import TopicPartition, Uuid, uuid_text
from tierbroker.base.parts import release_parts
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories, sleep, until
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectDamagedError,
    StoreError,
    StoreUnavailableError,
)
from tierbroker.cold.keys import ObjectName, object_key
from tierbroker.cold.outage_log import OutageLog
from tierbroker.cold.planner import Candidate, TierConfig, in_order, next_upload
from tierbroker.cold.ports import (
    LocalLogs,
    LocalPartition,
    ObjectWriter,
    TierLedger,
    UploadPlan,
)
from tierbroker.cold.rate import ByteRate
from tierbroker.cold.segment_object import build_tail
from tierbroker.records.tier.events import TierIntent
from tierbroker.records.tier.local import LocalSegment, SegmentContent
from tierbroker.records.tier.segment import ObjectKind, TierSegment

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
IN_A_ROW = 16
"""Segments of one partition before others have their turn."""
PARTITIONS_A_TURN = 2000
"""To look at one takes some microseconds."""
BAD_SIGNS = 3
"""So many failures in a row, of whatever partitions, are the store's: one upload at a time then,
ever more seldom, so that an outage of a day leaves few attempts to clear away."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much goes to the store at once."""

    concurrency: int = 4
    deadline_s: float = 600.0
    """An upload that does not succeed for so long is begun anew, under another key."""


@dataclass(slots=True)
class UploadCounts:
    """What was done since the start; for metrics and for people."""

    segments: int = 0
    bytes: int = 0
    failures: int = 0


@dataclass(slots=True)
class Trouble:
    """Why a partition's next segment is not in the store, and when that is tried again."""

    reason: str
    pause_s: float = FIRST_PAUSE_S
    retry_at: float = 0.0
    begun_at: float = field(default=0.0)


class Uploader:
    """The uploads of one broker. Loop thread only."""

    def __init__(
        self,
        store: ObjectWriter,
        ledger: TierLedger,
        logs: LocalLogs,
        stories: Stories,
        *,
        cluster_id: str,
        about: Mapping[str, object],
        rate: ByteRate,
        clock: Clock,
        scheduler: Scheduler,
        limits: UploadLimits,
    ) -> None:
        """`about` goes into every object, for people: cluster, maker."""
        self._store = store
        self._ledger = ledger
        self._logs = logs
        self._stories = stories
        self._cluster_id = cluster_id
        self._about = about
        self._rate = rate
        self._clock = clock
        self._scheduler = scheduler
        self._limits = limits
        self._outage = OutageLog(logger, clock, "uploads to the cold tier")
        self._under_way: dict[tuple[Uuid, int], TierIntent | None] = {}
        self._failed_in_a_row = 0
        self._next_try = 0.0
        self._looking: Iterator[int] | None = None
        self._waiting: deque[LocalPartition] = deque()
        """What the last look found due, those first that wait longest."""
        self._turn_asked = False
        self._stopped = False
        self.counts = UploadCounts()
        self.troubles: dict[TopicPartition, Trouble] = {}
        self.wanted: dict[TopicPartition, int] = {}
        """Up to which offset a partition shall go as soon as it can, copy lags or not."""

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    @property
    def under_way(self) -> int:
        """How many partitions have something under way."""
        return len(self._under_way)

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopped = True

    def resume(self) -> None:
        """Begin again with the next `tick`."""
        self._stopped = False

    def tick(self) -> None:
        """Look at all partitions, so many a turn, and begin the uploads that are due: those first
        whose records wait longest."""
        if self._stopped or self._looking is not None:
            return
        self._looking = self._look()
        self._look_on()

    def _look_on(self) -> None:
        if self._looking is not None and next(self._looking, None) is None:
            self._looking = None
        elif not self._stopped:
            self._scheduler.call_soon(self._look_on)

    def _look(self) -> Iterator[int]:
        """Yields between turns."""
        now_ms = self._clock.now_ms()
        due: list[tuple[Candidate, LocalPartition]] = []
        seen: set[TopicPartition] = set()
        for number, partition in enumerate(self._logs, 1):
            seen.add(partition.topic_partition)
            candidate = self._look_at(partition, now_ms)
            if candidate is not None:
                due.append((candidate, partition))
            if number % PARTITIONS_A_TURN == 0:
                yield number
        for place in self.troubles.keys() - seen:
            del self.troubles[place]  # deleted, led by another broker, or not tiered any more
        partitions = {candidate.topic_partition: partition for candidate, partition in due}
        ordered = in_order((candidate for candidate, _ in due), len(due))
        self._waiting = deque(partitions[candidate.topic_partition] for candidate in ordered)
        self._fill_places()

    def _look_at(self, partition: LocalPartition, now_ms: int) -> Candidate | None:
        """What is due of the partition, unless it is busy or has to wait."""
        trouble = self.troubles.get(partition.topic_partition)
        if trouble is not None and self._clock.monotonic() < trouble.retry_at:
            return None
        if not self._is_busy(partition):
            self._abandon_left_over(partition)
        return None if self._is_busy(partition) else self._candidate_of(partition, now_ms)

    @property
    def _places(self) -> int:
        """How many uploads may be under way now."""
        if self._failed_in_a_row < BAD_SIGNS:
            return self._limits.concurrency
        return 1 if self._clock.monotonic() >= self._next_try else 0

    def _fill_places(self) -> None:
        """Begin with those that wait; what is due is looked at once more."""
        self._turn_asked = False
        while self._waiting and len(self._under_way) < self._places and not self._stopped:
            partition = self._waiting.popleft()
            candidate = None
            if partition.is_leader:
                candidate = self._look_at(partition, self._clock.now_ms())
            if candidate is None:
                continue
            self._under_way[partition.topic_id, partition.topic_partition.partition] = None
            self._stories.begin(
                self._carry(partition, candidate.segment),
                f"upload of {candidate.topic_partition} at {candidate.segment.base_offset}",
            )

    def _is_busy(self, partition: LocalPartition) -> bool:
        return (partition.topic_id, partition.topic_partition.partition) in self._under_way

    def _abandon_left_over(self, partition: LocalPartition) -> None:
        """Give up what an earlier run, or an earlier leader, began and did not finish.

        Segments alone: a manifest may be under way, and is the spiller's to give up.
        """
        tier = self._ledger.state.partition(partition.topic_id, partition.topic_partition.partition)
        left = () if tier is None else tier.intents_of(ObjectKind.SEGMENT)
        if left:
            key = partition.topic_id, partition.topic_partition.partition
            self._under_way[key] = None
            self._stories.begin(
                self._abandon(key, left), f"end of uploads of {partition.topic_partition}"
            )

    async def _abandon(self, key: tuple[Uuid, int], intents: tuple[TierIntent, ...]) -> None:
        try:
            await until(self._ledger.abandon_uploads(intents))
        except ApiError as error:
            logger.warning("uploads that failed are not noted as such yet: %s", error)
        finally:
            self._under_way.pop(key, None)

    def _candidate_of(self, partition: LocalPartition, now_ms: int) -> Candidate | None:
        index = partition.topic_partition.partition
        tier = self._ledger.state.partition(partition.topic_id, index)
        tiered_end = -1 if tier is None else tier.end_offset
        try:
            start = tiered_end + 1 if tiered_end >= 0 else partition.log_start_offset
            if start >= partition.active_base_offset:
                self.troubles.pop(partition.topic_partition, None)
                return None
            closed = partition.closed_segments(start)
        except KafkaStorageError as error:
            self._note_trouble(partition, error)
            return None
        if tiered_end >= 0 and closed and closed[0].base_offset != start:
            self._note_trouble(
                partition,
                f"a local segment begins at offset {closed[0].base_offset}, and none at {start}, "
                "where the cold part ends",
            )
            return None
        segment = next_upload(
            tier,
            closed,
            partition.upload_limit,
            partition.active_bytes,
            self._config_of(partition, start),
            now_ms,
        )
        if segment is None:
            self.troubles.pop(partition.topic_partition, None)
            return None
        return Candidate(
            partition.topic_partition,
            partition.topic_id,
            partition.leader_epoch,
            segment,
            segment.max_timestamp_ms,
        )

    def _config_of(self, partition: LocalPartition, start: int) -> TierConfig:
        """Copy lags do not count for what somebody asked for."""
        config = partition.config
        if start > self.wanted.get(partition.topic_partition, -1):
            return config
        return replace(config, copy_lag_ms=0, copy_lag_bytes=0)

    async def _carry(self, partition: LocalPartition, segment: LocalSegment) -> None:
        """Upload the segment, and those of the partition that are due after it."""
        key = partition.topic_id, partition.topic_partition.partition
        goes_on = False
        try:
            for number in range(1, IN_A_ROW + 1):
                await self._upload(partition, segment, key)
                self.troubles.pop(partition.topic_partition, None)
                self._failed_in_a_row = 0
                following = self._candidate_of(partition, self._clock.now_ms())
                if following is None or self._stopped or not partition.is_leader:
                    break
                segment = following.segment
                goes_on = number == IN_A_ROW
        except (ApiError, StoreError, LookupError) as error:
            self._note_failure(partition, error)
            intent = self._under_way.get(key)
            if intent is not None:
                await self._abandon(key, (intent,))
        finally:
            self._under_way.pop(key, None)
            if goes_on:
                self._waiting.append(partition)
            self._ask_for_turn()

    def _note_failure(self, partition: LocalPartition, error: Exception) -> None:
        self.counts.failures += 1
        self._note_trouble(partition, error)
        if _is_the_stores(error):
            self._failed_in_a_row += 1
            pause_s = FIRST_PAUSE_S * 2 ** min(self._failed_in_a_row - BAD_SIGNS, 10)
            self._next_try = self._clock.monotonic() + min(pause_s, LONGEST_PAUSE_S)

    def _ask_for_turn(self) -> None:
        """A place is free: look who is next, once this turn is over."""
        if not self._turn_asked and not self._stopped:
            self._turn_asked = True
            self._scheduler.call_soon(self._fill_places)

    async def _upload(
        self, partition: LocalPartition, segment: LocalSegment, key: tuple[Uuid, int]
    ) -> None:
        plan = UploadPlan(
            *key,
            partition.leader_epoch,
            segment.base_offset,
            segment.end_offset,
            ObjectKind.SEGMENT,
        )
        await until(self._rate.draw(segment.size_bytes))
        # Before anything is announced: what cannot be read leaves no intent behind.
        content = partition.open_segment(segment.base_offset)
        try:
            (intent,) = await until(self._ledger.begin_uploads([plan]))
            if isinstance(intent, ApiError):
                raise intent
            self._under_way[key] = intent
            await self._note_start(partition, key)
        except BaseException:
            release_parts(content.log)
            raise
        stored = await self._put(partition, segment, intent, content)
        await until(self._ledger.commit_upload(*key, stored))
        self._under_way[key] = None
        self._outage.worked()
        self.counts.segments += 1
        self.counts.bytes += stored.object_bytes

    async def _note_start(self, partition: LocalPartition, key: tuple[Uuid, int]) -> None:
        """Records that were deleted before the tier began must not be back with the segment that
        holds them too. Later deletions go through the ledger themselves: it knows the partition.
        """
        tier, start = self._ledger.state.partition(*key), partition.log_start_offset
        if tier is not None and tier.log_start_offset < start:
            await until(self._ledger.retire(*key, partition.leader_epoch, start))

    async def _put(
        self,
        partition: LocalPartition,
        segment: LocalSegment,
        intent: TierIntent,
        content: SegmentContent,
    ) -> TierSegment:
        """Write the object until the store says that it has it whole; the content is given back.

        Trying again means the same bytes under the same key: an attempt that arrives late changes
        nothing.
        """
        name = ObjectName(
            intent.topic_id,
            intent.partition,
            intent.base_offset,
            intent.end_offset,
            intent.leader_epoch,
            intent.intent_offset,
        )
        begun = self._clock.monotonic()
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._attempt(partition, segment, intent, name, content)
            except StoreUnavailableError as error:
                if self._clock.monotonic() - begun > self._limits.deadline_s:
                    raise
                self._note_trouble(partition, error, pause_s)
            finally:
                release_parts(content.log)
            await until(sleep(self._scheduler, pause_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await until(self._rate.draw(segment.size_bytes))
            if self._stopped or not partition.is_leader:
                raise StoreUnavailableError(f"{partition.topic_partition} has another leader now")
            content = partition.open_segment(segment.base_offset)

    async def _attempt(
        self,
        partition: LocalPartition,
        segment: LocalSegment,
        intent: TierIntent,
        name: ObjectName,
        content: SegmentContent,
    ) -> TierSegment:
        incarnation = self._ledger.state.incarnations[intent.incarnation]
        key = object_key(self._cluster_id, incarnation, name)
        about = {
            **self._about,
            "incarnation": uuid_text(incarnation),
            "topic": partition.topic_partition.topic,
        }
        tail = build_tail(name, content, about)
        size_bytes = content.log_bytes + len(tail)
        stored = await until(self._store.put(key, [*content.log, tail]))
        if stored.size_bytes != size_bytes or stored.checksum is None:
            raise ObjectDamagedError(
                f"{key} has {stored.size_bytes} bytes in the store, {size_bytes} were sent"
            )
        return TierSegment(
            base_offset=intent.base_offset,
            end_offset=intent.end_offset,
            leader_epoch=intent.leader_epoch,
            intent_offset=intent.intent_offset,
            incarnation=intent.incarnation,
            log_bytes=content.log_bytes,
            object_bytes=size_bytes,
            max_timestamp_ms=segment.max_timestamp_ms,
            checksum=stored.checksum,
            has_aborted=bool(content.aborted),
        )

    def _note_trouble(
        self, partition: LocalPartition, why: Exception | str, pause_s: float | None = None
    ) -> None:
        now = self._clock.monotonic()
        place = partition.topic_partition
        trouble = self.troubles.get(place)
        line = f"{place} is not in the cold tier yet: {why}"
        if _is_the_stores(why):
            self._outage.failed(line)
        elif trouble is None:
            logger.warning("%s", line)
        if trouble is None:
            trouble = self.troubles[place] = Trouble(str(why), begun_at=now)
        elif pause_s is None:
            trouble.pause_s = min(2 * trouble.pause_s, LONGEST_PAUSE_S)
        trouble.reason = str(why)
        trouble.retry_at = now + (trouble.pause_s if pause_s is None else pause_s)


def _is_the_stores(why: Exception | str) -> bool:
    """Whether it is not the one partition that something is wrong with."""
    return isinstance(why, StoreError) and not isinstance(why, BodyUnreadableError)
