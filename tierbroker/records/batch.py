"""The 61-byte header of a record batch (format v2): read it, walk over many, patch it in place.

Never opens a record and never copies a batch. The CRC-32C covers everything from the attributes
on, so base offset and leader epoch are patched without touching it (Kafka: DefaultRecordBatch).
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from tierbroker.base.errors import CorruptMessageError
from tierbroker.records.checksum import crc32c

Buffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview

HEADER_BYTES = 61
MAGIC_V2 = 2
NO_TIMESTAMP = -1
NO_PRODUCER_ID = -1
NO_SEQUENCE = -1
MAX_SEQUENCE = 0x7FFFFFFF

CODEC_MASK = 0x07
LOG_APPEND_TIME_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40

# Bytes that `batch_length` does not count: the base offset and the length itself.
SIZE_OVERHEAD = 12
MIN_BATCH_LENGTH = HEADER_BYTES - SIZE_OVERHEAD
# Length, attributes, timestamp, offset, key, value and header count take a byte each at least.
MIN_RECORD_BYTES = 7
CRC_POSITION = 17
CRC_START = 21
_MAGIC_POSITION = 16
_MAX_TIMESTAMP_POSITION = 35

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_EPOCH_MAGIC = struct.Struct(">iib")
_OFFSET = struct.Struct(">q")
_EPOCH = struct.Struct(">i")
_CRC = struct.Struct(">I")
_ATTRIBUTES = struct.Struct(">h")
_TIMESTAMP = struct.Struct(">q")

_unpack_header = _HEADER.unpack_from
_new_tuple = tuple.__new__


class TimestampType(IntEnum):
    """Whose clock stamps a record: attribute bit 3, setting `message.timestamp.type`."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class BatchHeader(NamedTuple):
    """The header's thirteen fields in their order on the wire."""

    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size_bytes(self) -> int:
        """Size of the whole batch, header included."""
        return self.batch_length + SIZE_OVERHEAD

    @property
    def last_offset(self) -> int:
        """Offset of the last record, kept by compaction even when that record is gone."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """The offset that follows the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def codec(self) -> int:
        """Compression codec id, 0 to 7; the known ones are `compression.Codec`."""
        return self.attributes & CODEC_MASK

    @property
    def log_append_time(self) -> bool:
        """Whether `max_timestamp` is the broker's clock and stands for every record."""
        return bool(self.attributes & LOG_APPEND_TIME_BIT)

    @property
    def transactional(self) -> bool:
        """Whether the batch belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL_BIT)

    @property
    def control(self) -> bool:
        """Whether its records are control records (markers, Raft records)."""
        return bool(self.attributes & CONTROL_BIT)

    @property
    def has_delete_horizon(self) -> bool:
        """Whether `base_timestamp` holds the delete horizon that compaction set (KIP-534)."""
        return bool(self.attributes & DELETE_HORIZON_BIT)

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record, wrapping to 0 after 2^31-1; -1 without sequences."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & MAX_SEQUENCE


def read_header(buf: Buffer, position: int = 0) -> BatchHeader:
    """Read the header at `position` without judging it; struct.error if 61 bytes are not there."""
    return _new_tuple(BatchHeader, _unpack_header(buf, position))


def walk(buf: Buffer, start: int = 0, end: int | None = None) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (position, header) of each whole batch between `start` and `end`.

    Stops before an incomplete last batch, which a read cut at a byte limit has. Raises
    CorruptMessageError at a size or magic that no v2 batch can have, so it always advances.
    """
    limit = len(buf) if end is None else end
    position = start
    while limit - position > _MAGIC_POSITION:
        length, _, magic = _LENGTH_EPOCH_MAGIC.unpack_from(buf, position + 8)
        if length < MIN_BATCH_LENGTH or magic != MAGIC_V2:
            raise CorruptMessageError(
                f"no v2 batch at byte {position}: length {length}, magic {magic}"
            )
        following = position + length + SIZE_OVERHEAD
        if following > limit:
            return
        yield position, _new_tuple(BatchHeader, _unpack_header(buf, position))
        position = following


def crc_valid(buf: Buffer, position: int, header: BatchHeader) -> bool:
    """Whether the stored CRC-32C is that of the bytes; False too when the batch is cut short."""
    end = position + header.batch_length + SIZE_OVERHEAD
    if header.batch_length < MIN_BATCH_LENGTH or end > len(buf):
        return False
    return crc32c(memoryview(buf)[position + CRC_START : end]) == header.crc


def patch_offsets(buf: WritableBuffer, position: int, base_offset: int, leader_epoch: int) -> None:
    """Write base offset and leader epoch in place; both lie outside the CRC."""
    _OFFSET.pack_into(buf, position, base_offset)
    _EPOCH.pack_into(buf, position + SIZE_OVERHEAD, leader_epoch)


def rewrite_log_append_time(buf: WritableBuffer, position: int, now_ms: int) -> None:
    """Stamp the batch with the broker's clock: bit 3, max timestamp, and the CRC they change."""
    header = read_header(buf, position)
    _ATTRIBUTES.pack_into(buf, position + CRC_START, header.attributes | LOG_APPEND_TIME_BIT)
    _TIMESTAMP.pack_into(buf, position + _MAX_TIMESTAMP_POSITION, now_ms)
    rewrite_crc(buf, position, header.size_bytes)


def rewrite_crc(buf: WritableBuffer, position: int, size_bytes: int) -> None:
    """Compute and store the CRC-32C of the batch of `size_bytes` at `position`."""
    with memoryview(buf) as view:
        crc = crc32c(view[position + CRC_START : position + size_bytes])
    _CRC.pack_into(buf, position + CRC_POSITION, crc)


def pack_header(header: BatchHeader) -> bytes:
    """The 61 bytes of a header; struct.error when a field does not fit."""
    return _HEADER.pack(*header)
