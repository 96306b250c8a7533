"""Writing snapshots of the image while the loop goes on with its work.

The image is immutable, so it can be encoded at leisure: a few hundred records a turn on the loop
thread, each piece written by a worker thread, the file made durable at the end.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from tierbroker.base.executor import Executor, Outcome
from tierbroker.controller.raft.control_records import (
    kraft_version,
    snapshot_footer,
    snapshot_header,
    voters,
)
from tierbroker.controller.raft.ports import SnapshotWriter
from tierbroker.controller.raft.types import ControlRecord, OffsetAndEpoch, VoterSet
from tierbroker.controller.state.codec import encode_records
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import MetadataRecord
from tierbroker.controller.state.snapshot import image_records
from tierbroker.records.builder import build_batch
from tierbroker.records.control import build_control_batch
from tierbroker.records.record import Record

BATCH_BYTES = 1024 * 1024
"""Values in one batch of a snapshot; what is encoded in one turn of the loop is bounded by it."""


def snapshot_batches(
    records: Iterable[MetadataRecord],
    *,
    metadata_version: int,
    epoch: int,
    voter_set: VoterSet | None,
    last_contained_ms: int,
    timestamp_ms: int,
    batch_records: int,
) -> Iterator[bytes]:
    """The batches of a snapshot, header to footer; offsets count from 0 (Kafka's Snapshots)."""
    offset = 0

    def control_batch(control: list[ControlRecord]) -> bytes:
        return build_control_batch(
            control, timestamp_ms=timestamp_ms, base_offset=offset, leader_epoch=epoch
        )

    head = [snapshot_header(last_contained_ms)]
    if voter_set is not None:
        head += [kraft_version(), voters(voter_set)]
    yield control_batch(head)
    offset = len(head)
    source = iter(records)
    while values := _next_values(source, metadata_version, batch_records):
        yield build_batch(
            [Record(0, timestamp_ms, None, value) for value in values],
            base_offset=offset,
            leader_epoch=epoch,
        )
        offset += len(values)
    yield control_batch([snapshot_footer()])


def _next_values(
    records: Iterator[MetadataRecord], metadata_version: int, limit: int
) -> list[bytes]:
    """The values of one batch: up to `limit` of them, fewer where they are large."""
    values: list[bytes] = []
    size_bytes = 0
    for record in islice(records, limit):
        values += encode_records((record,), metadata_version)
        size_bytes += len(values[-1])
        if size_bytes >= BATCH_BYTES:
            break
    return values


def image_batches(
    image: MetadataImage,
    *,
    voter_set: VoterSet,
    last_contained_ms: int,
    timestamp_ms: int,
    batch_records: int,
) -> Iterator[bytes]:
    """The batches of the image's snapshot."""
    return snapshot_batches(
        image_records(image),
        metadata_version=image.features.metadata_version,
        epoch=image.epoch,
        voter_set=voter_set,
        last_contained_ms=last_contained_ms,
        timestamp_ms=timestamp_ms,
        batch_records=batch_records,
    )


def snapshot_id(image: MetadataImage) -> OffsetAndEpoch:
    """The name of the image's snapshot: the offset after its last record, and its epoch."""
    return OffsetAndEpoch(image.offset + 1, image.epoch)


class SnapshotJob:
    """One snapshot being written. `done` gets None, or the OSError that ended it."""

    def __init__(
        self,
        batches: Iterator[bytes],
        writer: SnapshotWriter,
        executor: Executor,
        done: Callable[[BaseException | None], None],
    ) -> None:
        self._batches = batches
        self._writer = writer
        self._executor = executor
        self._done = done
        self.abandoned = False
        self._stepping = False
        self._again = False

    def start(self) -> None:
        """Write the first piece; the rest follows by itself."""
        self._step()

    def abandon(self) -> None:
        """Stop after the piece that is being written, and leave nothing behind."""
        self.abandoned = True

    def _step(self) -> None:
        # An executor that runs work at once comes back here from within: loop instead of recursing.
        self._again = True
        if self._stepping:
            return
        self._stepping = True
        while self._again:
            self._again = False
            self._write_next()
        self._stepping = False

    def _write_next(self) -> None:
        if self.abandoned:
            self._executor.run(self._writer.abandon, self._ended)
            return
        batch = next(self._batches, None)
        if batch is None:
            self._executor.run(self._writer.finish, self._ended)
        else:
            self._executor.run(lambda: self._writer.append(batch), self._written)

    def _written(self, outcome: Outcome[None]) -> None:
        if outcome.error is None:
            self._step()
            return
        error = outcome.error
        self._executor.run(self._writer.abandon, lambda _: self._done(error))

    def _ended(self, outcome: Outcome[None]) -> None:
        self._done(outcome.error)
