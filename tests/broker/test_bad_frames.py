"""Bytes that are no request: each closes its own connection and nothing else (D-14).

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

import struct
from typing import Any

import pytest

from tests.broker.wire_calls import metadata_of, produce_request
from tests.broker.wire_client import WireClient, encode_header, encode_request, framed
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.header import decode_response_header
from tierbroker.wire.messages import api_versions
from tierbroker.wire.messages.api_versions import ApiVersionsRequest
from tierbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

ONE_TOPIC = MetadataRequest(topics=[MetadataRequestTopic(name="orders")])


@pytest.mark.parametrize("size", [-1, -(2**31), 104_857_601, 2**31 - 1])
def test_a_frame_of_an_impossible_size(client: WireClient, size: int) -> None:
    client.send_bytes(struct.pack(">i", size) + encode_request(ONE_TOPIC, 1))
    client.wait_closed()


def test_another_protocol_altogether(client: WireClient) -> None:
    client.send_bytes(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n")
    client.wait_closed()


@pytest.mark.parametrize("length", [0, 1, 7, 9])
def test_a_frame_too_short_for_a_header(client: WireClient, length: int) -> None:
    client.send_bytes(framed(encode_request(ONE_TOPIC, 1)[:length]))
    client.wait_closed()


@pytest.mark.parametrize("version", [1, 9])
@pytest.mark.parametrize("missing", [1, 4, 9])
def test_a_truncated_request(client: WireClient, version: int, missing: int) -> None:
    client.send_bytes(framed(encode_request(ONE_TOPIC, version)[:-missing]))
    client.wait_closed()


def test_a_client_that_leaves_in_the_middle_of_a_request(client: WireClient) -> None:
    with client.another() as leaving:
        leaving.send_bytes(framed(encode_request(ONE_TOPIC, 1))[:-3])
    with client.another() as leaving:
        leaving.send_bytes(struct.pack(">i", 100_000_000))


def test_a_client_id_of_an_impossible_length(client: WireClient) -> None:
    client.send_bytes(framed(struct.pack(">hhih", ApiKey.METADATA, 1, 1, 0x7FFF) + bytes(8)))
    client.wait_closed()


def test_a_request_without_a_client_id(client: WireClient) -> None:
    body = encode_request(ApiVersionsRequest(), 0)[len(encode_header(18, 0, 0)) :]
    client.send_bytes(framed(encode_header(ApiKey.API_VERSIONS, 0, 77, None) + body))
    assert client.answer_of(ApiKey.API_VERSIONS, 0, 77).error_code == ErrorCode.NONE


@pytest.mark.parametrize("key", [-1, 4, 999, 2**15 - 1])
def test_an_unknown_api(client: WireClient, key: int) -> None:
    client.send_bytes(framed(encode_header(key, 0, 1) + bytes(16)))
    client.wait_closed()


@pytest.mark.parametrize(
    ("key", "version"),
    [
        (ApiKey.METADATA, 99),
        (ApiKey.METADATA, -1),
        (ApiKey.FETCH, 3),
        (ApiKey.LIST_OFFSETS, 0),
        (ApiKey.CREATE_TOPICS, 1),
    ],
)
def test_an_unknown_version(client: WireClient, key: int, version: int) -> None:
    client.send_bytes(framed(encode_header(key, version, 1) + bytes(16)))
    client.wait_closed()


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_removed_version_of_produce_is_advertised_and_refused(
    client: WireClient, version: int
) -> None:
    offered = {
        entry.api_key: entry.min_version for entry in client.call(ApiVersionsRequest(), 0).api_keys
    }
    assert offered[ApiKey.PRODUCE] == 0
    body = struct.pack(">hii", 1, 1000, 0)
    client.send_bytes(framed(encode_header(ApiKey.PRODUCE, version, 2) + body))
    client.wait_closed()


@pytest.mark.parametrize("version", [5, 99, -1])
def test_an_unknown_version_of_api_versions_is_answered_in_version_0(
    client: WireClient, version: int
) -> None:
    client.send_bytes(framed(encode_header(ApiKey.API_VERSIONS, version, 5) + b"\x00rubbish"))
    frame = client.receive_frame()
    correlation_id, position = decode_response_header(ApiKey.API_VERSIONS, 0, frame)
    response, end = api_versions.decode_response(frame, position, 0)
    assert (correlation_id, end) == (5, len(frame))
    assert response.error_code == ErrorCode.UNSUPPORTED_VERSION
    ((key, lowest, highest),) = [
        (entry.api_key, entry.min_version, entry.max_version) for entry in response.api_keys
    ]
    assert (key, lowest) == (ApiKey.API_VERSIONS, 0)
    assert highest >= 4


@pytest.mark.parametrize("name", ["", "bad name", "-leading", "trailing-"])
def test_a_software_name_of_unusual_characters(client: WireClient, name: str) -> None:
    request = ApiVersionsRequest(client_software_name=name, client_software_version="1.0")
    assert client.call(request, 3).error_code == ErrorCode.INVALID_REQUEST


# Of the topics of a ListOffsets request, which may not be null.
COUNTS = {
    "null": struct.pack(">i", -1),
    "negative": struct.pack(">i", -2),
    "lowest": struct.pack(">i", -(2**31)),
    "huge": struct.pack(">i", 2**31 - 1),
    "one too many": struct.pack(">i", 2),
}


@pytest.mark.parametrize("count", COUNTS.values(), ids=COUNTS)
def test_an_impossible_count(client: WireClient, count: bytes) -> None:
    header = encode_header(ApiKey.LIST_OFFSETS, 1, 1) + struct.pack(">i", -1)
    topic = struct.pack(">h", 6) + b"orders" + struct.pack(">iiq", 1, 0, -1)
    client.send_bytes(framed(header + count + topic))
    client.wait_closed()


@pytest.mark.parametrize("count", [b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff", b"\x05"])
def test_an_impossible_compact_count(client: WireClient, count: bytes) -> None:
    header = encode_header(ApiKey.METADATA, 9, 1, flexible=True)
    client.send_bytes(framed(header + count + b"\x07orders\x00\x01\x00\x00\x00"))
    client.wait_closed()


@pytest.mark.parametrize("length", [-1, -2, 2**15 - 1])
def test_a_string_of_an_impossible_length(client: WireClient, length: int) -> None:
    header = encode_header(ApiKey.METADATA, 1, 1)
    client.send_bytes(framed(header + struct.pack(">ih", 1, length) + b"orders"))
    client.wait_closed()


def test_records_of_an_impossible_length(client: WireClient) -> None:
    whole = encode_request(produce_request("orders", b"1234"), 3)
    client.send_bytes(framed(whole[:-8] + struct.pack(">i", 2**31 - 1) + whole[-4:]))
    client.wait_closed()


def test_tagged_fields_that_nobody_knows_are_skipped(client: WireClient) -> None:
    whole = encode_request(MetadataRequest(topics=[]), 9, 1)
    assert whole[-1] == 0
    client.send_bytes(framed(whole[:-1] + b"\x01\x63\x03abc"))
    assert client.answer_of(ApiKey.METADATA, 9, 1).topics == []


@pytest.mark.parametrize("tags", [b"\x01\x63\x7fabc", b"\xff\xff\xff\xff\x07", b"\x02\x63\x00"])
def test_tagged_fields_that_end_too_soon(client: WireClient, tags: bytes) -> None:
    whole = encode_request(MetadataRequest(topics=[]), 9, 1)
    client.send_bytes(framed(whole[:-1] + tags))
    client.wait_closed()


def test_what_stands_after_a_request_is_ignored(client: WireClient) -> None:
    client.send_bytes(framed(encode_request(MetadataRequest(topics=[]), 9, 1) + b"more"))
    assert client.answer_of(ApiKey.METADATA, 9, 1).topics == []


def test_a_name_that_is_no_utf_8(client: WireClient, kafka_broker: BrokerTarget) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka puts replacement characters into such a name and goes on")
    header = encode_header(ApiKey.METADATA, 4, 1)
    body = struct.pack(">ih", 1, 3) + b"\xff\xfe\xfd" + b"\x00"
    client.send_bytes(framed(header + body))
    client.wait_closed()


def test_one_bad_request_does_not_disturb_what_came_before_it(client: WireClient) -> None:
    good = framed(encode_request(MetadataRequest(topics=[]), 9, 1))
    client.send_bytes(good + framed(encode_header(999, 0, 2)))
    assert client.answer_of(ApiKey.METADATA, 9, 1).topics == []
    client.wait_closed()


def test_neighbours_notice_nothing(client: WireClient) -> None:
    neighbours = [client.another() for _ in range(3)]
    client.send_bytes(framed(encode_header(999, 0, 2)))
    client.wait_closed()
    answers: list[Any] = [metadata_of(neighbour) for neighbour in neighbours]
    assert len({answer.cluster_id for answer in answers}) == 1
    for neighbour in neighbours:
        neighbour.close()
