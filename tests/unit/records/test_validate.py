"""Each fault of a produced batch has Kafka's error."""

import struct
from typing import Any

import pytest

from tierbroker.base.errors import (
    ApiError,
    CorruptMessageError,
    InvalidRecordError,
    InvalidTimestampError,
    MessageTooLargeError,
    UnsupportedCompressionTypeError,
)
from tierbroker.records.batch import BatchHeader, TimestampType, read_header, rewrite_crc
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.record import Record
from tierbroker.records.validate import (
    NotOneBatchError,
    RecordTimestampsError,
    validate_produce,
)

NOW_MS = 1_700_000_000_000


def judge(data: bytes | bytearray, **changes: Any) -> BatchHeader:
    rules: dict[str, Any] = {
        "max_message_bytes": 10_000,
        "now_ms": NOW_MS,
        "timestamp_type": TimestampType.CREATE_TIME,
        "before_max_ms": 2**63 - 1,
        "after_max_ms": 3_600_000,
        "compacted": False,
    }
    return validate_produce(memoryview(data), **{**rules, **changes})


def batch(key: bytes | None = b"k", timestamp_ms: int = NOW_MS, **options: Any) -> bytearray:
    records = [Record(0, timestamp_ms, key, b"v%d" % i) for i in range(3)]
    return bytearray(build_batch(records, **options))


def patched(form: str, position: int, value: int) -> bytearray:
    """A batch with one header field changed and a right CRC."""
    data = batch()
    struct.pack_into(form, data, position, value)
    rewrite_crc(data, 0, len(data))
    return data


@pytest.mark.parametrize("codec", list(Codec))
def test_a_sound_batch_passes_with_its_header(codec: Codec) -> None:
    data = batch(codec=codec)
    assert judge(data) == read_header(data)


def test_an_idempotent_transactional_batch_passes() -> None:
    data = batch(producer_id=5, producer_epoch=0, base_sequence=0, transactional=True)
    assert judge(data).producer_id == 5


@pytest.mark.parametrize("size", [0, 1, 11, 16, 17, 60])
def test_no_batch_at_all(size: int) -> None:
    with pytest.raises(InvalidRecordError):
        judge(batch()[:size])


def test_a_batch_cut_short() -> None:
    with pytest.raises(InvalidRecordError, match="were sent"):
        judge(batch()[:-1])


@pytest.mark.parametrize("rest", [batch(), batch()[:30], b"x"], ids=["whole", "part", "byte"])
def test_more_than_one_batch(rest: bytes) -> None:
    with pytest.raises(InvalidRecordError, match="exactly one"):
        judge(batch() + rest)


@pytest.mark.parametrize("magic", [0, 1])
def test_old_message_formats_are_refused_as_invalid_records(magic: int) -> None:
    with pytest.raises(InvalidRecordError, match=f"v{magic}"):
        judge(patched(">b", 16, magic))


def test_a_short_message_of_format_v1_is_refused_as_such() -> None:
    # offset 8, size 4, crc 4, magic 1, attributes 1, timestamp 8, key length 4, value length 4
    message = struct.pack(">qiIbbqii", 0, 22, 0, 1, 0, NOW_MS, -1, -1)
    with pytest.raises(InvalidRecordError, match="v1"):
        judge(message)


@pytest.mark.parametrize("magic", [-1, 3, 127])
def test_an_unknown_magic_is_corrupt(magic: int) -> None:
    with pytest.raises(CorruptMessageError, match="magic"):
        judge(patched(">b", 16, magic))


@pytest.mark.parametrize("length", [-1, 0, 13, 48])
def test_an_impossible_length_is_corrupt(length: int) -> None:
    data = batch()
    struct.pack_into(">i", data, 8, length)
    with pytest.raises(CorruptMessageError, match="claims"):
        judge(data)


def test_a_wrong_crc() -> None:
    data = batch()
    data[-1] ^= 1
    with pytest.raises(CorruptMessageError, match="CRC"):
        judge(data)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec(codec: int) -> None:
    with pytest.raises(UnsupportedCompressionTypeError, match=str(codec)):
        judge(patched(">h", 21, codec))


def test_zstd_needs_a_newer_request() -> None:
    with pytest.raises(UnsupportedCompressionTypeError, match="zstd"):
        judge(batch(codec=Codec.ZSTD), zstd_allowed=False)
    judge(batch(codec=Codec.LZ4), zstd_allowed=False)


def test_the_first_offset_must_be_zero() -> None:
    with pytest.raises(InvalidRecordError, match="base offset"):
        judge(batch(base_offset=1))


def test_a_batch_over_the_limit() -> None:
    data = batch()
    assert judge(data, max_message_bytes=len(data))
    with pytest.raises(MessageTooLargeError, match=str(len(data) - 1)):
        judge(data, max_message_bytes=len(data) - 1)


@pytest.mark.parametrize("count", [-(2**31), -1, 0, 2, 4, 2**31 - 1])
def test_a_count_that_is_not_the_offset_span(count: int) -> None:
    with pytest.raises(InvalidRecordError, match="records over"):
        judge(patched(">i", 57, count))


@pytest.mark.parametrize("delta", [-(2**31), -1, 0, 1, 3, 2**31 - 1])
def test_an_offset_span_that_is_not_the_count(delta: int) -> None:
    with pytest.raises(InvalidRecordError, match="records over"):
        judge(patched(">i", 23, delta))


def test_more_records_than_bytes() -> None:
    data = batch()
    struct.pack_into(">i", data, 57, 1_000_000)
    struct.pack_into(">i", data, 23, 999_999)
    rewrite_crc(data, 0, len(data))
    with pytest.raises(InvalidRecordError, match="cannot hold"):
        judge(data)


def test_a_producer_without_a_sequence() -> None:
    with pytest.raises(InvalidRecordError, match="sequence"):
        judge(batch(producer_id=5, producer_epoch=0, base_sequence=-1))


def test_clients_may_not_write_control_records() -> None:
    with pytest.raises(InvalidRecordError, match="control"):
        judge(batch(control=True))


def test_clients_may_not_claim_log_append_time() -> None:
    for kind in TimestampType:
        with pytest.raises(InvalidTimestampError, match="LogAppendTime"):
            judge(batch(log_append_time_ms=NOW_MS), timestamp_type=kind)


def test_clients_may_not_set_a_delete_horizon() -> None:
    with pytest.raises(InvalidRecordError, match="horizon"):
        judge(patched(">h", 21, 0x40))


def test_timestamps_have_limits_before_and_after_now() -> None:
    judge(batch(timestamp_ms=NOW_MS - 10), before_max_ms=10)
    judge(batch(timestamp_ms=NOW_MS + 10), after_max_ms=10)
    judge(batch(timestamp_ms=-1), before_max_ms=10, after_max_ms=10)
    with pytest.raises(InvalidTimestampError):
        judge(batch(timestamp_ms=NOW_MS - 11), before_max_ms=10)
    with pytest.raises(InvalidTimestampError):
        judge(batch(timestamp_ms=NOW_MS + 11), after_max_ms=10)
    judge(
        batch(timestamp_ms=0),
        before_max_ms=10,
        after_max_ms=10,
        timestamp_type=TimestampType.LOG_APPEND_TIME,
    )


def test_compacted_topics_need_keys_and_say_which_are_missing() -> None:
    judge(batch(), compacted=True)
    judge(batch(key=b""), compacted=True)
    records = [Record(0, NOW_MS, key, b"v") for key in (b"k", None, b"k", None)]
    for codec in Codec:
        data = build_batch(records, codec=codec)
        assert judge(data)
        with pytest.raises(InvalidRecordError) as caught:
            judge(data, compacted=True)
        assert [index for index, _ in caught.value.record_errors] == [1, 3]


def test_rubbish_in_a_compacted_topic_is_not_worth_a_retry() -> None:
    data = batch(codec=Codec.GZIP)
    data[61] ^= 0xFF
    rewrite_crc(data, 0, len(data))
    with pytest.raises(ApiError) as caught:
        judge(data, compacted=True)
    assert isinstance(caught.value, InvalidRecordError)
    assert not caught.value.retriable


def test_the_records_out_of_time_are_named() -> None:
    records = [Record(0, NOW_MS + shift, b"k", b"v") for shift in (0, 20, -20, 5)]
    with pytest.raises(RecordTimestampsError) as caught:
        judge(bytearray(build_batch(records)), before_max_ms=10, after_max_ms=10)
    assert [index for index, _ in caught.value.record_errors] == [1, 2]


def test_what_is_not_one_batch_is_told_from_what_a_log_refuses() -> None:
    with pytest.raises(NotOneBatchError):
        judge(batch() + batch())
    with pytest.raises(InvalidRecordError) as caught:
        judge(patched(">h", 21, 0x40))
    assert not isinstance(caught.value, NotOneBatchError)
