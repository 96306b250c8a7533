"""Produced bytes that are no sound batch: refused with Kafka's code, and nothing is appended.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

import struct
from collections.abc import Callable

import pytest

from tests.broker.wire_calls import LATEST, batch_of, fetch, list_offsets, now_ms, produce
from tests.broker.wire_client import WireClient
from tierbroker.records.batch import BatchHeader, pack_header, read_header
from tierbroker.records.checksum import crc32c
from tierbroker.records.compression import Codec
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode

DAY_MS = 86_400_000
CRC_POSITION, CRC_START, HEADER_BYTES = 17, 21, 61


def altered(batch: bytes, **fields: int) -> bytes:
    """The batch with header fields replaced and the CRC made right again."""
    header: BatchHeader = read_header(batch)._replace(**fields)
    data = bytearray(pack_header(header) + batch[HEADER_BYTES:])
    struct.pack_into(">I", data, CRC_POSITION, crc32c(memoryview(data)[CRC_START:]))
    return bytes(data)


def assert_refused(
    client: WireClient, topic: str, records: bytes | None, code: ErrorCode, version: int = 9
) -> None:
    """The one partition answers `code` with no offset, and the log is as it was."""
    before = list_offsets(client, topic, LATEST).offset
    answer = produce(client, topic, records, version=version)
    assert (ErrorCode(answer.error_code), answer.base_offset) == (code, -1)
    assert list_offsets(client, topic, LATEST).offset == before


@pytest.mark.parametrize("position", [CRC_POSITION, CRC_START, 30, 57, 61, -1])
def test_a_wrong_crc(client: WireClient, topic: str, position: int) -> None:
    batch = bytearray(batch_of([b"some value"]))
    batch[position] ^= 0x40
    assert_refused(client, topic, bytes(batch), ErrorCode.CORRUPT_MESSAGE)


def test_a_message_format_of_the_future(client: WireClient, topic: str) -> None:
    assert_refused(client, topic, altered(batch_of(), magic=3), ErrorCode.CORRUPT_MESSAGE)


@pytest.mark.parametrize("magic", [0, 1])
def test_a_message_format_of_the_past(client: WireClient, topic: str, magic: int) -> None:
    stamp = struct.pack(">q", now_ms()) if magic else b""
    content = struct.pack(">bb", magic, 0) + stamp + struct.pack(">ii5s", -1, 5, b"value")
    # Those formats have a CRC-32, not a CRC-32C; nothing reads so far.
    message = struct.pack(">I", 0) + content
    old = struct.pack(">qi", 0, len(message)) + message
    assert_refused(client, topic, old + bytes(61), ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("records", [None, b""], ids=["null", "empty"])
def test_no_batch_at_all(
    client: WireClient, topic: str, kafka_broker: BrokerTarget, records: bytes | None
) -> None:
    if records is None and not kafka_broker.embedded:
        pytest.skip("Apache Kafka never answers this")
    assert_refused(client, topic, records, ErrorCode.INVALID_RECORD)


def test_two_batches_for_one_partition(client: WireClient, topic: str) -> None:
    assert_refused(client, topic, batch_of() + batch_of(), ErrorCode.INVALID_RECORD)


def test_a_batch_that_is_cut_short(client: WireClient, topic: str) -> None:
    assert_refused(client, topic, batch_of()[:-3], ErrorCode.INVALID_RECORD)


@pytest.mark.parametrize("length", [-1, 0, 13, -(2**31)])
def test_a_batch_that_claims_to_be_smaller_than_its_header(
    client: WireClient, topic: str, length: int
) -> None:
    batch = altered(batch_of(), batch_length=length)
    assert_refused(client, topic, batch, ErrorCode.CORRUPT_MESSAGE)


@pytest.mark.parametrize(
    "fields",
    [
        {"record_count": 2},
        {"record_count": 0, "last_offset_delta": -1},
        {"record_count": -1},
        {"last_offset_delta": 5},
        {"last_offset_delta": -2, "record_count": -1},
    ],
)
def test_a_count_that_does_not_match_the_offsets(
    client: WireClient, topic: str, fields: dict[str, int]
) -> None:
    assert_refused(client, topic, altered(batch_of(), **fields), ErrorCode.INVALID_RECORD)


def test_a_base_offset_other_than_0(client: WireClient, topic: str) -> None:
    batch = altered(batch_of(), base_offset=7)
    assert_refused(client, topic, batch, ErrorCode.INVALID_RECORD)


def test_control_records_of_a_client(client: WireClient, topic: str) -> None:
    batch = altered(batch_of(producer_id=5, producer_epoch=0, base_sequence=0), attributes=0x20)
    assert_refused(client, topic, batch, ErrorCode.INVALID_RECORD)


def test_log_append_time_of_a_client(
    client: WireClient, topic: str, kafka_broker: BrokerTarget
) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka writes such a batch anew")
    batch = altered(batch_of(), attributes=0x08)
    assert_refused(client, topic, batch, ErrorCode.INVALID_TIMESTAMP)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_nobody_knows(client: WireClient, topic: str, codec: int) -> None:
    answer = produce(client, topic, altered(batch_of(), attributes=codec))
    # Kafka does not name it; either way a client does not try again.
    assert answer.error_code in (
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
        ErrorCode.UNKNOWN_SERVER_ERROR,
    )
    assert list_offsets(client, topic, LATEST).offset == 0


def test_zstd_before_its_version(client: WireClient, topic: str) -> None:
    batch = batch_of(codec=Codec.ZSTD)
    assert_refused(client, topic, batch, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, version=6)
    assert produce(client, topic, batch, version=7).error_code == ErrorCode.NONE


def rubbish(codec: Codec) -> bytes:
    """A sound header over bytes that do not decompress."""
    batch = batch_of([b"x" * 50])
    content = bytes(range(100, 150))
    header = read_header(batch)._replace(
        attributes=int(codec), batch_length=HEADER_BYTES - 12 + len(content)
    )
    return altered(pack_header(header) + content)


CODECS = [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]


@pytest.mark.parametrize("codec", CODECS)
def test_compressed_rubbish_where_records_must_be_opened(
    client: WireClient, make_topic: Callable[..., str], codec: Codec
) -> None:
    for settings in ({"compression.type": "uncompressed"}, {"cleanup.policy": "compact"}):
        topic = make_topic(**settings)
        before = list_offsets(client, topic, LATEST).offset
        answer = produce(client, topic, rubbish(codec))
        # Kafka does not name it; either way a client does not try again.
        assert answer.error_code in (ErrorCode.INVALID_RECORD, ErrorCode.UNKNOWN_SERVER_ERROR)
        assert list_offsets(client, topic, LATEST).offset == before
        assert produce(client, topic, batch_of(key=b"k")).error_code == ErrorCode.NONE


def test_a_batch_that_inflates_without_end(
    client: WireClient, make_topic: Callable[..., str]
) -> None:
    """The claim is small, the content is not: what it inflates to is never held."""
    topic = make_topic(**{"compression.type": "uncompressed", "max.message.bytes": "20000"})
    bomb = batch_of([bytes(50_000_000)], codec=Codec.ZSTD)
    assert len(bomb) < 20_000
    answer = produce(client, topic, bomb)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.MESSAGE_TOO_LARGE, -1)
    assert produce(client, topic, batch_of()).base_offset == 0


def test_a_batch_larger_than_the_topic_allows(
    client: WireClient, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(**{"max.message.bytes": "1000"})
    assert_refused(client, topic, batch_of([bytes(1000)]), ErrorCode.MESSAGE_TOO_LARGE)
    assert produce(client, topic, batch_of([bytes(900)])).error_code == ErrorCode.NONE


def test_a_batch_larger_than_a_segment(client: WireClient, make_topic: Callable[..., str]) -> None:
    topic = make_topic(**{"segment.bytes": "1048576", "max.message.bytes": "3000000"})
    assert_refused(client, topic, batch_of([bytes(1_100_000)]), ErrorCode.RECORD_LIST_TOO_LARGE)
    assert produce(client, topic, batch_of()).error_code == ErrorCode.NONE


@pytest.mark.parametrize("shift_ms", [-3 * DAY_MS, 3 * DAY_MS], ids=["old", "ahead"])
def test_timestamps_out_of_bounds(
    client: WireClient, make_topic: Callable[..., str], shift_ms: int
) -> None:
    topic = make_topic(
        **{
            "message.timestamp.before.max.ms": str(DAY_MS),
            "message.timestamp.after.max.ms": str(DAY_MS),
        }
    )
    before = list_offsets(client, topic, LATEST).offset
    answer = produce(client, topic, batch_of(timestamp_ms=now_ms() + shift_ms))
    assert answer.error_code == ErrorCode.INVALID_TIMESTAMP
    assert list_offsets(client, topic, LATEST).offset == before
    assert produce(client, topic, batch_of()).error_code == ErrorCode.NONE


def test_records_without_a_key_in_a_compacted_topic(
    client: WireClient, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(**{"cleanup.policy": "compact"})
    answer = produce(client, topic, batch_of([b"one", b"two"]))
    assert (answer.error_code, answer.base_offset) == (ErrorCode.INVALID_RECORD, -1)
    assert [error.batch_index for error in answer.record_errors] == [0, 1]
    assert produce(client, topic, batch_of(key=b"k")).base_offset == 0


def test_a_refused_partition_does_not_stop_the_others(
    client: WireClient, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(2)
    bad = bytearray(batch_of())
    bad[-1] ^= 1
    assert produce(client, topic, bytes(bad), partition=0).error_code == ErrorCode.CORRUPT_MESSAGE
    assert produce(client, topic, batch_of(), partition=1).base_offset == 0
    assert fetch(client, topic, 0, partition=1).records


@pytest.mark.parametrize("codec", CODECS)
def test_compressed_rubbish_is_opaque_to_a_topic_that_need_not_open_it(
    client: WireClient, topic: str, codec: Codec, kafka_broker: BrokerTarget
) -> None:
    """D-1: the CRC is right, so the batch is taken as it is."""
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka opens every batch")
    answer = produce(client, topic, rubbish(codec))
    assert answer.error_code == ErrorCode.NONE
    assert bytes(fetch(client, topic).records)[HEADER_BYTES:] == bytes(range(100, 150))
