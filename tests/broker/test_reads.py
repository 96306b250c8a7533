"""Reads that a consumer repeats all day: what they answer when there is little or nothing."""

import time

import pytest

from tests.broker.wire_calls import batch_of, fetch, fetch_request, produce
from tests.broker.wire_client import WireClient


@pytest.mark.parametrize("version", [4, 11, 12])
@pytest.mark.parametrize("offset", [1, 7])
def test_no_records_are_empty_records(
    client: WireClient, topic: str, version: int, offset: int
) -> None:
    """librdkafka takes null for a malformed answer (invalid MessageSetSize -1) and backs off."""
    produce(client, topic, batch_of())
    assert fetch(client, topic, offset, version=version).records == b""


def test_no_records_of_an_unknown_partition_are_empty_records(
    client: WireClient, topic: str
) -> None:
    answer = fetch(client, topic, partition=9)
    assert (answer.error_code, answer.records) == (3, b"")


def test_what_is_left_of_a_full_segment_does_not_wait_for_more(
    client: WireClient, make_topic
) -> None:
    """More cannot come behind it in the same read, however many bytes the consumer wants."""
    topic = make_topic(**{"internal.segment.bytes": "200"})
    for _ in range(3):
        produce(client, topic, batch_of([b"v" * 80]))
    started = time.monotonic()
    request = fetch_request(topic, 0, min_bytes=100_000, max_wait_ms=8000)
    ((answer,),) = (entry.partitions for entry in client.call(request, 11).responses)
    assert answer.records
    assert time.monotonic() - started < 4
