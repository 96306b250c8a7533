"""A small cold store with one of everything, the same to the byte whenever it is made.

Topic `orders` has one partition: two segments that a manifest names, of the cluster's first
incarnation, and two of the second one, after a restore. The batches are Apache Kafka's own
(tests/golden/batches), in every compression, all of one transactional producer; the fifth is of a
transaction that was aborted, the others are of committed ones. Beside it there are
a deleted topic, garbage, and an upload under way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import Uuid, uuid_text
from tierbroker.cold.checkpoint_object import build_checkpoint
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import SectionBody
from tierbroker.cold.head import CheckpointName, Head, encode_head
from tierbroker.cold.keys import (
    HEAD_KEY,
    MANIFEST_SUFFIX,
    SEGMENT_SUFFIX,
    ObjectName,
    checkpoint_key,
    object_key,
)
from tierbroker.cold.manifest import build_manifest
from tierbroker.cold.ports import CheckpointContent
from tierbroker.cold.segment_object import build_tail
from tierbroker.cold.stores.memory import MemoryStore
from tierbroker.controller.records.feature_level_record import FeatureLevelRecord
from tierbroker.controller.records.partition_record import PartitionRecord
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.snapshotter import snapshot_batches
from tierbroker.controller.state.codec import METADATA_VERSION_LEVEL
from tierbroker.controller.state.image import METADATA_VERSION
from tierbroker.controller.state.tier_record import tier_record
from tierbroker.records import epoch_lineage, offset_index, producer_snapshot, time_index
from tierbroker.records.batch import patch_offsets, read_header, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.producer_snapshot import ProducerEntry
from tierbroker.records.record import Record
from tierbroker.records.tier.events import (
    TierAbandon,
    TierCheckpointed,
    TierCommit,
    TierEvent,
    TierIntent,
    TierRetire,
    TierSpill,
    TierStoreBound,
)
from tierbroker.records.tier.local import SegmentContent
from tierbroker.records.tier.segment import ObjectKind, SegmentArray, TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier, TierState
from tierbroker.records.txn_index import AbortedTxn

CLUSTER = "golden-cluster"
TOPIC = "orders"
STORE_ID = Uuid(b"store".ljust(16, b"."))
FIRST, SECOND = Uuid(b"first".ljust(16, b".")), Uuid(b"second".ljust(16, b"."))
ORDERS, DELETED = Uuid(b"orders".ljust(16, b".")), Uuid(b"deleted".ljust(16, b"."))
LINEAGE = (EpochEntry(3, 0), EpochEntry(5, 52))
ABORTED = AbortedTxn(7, 41, 51, 52)
TAKEN_MS = 1_700_000_000_000
PLAIN = [Record(63 + n, 2000 + n, b"key", b"plain %d" % n, (("h", b"x"),)) for n in range(2)]

_BATCHES = Path(__file__).parent / "golden" / "batches"


def kafka_batch(name: str, base_offset: int, leader_epoch: int) -> bytes:
    """A batch that Kafka made, at another offset."""
    data = bytearray((_BATCHES / f"{name}.bin").read_bytes())
    patch_offsets(data, 0, base_offset, leader_epoch)
    return bytes(data)


def commit_marker(offset: int, leader_epoch: int) -> bytes:
    """The end of a transaction of the same producer."""
    marker = EndTxnMarker(ControlType.COMMIT, 9)
    data = bytearray(
        build_marker_batch(marker, timestamp_ms=1_234, producer_id=7, producer_epoch=1)
    )
    patch_offsets(data, 0, offset, leader_epoch)
    return bytes(data)


@dataclass
class ColdStore:
    """Objects by key, and the tier that names them. Each event stands at the next offset."""

    state: TierState = field(default_factory=TierState)
    offset: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    sequence: int = -1
    checkpoints: list[CheckpointName] = field(default_factory=list)
    topics: dict[str, Uuid] = field(default_factory=lambda: {TOPIC: ORDERS})
    index_shift: int = 0
    """Bytes by which positions in the index are wrong."""

    def apply(self, event: TierEvent) -> None:
        self.offset += 1
        self.state = self.state.apply(event, self.offset)

    def tier(self, partition: int = 0) -> PartitionTier:
        found = self.state.partition(ORDERS, partition)
        assert found is not None
        return found

    def intent(
        self,
        base: int,
        end: int,
        epoch: int,
        kind: ObjectKind = ObjectKind.SEGMENT,
        topic_id: Uuid = ORDERS,
        partition: int = 0,
    ) -> ObjectName:
        """Announce an object."""
        slot = self.state.own_incarnation
        self.apply(TierIntent(topic_id, partition, epoch, base, end, self.offset + 1, kind, slot))
        return ObjectName(topic_id, partition, base, end, epoch, self.offset)

    def apply_open_intents_given_up(self) -> None:
        """Uploads that are under way are not any more."""
        for intent in self.tier().intents:
            self.apply(TierAbandon(ORDERS, 0, intent.intent_offset, TAKEN_MS))

    def put(self, name: ObjectName, data: bytes, suffix: str = SEGMENT_SUFFIX) -> str:
        """Write an object under its key, which is returned."""
        key = object_key(CLUSTER, self.state.incarnations[-1], name, suffix)
        self.objects[key] = data
        return key

    def upload(
        self,
        batches: Sequence[bytes],
        end: int,
        *,
        epoch: int = 3,
        aborted: Sequence[AbortedTxn] = (),
        topic_id: Uuid = ORDERS,
        partition: int = 0,
        topic: str = TOPIC,
    ) -> TierSegment:
        """A segment from its intent to its commit."""
        log = b"".join(batches)
        base = read_header(log).base_offset
        name = self.intent(base, end, epoch, topic_id=topic_id, partition=partition)
        latest = max(header.max_timestamp for _, header in walk(log))
        about = {
            "cluster_id": CLUSTER,
            "incarnation": uuid_text(self.state.incarnations[-1]),
            "made_by": "tierbroker",
            "topic": topic,
        }
        content = segment_content(log, aborted, end, self.index_shift)
        tail = build_tail(name, content, about)
        self.put(name, log + tail)
        segment = TierSegment(
            base,
            end,
            epoch,
            name.intent_offset,
            self.state.own_incarnation,
            len(log),
            len(log) + len(tail),
            latest,
            crc64nvme(log + tail),
            bool(aborted),
        )
        self.apply(TierCommit(topic_id, partition, segment))
        return segment

    def spill(self, count: int, epoch: int = 3, partition: int = 0) -> str:
        """The oldest segments go into a manifest; answers its key."""
        covered: SegmentArray = self.tier(partition).segments.front(count)
        base, end = covered.start_offset, covered.end_offset
        name = self.intent(base, end, epoch, ObjectKind.MANIFEST, partition=partition)
        data = build_manifest(covered, self.state.incarnations)
        key = self.put(name, data, MANIFEST_SUFFIX)
        spilled = TierSlice(
            base,
            end,
            max(segment.max_timestamp_ms for segment in covered),
            covered.log_bytes,
            count,
            epoch,
            name.intent_offset,
            self.state.own_incarnation,
            len(data),
            crc64nvme(data),
        )
        self.apply(TierSpill(ORDERS, partition, spilled))
        return key

    def checkpoint(self) -> None:
        """Write a checkpoint of what is, and the head that names it."""
        self.sequence += 1
        incarnation = self.state.incarnations[-1]
        metadata = SectionBody.of(
            *snapshot_batches(
                self._records(),
                metadata_version=METADATA_VERSION_LEVEL,
                epoch=2,
                voter_set=None,
                last_contained_ms=TAKEN_MS,
                timestamp_ms=TAKEN_MS,
                batch_records=3,
            )
        )
        ends = b'{"topic": "orders", "partition": 0, "start": 5, "end": 70, "leader_epoch": 5}\n'
        offsets = (
            b'{"group": "billing", "topic": "orders", "partition": 0, "offset": 42, '
            b'"leader_epoch": 3, "metadata": "", "commit_timestamp_ms": 1700000000000}\n'
        )
        content = CheckpointContent(self.offset, metadata, offsets, ends)
        data = b"".join(build_checkpoint(content))
        key = checkpoint_key(CLUSTER, incarnation, self.offset, self.sequence)
        self.objects[key] = data
        name = CheckpointName(
            key, len(data), crc64nvme(data), self.offset, self.sequence, TAKEN_MS + self.sequence
        )
        self.checkpoints.insert(0, name)
        del self.checkpoints[3:]
        self.objects[HEAD_KEY] = encode_head(
            Head(CLUSTER, STORE_ID, incarnation, tuple(self.checkpoints))
        )

    def _records(self):
        yield FeatureLevelRecord(METADATA_VERSION, METADATA_VERSION_LEVEL)
        for name, topic_id in sorted(self.topics.items()):
            yield TopicRecord(name, topic_id)
            numbers = {number for owner, number in self.state.partitions if owner == topic_id}
            for number in sorted(numbers | {0}):
                yield PartitionRecord(
                    number, topic_id, replicas=[1], isr=[1], leader=1, leader_epoch=5
                )
        for event in self.state.snapshot_events():
            yield tier_record(event)


def segment_content(
    log: bytes, aborted: Sequence[AbortedTxn], end: int, index_shift: int = 0
) -> SegmentContent:
    """A segment as the hot log hands it out."""
    base = read_header(log).base_offset
    offsets, latest = b"", (-1, base)
    for position, header in walk(log):
        if position:
            offsets += offset_index.pack_entry(base, header.last_offset, position + index_shift)
        latest = max(latest, (header.max_timestamp, header.last_offset))
    producer = ProducerEntry(7, 1, 14, end, 9, 1081, 0, -1)
    return SegmentContent(
        log=[log],
        log_bytes=len(log),
        offset_index=offsets,
        time_index=time_index.pack_entry(base, *latest),
        aborted=list(aborted),
        producers=producer_snapshot.encode([producer]),
        lineage=epoch_lineage.encode([e for e in LINEAGE if e.start_offset <= end]),
    )


def golden_store() -> ColdStore:
    """The store that the head of this module describes."""
    store = ColdStore()
    store.apply(TierStoreBound(STORE_ID, FIRST))
    store.upload([kafka_batch("none", 0, 3), kafka_batch("gzip", 10, 3)], 19)
    store.upload([kafka_batch("lz4", 20, 3), kafka_batch("zstd", 30, 3), commit_marker(40, 3)], 40)
    store.spill(2)
    store.checkpoint()
    store.apply(TierStoreBound(STORE_ID, SECOND))
    marker = kafka_batch("abort", 51, 3)
    store.upload([kafka_batch("none", 41, 3), marker], 51, aborted=[ABORTED])
    plain = build_batch(PLAIN, base_offset=63, leader_epoch=5)
    store.upload([kafka_batch("snappy", 52, 5), commit_marker(62, 5), plain], 66, epoch=5)
    store.apply(TierRetire(ORDERS, 0, 5, 5, TAKEN_MS))
    given_up = store.intent(67, 69, 5)
    store.apply(TierAbandon(ORDERS, 0, given_up.intent_offset, TAKEN_MS))
    gone = kafka_batch("none", 0, 3)
    store.upload([gone], 9, topic_id=DELETED, topic="deleted")
    store.offset += 1
    store.state = store.state.remove_topic(DELETED, 1, store.offset)
    store.apply(TierCheckpointed(0, store.checkpoints[0].metadata_offset, TAKEN_MS))
    store.intent(67, 69, 5)
    store.checkpoint()
    return store


def memory_store(objects: Mapping[str, bytes], now_ms: int = TAKEN_MS) -> MemoryStore:
    """The objects in a store whose operations are done at once."""
    store = MemoryStore(InlineExecutor(), OsFileSystem(), ManualClock(now_ms=now_ms))
    for key, data in objects.items():
        store.put(key, [data]).result()
    return store
