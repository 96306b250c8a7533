"""Build a batch from records: for internal topics, the metadata log, markers, compaction, tools.

Batches of clients are never rebuilt here unless the topic's `compression.type` asks for it.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Protocol

from tierbroker.records.batch import (
    CONTROL_BIT,
    CRC_POSITION,
    CRC_START,
    HEADER_BYTES,
    LOG_APPEND_TIME_BIT,
    MAGIC_V2,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    SIZE_OVERHEAD,
    TRANSACTIONAL_BIT,
    BatchHeader,
    pack_header,
)
from tierbroker.records.checksum import crc32c
from tierbroker.records.compression import Codec, compress

_CRC = struct.Struct(">I")


class NewRecord(Protocol):
    """What a record must tell to be written; `record.Record` fits."""

    @property
    def timestamp_ms(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def build_batch(
    records: Iterable[NewRecord],
    *,
    codec: int = Codec.NONE,
    level: int | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
    control: bool = False,
    log_append_time_ms: int | None = None,
    offsets: Sequence[int] | None = None,
    last_offset: int | None = None,
) -> bytes:
    """The bytes of one v2 batch, CRC included.

    Records get consecutive offsets from `base_offset`, or those of `offsets`, which must rise and
    not be below it. `last_offset` is the batch's last offset where it is not that of the last
    record: what compaction left behind. Without records and `last_offset` the batch could not
    stand in a log: ValueError, as for offsets that do not fit.
    """
    written = list(records)
    if offsets is None:
        offsets = range(base_offset, base_offset + len(written))
    last = last_offset if last_offset is not None else offsets[-1] if offsets else base_offset - 1
    if (
        len(offsets) != len(written)
        or last < base_offset
        or (offsets and not base_offset <= offsets[0] <= offsets[-1] <= last)
    ):
        raise ValueError(f"{len(written)} records do not fit offsets {base_offset} to {last}")
    base_timestamp = written[0].timestamp_ms if written else NO_TIMESTAMP
    max_timestamp = max((record.timestamp_ms for record in written), default=NO_TIMESTAMP)
    attributes = int(codec)
    if transactional:
        attributes |= TRANSACTIONAL_BIT
    if control:
        attributes |= CONTROL_BIT
    if log_append_time_ms is not None:
        attributes |= LOG_APPEND_TIME_BIT
        max_timestamp = log_append_time_ms
    body = b"".join(
        [
            encode_record(record, record.timestamp_ms - base_timestamp, offset - base_offset)
            for record, offset in zip(written, offsets, strict=True)
        ]
    )
    if codec != Codec.NONE and written:
        body = compress(codec, body, level)
    header = BatchHeader(
        base_offset=base_offset,
        batch_length=HEADER_BYTES - SIZE_OVERHEAD + len(body),
        partition_leader_epoch=leader_epoch,
        magic=MAGIC_V2,
        crc=0,
        attributes=attributes,
        last_offset_delta=last - base_offset,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        record_count=len(written),
    )
    head = pack_header(header)
    crc = crc32c(body, crc32c(head[CRC_START:]))
    return b"".join((head[:CRC_POSITION], _CRC.pack(crc), head[CRC_START:], body))


def encode_record(record: NewRecord, timestamp_delta: int, offset_delta: int) -> bytes:
    """One record as it stands in an uncompressed batch, its length first."""
    key, value, headers = record.key, record.value, record.headers
    parts = [b"\x00", encode_varint(timestamp_delta), encode_varint(offset_delta)]
    _append_bytes(parts, key)
    _append_bytes(parts, value)
    parts.append(encode_varint(len(headers)))
    for name, content in headers:
        _append_bytes(parts, name.encode("utf-8", "surrogateescape"))
        _append_bytes(parts, content)
    body = b"".join(parts)
    return encode_varint(len(body)) + body


def _append_bytes(parts: list[bytes], content: bytes | None) -> None:
    if content is None:
        parts.append(b"\x01")
    else:
        parts.append(encode_varint(len(content)))
        parts.append(content)


def encode_varint(value: int) -> bytes:
    """A zigzag varint of up to 64 bits."""
    zigzag = (value << 1) ^ (value >> 63)
    if zigzag < _SMALL_COUNT:
        return _SMALL[zigzag]
    return _encode_unsigned(zigzag)


def _encode_unsigned(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


# Deltas and lengths of ordinary records are small: they are looked up.
_SMALL_COUNT = 4096
_SMALL = tuple(_encode_unsigned(number) for number in range(_SMALL_COUNT))
