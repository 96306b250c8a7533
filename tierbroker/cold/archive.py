"""A cluster as its bucket tells it: what counts, and records read with no broker running.

The head names the latest checkpoint, the checkpoint names every segment; the bucket is never
listed for reading, and nothing is ever written. Decoding the metadata in a checkpoint is
`node.archived`, since this package knows no metadata records.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import Stories, sleep, until
from tierbroker.cold.checkpoint_object import CheckpointSections, parse_checkpoint
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import ObjectDamagedError, ObjectNotFoundError, StoreMismatchError
from tierbroker.cold.head import CheckpointName, Head, read_head
from tierbroker.cold.keys import MANIFEST_SUFFIX, SEGMENT_SUFFIX, ObjectName, object_key
from tierbroker.cold.manifest import Manifest, parse_manifest
from tierbroker.cold.ports import ObjectStore
from tierbroker.cold.reader import ColdRead, ReadLimits, TierReader
from tierbroker.records.batch import HEADER_BYTES, read_header, walk
from tierbroker.records.record import Record, iterate
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier, TierState

ATTEMPTS = 3
"""Heads that are read until one names a checkpoint that is there: old ones are deleted."""
READ_BYTES = 1 << 20
LIMITS = ReadLimits(cache_bytes=32 << 20, index_cache_bytes=16 << 20, piece_bytes=4 << 20, depth=4)


class CheckpointFault(NamedTuple):
    """A checkpoint that the head names and that is of no use."""

    name: CheckpointName
    error: ObjectNotFoundError | ObjectDamagedError


class Latest(NamedTuple):
    """Where an archive begins."""

    head: Head
    checkpoint: CheckpointName
    sections: CheckpointSections
    faults: tuple[CheckpointFault, ...]
    """Newer checkpoints that are of no use, the newest first."""
    etag: str
    """Of the head, for who is going to replace it."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A cluster as of its latest checkpoint."""

    head: Head
    checkpoint: CheckpointName
    state: TierState
    topics: Mapping[str, Uuid]
    """Every topic of the cluster, tiered or not."""
    log_ends: Mapping[TopicPartition, int]
    """Where the logs of the broker ended; what lies between is on its disk alone."""
    faults: tuple[CheckpointFault, ...] = ()
    """Newer checkpoints that are of no use."""

    def tiers(self, topic: str) -> list[PartitionTier]:
        """The partitions of a topic that have anything in the bucket, by number."""
        topic_id = self.topics[topic]
        found = [
            tier
            for (owner, _), tier in self.state.partitions.items()
            if owner == topic_id and not tier.empty
        ]
        return sorted(found, key=lambda tier: tier.partition)

    def key_of(self, tier: PartitionTier, entry: TierSegment | TierSlice) -> str:
        """The key of a segment's object, or of a slice's manifest."""
        name = ObjectName(
            tier.topic_id,
            tier.partition,
            entry.base_offset,
            entry.end_offset,
            entry.leader_epoch,
            entry.intent_offset,
        )
        suffix = MANIFEST_SUFFIX if isinstance(entry, TierSlice) else SEGMENT_SUFFIX
        incarnation = self.state.incarnations[entry.incarnation]
        return object_key(self.head.cluster_id, incarnation, name, suffix)


def first_offset(tier: PartitionTier) -> int:
    """The first offset that may be read of a tier with objects."""
    return max(tier.start_offset, tier.log_start_offset)


async def read_latest(store: ObjectStore) -> Latest:
    """The head, and the newest checkpoint that it names and that is intact. A story.

    Both the archive and a restore begin here. What an older checkpoint means is theirs to say.
    Raises StoreMismatchError where there is none, ObjectDamagedError for a checkpoint of a later
    format or when all are damaged, ObjectNotFoundError when all are gone, StoreError.
    """
    for attempt in range(ATTEMPTS):
        found = await read_head(store)
        if found is None:
            raise StoreMismatchError(await _what_else(store))
        head, etag = found
        if not head.checkpoints:
            raise StoreMismatchError(
                f"{store.url} holds cluster {head.cluster_id}, but no checkpoint of it yet: "
                "nothing in there counts."
            )
        faults: list[CheckpointFault] = []
        for name in head.checkpoints:
            try:
                data = await _read_checkpoint(store, name)
            except (ObjectNotFoundError, ObjectDamagedError) as error:
                faults.append(CheckpointFault(name, error))
            else:
                return Latest(head, name, parse_checkpoint(data), tuple(faults), etag)
            if attempt + 1 < ATTEMPTS:
                break  # a newer one may have taken its place: read the head again
    raise faults[0].error


async def _read_checkpoint(store: ObjectStore, name: CheckpointName) -> bytes | memoryview:
    data = await until(store.get_range(name.key, 0, name.size_bytes))
    if crc64nvme(data) != name.checksum:
        raise ObjectDamagedError(f"{name.key} in {store.url} is not what was written there")
    return data


async def _what_else(store: ObjectStore) -> str:
    page = await until(store.list(""))
    if not page.objects:
        there = "Nothing is there: the bucket, its prefix or the directory may be another one."
    else:
        keys = ", ".join(facts.key for facts in page.objects[:3])
        there = (
            f"What is there is something else ({keys}, ...): the prefix may be another one, "
            "or the object named head was deleted."
        )
    return f"{store.url} holds no cluster: there is no head object. {there}"


async def read_manifest(
    store: ObjectStore, archive: Archive, tier: PartitionTier, spilled: TierSlice
) -> Manifest:
    """The segments of a slice. A story; raises StoreError."""
    key = archive.key_of(tier, spilled)
    data = await until(store.get_range(key, 0, spilled.object_bytes))
    if crc64nvme(data) != spilled.checksum:
        raise ObjectDamagedError(f"{key} is not the manifest that was written there")
    return parse_manifest(data)


async def first_time_ms(store: ObjectStore, archive: Archive, tier: PartitionTier) -> int:
    """When the oldest batch of the segment at the log start was made. A story; raises StoreError.

    -1 where it has no time.
    """
    entry = tier.find(first_offset(tier))
    assert entry is not None, "a tier holds its first offset"
    if isinstance(entry, TierSlice):
        entry = (await read_manifest(store, archive, tier, entry)).find(first_offset(tier))
    if entry.log_bytes < HEADER_BYTES:
        return -1
    data = await until(store.get_range(archive.key_of(tier, entry), 0, HEADER_BYTES))
    return read_header(data).base_timestamp


class ArchiveReader:
    """Reads the records of an archive, a partition at a time. Memory is bounded by the limits.

    Several requests are under way ahead of the reader; every batch is checked. Raises
    KafkaStorageError, which names the object, for what the store does not give or gives damaged.
    """

    def __init__(
        self,
        store: ObjectStore,
        archive: Archive,
        scheduler: Scheduler,
        limits: ReadLimits = LIMITS,
    ) -> None:
        self._scheduler = scheduler
        self._arrival: Pending[None] = Pending()
        self._unexpected: BaseException | None = None
        self._stories = Stories(self._on_failure)
        self._reader = TierReader(
            store,
            archive,
            self._stories,
            scheduler,
            cluster_id=archive.head.cluster_id,
            limits=limits,
            on_arrival=lambda _: self._wake(),
        )

    async def read(
        self, tier: PartitionTier, place: TopicPartition, offset: int, max_bytes: int = READ_BYTES
    ) -> ColdRead:
        """Batches from the one that holds `offset` on; there may be none before `next_offset`."""
        while True:
            # Before the question: what is asked for may arrive while it is asked.
            self._arrival = Pending()
            read = self._reader.read(tier, place, offset, max_bytes)
            if read is not None:
                return read
            await until(self._arrival)
            await self._leave_story()
            if self._unexpected is not None:
                raise self._unexpected

    async def offset_for_time(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int
    ) -> int | None:
        """The first record at or after the time; None if there is none."""
        start = first_offset(tier)
        try:
            found = await until(self._reader.offset_for_timestamp(tier, place, timestamp_ms, start))
        finally:
            await self._leave_story()
        return None if found is None else found.offset

    def close(self) -> None:
        """Give up what is read ahead."""
        self._stories.stop()

    async def _leave_story(self) -> None:
        """Go on in a turn of one's own: one of the reader's stories, which brought the news, is
        still running, and could not be closed."""
        await until(sleep(self._scheduler, 0))

    def _wake(self) -> None:
        if not self._arrival.done:
            self._arrival.resolve(None)

    def _on_failure(self, error: BaseException, _: str) -> None:
        if not isinstance(error, KafkaStorageError):  # that one, who asked for it is told
            self._unexpected = error
            self._wake()


def records_in(
    read: ColdRead, start_offset: int, end_offset: int, *, uncommitted: bool = False
) -> Iterator[Record]:
    """The records in [start, end) without control records; those of aborted transactions only if
    `uncommitted`. Raises CorruptMessageError for a batch that does not open."""
    for position, header in walk(read.records):
        if header.control or header.last_offset < start_offset:
            continue
        if header.base_offset >= end_offset:
            return
        if (
            header.transactional
            and not uncommitted
            and any(
                txn.producer_id == header.producer_id
                and txn.first_offset <= header.base_offset <= txn.last_offset
                for txn in read.aborted
            )
        ):
            continue
        batch = read.records[position : position + header.size_bytes]
        for record in iterate(batch):
            if start_offset <= record.offset < end_offset:
                yield record
