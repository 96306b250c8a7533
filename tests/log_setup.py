"""A log to test with: tiny segments, a clock that stands still, and batches in one line."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.clock import ManualClock
from tierbroker.base.ids import TopicPartition, Uuid, random_uuid
from tierbroker.hot.config import LogConfig
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.log import Log
from tierbroker.hot.log_loader import open_log
from tierbroker.records.batch import BatchHeader, read_header, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record, iterate

TOPIC_PARTITION = TopicPartition("t", 0)
TOPIC_ID: Uuid = random_uuid(random.Random(0))
NOW_MS = 1_700_000_000_000

Batch = tuple[bytearray, BatchHeader]


def make_batch(
    values: Sequence[bytes] = (b"value",),
    *,
    times: Sequence[int] | int = NOW_MS,
    producer_id: int = -1,
    producer_epoch: int = 0,
    sequence: int = 0,
    transactional: bool = False,
    base_offset: int = 0,
    leader_epoch: int = -1,
    log_append_time_ms: int | None = None,
) -> Batch:
    """One batch with a record for each value; `times` is one time or one for each."""
    stamps = [times] * len(values) if isinstance(times, int) else list(times)
    records = [
        Record(0, stamp, None, value, ()) for stamp, value in zip(stamps, values, strict=True)
    ]
    idempotent = producer_id >= 0
    data = bytearray(
        build_batch(
            records,
            base_offset=base_offset,
            leader_epoch=leader_epoch,
            producer_id=producer_id,
            producer_epoch=producer_epoch if idempotent else -1,
            base_sequence=sequence if idempotent else -1,
            transactional=transactional,
            log_append_time_ms=log_append_time_ms,
        )
    )
    return data, read_header(data)


@dataclass(slots=True)
class LogSetup:
    """A directory, its disk, and whatever log is open there."""

    directory: str
    fs: FaultyFileSystem = field(default_factory=FaultyFileSystem)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))
    values: dict[str, object] = field(default_factory=dict)
    cache: FileCache = field(init=False)
    went_offline: list[OSError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = FileCache(self.fs, capacity=4)

    @property
    def config(self) -> LogConfig:
        """Small segments and dense indexes unless `values` says otherwise."""
        defaults: dict[str, object] = {
            "internal.segment.bytes": 4096,
            "index.interval.bytes": 256,
            "file.delete.delay.ms": 0,
        }
        return LogConfig.from_values({**defaults, **self.values})  # type: ignore[arg-type]

    def open(
        self, *, clean: bool = False, recovery_point: int = 0, log_start_offset: int = 0
    ) -> Log:
        """Open the log as a broker does at its start."""
        return open_log(
            self.cache,
            self.directory,
            TOPIC_PARTITION,
            self.config,
            clock=self.clock,
            rng=random.Random(0),
            topic_id=TOPIC_ID,
            clean=clean,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
            on_offline=lambda log, error: self.went_offline.append(error),
        )

    def kill(self) -> None:
        """The process is gone; what it wrote is there."""
        self.fs.kill()
        self.cache = FileCache(self.fs, capacity=4)

    def crash(self, rng: random.Random | None = None) -> None:
        """The machine is gone; what was durable is there."""
        self.fs.crash(rng)
        self.cache = FileCache(self.fs, capacity=4)


def read_batches(log: Log, offset: int | None = None) -> list[Batch]:
    """Every batch from `offset` (the log start) to the log end, fetched as consumers do."""
    position = log.log_start_offset if offset is None else offset
    batches: list[Batch] = []
    while position < log.log_end_offset:
        data = log.read_bytes(position, 1000, log.log_end_offset)
        before = position
        for at, header in walk(data):
            batches.append((bytearray(data[at : at + header.size_bytes]), header))
            position = header.next_offset
        assert position > before, f"a fetch at {before} gives nothing"
    return batches


def read_records(log: Log, offset: int | None = None) -> list[Record]:
    """Every record from `offset` (the log start) to the log end."""
    start = log.log_start_offset if offset is None else offset
    return [
        record
        for data, _ in read_batches(log, offset)
        for record in iterate(memoryview(data))
        if record.offset >= start
    ]
