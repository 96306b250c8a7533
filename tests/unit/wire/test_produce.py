"""Produce requests and answers, removed versions."""

from random import Random

import pytest

from tests.message_samples import api_sampler
from tierbroker.wire import produce
from tierbroker.wire.errors import DecodeError
from tierbroker.wire.messages.produce import decode_response, encode_request

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
