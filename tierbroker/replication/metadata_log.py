"""The metadata log on disk: `RaftStorage` over a hot log in `__cluster_metadata-0`.

Everything is where and how Kafka keeps it: v2 batches in segments, `quorum-state`, snapshots as
`.checkpoint` files, and `bootstrap.checkpoint` beside the partition. Loop thread only, but for the
methods of a snapshot writer. Knows nothing of what the records mean.
"""

import json
import os
import random
import re
from collections.abc import Callable, Iterable, Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import Outcome
from tierbroker.base.fs import FileSystem, write_atomically, write_fully
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid, parse_uuid, uuid_text
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.raft.types import (
    NO_NODE,
    OffsetAndEpoch,
    QuorumState,
    ReplicaKey,
    VoterSet,
)
from tierbroker.controller.snapshotter import snapshot_batches
from tierbroker.controller.state.codec import METADATA_VERSION_LEVEL, decode_record
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log

METADATA_PARTITION = TopicPartition("__cluster_metadata", 0)
METADATA_TOPIC_ID = Uuid(bytes(15) + b"\x01")
"""Uuid.METADATA_TOPIC_ID"""
DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024

_QUORUM_STATE = "quorum-state"
_QUORUM_STATE_VERSION = 1
_BOOTSTRAP = "bootstrap.checkpoint"
_CHECKPOINT = ".checkpoint"
_PART = ".part"
_SNAPSHOT_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")
_UNFINISHED = (".checkpoint.part", ".checkpoint.deleted")
_BATCH_RECORDS = 1000


def snapshot_name(snapshot: OffsetAndEpoch) -> str:
    """The file of a snapshot (org.apache.kafka.snapshot.Snapshots.filenameFromSnapshotId)."""
    return f"{snapshot.offset:020d}-{snapshot.epoch:010d}{_CHECKPOINT}"


def metadata_directory(log_dir: str) -> str:
    """Where the metadata log of a log directory is."""
    return f"{log_dir}/{METADATA_PARTITION}"


def format_metadata_log(
    fs: FileSystem,
    log_dir: str,
    voters: VoterSet,
    bootstrap: Sequence[MetadataRecord],
    now_ms: int,
) -> bool:
    """Prepare a log directory as `kafka-storage format --standalone` does; false if it was done.

    Durable on return. Raises OSError.
    """
    directory = metadata_directory(log_dir)
    if fs.exists(directory) and _holds_metadata(fs.listdir(directory)):
        return False
    fs.mkdir(directory)
    if not fs.exists(f"{log_dir}/{_BOOTSTRAP}"):
        _write_checkpoint(fs, f"{log_dir}/{_BOOTSTRAP}", bootstrap, None, 0, now_ms)
    # Last: it is what says that the directory is formatted.
    first = f"{directory}/{snapshot_name(OffsetAndEpoch(0, 0))}"
    _write_checkpoint(fs, first, (), voters, now_ms, now_ms)
    fs.fsync_dir(log_dir)
    return True


def write_restored_metadata(
    fs: FileSystem,
    log_dir: str,
    snapshot: OffsetAndEpoch,
    voters: VoterSet,
    records: Iterable[MetadataRecord],
    bootstrap: Sequence[MetadataRecord],
    now_ms: int,
) -> None:
    """Make a metadata log that begins with a snapshot of these records, in an empty directory.

    Its quorum has been in the snapshot's epoch, so that the next one follows. Durable on return.
    Raises OSError.
    """
    directory = metadata_directory(log_dir)
    fs.mkdir(directory)
    _write_checkpoint(fs, f"{log_dir}/{_BOOTSTRAP}", bootstrap, None, 0, now_ms)
    state = QuorumState(snapshot.epoch)
    write_atomically(fs, f"{directory}/{_QUORUM_STATE}", encode_quorum_state(state))
    path = f"{directory}/{snapshot_name(snapshot)}"
    _write_checkpoint(fs, path, records, voters, now_ms, now_ms, snapshot.epoch)
    fs.fsync_dir(log_dir)


def _holds_metadata(names: Iterable[str]) -> bool:
    return any(name.endswith(".log") or _SNAPSHOT_NAME.fullmatch(name) for name in names)


def _write_checkpoint(
    fs: FileSystem,
    path: str,
    records: Iterable[MetadataRecord],
    voters: VoterSet | None,
    last_contained_ms: int,
    now_ms: int,
    epoch: int = 0,
) -> None:
    writer = CheckpointWriter(fs, path)
    batches = snapshot_batches(
        records,
        metadata_version=METADATA_VERSION_LEVEL,
        epoch=epoch,
        voter_set=voters,
        last_contained_ms=last_contained_ms,
        timestamp_ms=now_ms,
        batch_records=_BATCH_RECORDS,
    )
    writer.append(b"".join(batches))
    writer.finish()


def read_bootstrap(fs: FileSystem, log_dir: str) -> tuple[MetadataRecord, ...] | None:
    """The records of `bootstrap.checkpoint`, None without one; raises MetadataCorruptError."""
    path = f"{log_dir}/{_BOOTSTRAP}"
    if not fs.exists(path):
        return None
    return tuple(
        decode_record(value)
        for batch in open_batches(fs.read_file(path), path)
        for value in batch.values
    )


def open_metadata_log(
    cache: FileCache,
    log_dir: str,
    *,
    flusher: GroupFlusher,
    clock: Clock,
    rng: random.Random,
    clean: bool = False,
    recovery_point: int = 0,
    segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    on_offline: Callable[[Log, OSError], None] | None = None,
) -> "MetadataLog":
    """Open the metadata log of a log directory, making it if it is not there.

    `clean` and `recovery_point` as for any log. Raises CorruptLogError, MetadataCorruptError and
    OSError.
    """
    fs = cache.fs
    directory = metadata_directory(log_dir)
    snapshots = _settled_snapshots(fs, directory)
    config = LogConfig.from_values(
        {
            "internal.segment.bytes": segment_bytes,
            "retention.ms": -1,
            "retention.bytes": -1,
            "file.delete.delay.ms": 0,
        }
    )
    log = open_log(
        cache,
        directory,
        METADATA_PARTITION,
        config,
        clock=clock,
        rng=rng,
        topic_id=METADATA_TOPIC_ID,
        clean=clean,
        # A snapshot is made of committed entries alone, so those were durable.
        recovery_point=max([recovery_point, *(snapshot.offset for snapshot in snapshots)]),
        log_start_offset=snapshots[0].offset if snapshots else 0,
        on_offline=on_offline,
        refuse_damage=True,
    )
    _start_at_a_snapshot(log, snapshots)
    return MetadataLog(fs, directory, log, snapshots, flusher, clock)


def _settled_snapshots(fs: FileSystem, directory: str) -> list[OffsetAndEpoch]:
    """The finished snapshots, ascending; what a crash left unfinished is removed."""
    if not fs.exists(directory):
        return []
    found: list[OffsetAndEpoch] = []
    for name in fs.listdir(directory):
        if name.endswith(_UNFINISHED):
            fs.unlink(f"{directory}/{name}")
        elif (match := _SNAPSHOT_NAME.fullmatch(name)) is not None:
            found.append(OffsetAndEpoch(int(match[1]), int(match[2])))
    return sorted(found)


def _start_at_a_snapshot(log: Log, snapshots: Sequence[OffsetAndEpoch]) -> None:
    """Segments below a snapshot may be gone already when a crash kept older snapshots alive."""
    offsets = [snapshot.offset for snapshot in snapshots]
    following = [offset for offset in offsets if offset >= log.log_start_offset]
    if log.log_start_offset > 0 and following:
        log.advance_log_start(following[0])


class CheckpointWriter:
    """Writes one snapshot file under a temporary name. For a worker thread."""

    def __init__(
        self, fs: FileSystem, path: str, finished: Callable[[], None] = lambda: None
    ) -> None:
        self._fs = fs
        self._path = path
        self._part = path + _PART
        self._finished = finished
        self._fd = -1
        self._position = 0

    def append(self, data: bytes) -> None:
        """Add bytes. Raises OSError."""
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._fd = self._fs.open(self._part, flags)
        write_fully(self._fs, self._fd, data, self._position)
        self._position += len(data)

    def finish(self) -> None:
        """Sync, rename, sync the directory. Raises OSError."""
        self._fs.fsync(self._fd)
        self._close()
        self._fs.rename(self._part, self._path)
        self._fs.fsync_dir(os.path.dirname(self._path))
        self._finished()

    def abandon(self) -> None:
        """Remove the temporary file."""
        self._close()
        if self._fs.exists(self._part):
            self._fs.unlink(self._part)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._fs.close(fd)


class MetadataLog:
    """The `RaftStorage` of a node. Made by `open_metadata_log`."""

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        log: Log,
        snapshots: Sequence[OffsetAndEpoch],
        flusher: GroupFlusher,
        clock: Clock,
    ) -> None:
        self._fs = fs
        self._directory = directory
        self._log = log
        self._snapshots = tuple(snapshots)
        self._flusher = flusher
        self._clock = clock

    @property
    def log(self) -> Log:
        """The log itself, to be read only (DescribeLogDirs, metrics)."""
        return self._log

    @property
    def log_start_offset(self) -> int:
        """The first offset still there."""
        return self._log.log_start_offset

    @property
    def log_end_offset(self) -> int:
        """The offset after the last record."""
        return self._log.log_end_offset

    @property
    def flushed_offset(self) -> int:
        """Everything below is durable."""
        return self._log.flushed_offset

    def epoch_starts(self) -> Sequence[tuple[int, int]]:
        """(epoch, first offset) of the epochs in the log."""
        return [(entry.epoch, entry.start_offset) for entry in self._log.epochs.lineage]

    def append(self, batches: Sequence[bytes]) -> None:
        """Append batches that have their offsets. Raises KafkaStorageError."""
        self._log.append_as_follower(batches[0] if len(batches) == 1 else b"".join(batches))

    def flush(self, done: Callable[[Outcome[int]], None]) -> None:
        """Make what was appended durable, together with whatever else waits for this disk."""

        def flushed(error: OSError | None) -> None:
            if error is None:
                done(Outcome(value=self._log.flushed_offset))
            else:
                done(Outcome(error=error))

        self._flusher.request(self._log, flushed)

    def read(self, offset: int, max_bytes: int, max_offset: int) -> bytes:
        """Batches from `offset` on; the last one may be cut at `max_bytes`."""
        return self._log.read_bytes(offset, max_bytes, max_offset)

    def truncate_to(self, offset: int) -> None:
        """Drop everything from `offset` on."""
        self._log.truncate_to(offset)

    def load_quorum_state(self) -> QuorumState | None:
        """What `quorum-state` says; raises MetadataCorruptError."""
        path = f"{self._directory}/{_QUORUM_STATE}"
        if not self._fs.exists(path):
            return None
        return decode_quorum_state(self._fs.read_file(path), path)

    def save_quorum_state(self, state: QuorumState) -> None:
        """Replace `quorum-state`; durable on return."""
        path = f"{self._directory}/{_QUORUM_STATE}"
        write_atomically(self._fs, path, encode_quorum_state(state))

    def snapshots(self) -> Sequence[OffsetAndEpoch]:
        """Finished snapshots, ascending."""
        return self._snapshots

    def read_snapshot(self, snapshot: OffsetAndEpoch) -> bytes:
        """All of a snapshot."""
        return self._fs.read_file(self._path(snapshot))

    def create_snapshot(self, snapshot: OffsetAndEpoch) -> CheckpointWriter:
        """Start a snapshot."""

        def finished() -> None:
            # On the worker thread: one assignment, and only one snapshot is written at a time.
            self._snapshots = (*self._snapshots, snapshot)

        return CheckpointWriter(self._fs, self._path(snapshot), finished)

    def delete_before(self, snapshot: OffsetAndEpoch) -> None:
        """Remove older snapshots, and the segments that lie below this one."""
        kept = tuple(known for known in self._snapshots if known >= snapshot)
        for known in self._snapshots:
            if known < snapshot:
                self._fs.unlink(self._path(known))
        self._snapshots = kept
        self._log.advance_log_start(snapshot.offset)
        try:
            # So that the next call finds a segment that ends about here.
            self._log.roll()
        except KafkaStorageError:
            # No room for it now: the next call finds less to remove, that is all.
            if self._log.offline:
                raise
        for path in self._log.take_deleted_files(self._clock.now_ms()):
            self._fs.unlink(path)

    def close(self) -> None:
        """Write indexes and close the files. Raises KafkaStorageError.

        A flush that failed is not repeated: on a failed disk the files are merely closed.
        """
        failed = self._log.offline or self._flusher.has_failed(self._log)
        self._log.close(clean=not failed)

    def _path(self, snapshot: OffsetAndEpoch) -> str:
        return f"{self._directory}/{snapshot_name(snapshot)}"


def encode_quorum_state(state: QuorumState) -> bytes:
    """The JSON of QuorumStateData version 1, as Kafka's FileQuorumStateStore writes it."""
    voted = state.voted or ReplicaKey(NO_NODE, ZERO_UUID)
    fields = {
        "leaderId": state.leader_id,
        "leaderEpoch": state.epoch,
        "votedId": voted.id,
        "votedDirectoryId": uuid_text(voted.directory_id),
        "data_version": _QUORUM_STATE_VERSION,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_quorum_state(data: bytes, source: str) -> QuorumState:
    """Read either version of the JSON; raises MetadataCorruptError naming the source."""
    try:
        fields = json.loads(data)
        version = int(fields["data_version"])
        voted_id = int(fields["votedId"])
        directory = parse_uuid(fields["votedDirectoryId"]) if version > 0 else ZERO_UUID
        state = QuorumState(
            epoch=int(fields["leaderEpoch"]),
            leader_id=int(fields["leaderId"]),
            voted=None if voted_id == NO_NODE else ReplicaKey(voted_id, directory),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise MetadataCorruptError(
            f"{source} does not say whom this node voted for: {error!r}. Without that it could"
            " vote twice; restore the file from a backup"
        ) from error
    if version > _QUORUM_STATE_VERSION:
        raise MetadataCorruptError(f"{source} has version {version}, newer than this release")
    return state
