"""What a producer may send: one sound v2 batch, judged by its header and CRC alone.

Raises the error that Kafka 4 answers for each fault (ProduceRequest.validateRecords,
UnifiedLog.analyzeAndValidateRecords, LogValidator), in Kafka's order of checks. Records are opened
only for a compacted topic, whose records need keys, and to name those of a batch that is refused;
nothing else here may look behind the header.
"""

from tierbroker.base.errors import (
    CorruptMessageError,
    InvalidRecordError,
    InvalidTimestampError,
    MessageTooLargeError,
    UnsupportedCompressionTypeError,
)
from tierbroker.records.batch import (
    CODEC_MASK,
    CONTROL_BIT,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    LOG_APPEND_TIME_BIT,
    MAGIC_V2,
    MIN_RECORD_BYTES,
    NO_PRODUCER_ID,
    NO_TIMESTAMP,
    SIZE_OVERHEAD,
    BatchHeader,
    TimestampType,
    crc_valid,
    read_header,
)

_ZSTD = 4
_HIGHEST_CODEC = 4
_MAGIC_POSITION = 16
_FORBIDDEN_BITS = LOG_APPEND_TIME_BIT | CONTROL_BIT | DELETE_HORIZON_BIT


class NotOneBatchError(InvalidRecordError):
    """The bytes are not exactly one batch: the request is at fault, no log has looked at it."""


class RecordTimestampsError(InvalidTimestampError):
    """Records are too far from the broker's clock; `record_errors` as in InvalidRecordError."""

    def __init__(self, message: str, record_errors: tuple[tuple[int, str], ...]) -> None:
        super().__init__(message)
        self.record_errors = record_errors


def validate_produce(
    records: memoryview,
    *,
    max_message_bytes: int,
    now_ms: int,
    timestamp_type: TimestampType,
    before_max_ms: int,
    after_max_ms: int,
    compacted: bool,
    zstd_allowed: bool = True,
) -> BatchHeader:
    """Judge the records of one partition of a Produce request and return the batch's header.

    `zstd_allowed` is whether the request's version is 7 or later (KIP-110). The timestamp limits
    are milliseconds before and after `now_ms`, checked against the header's base and max
    timestamp. Bytes after the batch are refused, where Kafka drops an incomplete second batch.
    """
    size = len(records)
    if size < HEADER_BYTES:
        raise _not_a_batch(records)
    header = read_header(records)
    if header.magic != MAGIC_V2 or header.batch_length + SIZE_OVERHEAD != size:
        raise _not_a_batch(records)
    attributes = header.attributes
    codec = attributes & CODEC_MASK
    if codec >= _ZSTD and (codec > _HIGHEST_CODEC or not zstd_allowed):
        raise _codec_refused(codec)
    if header.base_offset != 0:
        raise InvalidRecordError(
            f"the base offset of a produced batch must be 0, it is {header.base_offset}"
        )
    if size > max_message_bytes:
        raise MessageTooLargeError(
            f"the batch has {size} bytes, max.message.bytes is {max_message_bytes}"
        )
    if not crc_valid(records, 0, header):
        raise CorruptMessageError("the CRC of the batch does not match its bytes")
    count = header.record_count
    if count <= 0 or header.last_offset_delta + 1 != count:
        raise InvalidRecordError(
            f"the batch claims {count} records over {header.last_offset_delta + 1} offsets"
        )
    if not codec and count * MIN_RECORD_BYTES > size - HEADER_BYTES:
        raise InvalidRecordError(f"{size} bytes cannot hold {count} records")
    if header.producer_id != NO_PRODUCER_ID and header.base_sequence < 0:
        raise InvalidRecordError(
            f"producer {header.producer_id} sent the sequence number {header.base_sequence}"
        )
    if attributes & _FORBIDDEN_BITS:
        raise _attributes_refused(attributes)
    if timestamp_type == TimestampType.CREATE_TIME:
        _check_timestamps(records, header, now_ms - before_max_ms, now_ms + after_max_ms)
    if compacted:
        _check_keys(records)
    return header


def _not_a_batch(records: memoryview) -> Exception:
    """Name the fault of bytes that are not exactly one v2 batch."""
    size = len(records)
    if size <= _MAGIC_POSITION:
        return NotOneBatchError(f"{size} bytes hold no record batch")
    batch_size = int.from_bytes(records[8:12], "big", signed=True) + SIZE_OVERHEAD
    magic = records[_MAGIC_POSITION]
    if magic > MAGIC_V2:
        return CorruptMessageError(f"unknown message format, magic {magic}")
    if magic < MAGIC_V2:
        return NotOneBatchError(
            f"message format v{magic} is not accepted, only v2 record batches (magic 2)"
        )
    if batch_size < HEADER_BYTES:
        return CorruptMessageError(f"the batch claims a size of {batch_size} bytes")
    if batch_size > size:
        return NotOneBatchError(f"the batch claims {batch_size} bytes, {size} were sent")
    return NotOneBatchError(
        f"exactly one record batch is allowed: it has {batch_size} bytes, {size} were sent"
    )


def _codec_refused(codec: int) -> Exception:
    if codec == _ZSTD:
        return UnsupportedCompressionTypeError("zstd needs Produce version 7 or later")
    return UnsupportedCompressionTypeError(f"unknown compression codec {codec}")


def _attributes_refused(attributes: int) -> Exception:
    if attributes & CONTROL_BIT:
        return InvalidRecordError("clients may not write control records")
    if attributes & LOG_APPEND_TIME_BIT:
        return InvalidTimestampError("a producer may not set the timestamp type LogAppendTime")
    return InvalidRecordError("a producer may not set a delete horizon")


def _check_timestamps(
    records: memoryview, header: BatchHeader, earliest_ms: int, latest_ms: int
) -> None:
    """Refuse timestamps outside of the limits; -1 means that there is none."""
    highest = header.max_timestamp
    lowest = header.base_timestamp
    if (highest != NO_TIMESTAMP and highest > latest_ms) or (
        lowest != NO_TIMESTAMP and not earliest_ms <= lowest <= latest_ms
    ):
        raise RecordTimestampsError(
            f"the batch's timestamps {lowest} to {highest} are not within "
            f"[{earliest_ms}, {latest_ms}]",
            _records_out_of_time(records, earliest_ms, latest_ms),
        )


def _records_out_of_time(
    records: memoryview, earliest_ms: int, latest_ms: int
) -> tuple[tuple[int, str], ...]:
    """Which records of a refused batch are at fault (KIP-467), as far as they can be read."""
    from tierbroker.records.record import iterate

    try:
        return tuple(
            (index, f"the timestamp {record.timestamp_ms} is out of range")
            for index, record in enumerate(iterate(records))
            if record.timestamp_ms != NO_TIMESTAMP
            and not earliest_ms <= record.timestamp_ms <= latest_ms
        )
    except (CorruptMessageError, MessageTooLargeError):
        return ()


def _check_keys(records: memoryview) -> None:
    """Refuse records without a key, which compaction could never remove."""
    # Imported here: the codecs are not needed by a broker without compacted topics.
    from tierbroker.records.record import iterate

    try:
        keyless = tuple(
            (index, "a record of a compacted topic needs a key")
            for index, record in enumerate(iterate(records))
            if record.key is None
        )
    except CorruptMessageError as error:
        # The CRC was right, so the producer made it so: no retry would help.
        raise InvalidRecordError(error.message) from error
    if keyless:
        raise InvalidRecordError(
            f"{len(keyless)} records have no key, which a compacted topic needs", keyless
        )
