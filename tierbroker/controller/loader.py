"""Reading the metadata log at start: the last snapshot, who votes, how much log follows."""

from dataclasses import dataclass

from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.raft.control_records import read_voters
from tierbroker.controller.raft.log_view import LOG_BEGIN
from tierbroker.controller.raft.ports import RaftStorage
from tierbroker.controller.raft.types import OffsetAndEpoch, VoterSet
from tierbroker.controller.state.codec import decode_record
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.records.batch import walk
from tierbroker.records.control import ControlType, read_controls

READ_BYTES = 4 * 1024 * 1024
"""One read of the log."""


@dataclass(frozen=True, slots=True)
class LoadedSnapshot:
    """The image of a snapshot, and the voters it names."""

    snapshot: OffsetAndEpoch | None
    image: MetadataImage
    voters: VoterSet | None


def load_snapshot(storage: RaftStorage) -> LoadedSnapshot:
    """Read the latest snapshot; raises MetadataCorruptError if it is damaged."""
    snapshots = storage.snapshots()
    if not snapshots:
        return LoadedSnapshot(None, MetadataImage(), None)
    snapshot = snapshots[-1]
    source = f"snapshot {snapshot.offset}-{snapshot.epoch}"
    delta = MetadataDelta(MetadataImage())
    voters: VoterSet | None = None
    seen: set[ControlType] = set()
    for batch in open_batches(storage.read_snapshot(snapshot), source):
        for value in batch.values:
            delta.replay(decode_record(value))
        for kind, value in batch.control:
            seen.add(kind)
            if kind == ControlType.KRAFT_VOTERS:
                voters = read_voters(value)
    if not seen >= {ControlType.SNAPSHOT_HEADER, ControlType.SNAPSHOT_FOOTER}:
        raise MetadataCorruptError(f"{source} is cut short: it lacks its header or its footer")
    image, _ = delta.finish(snapshot.offset - 1, snapshot.epoch)
    return LoadedSnapshot(snapshot, image, voters)


@dataclass(frozen=True, slots=True)
class LogSurvey:
    """What a first look at the log tells."""

    voters: VoterSet | None
    """The voters that the log names last, None if it names none."""
    bytes_after: int
    """How much log there is from the given offset on."""


def survey_log(storage: RaftStorage, from_offset: int) -> LogSurvey:
    """Look at every batch header and open the control batches; raises MetadataCorruptError."""
    found: VoterSet | None = None
    bytes_after = 0
    offset = storage.log_start_offset
    while offset < storage.log_end_offset:
        data = storage.read(offset, READ_BYTES, storage.log_end_offset)
        advanced = offset
        for position, header in walk(data):
            if header.control:
                batch = memoryview(data)[position : position + header.size_bytes]
                for kind, record in read_controls(batch):
                    if kind == ControlType.KRAFT_VOTERS:
                        found = read_voters(record.value or b"")
            advanced = header.next_offset
            if advanced > from_offset:
                bytes_after += header.size_bytes
        if advanced == offset:
            raise MetadataCorruptError(f"the metadata log holds no whole batch at offset {offset}")
        offset = advanced
    return LogSurvey(found, bytes_after)


def log_start(storage: RaftStorage) -> OffsetAndEpoch:
    """Where the log begins, with the epoch of the snapshot that covers what was before.

    Raises MetadataCorruptError when no snapshot does.
    """
    offset = storage.log_start_offset
    if offset == 0:
        return LOG_BEGIN
    snapshots = storage.snapshots()
    for snapshot in snapshots:
        if snapshot.offset == offset:
            return snapshot
    raise MetadataCorruptError(
        f"the metadata log starts at offset {offset}, but no snapshot ends there;"
        f" there are {', '.join(f'{known.offset}-{known.epoch}' for known in snapshots) or 'none'}"
    )
