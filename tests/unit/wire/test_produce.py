"""Produce requests and answers, removed versions."""

from random import Random

import pytest

from tests.message_samples import api_sampler
from tierbroker.serde.errors import EncodeError
from tierbroker.wire import produce
from tierbroker.wire.errors import DecodeError
from tierbroker.wire.messages.produce import (
    BatchIndexAndErrorMessage,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

VERSIONS = range(produce.FIRST_VERSION, 14)


@pytest.mark.parametrize("version", VERSIONS)
def test_requests(version: int) -> None:
    request = api_sampler(0, "request", Random(version), 0.9).instance(version)
    data = b"header" + encode_request(request, version)
    assert produce.decode_produce(data, 6, version) == request
    assert produce.decode_produce(data + b"x", 6, version) == request  # Kafka takes it too


@pytest.mark.parametrize("version", [0, 1, 2, 14])
def test_removed_and_unknown_versions(version: int) -> None:
    with pytest.raises(DecodeError, match=f"no version {version}"):
        produce.decode_produce(b"", 0, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_responses(version: int) -> None:
    response = api_sampler(0, "response", Random(version), 0.9).instance(version)
    data = produce.encode_produce_response(response, version, b"head")
    assert data[:4] == b"head"
    assert decode_response(data, 4, version) == (response, len(data))


def test_the_known_bytes_of_version_7() -> None:
    partition = produce.PartitionProduceResponse(1, 0, 5, -1, 0)
    topic = produce.TopicProduceResponse("t", partition_responses=[partition])
    data = produce.encode_produce_response(produce.ProduceResponse([topic], 0), 7)
    assert data.hex(" ") == (
        "00 00 00 01 00 01 74 00 00 00 01 00 00 00 01 00 00 "
        "00 00 00 00 00 00 00 05 ff ff ff ff ff ff ff ff 00 00 00 00 00 00 00 00 00 00 00 00"
    )


def one_batch(**fields: object) -> produce.ProduceRequest:
    """The request of an ordinary producer."""
    data = produce.PartitionProduceData(3, memoryview(b"r" * 200))
    topic = produce.TopicProduceData("orders", partition_data=[data])
    return produce.ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[topic], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 20_000])
@pytest.mark.parametrize("transactional_id", [None, "", "tx-1", "x" * 126, "x" * 127, "ä" * 200])
def test_the_ordinary_request_is_read_as_the_generated_codec_reads_it(
    version: int, size: int, transactional_id: str | None
) -> None:
    request = one_batch(transactional_id=transactional_id)
    request.topic_data[0].partition_data[0].records = memoryview(b"r" * size)
    data = encode_request(request, version)
    expected, end = decode_request(data, 0, version)
    assert end == len(data)
    assert produce.decode_produce(data, 0, version) == expected


@pytest.mark.parametrize("transactional_id", [None, "tx"])
@pytest.mark.parametrize("version", range(9, 14))
def test_an_ordinary_request_that_ends_too_soon(version: int, transactional_id: str | None) -> None:
    data = encode_request(one_batch(transactional_id=transactional_id), version)
    for end in range(len(data)):
        with pytest.raises(DecodeError):
            produce.decode_produce(data[:end], 0, version)


@pytest.mark.parametrize("version", range(9, 13))
@pytest.mark.parametrize("name", ["", "o" * 126, "o" * 127, "ö" * 100])
def test_names_of_every_length(version: int, name: str) -> None:
    request = one_batch(transactional_id=None)
    request.topic_data[0].name = name
    assert produce.decode_produce(encode_request(request, version), 0, version) == request
    item = produce.PartitionProduceResponse(2, 0, 77, -1, 5)
    response = produce.ProduceResponse(
        [produce.TopicProduceResponse(name, partition_responses=[item])]
    )
    assert produce.encode_produce_response(response, version, b"p") == b"p" + encode_response(
        response, version
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_ordinary_is_not_lost(version: int) -> None:
    """Each seldom used field for itself, beside an otherwise ordinary answer."""
    for change in (
        {"error_message": "why"},
        {"error_message": ""},
        {"record_errors": [BatchIndexAndErrorMessage(1, "bad")]},
        {"current_leader": produce.LeaderIdAndEpoch(1, 2)},
        {"error_code": 6},
    ):
        item = produce.PartitionProduceResponse(2, 0, 77, -1, 5)
        for field, value in change.items():
            setattr(item, field, value)
        topic = produce.TopicProduceResponse("orders", partition_responses=[item])
        for response in (
            produce.ProduceResponse([topic], 9),
            produce.ProduceResponse([topic, topic]),
            produce.ProduceResponse([topic], 0, [produce.NodeEndpoint(1, "h", 9)]),
        ):
            try:
                expected = encode_response(response, version)
            except EncodeError:
                continue  # a field that this version does not have
            assert produce.encode_produce_response(response, version) == expected
