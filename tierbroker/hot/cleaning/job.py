"""What the broker and its cleaning child say to each other: one JSON object per line.

The broker sends a `CleanJob`; the child answers with any number of `CleanProgress` and then one
`CleanResult` or one `CleanError`. Values and their text form only: no file is touched here. The
child never replaces a file: it leaves `.cleaned` files beside the log, which the broker swaps in.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

NO_OFFSET = -1


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment of the log that is no longer appended to."""

    base_offset: int
    size_bytes: int
    last_modified_ms: int


@dataclass(frozen=True, slots=True)
class ActiveProducer:
    """The last entry in the log of a producer that has not expired.

    The batch that ends at `last_data_offset` stays, emptied if need be, because it carries the
    producer's last sequence. With `NO_OFFSET` the producer's last entry is a marker, and the
    markers of `epoch` stay (Kafka: lastRecordsOfActiveProducers, LastRecord).
    """

    producer_id: int
    epoch: int
    last_data_offset: int


@dataclass(frozen=True, slots=True)
class CleanJob:
    """One cleaning round of one log.

    `segments` are all below the first uncleanable offset, oldest first. `later_segments` are the
    base offsets of the segments behind them, the active one too: only their transaction indexes
    are read, for an aborted transaction is indexed where its marker stands. `end_offset` is the
    first uncleanable offset; records below `first_dirty_offset` were cleaned by earlier rounds.
    `now_ms` and `delete_retention_ms` decide about tombstones and markers.
    """

    job_id: int
    directory: str
    topic: str
    partition: int
    segments: tuple[SegmentFile, ...]
    later_segments: tuple[int, ...]
    first_dirty_offset: int
    end_offset: int
    producers: tuple[ActiveProducer, ...]
    now_ms: int
    delete_retention_ms: int
    table_bytes: int
    load_factor: float
    segment_bytes: int
    index_bytes: int
    index_interval_bytes: int
    max_message_bytes: int
    io_buffer_bytes: int
    io_bytes_per_second: float


@dataclass(frozen=True, slots=True)
class NewSegment:
    """One `.cleaned` segment that is ready, flushed, and what it stands for.

    `files` are the suffixes that were written: always `.log`, `.index` and `.timeindex`, and
    `.txnindex` where an aborted transaction is left. `size_bytes` may be 0: nothing was kept, and
    the segment then only holds its place. `last_modified_ms` is the last input's: the broker's
    files get it, because retention falls back to it (Kafka: cleanSegments).
    """

    base_offset: int
    replaces: tuple[int, ...]
    files: tuple[str, ...]
    size_bytes: int
    next_offset: int
    max_timestamp_ms: int
    last_modified_ms: int


@dataclass(frozen=True, slots=True)
class CleanStatistics:
    """What a round cost and won. Times are in seconds."""

    bytes_read: int
    bytes_written: int
    bytes_before: int
    bytes_after: int
    records_read: int
    records_kept: int
    records_without_key: int
    keys_in_table: int
    table_slots: int
    table_full: bool
    batches_copied: int
    batches_rebuilt: int
    index_seconds: float
    clean_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class CleanProgress:
    """How far the round is: bytes read of both passes together, and how many there will be."""

    job_id: int
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class CleanResult:
    """The round is done up to `cleaned_end_offset`, which a full key table puts below the end.

    A group of segments that would come out as it went in is not among `segments`.
    """

    job_id: int
    segments: tuple[NewSegment, ...]
    cleaned_end_offset: int
    statistics: CleanStatistics


@dataclass(frozen=True, slots=True)
class CleanError:
    """The round failed: nothing is to be replaced and no `.cleaned` file is left behind.

    `damaged`: the bytes at `position` of `file` are no valid batch (the broker marks the log
    uncleanable); otherwise an error of the operating system, with its `errno`, or 0.
    """

    job_id: int
    message: str
    damaged: bool
    file: str
    position: int
    errno: int


Reply: TypeAlias = CleanProgress | CleanResult | CleanError


def encode_job(job: CleanJob) -> bytes:
    """The job as one line, its end included. Of long lists only the values: the loop waits."""
    content: dict[str, Any] = {name: getattr(job, name) for name in CleanJob.__slots__}
    content["segments"] = [
        (segment.base_offset, segment.size_bytes, segment.last_modified_ms)
        for segment in job.segments
    ]
    content["producers"] = [
        (producer.producer_id, producer.epoch, producer.last_data_offset)
        for producer in job.producers
    ]
    return _line(content)


def decode_job(line: bytes) -> CleanJob:
    """The job of one line; ValueError, KeyError or TypeError when it is none."""
    fields: dict[str, Any] = json.loads(line)
    fields["segments"] = tuple(SegmentFile(*each) for each in fields["segments"])
    fields["producers"] = tuple(ActiveProducer(*each) for each in fields["producers"])
    fields["later_segments"] = tuple(fields["later_segments"])
    return CleanJob(**fields)


def encode_reply(reply: Reply) -> bytes:
    """The reply as one line under the name of its kind, its end included."""
    return _line({_KIND_OF[type(reply)]: asdict(reply)})


def decode_reply(line: bytes) -> Reply:
    """The reply of one line; ValueError, KeyError or TypeError when it is none."""
    ((kind, fields),) = json.loads(line).items()
    if kind == "progress":
        return CleanProgress(**fields)
    if kind == "error":
        return CleanError(**fields)
    if kind != "result":
        raise ValueError(f"a cleaning child does not say {kind!r}")
    fields["statistics"] = CleanStatistics(**fields["statistics"])
    fields["segments"] = tuple(_new_segment(each) for each in fields["segments"])
    return CleanResult(**fields)


def _new_segment(fields: dict[str, Any]) -> NewSegment:
    fields["replaces"] = tuple(fields["replaces"])
    fields["files"] = tuple(fields["files"])
    return NewSegment(**fields)


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


_KIND_OF: dict[type, str] = {
    CleanProgress: "progress",
    CleanResult: "result",
    CleanError: "error",
}
