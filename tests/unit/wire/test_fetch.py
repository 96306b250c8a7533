"""Fetch answers packed by hand are those of the generated encoder, and slices stay slices."""

from random import Random

import pytest

from tests.message_samples import api_sampler
from tierbroker.base.parts import FileSlice, parts_length
from tierbroker.wire import fetch
from tierbroker.wire.errors import DecodeError, EncodeError
from tierbroker.wire.messages.fetch import decode_response, encode_request, encode_response

VERSIONS = range(fetch.FIRST_VERSION, fetch.LAST_VERSION + 1)
TAGGED = {"diverging_epoch", "current_leader", "snapshot_id"}


class NoLease:
    def release(self) -> None:
        raise AssertionError


def part(records: fetch.PartitionData | object, **fields: object) -> fetch.PartitionData:
    values = {"high_watermark": 5, "last_stable_offset": 4, "log_start_offset": 1, **fields}
    return fetch.PartitionData(records=records, **values)  # type: ignore[arg-type]


def answer(*partitions: fetch.PartitionData) -> fetch.FetchResponse:
    topic = fetch.FetchableTopicResponse("orders", bytes(range(16)), list(partitions))
    return fetch.FetchResponse(responses=[topic])


def joined(parts: list[object]) -> bytes:
    return b"".join(bytes(p) for p in parts)  # type: ignore[call-overload]


@pytest.mark.parametrize("version", VERSIONS)
def test_equal_to_the_generated_encoder(version: int) -> None:
    rng = Random(version)
    for fullness in (0.0, 0.3, 0.6, 0.9, 1.0):
        for _ in range(10):
            response = api_sampler(1, "response", rng, fullness).instance(version)
            assert joined(fetch.encode_fetch_response(response, version)) == encode_response(
                response, version
            )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 1023, 16382, 16383, 16384, 2**21 - 2, 2**21])
def test_records_of_every_length_class(version: int, size: int) -> None:
    response = answer(part(bytes(size), aborted_transactions=None), part(None), part(bytes(size)))
    assert joined(fetch.encode_fetch_response(response, version)) == encode_response(
        response, version
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_slices_stay_whole_between_the_bytes(version: int) -> None:
    one, other = FileSlice(7, 100, 5000, NoLease()), FileSlice(8, 0, 10, NoLease())
    aborted = [fetch.AbortedTransaction(4, 2), fetch.AbortedTransaction(5, 3)]
    response = answer(part(one), part(None), part(other, aborted_transactions=aborted))
    parts = fetch.encode_fetch_response(response, version, b"head")
    assert [p for p in parts if isinstance(p, FileSlice)] == [one, other]
    filled = joined([bytes(p.length) if isinstance(p, FileSlice) else p for p in parts])
    assert filled[:4] == b"head"
    assert len(filled) == parts_length(parts)
    expected = answer(part(bytes(5000)), part(None), part(bytes(10), aborted_transactions=aborted))
    assert filled[4:] == encode_response(expected, version)


def test_large_bytes_are_not_copied() -> None:
    records = memoryview(bytearray(100_000))
    parts = fetch.encode_fetch_response(answer(part(records)), 12)
    assert any(p is records for p in parts)


@pytest.mark.parametrize("version", [4, 11, 12, 13, 16, 18])
def test_a_hundred_partitions(version: int) -> None:
    response = answer(*[part(bytes(i), partition_index=i) for i in range(200)])
    data = joined(fetch.encode_fetch_response(response, version))
    again, end = decode_response(data, 0, version)
    assert end == len(data)
    assert [p.partition_index for p in again.responses[0].partitions] == list(range(200))


def test_a_version_that_fetch_does_not_have() -> None:
    for version in (3, 19):
        with pytest.raises(EncodeError, match=f"no version {version}"):
            fetch.encode_fetch_response(fetch.FetchResponse(), version)
        with pytest.raises(DecodeError, match=f"no version {version}"):
            fetch.decode_fetch(b"", 0, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_requests(version: int) -> None:
    rng = Random(version)
    request = api_sampler(1, "request", rng, 0.9).instance(version)
    data = b"header" + encode_request(request, version)
    assert fetch.decode_fetch(data, 6, version) == request
    assert fetch.decode_fetch(data + b"x", 6, version) == request  # Kafka takes it too
