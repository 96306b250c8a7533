"""The rules that all generated codecs share, shown on a few of them."""

import tracemalloc

import pytest

from tierbroker.controller.records.no_op_record import NoOpRecord, decode, encode
from tierbroker.serde.errors import DecodeError, EncodeError
from tierbroker.wire.messages import api_versions, create_topics, fetch, heartbeat, metadata


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(DecodeError, match="MetadataRequest has no version 14"):
        metadata.decode_request(b"", 0, 14)
    with pytest.raises(EncodeError, match="MetadataRequest has no version -1"):
        metadata.encode_request(metadata.MetadataRequest(), -1)


def test_a_field_that_the_version_lacks_must_not_be_set() -> None:
    request = metadata.MetadataRequest(include_topic_authorized_operations=True)
    with pytest.raises(EncodeError, match="include_topic_authorized_operations is set"):
        metadata.encode_request(request, 7)
    assert metadata.encode_request(request, 8)


def test_an_ignorable_field_that_the_version_lacks_is_left_out() -> None:
    response = metadata.MetadataResponse(cluster_id="abc", throttle_time_ms=9)
    again, _ = metadata.decode_response(metadata.encode_response(response, 1), 0, 1)
    assert again == metadata.MetadataResponse()


def test_null_where_the_version_allows_none() -> None:
    with pytest.raises(EncodeError, match="MetadataRequest version 0"):
        metadata.encode_request(metadata.MetadataRequest(topics=None), 0)
    with pytest.raises(DecodeError, match="topics is null"):
        metadata.decode_request(b"\xff\xff\xff\xff", 0, 0)
    with pytest.raises(DecodeError, match="topics has length -2"):
        metadata.decode_request(b"\xff\xff\xff\xfe", 0, 1)


def test_a_number_that_does_not_fit_is_refused() -> None:
    topic = create_topics.CreatableTopic("a", num_partitions=2**31)
    with pytest.raises(EncodeError, match="CreateTopicsRequest version 5"):
        create_topics.encode_request(create_topics.CreateTopicsRequest([topic]), 5)


def test_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(DecodeError, match="utf-8"):
        metadata.decode_request(b"\0\0\0\1\0\2\xff\xff", 0, 0)


def test_a_value_that_ends_beyond_the_buffer_is_refused() -> None:
    with pytest.raises(DecodeError, match="ends 3 bytes too soon"):
        metadata.decode_request(b"\0\0\0\1\0\5ab", 0, 0)


@pytest.mark.parametrize("count", [2**31 - 1, 1_000_001, 100])
def test_a_count_beyond_the_bytes_allocates_nothing(count: int) -> None:
    data = count.to_bytes(4, "big") + bytes(20)
    tracemalloc.start()
    with pytest.raises(DecodeError, match=f"topics claims {count} elements"):
        metadata.decode_request(data, 0, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


def test_an_array_has_at_most_a_million_elements() -> None:
    data = (1_000_001).to_bytes(4, "big") + bytes(2 * 1_000_001)
    with pytest.raises(DecodeError, match="claims 1000001 elements"):
        metadata.decode_request(data, 0, 0)


def test_unknown_tagged_fields_are_skipped() -> None:
    plain = api_versions.encode_request(api_versions.ApiVersionsRequest("a", "1"), 3)
    assert plain[-1:] == b"\0"
    tagged = plain[:-1] + b"\x02\x05\x03abc\x8f\x4e\x00"
    again, end = api_versions.decode_request(tagged, 0, 3)
    assert again == api_versions.ApiVersionsRequest("a", "1")
    assert end == len(tagged)


def test_more_than_ten_thousand_tagged_fields_are_refused() -> None:
    with pytest.raises(DecodeError, match="10001 tagged fields"):
        api_versions.decode_request(b"\x02a\x021\x91\x4e" + bytes(30_000), 0, 3)


def test_a_tagged_field_must_fill_its_size() -> None:
    request = fetch.FetchRequest(cluster_id="abcdef")
    data = fetch.encode_request(request, 12)
    assert data.endswith(b"\x01\x00\x07\x07abcdef")
    broken = data[: -len(b"\x07\x07abcdef")] + b"\x08\x07abcdef\0"
    with pytest.raises(DecodeError, match="cluster_id does not take 8 bytes"):
        fetch.decode_request(broken, 0, 12)


def test_byte_fields_are_views_of_the_frame() -> None:
    from tierbroker.wire.messages import produce

    partition = produce.PartitionProduceData(0, b"records")
    topic = produce.TopicProduceData("t", partition_data=[partition])
    frame = bytearray(produce.encode_request(produce.ProduceRequest(topic_data=[topic]), 7))
    again, _ = produce.decode_request(frame, 0, 7)
    records = again.topic_data[0].partition_data[0].records
    assert type(records) is memoryview
    frame[frame.index(b"records")] = ord("R")
    assert records == b"Records"


def test_a_record_carries_tagged_fields_it_does_not_know() -> None:
    record = NoOpRecord(unknown_tagged_fields={10000: b"tier state", 3: b""})
    data = encode(record, 0)
    assert data == b"\x02\x03\x00\x90\x4e\x0atier state"
    again, end = decode(data, 0, 0)
    assert again == record
    assert end == len(data)
    with pytest.raises(DecodeError, match="10000 ends 1 bytes too soon"):
        decode(data[:-1], 0, 0)


@pytest.mark.parametrize("length", [127, 128, 32_767, 32_768, 1 << 20])
def test_texts_are_no_longer_than_kafka_reads_them(length: int) -> None:
    data = heartbeat.encode_request(heartbeat.HeartbeatRequest(group_id="x" * length), 4)
    if length > 32_767:
        with pytest.raises(DecodeError, match=f"group_id has {length} bytes"):
            heartbeat.decode_request(data, 0, 4)
    else:
        request, _ = heartbeat.decode_request(data, 0, 4)
        assert len(request.group_id) == length
