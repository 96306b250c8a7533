"""A compacted log with a cleaner beside it: no process, no thread, a disk that stops when told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faulty_fs import FaultyFileSystem
from tests.log_setup import NOW_MS, LogSetup, read_batches
from tierbroker.base.child_process import OnEnd, OnLine
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import Executor, InlineExecutor
from tierbroker.base.fs import FileSystem
from tierbroker.hot.cleaning.job import (
    CleanJob,
    CleanResult,
    SegmentFile,
    decode_job,
    encode_reply,
)
from tierbroker.hot.cleaning.round import Surroundings
from tierbroker.hot.cleaning.schedule import Candidate, candidate
from tierbroker.hot.cleaning.swapping import Swapping
from tierbroker.hot.cleaning.worker import run_round
from tierbroker.hot.flush import FlushCallback
from tierbroker.hot.log import Log
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import CONTROL_BIT, read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.record import Record, iterate

COMPACT = {"cleanup.policy": ("compact",), "internal.segment.bytes": 600}
_CHANGES = frozenset(
    ("rename", "unlink", "fsync_dir", "pwrite", "fdatasync", "ftruncate", "set_mtime_ms")
)


class Stopped(BaseException):
    """The process is gone in the middle of a call."""


@dataclass(slots=True)
class StoppingFileSystem(FaultyFileSystem):
    """Lets `steps_left` changes through, then none ever again."""

    steps_left: int = 1 << 60

    def _call(self, op: str, path: str) -> None:
        if op in _CHANGES:
            if not self.steps_left:
                raise Stopped(op)
            self.steps_left -= 1
        FaultyFileSystem._call(self, op, path)


def put(log: Log, *pairs: tuple[bytes, bytes | None], **fields: int) -> int:
    """A batch of keyed records; answers its first offset. `producer_id` makes a transaction."""
    producer_id = fields.get("producer_id", -1)
    transactional = producer_id >= 0
    known = log.producer_state.get(producer_id)
    data = bytearray(
        build_batch(
            [Record(0, fields.get("time", NOW_MS), key, value, ()) for key, value in pairs],
            producer_id=producer_id,
            producer_epoch=0 if transactional else -1,
            base_sequence=-1 if not transactional else known.last_sequence + 1 if known else 0,
            transactional=transactional,
        )
    )
    (result,) = log.append([(data, read_header(data))], 0)
    return result.base_offset  # type: ignore[union-attr]


def end_transaction(log: Log, producer_id: int, *, commit: bool) -> None:
    """Its marker."""
    kind = ControlType.COMMIT if commit else ControlType.ABORT
    data = bytearray(
        build_marker_batch(
            EndTxnMarker(kind, 0), timestamp_ms=NOW_MS, producer_id=producer_id, producer_epoch=0
        )
    )
    log.append([(data, read_header(data))], 0, [AppendOrigin.COORDINATOR])


def flush_at_once(log: Log, flushed: FlushCallback) -> None:
    """What a cleaner asks for, without a thread."""
    log.flush()
    flushed(None)


def fill(log: Log, keys: int = 5, rounds: int = 8) -> None:
    """Every key several times, some of it in transactions, one in three of them aborted."""
    for number in range(rounds):
        put(log, *[(b"key %d" % key, b"%d" % number + b"." * 20) for key in range(keys)])
        put(log, (b"txn", b"%d" % number), (b"other", b"o"), producer_id=7)
        end_transaction(log, 7, commit=number % 3 != 2)


def committed(log: Log) -> dict[bytes, bytes]:
    """The last value of each key as readers of committed records see it; no tombstones."""
    last: dict[bytes, bytes] = {}
    for data, header in read_batches(log):
        if header.attributes & CONTROL_BIT:
            continue
        aborted = log.aborted_transactions(header.base_offset, header.next_offset)
        if header.transactional and any(
            txn.producer_id == header.producer_id
            and txn.first_offset <= header.base_offset <= txn.last_offset
            for txn in aborted
        ):
            continue
        for record in iterate(memoryview(data)):
            assert record.key is not None
            last.pop(record.key, None)
            if record.value is not None:
                last[record.key] = record.value
    return last


def plan(log: Log, first_dirty_offset: int = 0) -> Candidate:
    """What a round would read now, whether it is due or not."""
    found = candidate(
        log, first_dirty_offset, log.log_end_offset, NOW_MS, lambda _: NOW_MS, lambda _: NOW_MS
    )
    assert found is not None
    return found


def job_of(chosen: Candidate, **changes: object) -> CleanJob:
    """The job for a child process, with small limits."""
    fields: dict[str, object] = {
        "job_id": 1,
        "directory": chosen.log.dir,
        "topic": "t",
        "partition": 0,
        "segments": tuple(
            SegmentFile(segment.base_offset, segment.size_bytes, NOW_MS - 1000)
            for segment in chosen.segments
        ),
        "later_segments": tuple(
            segment.base_offset
            for segment in chosen.log.segments
            if segment.base_offset >= chosen.end_offset
        ),
        "first_dirty_offset": chosen.first_dirty_offset,
        "end_offset": chosen.end_offset,
        "producers": (),
        "now_ms": NOW_MS,
        "delete_retention_ms": 0,
        "table_bytes": 100_000,
        "load_factor": 0.9,
        "segment_bytes": 1300,
        "index_bytes": 10_000,
        "index_interval_bytes": 100,
        "max_message_bytes": 1 << 20,
        "io_buffer_bytes": 1000,
        "io_bytes_per_second": 1e12,
    }
    return CleanJob(**(fields | changes))  # type: ignore[arg-type]


def surroundings(fs: FileSystem) -> Surroundings:
    """Time stands still."""
    return Surroundings(fs, lambda: 0.0, lambda: 0.0, lambda _: None, lambda _: None)


class NoLogManager:
    """Takes note of directories given up."""

    def __init__(self) -> None:
        self.given_up: list[OSError] = []

    def log_dir_of(self, log: Log) -> str:
        return log.dir

    def take_offline(self, log_dir: str, error: OSError) -> None:
        self.given_up.append(error)


@dataclass(slots=True)
class Round:
    """One round by hand: the child's part, then the swap."""

    chosen: Candidate
    result: CleanResult
    manager: NoLogManager = field(default_factory=NoLogManager)
    outcomes: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, log: Log, fs: FileSystem, **changes: object) -> "Round":
        chosen = plan(log)
        result = run_round(job_of(chosen, **changes), surroundings(fs))
        assert isinstance(result, CleanResult), result
        return cls(chosen, result)

    def swap(self, executor: Executor | None = None) -> Swapping:
        swapping = Swapping(
            self.chosen.log,
            self.chosen.segments,
            self.result.segments,
            InlineExecutor() if executor is None else executor,
            self.manager,  # type: ignore[arg-type]
            self.outcomes.append,
        )
        swapping.begin()
        return swapping


def compacted(directory: str, fs: FaultyFileSystem | None = None, **values: object) -> LogSetup:
    """A directory for a compacted log with small segments."""
    setup = LogSetup(directory, fs or FaultyFileSystem(), values={**COMPACT, **values})
    setup.clock = ManualClock(NOW_MS)
    return setup


class HandChildren:
    """Children whose work is done when the test says so, by this process."""

    def __init__(self, fs: FileSystem) -> None:
        self.fs = fs
        self.started = 0
        self.alive = 0
        self.jobs: list[CleanJob] = []
        self._on_line: OnLine = lambda _: None
        self._on_end: OnEnd = lambda _: None

    def start(self, arguments: Sequence[str], on_line: OnLine, on_end: OnEnd) -> "HandChildren":
        self.started += 1
        self.alive += 1
        self._on_line, self._on_end = on_line, on_end
        return self

    def send(self, line: bytes) -> None:
        self.jobs.append(decode_job(line))

    def end(self) -> None:
        self.alive -= 1

    def kill(self) -> None:
        self.alive -= 1

    def work(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Do the oldest job; `meanwhile` happens before the answer arrives."""
        reply = run_round(self.jobs.pop(0), surroundings(self.fs))
        meanwhile()
        self._on_line(encode_reply(reply))

    def die(self) -> None:
        """In the middle of the job."""
        self.jobs.clear()
        self.alive -= 1
        self._on_end("was ended by signal 9")

    def say(self, line: bytes) -> None:
        """Whatever."""
        self._on_line(line)
