"""A cold tier to test with: real deciders, a store that fails when told to, logs that are lists.

Time stands still until `advance`. The metadata log decides at once; `refuse` makes it fail, before
or after what was asked is decided.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faulty_store import FaultyStore
from tests.metadata_cluster import cluster, replayed, with_topic
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import Stories
from tierbroker.cold.planner import TierConfig
from tierbroker.cold.rate import ByteRate
from tierbroker.cold.uploader import Uploader, UploadLimits
from tierbroker.controller.records.remove_topic_record import RemoveTopicRecord
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import Result
from tierbroker.node.tier_ledger import TierDecisions
from tierbroker.records.tier.local import LocalSegment, SegmentContent
from tierbroker.records.tier.state import PartitionTier, TierState

CLUSTER = "cluster"
STORE_ID = Uuid(b"store".ljust(16, b"."))
INCARNATION = Uuid(b"incarnation".ljust(16, b"."))
OTHER_INCARNATION = Uuid(b"other".ljust(16, b"."))
TOPIC = "t"
TOPIC_ID = Uuid(TOPIC.encode().ljust(16, b"."))
UNLIMITED = (1 << 63) - 1
CONFIG = TierConfig(
    copies=True, copy_lag_ms=0, copy_lag_bytes=0, retention_ms=-1, retention_bytes=-1
)


class FakeDriver:
    """The metadata log: decides on the newest image, at once."""

    def __init__(self, image: MetadataImage) -> None:
        self.image = image
        self.records: list[Any] = []
        self._refusals: list[tuple[str, ApiError, bool]] = []

    def refuse(self, decision: str, error: ApiError, *, decided: bool = False) -> None:
        """Fail the next decision of that name; with `decided` it happens all the same."""
        self._refusals.append((decision, error, decided))

    @property
    def pending_refusals(self) -> int:
        """How many decisions are still to fail."""
        return len(self._refusals)

    def submit(self, decide: Callable[[MetadataImage], Result[Any]]) -> Pending[Any]:
        """See MetadataDriver."""
        pending: Pending[Any] = Pending()
        refusal = next((r for r in self._refusals if r[0] in decide.__qualname__), None)
        if refusal is not None:
            self._refusals.remove(refusal)
            if not refusal[2]:
                pending.fail(refusal[1])
                return pending
        try:
            result = decide(self.image)
        except ApiError as error:
            pending.fail(error)
            return pending
        self.apply(*result.records)
        if refusal is None:
            pending.resolve(result.response)
        else:
            pending.fail(refusal[1])
        return pending

    def apply(self, *records: Any) -> None:
        """These records are committed."""
        self.records += records
        self.image = replayed(self.image, records)


@dataclass(eq=False)
class FakePartition:
    """`cold.ports.LocalPartition`: closed segments in a list."""

    number: int = 0
    topic: str = TOPIC
    segments: list[LocalSegment] = field(default_factory=list)
    config: TierConfig = CONFIG
    upload_limit: int = UNLIMITED
    log_start_offset: int = 0
    leader_epoch: int = 0
    is_leader: bool = True
    active_bytes: int = 0
    unreadable: Exception | None = None
    lent: int = 0

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.number)

    @property
    def topic_id(self) -> Uuid:
        return Uuid(self.topic.encode().ljust(16, b"."))

    @property
    def active_base_offset(self) -> int:
        return self.segments[-1].end_offset + 1 if self.segments else self.log_start_offset

    def close_segment(self, records: int = 10, size_bytes: int = 100, time_ms: int = 0) -> None:
        base = self.active_base_offset
        self.segments.append(LocalSegment(base, base + records - 1, size_bytes, time_ms))

    def closed_segments(self, from_offset: int) -> Sequence[LocalSegment]:
        if self.unreadable is not None:
            raise self.unreadable
        return [segment for segment in self.segments if segment.end_offset >= from_offset]

    def open_segment(self, base_offset: int) -> SegmentContent:
        if self.unreadable is not None:
            raise self.unreadable
        found = next((s for s in self.segments if s.base_offset == base_offset), None)
        if found is None:
            raise LookupError(f"no segment at {base_offset}")
        body = bytes([found.base_offset % 256]) * found.size_bytes
        return SegmentContent([body], len(body), b"", b"", [], b"", b"0\n0\n")


class TierWorld:
    """One broker's tier."""

    def __init__(self, partitions: int = 1, **limits: Any) -> None:
        self.clock = ManualClock(1_700_000_000_000)
        self.scheduler = ManualScheduler()
        self.store = FaultyStore(self.clock)
        image = with_topic(cluster(1), TOPIC, *([(1,)] * partitions))
        self.driver = FakeDriver(image)
        self.ledger = TierDecisions(self.driver, self.clock)  # type: ignore[arg-type]
        self.ledger.bind_store(STORE_ID, INCARNATION).result()
        self.failures: list[tuple[BaseException, str]] = []
        self.stories = Stories(lambda error, name: self.failures.append((error, name)))
        self.partitions = [FakePartition(number) for number in range(partitions)]
        self.rng = random.Random(1)
        self.rate = ByteRate(self.clock, self.scheduler, UNLIMITED)
        self.uploader = Uploader(
            self.store,
            self.ledger,
            self,
            self.stories,
            cluster_id=CLUSTER,
            about={},
            rate=self.rate,
            clock=self.clock,
            scheduler=self.scheduler,
            limits=UploadLimits(**limits),
        )

    def __iter__(self) -> Iterator[FakePartition]:
        return (partition for partition in self.partitions if partition.is_leader)

    @property
    def partition(self) -> FakePartition:
        """The first one."""
        return self.partitions[0]

    @property
    def state(self) -> TierState:
        """All that is committed."""
        return self.ledger.state

    def tier(self, number: int = 0) -> PartitionTier:
        """What the tier holds of a partition."""
        found = self.state.partition(TOPIC_ID, number)
        assert found is not None
        return found

    def ends(self, number: int = 0) -> list[int]:
        """The last offset of each segment that counts."""
        found = self.state.partition(TOPIC_ID, number)
        return [] if found is None else [segment.end_offset for segment in found.segments]

    def advance(self, seconds: float, step: float = 0.25, *, tick: bool = True) -> None:
        """Let time pass, with a look at what is to be done once a second."""
        left = round(seconds / step)
        for number in range(left):
            self.clock.advance(round(step * 1000))
            self.scheduler.advance(step)
            if tick and number % round(1 / step) == 0:
                self.uploader.tick()
                self.scheduler.end_turn()
        assert not self.failures

    def upload_all(self) -> None:
        """Until nothing is due."""
        for _ in range(1000):
            self.uploader.tick()
            self.scheduler.end_turn()
            if self.uploader.idle and not self.store.held:
                break
        assert not self.failures

    def delete_topic(self) -> None:
        """The metadata knows the topic no more."""
        self.driver.apply(RemoveTopicRecord(TOPIC_ID))

    def configure(self, **changes: Any) -> None:
        """Change the settings of all partitions."""
        for partition in self.partitions:
            partition.config = replace(partition.config, **changes)
