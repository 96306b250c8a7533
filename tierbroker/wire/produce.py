"""Produce (key 0): what the broker's hottest request needs beyond the generated codec.

Nearly every request of a producer that is not saturated has one batch for one partition, and no
field that is seldom used: that one shape is read and answered here in a few steps, 1.2 instead of
2.2 and 0.5 instead of 1 us. Whatever else comes, wrong bytes included, is the generated codec's.
Record data comes out as a view of the frame: nothing is copied.

Kafka removed versions 0 to 2 but still advertises them, because librdkafka before 2.11 stops
compressing when they are missing; a request of such a version is no request, the connection is
closed (KAFKA-18659).
"""

from struct import Struct
from struct import error as struct_error

from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.serde.codec import uvarint_tail
from tierbroker.serde.structs import Buffer
from tierbroker.wire.messages.produce import (
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
    decode_request,
    encode_response,
)

__all__ = [
    "ADVERTISED_FROM",
    "FIRST_VERSION",
    "TOPIC_ID_VERSION",
    "LeaderIdAndEpoch",
    "NodeEndpoint",
    "PartitionProduceData",
    "PartitionProduceResponse",
    "ProduceRequest",
    "ProduceResponse",
    "TopicProduceData",
    "TopicProduceResponse",
    "decode_produce",
    "encode_produce_response",
]

ADVERTISED_FROM = 0
FIRST_VERSION = 3
TOPIC_ID_VERSION = 13


_FLEXIBLE_VERSIONS = frozenset(range(9, TOPIC_ID_VERSION + 1))
_ONE = 2  # a compact array of one element says so
_SHORT = 0x80
"""Sizes below this are one byte of a varint."""
_ONE_TOPIC = b"\2"
_ID_BYTES = 16

# Null transactional id, acks, timeout, number of topics.
_unpack_head = Struct(">BhiB").unpack_from
_HEAD_BYTES = 8
# Number of partitions, index of the first one, size of its records plus one.
_unpack_partition = Struct(">BiB").unpack_from
_PARTITION_BYTES = 6
# Partition, topic and request have no tagged fields.
_NO_TAGS = b"\0\0\0"

# Number of partitions, one partition without errors, and what follows it.
_pack_partition = Struct(">BihqqqBBBBiB").pack


def decode_produce(buf: Buffer, pos: int, version: int) -> ProduceRequest:
    """The request at ``pos``; bytes after it are ignored, as Kafka does. Raises DecodeError."""
    if version in _FLEXIBLE_VERSIONS:
        view = buf if type(buf) is memoryview else memoryview(buf)
        try:
            request = _decode_one_batch(view, pos, version == TOPIC_ID_VERSION)
        except (struct_error, IndexError, UnicodeDecodeError):
            request = None
        if request is not None:
            return request
    return decode_request(buf, pos, version)[0]


def _decode_one_batch(view: memoryview, pos: int, by_id: bool) -> ProduceRequest | None:
    """The request if it has one batch and nothing unusual, else None; raises on too few bytes."""
    transactional_id = None
    size = view[pos]
    if size:
        # The bytes of the id stand between its size and what otherwise follows that.
        if size >= _SHORT:
            return None
        start, pos = pos + 1, pos + size - 1
        transactional_id = str(view[start : pos + 1], "utf-8")
    _, acks, timeout_ms, topics = _unpack_head(view, pos)
    if topics != _ONE:
        return None
    pos += _HEAD_BYTES
    if by_id:
        name = ""
        end = pos + _ID_BYTES
        topic_id = Uuid(bytes(view[pos:end]))
    else:
        size = view[pos]
        if not 0 < size < _SHORT:
            return None
        end = pos + size
        name = str(view[pos + 1 : end], "utf-8")
        topic_id = ZERO_UUID
    partitions, index, size = _unpack_partition(view, end)
    if partitions != _ONE or not size:
        return None
    pos = end + _PARTITION_BYTES
    if size >= _SHORT:
        size, pos = uvarint_tail(view, pos, size)
    end = pos + size - 1
    if view[end : end + 3] != _NO_TAGS:
        return None
    data = PartitionProduceData(index, view[pos:end])
    topic = TopicProduceData(name, topic_id, [data])
    return ProduceRequest(transactional_id, acks, timeout_ms, [topic])


def encode_produce_response(response: ProduceResponse, version: int, prefix: bytes = b"") -> bytes:
    """``prefix`` (the response header) and the body."""
    if version in _FLEXIBLE_VERSIONS and len(response.responses) == 1:
        topic = response.responses[0]
        if len(topic.partition_responses) == 1 and not response.node_endpoints:
            item = topic.partition_responses[0]
            if version == TOPIC_ID_VERSION:
                key: bytes = topic.topic_id
                key_size = b""
            else:
                key = topic.name.encode()
                key_size = bytes((len(key) + 1 & 0xFF,))
            if (
                item.error_message is None
                and item.current_leader is None
                and not item.record_errors
                and len(key) < _SHORT - 1
            ):
                return b"".join(
                    (
                        prefix,
                        _ONE_TOPIC,
                        key_size,
                        key,
                        _pack_partition(
                            _ONE,
                            item.index,
                            item.error_code,
                            item.base_offset,
                            item.log_append_time_ms,
                            item.log_start_offset,
                            1,  # no record errors
                            0,  # no message
                            0,
                            0,
                            response.throttle_time_ms,
                            0,
                        ),
                    )
                )
    return prefix + encode_response(response, version)
