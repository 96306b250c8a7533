"""A `__consumer_offsets` on a disk: real log, partition, markers and cleaner below the groups.

Has the face of `GroupLog`, so that the same test runs on either. Flushes and the turn of the loop
happen when the test says so; a power cut takes what was not flushed.
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from tests.log_setup import TOPIC_ID, LogSetup, read_batches
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.groups.ports import KeyValue, WriteDone
from tierbroker.hot.cleaning.cleaner import _producers
from tierbroker.hot.cleaning.job import CleanJob, CleanResult, SegmentFile
from tierbroker.hot.cleaning.schedule import candidate
from tierbroker.hot.cleaning.swap import name_swap, replace
from tierbroker.hot.cleaning.worker import clean
from tierbroker.hot.log import Log
from tierbroker.replication.internal_topics import InternalTopic
from tierbroker.replication.markers import append_marker
from tierbroker.replication.partition import Appender, Partition

PLACE = TopicPartition(OFFSETS_TOPIC, 0)


class _LaterFlusher:
    """Every flush waits for the test."""

    def __init__(self) -> None:
        self.asked: list[tuple[Log, Callable[[OSError | None], None]]] = []

    def request(self, log: Log, callback: Callable[[OSError | None], None]) -> None:
        self.asked.append((log, callback))

    def flush(self) -> None:
        asked, self.asked = self.asked, []
        for log, callback in asked:
            log.flush()
            callback(None)


class GroupDisk:
    """`PartitionWriter` and `PartitionReader` of one partition."""

    def __init__(self, segment_bytes: int = 500) -> None:
        self.root = tempfile.mkdtemp(prefix="groups-")
        self.setup = LogSetup(f"{self.root}/{PLACE}")
        self.setup.values.update(
            {"internal.segment.bytes": segment_bytes, "cleanup.policy": "compact"}
        )
        self._rng = random.Random(1)
        self._open(clean=False, recovery_point=0)

    def close(self) -> None:
        """The test is over."""
        self.setup.kill()
        shutil.rmtree(self.root)

    # --- PartitionWriter and PartitionReader

    def append(self, partition: int, records: Sequence[KeyValue], done: WriteDone) -> None:
        self._topic.append(partition, records, done)

    def append_transactional(
        self,
        partition: int,
        records: Sequence[KeyValue],
        producer_id: int,
        producer_epoch: int,
        done: WriteDone,
    ) -> None:
        self._topic.append_transactional(partition, records, producer_id, producer_epoch, done)

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._topic.bounds(partition)

    def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
        return self._topic.read(partition, offset, max_bytes)

    # --- for the tests, as `GroupLog`

    def append_marker(
        self, partition: int, producer_id: int, *, commit: bool, done: WriteDone
    ) -> None:
        append_marker(
            self.partition,
            producer_id=producer_id,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            transaction_version=1,
            now_ms=self.setup.clock.now_ms(),
            done=done,
        )

    def flush(self, partition: int | None = None) -> None:
        """All that was appended becomes visible; who waits is told, in log order."""
        self._scheduler.end_turn()
        self._flusher.flush()

    def fail(self, error: ApiError) -> None:
        """A disk either flushes or is offline: it flushes."""
        self.flush()

    def crash(self) -> None:
        """Power is gone, and comes back: what was not flushed is lost."""
        flushed = self._log.flushed_offset
        self.setup.crash()
        self._open(clean=False, recovery_point=self._rng.choice((0, flushed)))

    def batches(self, partition: int) -> list[bytes]:
        """What is in the log, flushed or not."""
        self._scheduler.end_turn()
        return [bytes(batch) for batch, _ in read_batches(self._log)]

    def visible(self, partition: int) -> list[bytes]:
        """What is flushed."""
        self._scheduler.end_turn()
        return [
            bytes(batch)
            for batch, header in read_batches(self._log)
            if header.last_offset < self.partition.high_watermark
        ]

    def compact(self, partition: int) -> None:
        """What the cleaner may touch is cleaned by it; all is flushed before."""
        self.flush()
        log, now_ms = self._log, self.setup.clock.now_ms()
        stable = self.partition.last_stable_offset
        chosen = candidate(
            log, log.log_start_offset, stable, now_ms, lambda _: now_ms, lambda _: now_ms
        )
        if chosen is None:
            return
        sealed = chosen.segments
        job = self._job(
            segments=tuple(SegmentFile(one.base_offset, one.size_bytes, now_ms) for one in sealed),
            later_segments=tuple(one.base_offset for one in log.segments)[len(sealed) :],
            end_offset=chosen.end_offset,
        )
        result = clean(job, self.setup.fs, lambda _: None)
        assert isinstance(result, CleanResult), result
        for new in result.segments:
            name_swap(self.setup.fs, log.dir, new)
            self.setup.fs.fsync_dir(log.dir)
            replace(log, [one for one in sealed if one.base_offset in new.replaces], new)
            self.setup.fs.fsync_dir(log.dir)

    # --- what only a disk can do

    def stop_and_start(self) -> None:
        """A clean stop: the last producer snapshot says all."""
        self.flush()
        self._log.close(clean=True)
        self._open(clean=True, recovery_point=self._log.log_end_offset)

    def kill(self) -> None:
        """The process is gone; the machine and what was written stay."""
        flushed = self._log.flushed_offset
        self.setup.kill()
        self._open(clean=False, recovery_point=self._rng.choice((0, flushed)))

    def roll(self) -> None:
        """A new segment, and with it a producer snapshot."""
        self._scheduler.end_turn()
        self._log.roll()

    def open_producers(self) -> dict[int, int]:
        """First offset of each producer's open transaction, as the log knows them."""
        return {
            producer_id: producer.txn_first_offset
            for producer_id, producer in self._log.producer_state
            if producer.txn_first_offset >= 0
        }

    def _open(self, *, clean: bool, recovery_point: int) -> None:
        self._scheduler = ManualScheduler()
        self._flusher = _LaterFlusher()
        self._log = self.setup.open(clean=clean, recovery_point=recovery_point)
        self.partition = Partition(
            PLACE, TOPIC_ID, self._log, Appender(self._scheduler), cast("Any", self._flusher)
        )
        self.partition.become_leader(0)
        held = SimpleNamespace(get=lambda topic, index: self.partition)
        self._topic = InternalTopic(OFFSETS_TOPIC, cast("Any", held), self.setup.clock)

    def _job(self, **what: Any) -> CleanJob:
        config = self._log.config
        return CleanJob(
            job_id=1,
            directory=self._log.dir,
            topic=OFFSETS_TOPIC,
            partition=0,
            first_dirty_offset=self._log.log_start_offset,
            producers=_producers(self._log, what["end_offset"]),
            now_ms=self.setup.clock.now_ms(),
            delete_retention_ms=config.delete_retention_ms,
            table_bytes=1 << 16,
            load_factor=0.9,
            segment_bytes=config.segment_bytes,
            index_bytes=config.segment_index_bytes,
            index_interval_bytes=config.index_interval_bytes,
            max_message_bytes=config.max_message_bytes,
            io_buffer_bytes=1 << 16,
            io_bytes_per_second=1e12,
            **what,
        )
