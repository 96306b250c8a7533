"""Keys and values as Apache Kafka 4.3 writes them, and everything that older brokers wrote."""

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import Uuid, parse_uuid
from tierbroker.groups.record_codec import (
    NAME_BYTES_MAX,
    CommittedOffset,
    GroupKey,
    OffsetKey,
    UnknownKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
    group_metadata_key,
    group_metadata_value,
    offset_key,
    offset_value,
)
from tierbroker.groups.records import offset_commit_key, offset_commit_value
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.groups.records.offset_commit_key import OffsetCommitKey
from tierbroker.groups.records.offset_commit_value import OffsetCommitValue

TOPIC_ID = Uuid(bytes.fromhex("bc443b804e83459da8f9d7908598d046"))

# Taken from the log of Apache Kafka 4.3.0.
KAFKA_KEY = b"\x00\x01\x00\x02g1\x00\x02t1\x00\x00\x00\x00"
KAFKA_VALUE = bytes.fromhex(
    "0004"  # version
    "0000000000000001"  # offset
    "00000000"  # leader epoch
    "01"  # empty metadata
    "000001a2043ecf92"  # commit timestamp
    "010010bc443b804e83459da8f9d7908598d046"  # tagged field 0: topic id
)
KAFKA_OFFSET = CommittedOffset(1, 0, "", 0x1A2043ECF92, -1, TOPIC_ID)
KAFKA_EMPTY_GROUP = bytes.fromhex(
    "00030008636f6e73756d657200000002ffffffff000001a2043ecfa900000000"
)


def test_an_offset_is_written_as_kafka_writes_it() -> None:
    assert offset_key("g1", "t1", 0) == KAFKA_KEY
    assert offset_value(KAFKA_OFFSET) == KAFKA_VALUE


def test_what_kafka_wrote_is_read() -> None:
    assert decode_key(KAFKA_KEY) == OffsetKey("g1", "t1", 0)
    assert decode_offset_value(KAFKA_VALUE) == KAFKA_OFFSET


def test_a_group_is_written_as_kafka_writes_it() -> None:
    value = GroupMetadataValue("consumer", 2, None, None, 0x1A2043ECFA9, [])
    assert group_metadata_key("g1") == b"\x00\x02\x00\x02g1"
    assert group_metadata_value(value) == KAFKA_EMPTY_GROUP
    assert decode_key(b"\x00\x02\x00\x02g1") == GroupKey("g1")
    assert decode_group_value(KAFKA_EMPTY_GROUP) == value


def test_an_explicit_expiry_time_makes_it_version_1() -> None:
    committed = CommittedOffset(5, 3, "note", 1_000, 2_000, TOPIC_ID)
    value = offset_value(committed)
    assert value[:2] == b"\x00\x01"
    # That version has neither epoch nor topic id.
    assert decode_offset_value(value) == CommittedOffset(5, -1, "note", 1_000, 2_000)


@pytest.mark.parametrize("version", range(5))
def test_all_versions_of_a_committed_offset_are_read(version: int) -> None:
    value = OffsetCommitValue(9, 4, "säy", 77, 88, TOPIC_ID)
    expected = CommittedOffset(
        9,
        4 if version >= 3 else -1,
        "säy",
        77,
        88 if version == 1 else -1,
        TOPIC_ID if version == 4 else Uuid(bytes(16)),
    )
    encoded = version.to_bytes(2, "big") + offset_commit_value.encode(value, version)
    assert decode_offset_value(encoded) == expected


@pytest.mark.parametrize("version", [0, 1])
def test_both_versions_of_the_key_are_read(version: int) -> None:
    body = offset_commit_key.encode(OffsetCommitKey("gruppe-ü", "t", 12), 0)
    assert decode_key(version.to_bytes(2, "big") + body) == OffsetKey("gruppe-ü", "t", 12)


def test_long_metadata_gets_a_longer_length() -> None:
    committed = CommittedOffset(5, 3, "n" * 3_000, 1_000, -1, TOPIC_ID)
    assert decode_offset_value(offset_value(committed)) == committed


def test_other_kinds_of_records_are_told_by_their_number() -> None:
    assert decode_key(b"\x00\x05anything") == UnknownKey(5)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"\x00",
        b"\x00\x01",
        KAFKA_KEY[:-1],
        KAFKA_KEY + b"\x00",
        b"\x00\x01\xff\xff\x00\x00\x00\x00\x00\x00",
        b"\x00\x02\x00\x03g1",
        b"\x00\x02\x00\x01\xff",
    ],
)
def test_a_malformed_key_is_never_guessed(key: bytes | None) -> None:
    with pytest.raises(CorruptMessageError):
        decode_key(key)


@pytest.mark.parametrize(
    "value", [b"", b"\x00", KAFKA_VALUE[:-1], KAFKA_VALUE + b"\x00", b"\x00\x05" + KAFKA_VALUE[2:]]
)
def test_a_malformed_or_unknown_value_is_never_guessed(value: bytes) -> None:
    with pytest.raises(CorruptMessageError):
        decode_offset_value(value)


@pytest.mark.parametrize(
    "value", [b"", KAFKA_EMPTY_GROUP[:-1], KAFKA_EMPTY_GROUP + b"\x00", b"\x00\x09"]
)
def test_a_malformed_group_is_never_guessed(value: bytes) -> None:
    with pytest.raises(CorruptMessageError):
        decode_group_value(value)


def test_a_name_that_no_key_can_hold_is_refused() -> None:
    offset_key("g" * NAME_BYTES_MAX, "t", 0)
    with pytest.raises(ValueError, match="32768 bytes"):
        offset_key("g" * (NAME_BYTES_MAX + 1), "t", 0)
    with pytest.raises(ValueError, match="metadata"):
        offset_value(CommittedOffset(1, metadata="n" * 40_000, expire_timestamp_ms=1))


def test_the_example_id_is_the_one_that_kafka_shows() -> None:
    assert parse_uuid("vEQ7gE6DRZ2o-deQhZjQRg") == TOPIC_ID
