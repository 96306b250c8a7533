"""One partition on this broker: its log, its leadership, and who waits for it.

Appends of one turn are queued and written together, so that several Produce requests for one
partition cost one system call (D-2). The high watermark follows what the flush mode promises
(D-6): consumers see only what is below it, and an acks=all append is acknowledged when it passes
the batch. Readers of committed records stop at the last stable offset, which follows the high
watermark up to the first transaction that is not decided below it. Loop thread only; never opens
a record.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tierbroker.base.errors import (
    ApiError,
    FencedLeaderEpochError,
    KafkaStorageError,
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    UnknownLeaderEpochError,
)
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.scheduler import Scheduler
from tierbroker.hot.config import FlushMode
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.log import EMPTY_READ, AppendResult, Log, ReadResult
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import BatchHeader
from tierbroker.records.txn_index import AbortedTxn

if TYPE_CHECKING:
    from tierbroker.hot.log_dir import LogDir
    from tierbroker.replication.tiering import ColdPart

logger = logging.getLogger(__name__)

ACKS_ALL = -1
_FROM_CLIENT = AppendOrigin.CLIENT

AppendDone = Callable[[AppendResult | ApiError], None]
QueuedAppend = tuple[bytearray | memoryview, BatchHeader, int, AppendDone, AppendOrigin]


class ColdReadResult(NamedTuple):
    """What a `ReadResult` is for records from the cold tier: the bytes themselves."""

    slice: memoryview
    size_bytes: int
    last_offset_hint: int


class Waiter(Protocol):
    """A parked request that wants to know when there is more to read, or nothing ever again."""

    def wake(self, partition: "Partition") -> None:
        """The partition's high watermark moved, or its leadership or existence ended."""


class Appender:
    """Collects the partitions that have queued appends and writes them at the end of the turn."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._queued: list[Partition] = []

    def add(self, partition: "Partition") -> None:
        """Write the partition's queue once this turn's requests are read."""
        if not self._queued:
            self._scheduler.call_soon(self._write)
        self._queued.append(partition)

    def _write(self) -> None:
        partitions, self._queued = self._queued, []
        for partition in partitions:
            partition.write_queued()


class Partition:
    """A replica of one partition; leader or not. Made and dropped by `Partitions`."""

    __slots__ = (
        "_appender",
        "_flusher",
        "_has_origins",
        "_queue",
        "_stable_offset",
        "_unacknowledged",
        "cold",
        "high_watermark",
        "in_sync_replicas",
        "is_leader",
        "leader_epoch",
        "log",
        "log_dir",
        "replica_count",
        "topic_id",
        "topic_partition",
        "waiters",
    )

    def __init__(
        self,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        log: Log | None,
        appender: Appender,
        flusher: GroupFlusher,
    ) -> None:
        self.topic_partition = topic_partition
        self.topic_id = topic_id
        self.log = log
        self.log_dir: LogDir | None = None
        self.cold: ColdPart | None = None
        """What of it lies in the cold tier; None on a broker without one."""
        self.leader_epoch = -1
        self.is_leader = False
        self.in_sync_replicas = 1
        self.replica_count = 1
        # What the log held when it was opened has been read back from the disk: it is durable.
        self.high_watermark = log.log_end_offset if log is not None else 0
        self._stable_offset = 0 if log is None else _stable_below(log, self.high_watermark)
        self.waiters: set[Waiter] = set()
        self._appender = appender
        self._flusher = flusher
        self._queue: list[QueuedAppend] = []
        self._has_origins = False
        self._unacknowledged: deque[tuple[int, AppendDone, AppendResult]] = deque()

    @property
    def last_stable_offset(self) -> int:
        """Where readers of committed records stop; without transactions, the high watermark.

        Never above it, and never back (INV-3): at the first transaction that is open, or whose
        marker is not below the high watermark yet, unless the log starts behind that.
        """
        stable, high_watermark = self._stable_offset, self.high_watermark
        if stable >= high_watermark or self.log is None:
            return high_watermark
        return max(stable, min(self.log.log_start_offset, high_watermark))

    @property
    def log_start_offset(self) -> int:
        """The first offset that may be read, here or in the cold tier."""
        log = self.online_log()
        return log.log_start_offset if self.cold is None else self.cold.joined_start(log)

    def start_for_producer(self, result: AppendResult) -> int:
        """What an acknowledgement says of the log start: the log alone knows its own part."""
        if self.cold is None or self.log is None:
            return result.log_start_offset
        return self.cold.joined_start(self.log)

    def check_room(self) -> None:
        """Raise KafkaStorageError (retriable) while only the reserve of the disk is left (D-6)."""
        if self.log_dir is not None:
            self.log_dir.check_room()

    def check_in_sync(self) -> None:
        """Raise NotEnoughReplicasError when acks=all could not keep its promise.

        Kafka caps min.insync.replicas at the number of replicas (Partition.effectiveMinIsr).
        """
        wanted = min(self.online_log().config.min_insync_replicas, self.replica_count)
        if self.in_sync_replicas < wanted:
            raise NotEnoughReplicasError(
                f"{self.topic_partition} has {self.in_sync_replicas} in-sync replicas, "
                f"min.insync.replicas asks for {wanted}"
            )

    def log_for_append(self, required_acks: int) -> Log:
        """The log, if a batch with these acks may be appended now.

        Raises NotLeaderOrFollowerError, KafkaStorageError, NotEnoughReplicasError.
        """
        self.check_leader()
        log = self.online_log()
        self.check_room()
        # As many replicas in sync as can ever be asked for: no need to look what is asked for.
        if required_acks == ACKS_ALL and self.in_sync_replicas < self.replica_count:
            self.check_in_sync()
        return log

    def online_log(self) -> Log:
        """The log; raises KafkaStorageError while its directory is offline."""
        log = self.log
        if log is None or log.offline:
            raise KafkaStorageError(f"the log of {self.topic_partition} is offline")
        return log

    def take_log(self, log: Log) -> None:
        """The log could not be made or opened before; here it is."""
        assert self.log is None
        self.log = log
        self.high_watermark = log.log_end_offset
        self._stable_offset = _stable_below(log, self.high_watermark)
        if self.is_leader:
            log.assign_epoch_start(self.leader_epoch, log.log_end_offset)
        self.wake_waiters()

    def become_leader(self, leader_epoch: int) -> None:
        """Lead from now on; an epoch that is not newer than the present one changes nothing."""
        if self.is_leader and leader_epoch <= self.leader_epoch:
            return
        self.is_leader = True
        self.leader_epoch = leader_epoch
        if self.log is not None and not self.log.offline:
            self.log.assign_epoch_start(leader_epoch, self.log.log_end_offset)
        self.wake_waiters()

    def check_leader(self, current_leader_epoch: int = -1) -> None:
        """Raise the error of a client that should refresh its metadata (KIP-320)."""
        if not self.is_leader:
            raise NotLeaderOrFollowerError(f"not the leader of {self.topic_partition}")
        if current_leader_epoch >= 0 and current_leader_epoch != self.leader_epoch:
            if current_leader_epoch < self.leader_epoch:
                raise FencedLeaderEpochError(f"the leader epoch is {self.leader_epoch}")
            raise UnknownLeaderEpochError(f"the leader epoch is {self.leader_epoch}")

    def append(
        self,
        batch: bytearray | memoryview,
        header: BatchHeader,
        required_acks: int,
        done: AppendDone,
        origin: AppendOrigin = _FROM_CLIENT,
    ) -> None:
        """Queue one validated batch; `done` gets the result once `required_acks` is satisfied.

        The batch must stay unchanged until then: it is written from where it lies, with its
        offset patched in place.
        """
        if not self._queue:
            self._appender.add(self)
        if origin is not _FROM_CLIENT:
            self._has_origins = True
        self._queue.append((batch, header, required_acks, done, origin))

    def write_queued(self) -> None:
        """Append what is queued, in order, with one write."""
        queue, self._queue = self._queue, []
        log = self.log
        if log is None or not self._can_write():
            self._refuse(queue)
            return
        origins = None
        if self._has_origins:
            self._has_origins = False
            origins = [entry[4] for entry in queue]
        results = log.append([(entry[0], entry[1]) for entry in queue], self.leader_epoch, origins)
        if not self._can_write():
            self._refuse(queue)
            return
        if _waits_for_flush(log):
            if log.flushed_offset < log.log_end_offset:
                self._flusher.request(log, self._on_flushed)
        else:
            self.advance_high_watermark(log.log_end_offset)
        high_watermark = self.high_watermark
        for (_, _, required_acks, done, _), result in zip(queue, results, strict=True):
            if (
                isinstance(result, ApiError)
                or required_acks != ACKS_ALL
                or result.last_offset < high_watermark
            ):
                done(result)
            else:
                self._unacknowledged.append((result.last_offset, done, result))

    def advance_high_watermark(self, offset: int) -> None:
        """Let consumers see everything below `offset`; it never goes back (INV-3)."""
        if offset <= self.high_watermark:
            return
        self.high_watermark = offset
        log = self.log
        producers = None if log is None else log.producer_state
        if producers is None or not (producers.open or producers.ended):
            self._stable_offset = offset
        elif producers.ended or next(iter(producers.open)) > self._stable_offset:
            stable = producers.last_stable_offset(offset)
            self._stable_offset = max(self._stable_offset, stable)
        # Else a transaction is open that begins there: nothing after it is decided.
        self.wake_waiters()
        unacknowledged = self._unacknowledged
        while unacknowledged and unacknowledged[0][0] < offset:
            _, done, result = unacknowledged.popleft()
            done(result)

    def read(self, offset: int, max_bytes: int, min_one_batch: bool) -> ReadResult | ColdReadResult:
        """Bytes below the high watermark from the batch that holds `offset` on.

        Empty while they are on their way from the cold tier: waiters are woken when they are here.
        Raises OffsetOutOfRangeError, KafkaStorageError.
        """
        log = self.online_log()
        if self.cold is not None and self._is_cold(log, offset):
            return self._read_cold(log, offset, max_bytes, min_one_batch)[0]
        return log.read(offset, max_bytes, self.high_watermark, min_one_batch)

    def read_committed(
        self, offset: int, max_bytes: int, min_one_batch: bool
    ) -> tuple[ReadResult | ColdReadResult, list[AbortedTxn]]:
        """The same below the last stable offset, and the aborted transactions that it touches.

        Both from one view (INV-6): up to there every transaction is decided, whatever comes later.
        Raises as `read` does; the read is let go then.
        """
        log = self.online_log()
        if self.cold is not None and self._is_cold(log, offset):
            return self._read_cold(log, offset, max_bytes, min_one_batch)
        stable = self.last_stable_offset
        read = log.read(offset, max_bytes, stable, min_one_batch)
        if read.slice is None:
            return read, []
        try:
            return read, log.aborted.within(log.segments, offset, read.slice, stable)
        except KafkaStorageError:
            read.slice.lease.release()
            raise

    def wake_waiters(self) -> None:
        """There may be more to read: from the cold tier, say."""
        if self.waiters:
            for waiter in tuple(self.waiters):
                waiter.wake(self)

    def _is_cold(self, log: Log, offset: int) -> bool:
        return offset < log.log_start_offset and offset >= self.log_start_offset

    def _read_cold(
        self, log: Log, offset: int, max_bytes: int, min_one_batch: bool
    ) -> tuple[ReadResult | ColdReadResult, list[AbortedTxn]]:
        """All that is cold lies below the last stable offset: one view serves all readers."""
        assert self.cold is not None
        if max_bytes <= 0 and not min_one_batch:
            return EMPTY_READ, []
        read = self.cold.read(log, offset, max_bytes)
        if read is not None and not read.records and read.next_offset >= log.log_start_offset:
            # The cold part ends with offsets that no record has: the next one is here.
            if self.high_watermark <= log.log_start_offset:
                return EMPTY_READ, []
            here = max(read.next_offset, log.log_start_offset)
            return self.read_committed(here, max_bytes, min_one_batch)
        if read is None or (len(read.records) > max_bytes and not min_one_batch):
            return EMPTY_READ, []
        last_offset = read.next_offset - 1
        return ColdReadResult(read.records, len(read.records), last_offset), list(read.aborted)

    def retire(self) -> None:
        """Serve no more: the topic is gone or another broker leads. Everyone who waits is told."""
        self.is_leader = False
        self.fail_waiting(NotLeaderOrFollowerError(f"no longer serving {self.topic_partition}"))

    def fail_waiting(self, error: ApiError) -> None:
        """Answer every append that is queued or not yet acknowledged with `error`."""
        queue, self._queue = self._queue, []
        for entry in queue:
            entry[3](error)
        unacknowledged, self._unacknowledged = self._unacknowledged, deque()
        for _, done, _ in unacknowledged:
            done(error)
        self.wake_waiters()

    def _on_flushed(self, error: OSError | None) -> None:
        log = self.log
        if error is not None or log is None:
            self.fail_waiting(KafkaStorageError(f"flushing {self.topic_partition} failed"))
            return
        self.advance_high_watermark(log.flushed_offset)

    def _can_write(self) -> bool:
        return self.is_leader and self.log is not None and not self.log.offline

    def _refuse(self, queue: list[QueuedAppend]) -> None:
        error: ApiError
        if self.is_leader:
            error = KafkaStorageError(f"the log of {self.topic_partition} is offline")
        else:
            error = NotLeaderOrFollowerError(f"not the leader of {self.topic_partition}")
        for entry in queue:
            entry[3](error)


def _stable_below(log: Log, high_watermark: int) -> int:
    return log.producer_state.last_stable_offset(high_watermark)


def _waits_for_flush(log: Log) -> bool:
    """Whether what was just appended shows only once it is flushed.

    Always in fsync mode; in replicated mode when flush.messages records have gathered, as Kafka
    then flushes before it answers.
    """
    config = log.config
    mode = config.flush_mode
    if mode is FlushMode.FSYNC:
        return True
    unflushed = log.log_end_offset - log.flushed_offset
    return mode is FlushMode.REPLICATED and unflushed >= config.flush_messages
