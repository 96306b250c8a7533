"""A `__consumer_offsets` in memory: the coordinator's writer and reader for tests.

Batches are real bytes, so what is written is what a broker would load. Flushes happen when the
test says so; what was not flushed is gone after a crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tierbroker.base.errors import ApiError
from tierbroker.groups.ports import KeyValue, WriteDone
from tierbroker.records.batch import patch_offsets, read_header, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.control import (
    ControlType,
    EndTxnMarker,
    build_marker_batch,
    read_marker,
)
from tierbroker.records.record import Record, iterate


@dataclass(slots=True)
class _Partition:
    batches: list[bytes] = field(default_factory=list)
    end: int = 0
    flushed: int = 0
    """Batches that are visible."""
    waiting: list[WriteDone] = field(default_factory=list)


class GroupLog:
    """`PartitionWriter` and `PartitionReader`. `auto_flush`: every append is done at once."""

    def __init__(self, *, auto_flush: bool = True) -> None:
        self.auto_flush = auto_flush
        self.refuse: ApiError | None = None
        self.reads = 0
        self._partitions: dict[int, _Partition] = {}

    # --- PartitionWriter

    def append(self, partition: int, records: Sequence[KeyValue], done: WriteDone) -> None:
        assert records
        if self.refuse is not None:
            done(self.refuse)
            return
        self.append_batch(partition, build_batch([Record(0, 1_000, *pair) for pair in records]))
        log = self._partition(partition)
        log.waiting.append(done)
        if self.auto_flush:
            self.flush(partition)

    def append_transactional(
        self,
        partition: int,
        records: Sequence[KeyValue],
        producer_id: int,
        producer_epoch: int,
        done: WriteDone,
    ) -> None:
        assert records
        if self.refuse is not None:
            done(self.refuse)
            return
        self._append_open(partition, producer_id, producer_epoch, records)
        self._partition(partition).waiting.append(done)
        if self.auto_flush:
            self.flush(partition)

    def flush(self, partition: int | None = None) -> None:
        """All that was appended becomes visible; who waits is told, in log order."""
        for number in list(self._partitions) if partition is None else [partition]:
            log = self._partition(number)
            log.flushed = len(log.batches)
            waiting, log.waiting = log.waiting, []
            for done in waiting:
                done(None)

    def fail(self, error: ApiError) -> None:
        """What was not flushed never will be; who waits is told so."""
        for log in self._partitions.values():
            self._drop_unflushed(log)
            waiting, log.waiting = log.waiting, []
            for done in waiting:
                done(error)

    def crash(self) -> None:
        """What was not flushed is gone, and nobody hears of it."""
        for log in self._partitions.values():
            self._drop_unflushed(log)
            log.waiting.clear()

    # --- PartitionReader

    def bounds(self, partition: int) -> tuple[int, int]:
        log = self._partition(partition)
        visible = log.batches[: log.flushed]
        if not visible:
            return 0, 0
        return read_header(visible[0]).base_offset, read_header(visible[-1]).next_offset

    def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
        self.reads += 1
        log = self._partition(partition)
        found: list[bytes] = []
        size = 0
        for batch in log.batches[: log.flushed]:
            if read_header(batch).last_offset < offset:
                continue
            if found and size + len(batch) > max_bytes:
                break
            found.append(batch)
            size += len(batch)
        return b"".join(found)

    # --- for the tests

    def append_batch(self, partition: int, batch: bytes) -> None:
        """Append a batch as it is, but for its offset; visible after the next flush."""
        log = self._partition(partition)
        placed = bytearray(batch)
        patch_offsets(placed, 0, log.end, 0)
        log.end = read_header(placed).next_offset
        log.batches.append(bytes(placed))

    def append_marker(
        self,
        partition: int,
        producer_id: int,
        *,
        commit: bool,
        done: WriteDone = lambda _: None,
    ) -> None:
        """End a producer's transaction; `done` is told in log order, once it is visible."""
        marker = EndTxnMarker(ControlType.COMMIT if commit else ControlType.ABORT, 0)
        batch = build_marker_batch(
            marker, timestamp_ms=1_000, producer_id=producer_id, producer_epoch=0
        )
        self.append_batch(partition, batch)
        self._partition(partition).waiting.append(done)
        if self.auto_flush:
            self.flush(partition)

    def place_transactional(
        self, partition: int, producer_id: int, records: Sequence[KeyValue]
    ) -> None:
        """Records of an open transaction that another coordinator wrote; visible at once."""
        self._append_open(partition, producer_id, 0, records)
        self.flush(partition)

    def _append_open(
        self, partition: int, producer_id: int, producer_epoch: int, records: Sequence[KeyValue]
    ) -> None:
        batch = build_batch(
            [Record(0, 1_000, *pair) for pair in records],
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=0,
            transactional=True,
        )
        self.append_batch(partition, batch)

    def batches(self, partition: int) -> list[bytes]:
        """What is in the log, flushed or not."""
        return list(self._partition(partition).batches)

    def visible(self, partition: int) -> list[bytes]:
        """What is flushed."""
        log = self._partition(partition)
        return log.batches[: log.flushed]

    def records(self, partition: int) -> list[KeyValue]:
        """Keys and values of the log, flushed or not."""
        data = b"".join(self._partition(partition).batches)
        return [
            (record.key or b"", record.value)
            for position, _ in walk(data)
            for record in iterate(data[position:])
        ]

    def damage(self, partition: int, batch: int, position: int) -> None:
        """Flip a bit of a batch."""
        log = self._partition(partition)
        damaged = bytearray(log.batches[batch])
        damaged[position] ^= 1
        log.batches[batch] = bytes(damaged)

    def cut(self, partition: int, offset: int) -> None:
        """Move the log start, as DeleteRecords does."""
        log = self._partition(partition)
        log.batches = [one for one in log.batches if read_header(one).last_offset >= offset]
        log.flushed = len(log.batches)

    def drop(self, partition: int, batch: int) -> None:
        """Leave a hole where a batch was."""
        log = self._partition(partition)
        del log.batches[batch]
        log.flushed = len(log.batches)

    def compact(self, partition: int) -> None:
        """Keep the last record of each key, as the cleaner would, with its offset.

        Records of aborted transactions go, and are nobody's last. From the first open transaction
        on nothing is touched.
        """
        log = self._partition(partition)
        open_from = _first_open(log.batches)
        aborted = _aborted(log.batches)
        batches = [
            one for number, one in enumerate(log.batches[:open_from]) if number not in aborted
        ]
        last = {record.key: record.offset for batch in batches for record in iterate(batch)}
        log.batches = [
            *(kept for batch in batches if (kept := _compacted(batch, last)) is not None),
            *log.batches[open_from:],
        ]
        log.flushed = len(log.batches)

    def _partition(self, partition: int) -> _Partition:
        return self._partitions.setdefault(partition, _Partition())

    @staticmethod
    def _drop_unflushed(log: _Partition) -> None:
        del log.batches[log.flushed :]
        log.end = read_header(log.batches[-1]).next_offset if log.batches else 0


def _first_open(batches: list[bytes]) -> int:
    """The index of the first batch of a transaction that has not ended; the length if none."""
    first: dict[int, int] = {}
    for number, batch in enumerate(batches):
        header = read_header(batch)
        if header.control:
            first.pop(header.producer_id, None)
        elif header.transactional:
            first.setdefault(header.producer_id, number)
    return min(first.values(), default=len(batches))


def _aborted(batches: list[bytes]) -> set[int]:
    """The indexes of batches of aborted transactions, wherever their markers are."""
    aborted: set[int] = set()
    open_batches: dict[int, list[int]] = {}
    for number, batch in enumerate(batches):
        header = read_header(batch)
        if header.control:
            ended = open_batches.pop(header.producer_id, [])
            marker = read_marker(batch)
            if marker is not None and marker.control_type is ControlType.ABORT:
                aborted.update(ended)
        elif header.transactional:
            open_batches.setdefault(header.producer_id, []).append(number)
    return aborted


def _compacted(batch: bytes, last: dict[bytes | None, int]) -> bytes | None:
    header = read_header(batch)
    if header.control:
        return batch
    kept = [record for record in iterate(batch) if last[record.key] == record.offset]
    if not kept:
        return None
    return build_batch(
        kept,
        base_offset=header.base_offset,
        offsets=[record.offset for record in kept],
        last_offset=header.last_offset,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        transactional=header.transactional,
    )
