"""Records of `__consumer_offsets`: keys and values with the version that precedes each.

The shapes are Kafka's own, and so are the versions that are written: those of a Kafka 4.3 broker.
Every older version is read. Nothing here keeps or decides anything.
"""

import struct
from typing import NamedTuple

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.groups.records import group_metadata_value as _group_value
from tierbroker.groups.records import offset_commit_value as _offset_value
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.groups.records.offset_commit_value import OffsetCommitValue
from tierbroker.serde.errors import DecodeError
from tierbroker.serde.varint import encode_uvarint

NO_TIMESTAMP = -1
LAST_TIMESTAMP = 0x7FFF_FFFF_FFFF_FFFF
"""A time that never comes, and the last one that a record can hold."""

OFFSET_KEY_TYPES = (0, 1)
"""Key types of a committed offset; 0 is what Kafka wrote before 0.9, with the same body."""
GROUP_KEY_TYPE = 2

_OFFSET_KEY_TYPE = b"\x00\x01"
_GROUP_KEY_TYPE = b"\x00\x02"
_GROUP_VALUE_VERSION = 3
# Version 1 is the only one that carries an expiry time: Kafka writes it where there is one.
_OFFSET_VALUE = b"\x00\x04"
_OFFSET_VALUE_EXPIRING = b"\x00\x01"
_TOPIC_ID_TAG = b"\x01\x00\x10"
_NO_TAGS = b"\x00"

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_OFFSET_AND_EPOCH = struct.Struct(">qi")
_OFFSET_AND_LENGTH = struct.Struct(">qh")
_INT64 = struct.Struct(">q")
_TWO_INT64 = struct.Struct(">qq")

NAME_BYTES_MAX = 0x7FFF
"""Longest group id or topic name that a key can hold, in bytes of UTF-8."""
EXPIRING_METADATA_BYTES_MAX = 0x7FFF
"""Longest metadata, in bytes of UTF-8, of an offset with an explicit time of expiry."""


class CommittedOffset(NamedTuple):
    """What was committed for one partition of a topic; times in milliseconds since 1970."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""
    commit_timestamp_ms: int = NO_TIMESTAMP
    expire_timestamp_ms: int = NO_TIMESTAMP
    """When it expires whatever the group does; -1 if `offsets.retention.minutes` decides."""
    topic_id: Uuid = ZERO_UUID


class OffsetKey(NamedTuple):
    """The key of a committed offset."""

    group_id: str
    topic: str
    partition: int


class GroupKey(NamedTuple):
    """The key of a classic group's state."""

    group_id: str


class UnknownKey(NamedTuple):
    """The key of a record of another kind: of groups of other protocols, or of a later Kafka."""

    key_type: int


def offset_key_prefix(group_id: str, topic: str) -> bytes:
    """The key of a committed offset without its last field, the partition.

    Raises ValueError for a name longer than NAME_BYTES_MAX.
    """
    return _OFFSET_KEY_TYPE + _name(group_id) + _name(topic)


def offset_key_of(prefix: bytes, partition: int) -> bytes:
    """The key that begins with `offset_key_prefix`."""
    return prefix + _INT32.pack(partition)


def offset_key(group_id: str, topic: str, partition: int) -> bytes:
    """The key of a committed offset."""
    return offset_key_of(offset_key_prefix(group_id, topic), partition)


def offset_value(committed: CommittedOffset) -> bytes:
    """The value of a committed offset; ValueError if it expires and its metadata is too long."""
    offset, epoch, text, committed_ms, expire_ms, topic_id = committed
    metadata = text.encode()
    if expire_ms != NO_TIMESTAMP:
        if len(metadata) > EXPIRING_METADATA_BYTES_MAX:
            raise ValueError(f"{len(metadata)} bytes of metadata with an explicit expiry time")
        head = _OFFSET_VALUE_EXPIRING + _OFFSET_AND_LENGTH.pack(offset, len(metadata))
        return head + metadata + _TWO_INT64.pack(committed_ms, expire_ms)
    head = _OFFSET_VALUE + _OFFSET_AND_EPOCH.pack(offset, epoch)
    length = b"\x01" if not metadata else encode_uvarint(len(metadata) + 1)
    tags = _NO_TAGS if topic_id == ZERO_UUID else _TOPIC_ID_TAG + topic_id
    return b"".join((head, length, metadata, _INT64.pack(committed_ms), tags))


def group_metadata_key(group_id: str) -> bytes:
    """The key of a classic group's state."""
    return _GROUP_KEY_TYPE + _name(group_id)


def group_metadata_value(value: GroupMetadataValue) -> bytes:
    """The value of a classic group's state."""
    version = _GROUP_VALUE_VERSION
    return _INT16.pack(version) + _group_value.encode(value, version)


def decode_key(key: bytes | None) -> OffsetKey | GroupKey | UnknownKey:
    """What a record is about. CorruptMessageError for a key that is cut short or too long."""
    if key is None or len(key) < _INT16.size:
        raise CorruptMessageError(f"{key!r} is no key of a coordinator's record")
    (key_type,) = _INT16.unpack_from(key)
    if key_type in OFFSET_KEY_TYPES:
        group_id, topic = decode_offset_prefix(key[: -_INT32.size])
        return OffsetKey(group_id, topic, *_INT32.unpack_from(key, len(key) - _INT32.size))
    if key_type == GROUP_KEY_TYPE:
        (group_id,) = _names(key, 1)
        return GroupKey(group_id)
    return UnknownKey(key_type)


def decode_offset_prefix(prefix: bytes) -> tuple[str, str]:
    """(group id, topic) of what `offset_key_prefix` made; CorruptMessageError if it is not that."""
    group_id, topic = _names(prefix, 2)
    return group_id, topic


def decode_offset_value(value: bytes) -> CommittedOffset:
    """A committed offset; CorruptMessageError for bytes or a version that cannot be read."""
    if len(value) < _INT16.size:
        raise CorruptMessageError(f"{value!r} is no value of a committed offset")
    (version,) = _INT16.unpack_from(value)
    try:
        decoded, end = _offset_value.decode(value, _INT16.size, version)
    except DecodeError as bad:
        raise CorruptMessageError(f"committed offset of version {version}: {bad}") from None
    _check_end("committed offset", value, end)
    return _committed(decoded)


def decode_group_value(value: bytes) -> GroupMetadataValue:
    """A classic group's state; CorruptMessageError for bytes or a version that cannot be read."""
    if len(value) < _INT16.size:
        raise CorruptMessageError(f"{value!r} is no value of a group's state")
    (version,) = _INT16.unpack_from(value)
    try:
        decoded, end = _group_value.decode(value, _INT16.size, version)
    except DecodeError as bad:
        raise CorruptMessageError(f"group state of version {version}: {bad}") from None
    _check_end("group state", value, end)
    return decoded


def _committed(value: OffsetCommitValue) -> CommittedOffset:
    return CommittedOffset(
        value.offset,
        value.leader_epoch,
        value.metadata,
        value.commit_timestamp,
        value.expire_timestamp,
        value.topic_id,
    )


def _name(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > NAME_BYTES_MAX:
        raise ValueError(f"a name of {len(encoded)} bytes does not fit a key")
    return _INT16.pack(len(encoded)) + encoded


def _names(key: bytes, count: int) -> list[str]:
    """The strings after the key type, which they must fill."""
    names = []
    position = _INT16.size
    try:
        for _ in range(count):
            (length,) = _INT16.unpack_from(key, position)
            position += _INT16.size
            if length < 0:
                raise CorruptMessageError(f"a name of {length} bytes in the key {key!r}")
            names.append(str(key[position : position + length], "utf-8"))
            position += length
    except (struct.error, UnicodeDecodeError) as bad:
        raise CorruptMessageError(f"key {key!r}: {bad}") from None
    if position != len(key):
        raise CorruptMessageError(f"the key {key!r} has {len(key)} bytes, not {position}")
    return names


def _check_end(what: str, value: bytes, end: int) -> None:
    if end != len(value):
        raise CorruptMessageError(f"{what}: {len(value) - end} bytes too many")
