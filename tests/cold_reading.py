"""A cold tier to read from: segments of one partition in a store that answers when told to."""

from collections import deque
from collections.abc import Callable, Iterator

from tests.cold_store import CLUSTER, FIRST, ORDERS, STORE_ID, TAKEN_MS, ColdStore
from tests.faulty_store import FaultyStore
from tierbroker.base.clock import ManualClock
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import Stories
from tierbroker.cold.reader import ColdRead, ReadLimits, TierReader
from tierbroker.records.batch import walk
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.records.tier.events import TierRetire, TierStoreBound
from tierbroker.records.tier.segment import TierSegment
from tierbroker.records.tier.state import PartitionTier, TierState
from tierbroker.records.txn_index import AbortedTxn

PLACE = TopicPartition("orders", 0)
RECORDS = 4
"""In a batch."""
EPOCH_5_AT = 52


class ChangingStore(FaultyStore):
    """What it gives may be something else than what was stored."""

    def __init__(self) -> None:
        super().__init__(ManualClock(TAKEN_MS))
        self.changes: deque[Callable[[bytes], bytes]] = deque()
        """One for each of the next reads."""
        self.ranges: list[tuple[str, int, int]] = []
        """All that was asked for."""

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""
        self.ranges.append((key, start, length))
        given = super().get_range(key, start, length)
        if not self.changes:
            return given
        change, changed = self.changes.popleft(), Pending[bytes | memoryview]()

        def answer(done: Pending[bytes | memoryview]) -> None:
            if done.error is not None:
                changed.fail(done.error)
            else:
                changed.resolve(change(bytes(done.result())))

        given.on_done(answer)
        return changed


class ColdReading:
    """`limits` are those of `ReadLimits`. Nothing is asked for twice without anybody knowing."""

    def __init__(self, **limits: int) -> None:
        self.made = ColdStore()
        self.made.apply(TierStoreBound(STORE_ID, FIRST))
        self.store = ChangingStore()
        self.segments: list[TierSegment] = []
        self.batches: list[bytes] = []
        self.arrivals: list[TopicPartition] = []
        self.on_arrival: Callable[[], None] = lambda: None
        self.failures: list[BaseException] = []
        self.limits = ReadLimits(**limits)
        self.scheduler = ManualScheduler()
        self.reader = TierReader(
            self.store,
            self,
            Stories(lambda error, _: self.failures.append(error)),
            self.scheduler,
            cluster_id=CLUSTER,
            limits=self.limits,
            on_arrival=self._arrived,
        )

    @property
    def state(self) -> TierState:
        """See TierView."""
        return self.made.state

    @property
    def tier(self) -> PartitionTier:
        """What the tier holds."""
        return self.made.tier()

    @property
    def keys(self) -> list[str]:
        """Of the segments' objects."""
        return [key for key in self.made.objects if key.endswith(".seg")]

    def add(
        self,
        batches: int = 4,
        *,
        size_bytes: int = 200,
        aborted: tuple[AbortedTxn, ...] = (),
        gap: int = 0,
        time_of: Callable[[int], int] = int,
    ) -> TierSegment:
        """One more segment; the record at offset N has the time N, if `time_of` says nothing else,
        and its segment ends `gap` offsets behind its records."""
        base = self.segments[-1].end_offset + 1 if self.segments else 0
        made = []
        for number in range(batches):
            offset = base + number * RECORDS
            value = bytes([offset % 251]) * (size_bytes // RECORDS)
            made.append(
                build_batch(
                    [Record(0, time_of(offset + n), None, value, ()) for n in range(RECORDS)],
                    base_offset=offset,
                    leader_epoch=5 if offset >= EPOCH_5_AT else 3,
                )
            )
        end = base + batches * RECORDS - 1 + gap
        epoch = 5 if end >= EPOCH_5_AT else 3
        segment = self.made.upload(made, end, epoch=epoch, aborted=aborted)
        self.segments.append(segment)
        self.batches += made
        self.sync()
        return segment

    def sync(self) -> None:
        """The store holds what was made."""
        for key, data in self.made.objects.items():
            if key not in self.store.inner.contents:
                self.store.inner.put(key, [data]).result()

    def retire(self, offset: int) -> None:
        """The log starts there, and what lies below has left the store."""
        before = set(self.state_keys())
        self.made.apply(TierRetire(ORDERS, 0, self.segments[-1].leader_epoch, offset, TAKEN_MS))
        for key in before - set(self.state_keys()):
            self.store.inner.delete(key).result()

    def state_keys(self) -> Iterator[str]:
        """Objects of the segments that count."""
        live = {segment.intent_offset for segment in self.tier.segments}
        return (key for key in self.keys if int(key.split(".")[-2]) in live)

    def read(self, offset: int, max_bytes: int = 1 << 20) -> ColdRead | None:
        """See TierReader; what is here or not."""
        return self.reader.read(self.tier, PLACE, offset, max_bytes)

    def offsets(self, offset: int, max_bytes: int = 1 << 20) -> list[int] | None:
        """Where the batches begin that are here."""
        found = self.read(offset, max_bytes)
        return None if found is None else [header.base_offset for _, header in walk(found.records)]

    def warm(self, *offsets: int) -> None:
        """What lies behind the records of these segments is here."""
        for offset in offsets:
            segment = self.tier.find(offset)
            assert isinstance(segment, TierSegment)
            self.reader._downloads.fetch_tail(self.tier, segment).result()
        self.store.ranges.clear()

    def _arrived(self, place: TopicPartition) -> None:
        self.arrivals.append(place)
        self.on_arrival()
