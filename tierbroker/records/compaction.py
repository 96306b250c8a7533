"""What of a log stays when it is compacted: Kafka's rule, batch by batch, as pure code.

A record stays while no later record has its key, a tombstone for `delete.retention.ms` longer,
records of aborted transactions not at all, a marker until its transaction's records are gone and
the same time has passed. When that time ends is written into the batch when it is first met: the
delete horizon takes the place of the base timestamp, and attribute bit 6 says so (KIP-534).
Offsets never change. A batch that must stay for what its header says stays without records
(Kafka: Cleaner.cleanInto, MemoryRecords.filterTo, CleanedTransactionMetadata).
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.batch import (
    CODEC_MASK,
    CRC_POSITION,
    CRC_START,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    MIN_BATCH_LENGTH,
    MIN_RECORD_BYTES,
    NO_PRODUCER_ID,
    NO_TIMESTAMP,
    SIZE_OVERHEAD,
    BatchHeader,
    pack_header,
)
from tierbroker.records.checksum import crc32c
from tierbroker.records.compression import DEFAULT_LIMIT_BYTES, Codec, compress, decompress
from tierbroker.records.control import ControlType, parse_key
from tierbroker.records.key_scan import (
    Span,
    highest_timestamp_delta,
    shift_timestamps,
    survivors,
)
from tierbroker.records.key_table import KeyTable
from tierbroker.records.record import iterate
from tierbroker.records.txn_index import AbortedTxn

_CRC = struct.Struct(">I")
_MAX_INT64 = (1 << 63) - 1


def payload(
    batch: bytes, header: BatchHeader, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> tuple[bytes, int]:
    """Bytes that end with the records of a whole batch, uncompressed, and where these begin.

    Raises CorruptMessageError when they cannot be as many as the header says, and what
    `decompress` raises.
    """
    data, start = batch, HEADER_BYTES
    if header.attributes & CODEC_MASK and header.record_count:
        data, start = decompress(header.codec, memoryview(batch)[HEADER_BYTES:], limit_bytes), 0
    if not 0 <= header.record_count * MIN_RECORD_BYTES <= len(data) - start:
        raise CorruptMessageError(
            f"{len(data) - start} bytes cannot hold {header.record_count} records"
        )
    return data, start


class LiveOffsets:
    """Which offsets of the dirty part are some key's last, as flags in memory of a fixed size.

    A batch without such an offset needs not be read again: each of its keys comes once more. A
    flag stands for 2^n neighbouring offsets where the part is longer than the memory.
    """

    __slots__ = ("_flags", "_shift", "floor", "latest_offset")

    def __init__(
        self, table: KeyTable, floor: int, latest_offset: int, *, memory_bytes: int
    ) -> None:
        """The table must know every key between `floor` and `latest_offset`, both included."""
        self.floor = floor
        self.latest_offset = latest_offset
        count = max(latest_offset - floor + 1, 0)
        shift = 0
        while count >> shift > max(memory_bytes, 1):
            shift += 1
        self._shift = shift
        self._flags = flags = bytearray((count >> shift) + 1)
        for offset in table.last_offsets():
            # A batch that filled the table may have left offsets above the latest.
            if floor <= offset <= latest_offset:
                flags[(offset - floor) >> shift] = 1

    def none_in(self, header: BatchHeader) -> bool:
        """Whether the batch lies in the dirty part and nothing in it is a key's last record."""
        first = header.base_offset - self.floor
        last = header.base_offset + header.last_offset_delta
        if first < 0 or last > self.latest_offset:
            return False
        shift = self._shift
        return self._flags.find(1, first >> shift, ((last - self.floor) >> shift) + 1) < 0

    def all_in(self, header: BatchHeader) -> bool:
        """Whether every record of the batch is known to be the last of its key."""
        first = header.base_offset - self.floor
        if self._shift or first < 0 or header.last_offset > self.latest_offset:
            return False
        return self._flags.count(1, first, first + header.last_offset_delta + 1) == (
            header.record_count
        )


class Transactions:
    """Which batches are of aborted transactions, and which markers have nothing left to mark.

    Sees every batch of a range in order. Kafka: CleanedTransactionMetadata.
    """

    def __init__(self, aborted: Iterable[AbortedTxn]) -> None:
        """`aborted`: every aborted transaction that overlaps the range, in any order."""
        self._waiting = sorted(aborted, key=lambda txn: txn.first_offset, reverse=True)
        self._aborted: dict[int, AbortedTxn] = {}
        self._seen_aborted: set[int] = set()
        self._seen_committed: set[int] = set()
        self._still_marked: list[AbortedTxn] = []

    def aborts(self, header: BatchHeader) -> bool:
        """Whether the data batch is of an aborted transaction."""
        if self._waiting:
            self._begin_up_to(header.last_offset)
        if not header.transactional:
            return False
        if header.producer_id in self._aborted:
            self._seen_aborted.add(header.producer_id)
            return True
        self._seen_committed.add(header.producer_id)
        return False

    def marks_nothing(self, header: BatchHeader, batch: bytes | None) -> bool:
        """Whether the control batch is the marker of a transaction without any batch left.

        `batch` may be None if it has no records: then it was emptied before. Raises
        CorruptMessageError on a malformed control record.
        """
        self._begin_up_to(header.last_offset)
        if batch is None or not header.record_count:
            return True
        control_type = parse_key(next(iterate(batch)).key)
        producer_id = header.producer_id
        if control_type == ControlType.ABORT:
            txn = self._aborted.pop(producer_id, None)
            if txn is not None and producer_id in self._seen_aborted:
                self._seen_aborted.discard(producer_id)
                self._still_marked.append(txn)
                return False
            return True
        if control_type == ControlType.COMMIT:
            if producer_id in self._seen_committed:
                self._seen_committed.discard(producer_id)
                return False
            return True
        return False

    def take_still_marked(self) -> list[AbortedTxn]:
        """The aborted transactions whose markers were met since the last call and stay.

        They belong into the transaction index of the segment that the marker is written to.
        """
        taken, self._still_marked = self._still_marked, []
        return taken

    def _begin_up_to(self, offset: int) -> None:
        waiting = self._waiting
        while waiting and waiting[-1].first_offset <= offset:
            txn = waiting.pop()
            self._aborted.setdefault(txn.producer_id, txn)


class Action(Enum):
    """What becomes of a batch."""

    DROP = 0
    COPY = 1
    REPLACE = 2


class Verdict(NamedTuple):
    """What becomes of one batch; `data` and its header are those of a replacement."""

    action: Action
    kept: int = 0
    data: bytes = b""
    max_timestamp: int = NO_TIMESTAMP
    without_key: int = 0


_DROP = Verdict(Action.DROP)


@dataclass(frozen=True, slots=True)
class LastEntry:
    """The last entry of an active producer: a data batch's last offset, or a marker (-1)."""

    epoch: int
    last_data_offset: int


class RetainRule:
    """Judges the batches of one cleaning round, in order of their offsets."""

    def __init__(
        self,
        live: LiveOffsets,
        table: KeyTable,
        transactions: Transactions,
        *,
        producers: Mapping[int, LastEntry],
        end_offset: int,
        now_ms: int,
        delete_retention_ms: int,
    ) -> None:
        """`end_offset`: what the round may clean ends there; its last batch always stays."""
        self._live = live
        self._lookup = table.seal()
        self._transactions = transactions
        self._producers = producers
        self._end_offset = end_offset
        self._now_ms = now_ms
        self._new_horizon_ms = min(now_ms + delete_retention_ms, _MAX_INT64)

    def needs_records(self, header: BatchHeader) -> bool:
        """Whether `judge` must be given the bytes of the batch; without them a header is enough."""
        return bool(header.record_count) and (header.control or not self._live.none_in(header))

    def judge(self, header: BatchHeader, batch: bytes | None) -> Verdict:
        """What becomes of the batch; `batch` is all of it, None if `needs_records` said no.

        Must be called for every batch. Raises CorruptMessageError on malformed records.
        """
        if header.control:
            return self._judge_control(header, batch)
        if self._transactions.aborts(header) or batch is None:
            return self._without_records(header)
        data, start = payload(batch, header)
        found = survivors(
            data,
            start,
            header.record_count,
            header.base_offset,
            self._live.latest_offset,
            _no_key if self._live.all_in(header) else self._lookup,
            keep_tombstones=not header.has_delete_horizon or self._now_ms < header.base_timestamp,
        )
        if not found.spans:
            return self._without_records(header, found.without_key)
        set_horizon = found.tombstones and not header.has_delete_horizon
        if len(found.spans) == header.record_count and not set_horizon:
            return Verdict(Action.COPY, header.record_count, b"", header.max_timestamp)
        return self._rebuild(header, data, found.spans, set_horizon, found.without_key)

    def _judge_control(self, header: BatchHeader, batch: bytes | None) -> Verdict:
        if not self._transactions.marks_nothing(header, batch):
            return Verdict(Action.COPY, header.record_count, b"", header.max_timestamp)
        if batch is None or not header.record_count:
            # Emptied before: there is no record whose time could be awaited.
            return self._without_records(header)
        if not header.has_delete_horizon:
            data, start = payload(batch, header)
            found = survivors(
                data,
                start,
                header.record_count,
                header.base_offset,
                -1,
                _no_key,
                keep_tombstones=True,
            )
            return self._rebuild(header, data, found.spans, set_horizon=True)
        if header.base_timestamp <= self._now_ms:
            return self._without_records(header)
        return Verdict(Action.COPY, header.record_count, b"", header.max_timestamp)

    def _without_records(self, header: BatchHeader, without_key: int = 0) -> Verdict:
        """Drop the batch, or keep its header alone where that is still needed."""
        if not self._is_last_entry(header) and header.next_offset != self._end_offset:
            return _DROP if not without_key else Verdict(Action.DROP, without_key=without_key)
        if not header.record_count and not header.attributes & (CODEC_MASK | DELETE_HORIZON_BIT):
            return Verdict(Action.COPY, 0, b"", header.max_timestamp)
        return Verdict(Action.REPLACE, 0, _emptied(header), header.max_timestamp, without_key)

    def _is_last_entry(self, header: BatchHeader) -> bool:
        """Whether an active producer's sequence or epoch is known from this batch alone."""
        if header.producer_id == NO_PRODUCER_ID:
            return False
        last = self._producers.get(header.producer_id)
        if last is None:
            return False
        if last.last_data_offset >= 0:
            return header.last_offset == last.last_data_offset
        return header.control and header.producer_epoch == last.epoch

    def _rebuild(
        self,
        header: BatchHeader,
        data: bytes,
        spans: list[Span],
        set_horizon: bool,
        without_key: int = 0,
    ) -> Verdict:
        """The batch with those records alone, offsets and sequence as they were."""
        max_timestamp = header.max_timestamp
        if not header.log_append_time:
            max_timestamp = header.base_timestamp + highest_timestamp_delta(data, spans)
        attributes, base_timestamp = header.attributes, header.base_timestamp
        if set_horizon:
            attributes |= DELETE_HORIZON_BIT
            base_timestamp = self._new_horizon_ms
            body = shift_timestamps(data, spans, header.base_timestamp - base_timestamp)
        else:
            body = b"".join([data[begin:end] for begin, end in spans])
        if attributes & CODEC_MASK != Codec.NONE:
            body = compress(attributes & CODEC_MASK, body)
        rebuilt = header._replace(
            batch_length=MIN_BATCH_LENGTH + len(body),
            attributes=attributes,
            base_timestamp=base_timestamp,
            max_timestamp=max_timestamp,
            record_count=len(spans),
        )
        return Verdict(
            Action.REPLACE, len(spans), _with_crc(rebuilt, body), max_timestamp, without_key
        )


def _emptied(header: BatchHeader) -> bytes:
    """The batch without records, codec and horizon (Kafka: DefaultRecordBatch.writeEmptyHeader)."""
    return _with_crc(
        header._replace(
            batch_length=HEADER_BYTES - SIZE_OVERHEAD,
            attributes=header.attributes & ~(CODEC_MASK | DELETE_HORIZON_BIT),
            base_timestamp=NO_TIMESTAMP,
            record_count=0,
        ),
        b"",
    )


def _with_crc(header: BatchHeader, body: bytes) -> bytes:
    head = pack_header(header._replace(crc=0))
    crc = crc32c(body, crc32c(head[CRC_START:]))
    return b"".join((head[:CRC_POSITION], _CRC.pack(crc), head[CRC_START:], body))


def _no_key(name: bytes, default: int) -> int:
    """The lookup of records that are known to be the last of their keys."""
    return default
