"""Verifies what a bucket holds of a cluster, as its latest checkpoint names it. Never writes.

Every object is asked for (existence, size, the store's own checksum where it keeps one); a sample
of them, or all, is read whole and checked byte by byte. What is found missing is looked up again
at the end: a broker that goes on working deletes what retention has made superfluous.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tierbroker.base.pending import Pending
from tierbroker.base.story import Story, tell, until
from tierbroker.cold.archive import Archive, first_offset
from tierbroker.cold.checkpoint_object import parse_checkpoint
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError
from tierbroker.cold.head import CheckpointName
from tierbroker.cold.manifest import parse_manifest
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.segment_check import Neighbours, SegmentCheck, SegmentFacts
from tierbroker.records.checksum import crc32c
from tierbroker.records.tier.segment import SegmentArray, TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier

PIECE_BYTES = 4 << 20
AT_ONCE = 32
"""Objects that are asked for together."""
WHOLE_AT_ONCE = 4
"""Of those, segments that are read whole; each has two pieces under way."""


class Kind(StrEnum):
    """What is wrong with an object, by what can be done about it."""

    MISSING = "missing"
    DAMAGED = "damaged"
    """It is not what was written."""


class Place(NamedTuple):
    """An object in the order in which objects are checked."""

    topic: str
    partition: int
    end_offset: int


class Finding(NamedTuple):
    """Something wrong."""

    topic: str | None
    """None, and so with all offsets, for a checkpoint."""
    partition: int | None
    first_offset: int | None
    last_offset: int | None
    kind: Kind
    key: str
    reason: str


class Plan(NamedTuple):
    """What a verification takes. Sizes of spilled segments are estimated from their sum."""

    objects: int
    read_whole: int
    requests: int
    bytes: int


@dataclass(slots=True)
class Counts:
    """What was done so far."""

    objects: int = 0
    read_whole: int = 0
    requests: int = 0
    bytes: int = 0


class _Unit(NamedTuple):
    topic: str
    tier: PartitionTier
    entry: TierSegment | TierSlice

    @property
    def place(self) -> Place:
        return Place(self.topic, self.tier.partition, self.entry.end_offset)


class Verifier:
    """One verification of an archive, of one topic or of all."""

    def __init__(
        self,
        store: ObjectStore,
        archive: Archive,
        *,
        topics: tuple[str, ...],
        share: float,
        after: Place | None = None,
        on_checked: Callable[[Place], None] = lambda _: None,
    ) -> None:
        """`share` of the segments, 0 to 1, are read whole; the same ones in every run.

        `after`: what comes up to there was checked before. `on_checked` hears of each object, in
        order, once it and all before it are done.
        """
        self._store = store
        self._archive = archive
        self._topics = tuple(sorted(topics))
        self._share = share
        self._after = after
        self._on_checked = on_checked
        self._neighbours = Neighbours()
        self._neighbours_of: tuple[str, int] | None = None
        self._next_offset = -1
        self._whole_under_way = 0
        self.counts = Counts()
        self.findings: list[Finding] = []

    def plan(self) -> Plan:
        """Asks the store nothing."""
        objects = whole = requests = size_bytes = 0
        if self._after is None:
            named = self._archive.head.checkpoints
            objects, requests = len(named), 2 * len(named)
            size_bytes = sum(name.size_bytes for name in named)
        for unit in self._units():
            entry = unit.entry
            objects, requests = objects + 1, requests + 1
            if isinstance(entry, TierSlice):
                mean = entry.log_bytes_total // entry.count
                some = round(entry.count * self._share)
                objects, whole = objects + entry.count, whole + some
                requests += 1 + entry.count + some * _requests_for(mean, mean)
                size_bytes += entry.object_bytes + some * mean
            elif self._is_chosen(unit, entry):
                whole += 1
                requests += _requests_for(entry.log_bytes, entry.object_bytes)
                size_bytes += entry.object_bytes
        return Plan(objects, whole, requests, size_bytes)

    async def run(self) -> list[Finding]:
        """Check everything. A story; raises StoreError when the store does not answer."""
        under_way: deque[tuple[_Unit, Pending[SegmentFacts | str | None]]] = deque()
        if self._after is None:
            for name in self._archive.head.checkpoints:
                await self._checkpoint(name)
        for unit in self._units():
            entry = unit.entry
            if isinstance(entry, TierSegment):
                await self._begin(under_way, unit, entry)
                continue
            while under_way:
                await self._end_first(under_way)
            segments = await self._manifest(unit, entry)
            for segment in segments or ():
                inner = _Unit(unit.topic, unit.tier, segment)
                if segment.end_offset >= first_offset(unit.tier) and self._is_due(inner):
                    await self._begin(under_way, inner, segment)
        while under_way:
            await self._end_first(under_way)
        return self.findings

    async def drop_retired(self, reopen: Callable[[], Story[Archive]]) -> None:
        """Forget findings about objects that a newer checkpoint does not name any more."""
        if not self.findings:
            return
        newer = await reopen()
        self.findings = [finding for finding in self.findings if _still_counts(newer, finding)]

    async def _checkpoint(self, name: CheckpointName) -> None:
        """Those that the head names: a restore begins with one of them."""
        try:
            self.counts.requests += 1
            facts = await until(self._store.head(name.key))
            if facts.size_bytes != name.size_bytes:
                raise ObjectDamagedError(f"it has {facts.size_bytes} bytes, not {name.size_bytes}")
            data = await self._get(name.key, 0, name.size_bytes)
            if crc64nvme(data) != name.checksum:
                raise ObjectDamagedError("it does not match the checksum in the head")
            parse_checkpoint(data)
        except ObjectNotFoundError:
            self._note_checkpoint(name, Kind.MISSING, "there is no such checkpoint")
        except ObjectDamagedError as error:
            self._note_checkpoint(name, Kind.DAMAGED, str(error))
        self.counts.objects += 1

    def _note_checkpoint(self, name: CheckpointName, kind: Kind, reason: str) -> None:
        self.findings.append(Finding(None, None, None, None, kind, name.key, reason))

    # -- which objects ---------------------------------------------------------------------------

    def _units(self) -> Iterator[_Unit]:
        for topic in self._topics:
            for tier in self._archive.tiers(topic):
                for entry in (*tier.slices, *tier.segments):
                    unit = _Unit(topic, tier, entry)
                    if self._is_due(unit):
                        yield unit

    def _is_due(self, unit: _Unit) -> bool:
        return self._after is None or unit.place > self._after

    def _is_chosen(self, unit: _Unit, segment: TierSegment) -> bool:
        """By the key, so that every run chooses the same ones; and the newest one always."""
        if self._share >= 1 or segment.end_offset == unit.tier.end_offset:
            return True
        key = self._archive.key_of(unit.tier, segment)
        return crc32c(key.encode()) < self._share * (1 << 32)

    # -- segments, several at once and judged in order -------------------------------------------

    async def _begin(
        self,
        under_way: deque[tuple[_Unit, Pending[SegmentFacts | str | None]]],
        unit: _Unit,
        segment: TierSegment,
    ) -> None:
        whole = self._is_chosen(unit, segment)
        while len(under_way) >= AT_ONCE or (whole and self._whole_under_way >= WHOLE_AT_ONCE):
            await self._end_first(under_way)
        self._whole_under_way += whole
        under_way.append((unit, tell(self._segment(unit, segment, whole=whole))))

    async def _end_first(
        self, under_way: deque[tuple[_Unit, Pending[SegmentFacts | str | None]]]
    ) -> None:
        unit, checking = under_way.popleft()
        key = self._archive.key_of(unit.tier, unit.entry)
        facts: SegmentFacts | None = None
        assert isinstance(unit.entry, TierSegment)
        try:
            outcome = await until(checking)
        except ObjectNotFoundError:
            self._note(unit, Kind.MISSING, key, "there is no such object")
        except ObjectDamagedError as error:
            self._note(unit, Kind.DAMAGED, key, str(error))
        else:
            if isinstance(outcome, str):
                self._note(unit, Kind.DAMAGED, key, outcome)
            else:
                facts = outcome
        self._whole_under_way -= self._is_chosen(unit, unit.entry)
        self._compare(unit, key, facts)
        self.counts.objects += 1
        self._on_checked(unit.place)

    def _compare(self, unit: _Unit, key: str, facts: SegmentFacts | None) -> None:
        owner = (unit.topic, unit.tier.partition)
        follows = owner == self._neighbours_of and unit.entry.base_offset == self._next_offset
        if not follows:
            self._neighbours.forget()
        if facts is None:
            self._neighbours_of = None
            return
        self._neighbours_of = owner
        self._next_offset = unit.entry.end_offset + 1
        told = self._neighbours.disagreement(facts)
        if told is not None:
            self._note(unit, Kind.DAMAGED, key, told)

    async def _segment(
        self, unit: _Unit, segment: TierSegment, *, whole: bool
    ) -> SegmentFacts | str | None:
        """What the segment says if it was read whole; or what is wrong."""
        key = self._archive.key_of(unit.tier, segment)
        fault = await self._outside(key, segment)
        if fault is not None or not whole:
            return fault
        tail_bytes = segment.object_bytes - segment.log_bytes
        self.counts.read_whole += 1
        if segment.object_bytes <= PIECE_BYTES:
            data = memoryview(await self._get(key, 0, segment.object_bytes))
            check = self._check(unit, segment, data[segment.log_bytes :])
            check.take(data[: segment.log_bytes])
            return check.finish()
        check = self._check(unit, segment, await self._get(key, segment.log_bytes, tail_bytes))
        coming: deque[Pending[bytes | memoryview]] = deque()
        for start in range(0, segment.log_bytes, PIECE_BYTES):
            length = min(PIECE_BYTES, segment.log_bytes - start)
            coming.append(tell(self._get(key, start, length)))
            if len(coming) == 2:
                check.take(await until(coming.popleft()))
        while coming:
            check.take(await until(coming.popleft()))
        return check.finish()

    def _check(self, unit: _Unit, segment: TierSegment, tail: bytes | memoryview) -> SegmentCheck:
        return SegmentCheck(segment, unit.tier.topic_id, unit.tier.partition, tail)

    async def _outside(self, key: str, entry: TierSegment | TierSlice) -> str | None:
        """What is wrong by what the store says of the object."""
        self.counts.requests += 1
        facts = await until(self._store.head(key))
        if facts.size_bytes != entry.object_bytes:
            return f"it has {facts.size_bytes} bytes, not {entry.object_bytes}"
        if facts.checksum is not None and facts.checksum != entry.checksum:
            return "the store's checksum of it is not the one that was committed"
        return None

    async def _get(self, key: str, start: int, length: int) -> bytes | memoryview:
        self.counts.requests += 1
        data = await until(self._store.get_range(key, start, length))
        self.counts.bytes += length
        return data

    # -- manifests -------------------------------------------------------------------------------

    async def _manifest(self, unit: _Unit, spilled: TierSlice) -> SegmentArray | None:
        """The segments that it lists; None if it is of no use, which is noted."""
        key = self._archive.key_of(unit.tier, spilled)
        try:
            fault = await self._outside(key, spilled)
            if fault is not None:
                raise ObjectDamagedError(fault)
            data = await self._get(key, 0, spilled.object_bytes)
            if crc64nvme(data) != spilled.checksum:
                raise ObjectDamagedError("it does not match the checksum that was committed")
            manifest = parse_manifest(data)
            _check_listed(manifest.segments, spilled)
            if (
                manifest.incarnations
                != self._archive.state.incarnations[: len(manifest.incarnations)]
            ):
                raise ObjectDamagedError("it is of another cluster's incarnations")
        except ObjectNotFoundError:
            self._note(unit, Kind.MISSING, key, "there is no such manifest")
            return None
        except ObjectDamagedError as error:
            self._note(unit, Kind.DAMAGED, key, str(error))
            return None
        finally:
            self.counts.objects += 1
        return manifest.segments

    def _note(self, unit: _Unit, kind: Kind, key: str, reason: str) -> None:
        entry = unit.entry
        self.findings.append(
            Finding(
                unit.topic,
                unit.tier.partition,
                entry.base_offset,
                entry.end_offset,
                kind,
                key,
                reason,
            )
        )


def _check_listed(segments: SegmentArray, spilled: TierSlice) -> None:
    found = (segments.start_offset, segments.end_offset, len(segments), segments.log_bytes)
    expected = (
        spilled.base_offset,
        spilled.end_offset,
        spilled.count,
        spilled.log_bytes_total,
    )
    if found != expected:
        raise ObjectDamagedError(
            f"it lists (first, last offset, segments, bytes) {found}, not {expected}"
        )


def _requests_for(log_bytes: int, object_bytes: int) -> int:
    return 1 if object_bytes <= PIECE_BYTES else 1 + -(-log_bytes // PIECE_BYTES)


def _still_counts(archive: Archive, finding: Finding) -> bool:
    if finding.topic is None or finding.last_offset is None:
        return any(name.key == finding.key for name in archive.head.checkpoints)
    if finding.topic not in archive.topics:
        return False
    for tier in archive.tiers(finding.topic):
        if tier.partition == finding.partition:
            entry = tier.find(finding.last_offset)
            return entry is not None and finding.last_offset >= first_offset(tier)
    return False
