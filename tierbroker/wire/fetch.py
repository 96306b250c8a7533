"""Fetch (key 1): requests through the generated codec, answers packed by hand around file slices.

Record data never enters Python: an answer is a list of parts in which every ``FileSlice`` stands
as it is, between bytes that are packed with as few calls as possible. The layout is checked
against the generated encoder for every version. This module must never look into records.
"""

from collections.abc import Callable
from struct import Struct

from tierbroker.base.parts import FileSlice, Part
from tierbroker.serde.structs import Buffer
from tierbroker.serde.varint import UVARINT, UVARINTS, encode_uvarint
from tierbroker.wire.errors import EncodeError
from tierbroker.wire.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
    ReplicaState,
    SnapshotId,
    decode_request,
)

__all__ = [
    "FIRST_VERSION",
    "LAST_VERSION",
    "TOPIC_ID_VERSION",
    "AbortedTransaction",
    "EpochEndOffset",
    "FetchPartition",
    "FetchRequest",
    "FetchResponse",
    "FetchTopic",
    "FetchableTopicResponse",
    "ForgottenTopic",
    "LeaderIdAndEpoch",
    "NodeEndpoint",
    "PartitionData",
    "ReplicaState",
    "SnapshotId",
    "decode_fetch",
    "encode_fetch_response",
]

FIRST_VERSION = 4
LAST_VERSION = 18
TOPIC_ID_VERSION = 13
_FLEXIBLE = 12

# Record data up to this size is copied into the bytes around it, which saves a part.
_INLINE_BYTES = 2048

_throttle = Struct(">ii").pack  # throttle time, topics
_throttle_session = Struct(">ihii").pack  # throttle time, error, session id, topics
_throttle_session_flexible = Struct(">ihi").pack
_short = Struct(">h").pack
_int = Struct(">i").pack
_int_tags = Struct(">iB").pack
_two_ints = Struct(">ii").pack
_aborted = Struct(">qq").pack
_aborted_tags = Struct(">qqB").pack

# One partition from its index to the size of its records, without aborted transactions.
_partition_4 = Struct(">ihqqii").pack
_partition_5 = Struct(">ihqqqii").pack
_partition_11 = Struct(">ihqqqiii").pack
_partition_12 = Struct(">ihqqqBiB").pack  # the first byte of the size
# All three bytes of the size.
_partition_12_three = Struct(">ihqqqBiBBB").pack

# The same up to the number of aborted transactions.
_start_4 = Struct(">ihqqi").pack
_start_5 = Struct(">ihqqqi").pack
_start_12 = Struct(">ihqqq").pack

_epoch_end_offset = Struct(">BBiqB").pack
_leader = Struct(">BBiiB").pack
_snapshot = Struct(">BBqiB").pack

_Append = Callable[[bytes | bytearray | memoryview], None]


def decode_fetch(buf: Buffer, pos: int, version: int) -> FetchRequest:
    """The request at ``pos``; bytes after it are ignored, as Kafka does. Raises DecodeError."""
    return decode_request(buf, pos, version)[0]


def encode_fetch_response(response: FetchResponse, version: int, prefix: bytes = b"") -> list[Part]:
    """``prefix`` (the response header) and the body, with record data as parts of its own.

    Null and empty records and small bytes are written in line. Fields that the version lacks are
    left out. Raises EncodeError for a version that Fetch does not have.
    """
    if not FIRST_VERSION <= version <= LAST_VERSION:
        raise EncodeError(f"FetchResponse has no version {version}")
    parts: list[Part] = []
    run: list[bytes | bytearray | memoryview] = [prefix]  # bytes since the last part
    if version >= _FLEXIBLE:
        run = _flexible_body(response, version, parts, run)
    else:
        run = _classic_body(response, version, parts, run)
    parts.append(b"".join(run))
    return parts


_Run = list[bytes | bytearray | memoryview]


def _classic_body(response: FetchResponse, version: int, parts: list[Part], run: _Run) -> _Run:
    topics = response.responses
    write = run.append
    if version >= 7:
        head = _throttle_session(
            response.throttle_time_ms, response.error_code, response.session_id, len(topics)
        )
    else:
        head = _throttle(response.throttle_time_ms, len(topics))
    write(head)
    for topic in topics:
        name = topic.topic.encode()
        write(_short(len(name)))
        write(name)
        write(_int(len(topic.partitions)))
        for partition in topic.partitions:
            records = partition.records
            size = -1 if records is None else len(records)
            if partition.aborted_transactions:
                _classic_start_with_aborted(write, partition, version, size)
            else:
                write(_classic_start(partition, version, size))
            if size > 0:
                run = _add_records(parts, run, records, size)
                write = run.append
    return run


def _classic_start(partition: PartitionData, version: int, size: int) -> bytes:
    """One partition up to its records, which follow."""
    aborted = -1 if partition.aborted_transactions is None else 0
    if version >= 11:
        return _partition_11(
            partition.partition_index,
            partition.error_code,
            partition.high_watermark,
            partition.last_stable_offset,
            partition.log_start_offset,
            aborted,
            partition.preferred_read_replica,
            size,
        )
    if version >= 5:
        return _partition_5(
            partition.partition_index,
            partition.error_code,
            partition.high_watermark,
            partition.last_stable_offset,
            partition.log_start_offset,
            aborted,
            size,
        )
    return _partition_4(
        partition.partition_index,
        partition.error_code,
        partition.high_watermark,
        partition.last_stable_offset,
        aborted,
        size,
    )


def _classic_start_with_aborted(
    write: _Append, partition: PartitionData, version: int, size: int
) -> None:
    aborted = partition.aborted_transactions or ()
    start = (
        partition.partition_index,
        partition.error_code,
        partition.high_watermark,
        partition.last_stable_offset,
    )
    if version >= 5:
        write(_start_5(*start, partition.log_start_offset, len(aborted)))
    else:
        write(_start_4(*start, len(aborted)))
    for transaction in aborted:
        write(_aborted(transaction.producer_id, transaction.first_offset))
    if version >= 11:
        write(_two_ints(partition.preferred_read_replica, size))
    else:
        write(_int(size))


def _flexible_body(response: FetchResponse, version: int, parts: list[Part], run: _Run) -> _Run:
    topics = response.responses
    write = run.append
    write(
        _throttle_session_flexible(
            response.throttle_time_ms, response.error_code, response.session_id
        )
    )
    write(_compact_length(len(topics)))
    for topic in topics:
        if version >= TOPIC_ID_VERSION:
            write(topic.topic_id)
        else:
            write(_compact_text(topic.topic))
        write(_compact_length(len(topic.partitions)))
        for partition in topic.partitions:
            records = partition.records
            size = -1 if records is None else len(records)
            if partition.aborted_transactions:
                _flexible_start_with_aborted(write, partition, size)
            else:
                write(_flexible_start(partition, size))
            if size > 0:
                run = _add_records(parts, run, records, size)
                write = run.append
            if partition.diverging_epoch or partition.current_leader or partition.snapshot_id:
                write(_partition_tags(partition))
            else:
                write(b"\0")
        write(b"\0")
    if version >= 16 and response.node_endpoints:
        write(_endpoint_tags(response.node_endpoints))
    else:
        write(b"\0")
    return run


def _flexible_start(partition: PartitionData, size: int) -> bytes:
    """One partition up to its records, which follow.

    The size goes into the same call in the two usual cases: no records, and 16 KiB to 2 MiB.
    """
    n = size + 1
    if 0x4000 <= n < 0x20_0000:
        return _partition_12_three(
            partition.partition_index,
            partition.error_code,
            partition.high_watermark,
            partition.last_stable_offset,
            partition.log_start_offset,
            0 if partition.aborted_transactions is None else 1,
            partition.preferred_read_replica,
            n & 0x7F | 0x80,
            n >> 7 & 0x7F | 0x80,
            n >> 14,
        )
    start = _partition_12(
        partition.partition_index,
        partition.error_code,
        partition.high_watermark,
        partition.last_stable_offset,
        partition.log_start_offset,
        0 if partition.aborted_transactions is None else 1,
        partition.preferred_read_replica,
        n if n < 0x80 else n & 0x7F | 0x80,
    )
    return start if n < 0x80 else start + encode_uvarint(n >> 7)


def _flexible_start_with_aborted(write: _Append, partition: PartitionData, size: int) -> None:
    aborted = partition.aborted_transactions or ()
    write(
        _start_12(
            partition.partition_index,
            partition.error_code,
            partition.high_watermark,
            partition.last_stable_offset,
            partition.log_start_offset,
        )
    )
    write(_compact_length(len(aborted)))
    for transaction in aborted:
        write(_aborted_tags(transaction.producer_id, transaction.first_offset, 0))
    write(_int(partition.preferred_read_replica))
    write(_compact_length(size))


def _add_records(parts: list[Part], run: _Run, records: Part | None, size: int) -> _Run:
    """Adds record data; answers the run that goes on after it."""
    assert records is not None
    if size <= _INLINE_BYTES and not isinstance(records, FileSlice):
        run.append(records)
        return run
    parts.append(b"".join(run))
    parts.append(records)
    return []


def _partition_tags(partition: PartitionData) -> bytes:
    """The tagged fields of one partition: 0 diverging epoch, 1 current leader, 2 snapshot id."""
    fields = []
    diverging, leader = partition.diverging_epoch, partition.current_leader
    snapshot = partition.snapshot_id
    if diverging is not None and (diverging.epoch != -1 or diverging.end_offset != -1):
        fields.append(_epoch_end_offset(0, 13, diverging.epoch, diverging.end_offset, 0))
    if leader is not None and (leader.leader_id != -1 or leader.leader_epoch != -1):
        fields.append(_leader(1, 9, leader.leader_id, leader.leader_epoch, 0))
    if snapshot is not None and (snapshot.end_offset != -1 or snapshot.epoch != -1):
        fields.append(_snapshot(2, 13, snapshot.end_offset, snapshot.epoch, 0))
    return bytes((len(fields),)) + b"".join(fields)


def _endpoint_tags(endpoints: list[NodeEndpoint]) -> bytes:
    """The one tagged field of the answer, 0: where the leaders named in it live."""
    items = [_compact_length(len(endpoints))]
    for endpoint in endpoints:
        items.append(_int(endpoint.node_id))
        items.append(_compact_text(endpoint.host))
        items.append(_int(endpoint.port))
        items.append(b"\0" if endpoint.rack is None else _compact_text(endpoint.rack))
        items.append(b"\0")
    body = b"".join(items)
    return b"\x01\x00" + encode_uvarint(len(body)) + body


def _compact_length(length: int) -> bytes:
    n = length + 1
    return UVARINT[n] if n < UVARINTS else encode_uvarint(n)


def _compact_text(text: str) -> bytes:
    data = text.encode()
    return _compact_length(len(data)) + data
