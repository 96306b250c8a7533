"""Bringing a cluster back from its bucket onto an empty disk (D-7, D-8).

The head object gets a new incarnation, by compare and swap: from then on the old host can write
no checkpoint and deletes nothing. Then the data directory is made from the latest checkpoint:
metadata, group offsets, and logs that go on where the bucket ends. Records stay where they are and
are read from there. What only the lost disk had is lost, and is told.

An older checkpoint is taken only when it is named; why, `node.older_checkpoint` says.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError, DataDirError
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import FileSystem, write_atomically
from tierbroker.base.ids import TopicPartition, Uuid, random_uuid
from tierbroker.base.java_hash import partition_of
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.cold.archive import CheckpointFault, Latest, read_latest
from tierbroker.cold.errors import StoreMismatchError
from tierbroker.cold.head import CheckpointName, Head, write_head
from tierbroker.cold.ports import ObjectStore
from tierbroker.controller.raft.types import OffsetAndEpoch, ReplicaKey, Voter, VoterSet
from tierbroker.controller.records.producer_ids_record import ProducerIdsRecord
from tierbroker.controller.state.features import bootstrap_records
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.controller.state.snapshot import image_of_records, image_records
from tierbroker.controller.state.tier_record import tier_record
from tierbroker.controller.state.topics import INTERNAL_TOPICS, OFFSETS_TOPIC
from tierbroker.groups.record_codec import CommittedOffset, offset_key, offset_value
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.node.archived import OpenedCheckpoint, open_checkpoint
from tierbroker.node.older_checkpoint import (
    OlderCheckpointError,
    Since,
    look_since,
    without_uploads,
)
from tierbroker.node.settings import Settings
from tierbroker.node.storage import Storage, open_storage
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.records.tier.events import TierStoreBound
from tierbroker.records.tier.state import PartitionTier
from tierbroker.replication.metadata_log import write_restored_metadata

LEADER_EPOCHS_SKIPPED = 1000
"""The lost host may have led in epochs that no checkpoint knows: those of the restored cluster
are behind all of them."""
PRODUCER_IDS_SKIPPED = 1 << 32
"""The same for producer ids that were handed out after the checkpoint."""
OFFSETS_A_BATCH = 500
_PROBE_FILE = ".writable"


@dataclass(frozen=True, slots=True)
class RestoredPartition:
    """What came back of a partition."""

    place: TopicPartition
    start_offset: int
    end_offset: int
    """The offset that the next record gets."""
    newest_ms: int
    """Time of the newest record that came back; -1 without one."""
    missing: int
    """Offsets that did not come back: the lost disk alone had them, as of the checkpoint, or they
    were uploaded after it, where it is not the newest."""
    tiered: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    head: Head
    checkpoint: CheckpointName
    partitions: tuple[RestoredPartition, ...]
    group_offsets: int
    clamped_offsets: int
    """Group offsets that were ahead of what came back."""
    faults: tuple[CheckpointFault, ...] = ()
    """Newer checkpoints, which could not be read."""
    since: Since | None = None
    """What was lost by taking an older checkpoint; None of the newest one."""

    @property
    def user_partitions(self) -> tuple[RestoredPartition, ...]:
        """Without those of internal topics: what these held comes back as group offsets, or means
        nothing any more (no transaction is open in what came back)."""
        return tuple(p for p in self.partitions if p.place.topic not in INTERNAL_TOPICS)


class _Source(NamedTuple):
    """What a cluster is restored from."""

    latest: Latest
    opened: OpenedCheckpoint
    since: Since | None

    @property
    def checkpoint(self) -> CheckpointName:
        return self.latest.checkpoint

    @property
    def leader_epoch_floor(self) -> int:
        """Any host may have led in it, whatever the checkpoint knows of that."""
        floor = self.latest.head.leader_epochs_from
        return floor if self.since is None else max(floor, self.since.leader_epoch)

    def leader_epoch(self, known: int) -> int:
        """The first one of a partition in the restored cluster, behind all earlier ones."""
        return max(known, self.leader_epoch_floor) + LEADER_EPOCHS_SKIPPED

    @property
    def next_producer_id(self) -> int:
        """The first one that the restored cluster gives, behind all earlier ones."""
        known = self.opened.image.producer_ids.next_producer_id
        return max(known, self.latest.head.producer_ids_from) + PRODUCER_IDS_SKIPPED

    def new_head(self, rng: random.Random) -> Head:
        """Under a new incarnation. It names the same checkpoints: one that cannot be read now may
        be put back, and is restored from then, until the new cluster has written its own."""
        known = (
            partition.leader_epoch
            for topic in self.opened.image.topics
            for partition in topic.partitions
        )
        return replace(
            self.latest.head,
            incarnation=random_uuid(rng),
            leader_epochs_from=self.leader_epoch(max(known, default=0)),
            producer_ids_from=self.next_producer_id,
        )


async def restore(
    store: ObjectStore,
    flags: Mapping[str, str],
    *,
    fs: FileSystem,
    clock: Clock,
    rng: random.Random,
    env: Mapping[str, str] | None = None,
    checkpoint: int | None = None,
) -> Restored:
    """Make the empty data directory of the settings hold the store's cluster. A story.

    Settings come from `flags` and the environment `env`, as those of the broker that will start in
    the directory. `checkpoint` is the sequence number of the one to take, which must be the newest
    that can be read: to name it is to agree to an older one, where the newest is damaged or gone.

    Raises OlderCheckpointError where that was not agreed to, StoreMismatchError where there is
    nothing to restore, or not from that checkpoint, StoreError, DataDirError for a directory that
    is not empty, InvalidConfigError: all of them before anything is changed. A DataDirError of a
    disk that failed later says so; what is there by then does not start.
    """
    settings = Settings.load(flags, env)
    check_empty(fs, settings)
    source = await _choose(store, checkpoint)
    _check_writable(fs, settings)
    head = source.new_head(rng)
    await write_head(store, head, source.latest.etag)
    settings = Settings.load({**flags, "cluster.id": head.cluster_id}, env)
    try:
        return _Restoring(settings, head, source, fs, clock, rng).run()
    except (OSError, ApiError) as error:
        paths = ", ".join(settings.values.texts("log.dirs") or settings.values.texts("log.dir"))
        raise DataDirError(
            f"the disk failed on the way: {error}. What is in {paths} by now is not whole: remove "
            "it, and restore again. The store refuses the lost host already."
        ) from error


async def _choose(store: ObjectStore, checkpoint: int | None) -> _Source:
    latest = await read_latest(store)
    opened = open_checkpoint(latest, store.url)
    newest = latest.checkpoint.sequence
    if not latest.faults:
        if checkpoint not in (None, newest):
            raise StoreMismatchError(
                f"checkpoint {newest} of cluster {latest.head.cluster_id} in {store.url} is its "
                f"newest, and can be read: a restore takes no other one, {checkpoint} neither."
            )
        return _Source(latest, opened, None)
    since = await look_since(store, latest, opened.image)
    if checkpoint != newest:
        raise OlderCheckpointError(store.url, latest, since)
    idle = without_uploads(opened.image.tier)
    return _Source(latest, opened._replace(image=replace(opened.image, tier=idle)), since)


def check_empty(fs: FileSystem, settings: Settings) -> None:
    """Raise DataDirError unless the log directories are empty or not there."""
    values = settings.values
    for path in values.texts("log.dirs") or values.texts("log.dir"):
        if fs.exists(path) and (names := fs.listdir(path)):
            raise DataDirError(
                f"{path} is not empty ({names[0]!r}, ...): a restore needs a new directory. "
                "Nothing was changed."
            )


def _check_writable(fs: FileSystem, settings: Settings) -> None:
    """Make the log directories, and raise DataDirError where nothing can be written there.

    Before the head changes hands: the old host may well be alive, and goes on then.
    """
    for path in settings.values.texts("log.dirs") or settings.values.texts("log.dir"):
        try:
            fs.mkdir(path)
            write_atomically(fs, f"{path}/{_PROBE_FILE}", b"")
            fs.unlink(f"{path}/{_PROBE_FILE}")
        except OSError as error:
            raise DataDirError(
                f"{path} cannot be written: {error}. Nothing was changed."
            ) from error


class _Restoring:
    """The local part: from a checkpoint to a data directory. Synchronous."""

    def __init__(
        self,
        settings: Settings,
        head: Head,
        source: _Source,
        fs: FileSystem,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._head = head
        self._source = source
        self._fs = fs
        self._clock = clock
        self._rng = rng
        self._node_id = settings.values.integer("node.id")

    def run(self) -> Restored:
        """Everything is durable on return."""
        old = self._source.opened.image
        storage = open_storage(
            self._settings.values,
            self._fs,
            InlineExecutor(),
            self._clock,
            self._rng,
            ManualScheduler(),
            _raise_disk_error,
        )
        log_dir = next(iter(storage.dirs))
        voters = VoterSet((Voter(ReplicaKey(self._node_id, log_dir.directory_id)),))
        records = tuple(self._new_records(old, log_dir.directory_id))
        image = image_of_records(records, old.offset, old.epoch)
        partitions = tuple(self._restore_logs(storage, image))
        ends = {partition.place: partition for partition in partitions}
        count, clamped = self._restore_offsets(storage, image, ends)
        storage.logs.shutdown(clean=True)
        # Last: a broker refuses to start where there are logs and no metadata. So it never does
        # where a restore broke off, with offsets that are given again and groups that are lost.
        write_restored_metadata(
            self._fs,
            log_dir.path,
            OffsetAndEpoch(old.offset + 1, old.epoch),
            voters,
            records,
            bootstrap_records(),
            self._clock.now_ms(),
        )
        storage.close()
        source = self._source
        return Restored(
            self._head,
            source.checkpoint,
            partitions,
            count,
            clamped,
            source.latest.faults,
            source.since,
        )

    def _new_records(self, old: MetadataImage, directory_id: Uuid) -> Iterator[MetadataRecord]:
        """The old cluster with one broker, behind everything that the old host may have done."""
        for record in image_records(old):
            kind = type(record).__name__
            if kind == "ProducerIdsRecord":
                continue
            if kind == "RegisterBrokerRecord" and record.broker_id != self._node_id:
                continue
            if kind == "PartitionRecord":
                record.replicas = record.isr = [self._node_id]
                record.adding_replicas = record.removing_replicas = []
                record.leader = self._node_id
                record.leader_epoch = self._source.leader_epoch(record.leader_epoch)
                record.partition_epoch += 1
                record.directories = [directory_id]
            yield record
        yield ProducerIdsRecord(-1, -1, self._source.next_producer_id)
        yield tier_record(TierStoreBound(self._head.store_id, self._head.incarnation))

    def _restore_logs(self, storage: Storage, image: MetadataImage) -> Iterator[RestoredPartition]:
        """Logs of partitions that the bucket has are made at the first start, behind its end."""
        ends = self._source.opened.log_ends
        since = self._source.since
        uploaded = {} if since is None else since.ends
        configs = TopicConfigs(self._settings.layers)
        for topic in sorted(image.topics, key=lambda topic: topic.name):
            config = configs.log_config(image.configs.topic(topic.name))
            for number in range(len(topic.partitions)):
                place = TopicPartition(topic.name, number)
                end = max(ends.get(place, 0), uploaded.get(place, 0))
                tier = image.tier.partition(topic.topic_id, number)
                if tier is not None and not tier.empty:
                    yield _restored(place, tier, end)
                    continue
                log = storage.logs.create_log(place, topic.topic_id, config)
                # An offset that was given once is not given again (INV-2).
                keeps_nothing = topic.name == OFFSETS_TOPIC
                if end and not keeps_nothing:
                    log.truncate_fully_and_start_at(end)
                yield RestoredPartition(
                    place,
                    log.log_start_offset,
                    log.log_end_offset,
                    -1,
                    0 if keeps_nothing else end,
                    tiered=False,
                )

    def _restore_offsets(
        self,
        storage: Storage,
        image: MetadataImage,
        ends: Mapping[TopicPartition, RestoredPartition],
    ) -> tuple[int, int]:
        topic = image.topic(OFFSETS_TOPIC)
        lines = list(_json_lines(self._source.latest.sections.group_offsets))
        if topic is None or not lines:
            return 0, 0
        clamped, now_ms = 0, self._clock.now_ms()
        records: dict[int, list[Record]] = {}
        for line in lines:
            partition = ends.get(TopicPartition(line["topic"], line["partition"]))
            if partition is None:
                continue
            offset = min(max(line["offset"], partition.start_offset), partition.end_offset)
            # A group that could not commit while the cluster was lost has not been idle.
            committed_ms = max(line["commit_timestamp_ms"], now_ms)
            clamped += offset != line["offset"]
            committed = CommittedOffset(
                offset,
                line["leader_epoch"] if offset == line["offset"] else -1,
                line["metadata"],
                committed_ms,
            )
            key = offset_key(line["group"], line["topic"], line["partition"])
            shard = partition_of(line["group"], len(topic.partitions))
            records.setdefault(shard, []).append(
                Record(0, committed_ms, key, offset_value(committed), ())
            )
        for shard, written in records.items():
            log = storage.logs.get(TopicPartition(OFFSETS_TOPIC, shard))
            assert log is not None, "its log was made before"
            epoch = topic.partitions[shard].leader_epoch
            log.assign_epoch_start(epoch, log.log_end_offset)
            for start in range(0, len(written), OFFSETS_A_BATCH):
                batch = bytearray(build_batch(written[start : start + OFFSETS_A_BATCH]))
                (result,) = log.append([(batch, read_header(batch))], epoch)
                if isinstance(result, Exception):
                    raise result
        return sum(map(len, records.values())), clamped


def _restored(place: TopicPartition, tier: PartitionTier, known_end: int) -> RestoredPartition:
    end = tier.end_offset + 1
    last = tier.segments.last or tier.slices.last
    newest_ms = -1 if last is None else last.max_timestamp_ms
    start = max(tier.log_start_offset, tier.start_offset)
    return RestoredPartition(place, start, end, newest_ms, max(known_end - end, 0), tiered=True)


def _json_lines(data: memoryview) -> Iterable[Any]:
    return (json.loads(line) for line in bytes(data).splitlines())


def _raise_disk_error(log_dir: object, error: OSError) -> None:
    raise error
