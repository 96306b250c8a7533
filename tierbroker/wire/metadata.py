"""Metadata (key 3): the answer packed by hand, topic by topic.

An answer that names 10,000 partitions takes the generated codec 20 ms; packed from rows it takes
a fifth of that, and whoever keeps the packed topics (they change only with the topic) answers in
a fraction of a millisecond. Pure: knows nothing of images, listeners or caching.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.base.parts import Part
from tierbroker.serde.codec import encode_uvarint
from tierbroker.serde.errors import EncodeError
from tierbroker.serde.structs import Buffer
from tierbroker.wire.messages.metadata import (
    FLEXIBLE_FROM,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    decode_request,
    encode_response,
)

__all__ = [
    "MetadataRequest",
    "MetadataRequestTopic",
    "MetadataResponse",
    "MetadataResponseBroker",
    "PackedMetadata",
    "PartitionRow",
    "TopicHead",
    "decode_metadata",
    "encode_metadata_response",
    "pack_topic",
]

_INTERNAL_SINCE = 1
_OFFLINE_SINCE = 5
_LEADER_EPOCH_SINCE = 7
_TOPIC_OPERATIONS_SINCE = 8
_CLUSTER_OPERATIONS = (8, 10)
_ID_SINCE = 10
_NAMELESS_SINCE = 12
_ERROR_SINCE = 13

_HEAD = Struct(">hii").pack
_HEAD_WITH_EPOCH = Struct(">hiii").pack
_INT16 = Struct(">h").pack
_INT32 = Struct(">i").pack


class PartitionRow(NamedTuple):
    """One partition as clients are told of it."""

    error_code: int
    leader_id: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...]


class TopicHead(NamedTuple):
    """What an answer says of a topic beside its partitions."""

    name: str | None
    topic_id: Uuid = ZERO_UUID
    error_code: int = 0
    is_internal: bool = False
    operations: int = -(2**31)


@dataclass(slots=True)
class PackedMetadata:
    """An answer whose topics are packed already, for the version that it will be sent in."""

    rest: MetadataResponse
    """Everything but the topics."""
    topics: list[bytes] = field(default_factory=list)


def pack_topic(version: int, head: TopicHead, partitions: Iterable[PartitionRow] = ()) -> bytes:
    """A topic as it stands in an answer of that version; `partitions` begins with number 0.

    Raises EncodeError for a topic without a name before version 12.
    """
    flexible = version >= FLEXIBLE_FROM
    if head.name is None and version < _NAMELESS_SINCE:
        raise EncodeError(f"MetadataResponseTopic.name is not nullable in version {version}")
    parts = [_INT16(head.error_code), _text(head.name, flexible)]
    if version >= _ID_SINCE:
        parts.append(head.topic_id)
    if version >= _INTERNAL_SINCE:
        parts.append(b"\1" if head.is_internal else b"\0")
    packed = _pack_partitions(version, partitions)
    parts.append(_count(len(packed), flexible))
    parts += packed
    if version >= _TOPIC_OPERATIONS_SINCE:
        parts.append(_INT32(head.operations))
    if flexible:
        parts.append(b"\0")
    return b"".join(parts)


def decode_metadata(buf: Buffer, pos: int, version: int) -> MetadataRequest:
    """The request at `pos`; bytes after it are ignored, as Kafka does. Raises DecodeError."""
    return decode_request(buf, pos, version)[0]


def encode_metadata_response(
    response: PackedMetadata | MetadataResponse, version: int, header: bytes = b""
) -> list[Part]:
    """`header` (the response header) and the body; raises EncodeError. Topics that are not packed
    go the generated way."""
    if isinstance(response, MetadataResponse):
        return [header + encode_response(response, version)]
    assert not response.rest.topics, "topics are packed, or they are not"
    without = encode_response(response.rest, version)
    flexible = version >= FLEXIBLE_FROM
    empty = len(_count(0, flexible))
    end = len(without) - _bytes_after_topics(version)
    count = _count(len(response.topics), flexible)
    return [b"".join((header, without[: end - empty], count, *response.topics, without[end:]))]


def _bytes_after_topics(version: int) -> int:
    first, last = _CLUSTER_OPERATIONS
    return (
        (4 if first <= version <= last else 0)
        + (2 if version >= _ERROR_SINCE else 0)
        + (1 if version >= FLEXIBLE_FROM else 0)
    )


def _pack_partitions(version: int, partitions: Iterable[PartitionRow]) -> list[bytes]:
    """Most partitions of a topic have their replicas in common with another one: those are packed
    once."""
    tails: dict[tuple[Sequence[int], ...], bytes] = {}
    packed = []
    with_epoch = version >= _LEADER_EPOCH_SINCE
    for index, (error, leader, epoch, *lists) in enumerate(partitions):
        key = tuple(lists)
        tail = tails.get(key)
        if tail is None:
            tail = tails[key] = _pack_replicas(version, key)
        if with_epoch:
            packed.append(_HEAD_WITH_EPOCH(error, index, leader, epoch) + tail)
        else:
            packed.append(_HEAD(error, index, leader) + tail)
    return packed


def _pack_replicas(version: int, lists: tuple[Sequence[int], ...]) -> bytes:
    flexible = version >= FLEXIBLE_FROM
    told = lists if version >= _OFFLINE_SINCE else lists[:2]
    parts = []
    for ids in told:
        parts.append(_count(len(ids), flexible))
        parts += map(_INT32, ids)
    if flexible:
        parts.append(b"\0")
    return b"".join(parts)


def _text(text: str | None, flexible: bool) -> bytes:
    if text is None:
        return b"\0"
    data = text.encode()
    return (encode_uvarint(len(data) + 1) if flexible else _INT16(len(data))) + data


def _count(count: int, flexible: bool) -> bytes:
    return encode_uvarint(count + 1) if flexible else _INT32(count)
