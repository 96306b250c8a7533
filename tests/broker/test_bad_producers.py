"""Producers that repeat themselves, skip, come back from the dead, or ask for impossible acks.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

import itertools
import time
from collections.abc import Callable

import pytest

from tests.broker.wire_calls import LATEST, batch_of, list_offsets, produce, produce_request
from tests.broker.wire_client import DEADLINE_S, WireClient
from tierbroker.records.batch import MAX_SEQUENCE
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest
from tierbroker.wire.messages.metadata import MetadataRequest
from tierbroker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

ALL = -1


class Producer:
    """An idempotent producer that sends whatever sequence it is told to."""

    def __init__(self, client: WireClient, topic: str) -> None:
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
        deadline = time.monotonic() + DEADLINE_S
        granted = client.call(request, 4)
        while granted.error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            assert time.monotonic() < deadline
            granted = client.call(request, 4)
        assert (granted.error_code, granted.producer_epoch) == (ErrorCode.NONE, 0)
        self.id: int = granted.producer_id
        self._client = client
        self._topic = topic

    def send(self, sequence: int, records: int = 1, epoch: int = 0) -> tuple[ErrorCode, int]:
        """The error and the base offset that one batch is answered with."""
        batch = batch_of(
            [b"v"] * records, producer_id=self.id, producer_epoch=epoch, base_sequence=sequence
        )
        answer = produce(self._client, self._topic, batch)
        return ErrorCode(answer.error_code), answer.base_offset


@pytest.fixture
def producer(client: WireClient, topic: str) -> Producer:
    return Producer(client, topic)


OK = ErrorCode.NONE
OUT_OF_ORDER = (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)


def test_every_producer_id_is_new(client: WireClient, topic: str) -> None:
    ids = [Producer(client, topic).id for _ in range(5)]
    assert len(set(ids)) == 5


def test_each_of_the_last_five_batches_is_recognised(
    client: WireClient, topic: str, producer: Producer
) -> None:
    sizes = [1, 3, 2, 4, 1, 2, 3]
    starts = list(itertools.accumulate(sizes, initial=0))
    for size, start in zip(sizes, starts, strict=False):
        assert producer.send(start, size) == (OK, start)
    for size, start in list(zip(sizes, starts, strict=False))[-5:]:
        assert producer.send(start, size) == (OK, start)
    assert list_offsets(client, topic, LATEST).offset == starts[-1]


def test_a_repeat_from_before_the_last_five_is_refused(
    client: WireClient, topic: str, producer: Producer
) -> None:
    for sequence in range(6):
        assert producer.send(sequence) == (OK, sequence)
    error, offset = producer.send(0)
    assert error in (
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode.DUPLICATE_SEQUENCE_NUMBER,
    )
    assert offset == -1
    assert list_offsets(client, topic, LATEST).offset == 6


def test_a_repeat_over_another_range_is_refused(producer: Producer) -> None:
    assert producer.send(0, 4) == (OK, 0)
    assert producer.send(0, 3) == OUT_OF_ORDER
    assert producer.send(1, 3) == OUT_OF_ORDER


def test_a_gap_is_refused_and_the_right_sequence_goes_on(producer: Producer) -> None:
    assert producer.send(0, 2) == (OK, 0)
    assert producer.send(3) == OUT_OF_ORDER
    assert producer.send(2) == (OK, 2)


def test_a_producer_that_nobody_knows_may_begin_anywhere(producer: Producer) -> None:
    """Its records may have been deleted since (KAFKA-5793)."""
    assert producer.send(41) == (OK, 0)
    assert producer.send(42) == (OK, 1)


def test_sequences_wrap_around(producer: Producer) -> None:
    assert producer.send(MAX_SEQUENCE - 2, 2) == (OK, 0)
    # One batch across the end: 2^31 - 1, then 0 and 1.
    assert producer.send(MAX_SEQUENCE, 3) == (OK, 2)
    assert producer.send(MAX_SEQUENCE, 3) == (OK, 2)
    assert producer.send(3) == OUT_OF_ORDER
    assert producer.send(2) == (OK, 5)


def test_sequences_wrap_between_two_batches(producer: Producer) -> None:
    assert producer.send(MAX_SEQUENCE) == (OK, 0)
    assert producer.send(0) == (OK, 1)


def test_a_stale_epoch_is_fenced(producer: Producer) -> None:
    assert producer.send(0, epoch=3) == (OK, 0)
    assert producer.send(1, epoch=2) == (ErrorCode.INVALID_PRODUCER_EPOCH, -1)
    assert producer.send(0, epoch=0) == (ErrorCode.INVALID_PRODUCER_EPOCH, -1)
    assert producer.send(1, epoch=3) == (OK, 1)


def test_a_new_epoch_begins_at_0(producer: Producer) -> None:
    assert producer.send(0) == (OK, 0)
    assert producer.send(1, epoch=1) == OUT_OF_ORDER
    assert producer.send(0, epoch=1) == (OK, 1)
    assert producer.send(1, epoch=0) == (ErrorCode.INVALID_PRODUCER_EPOCH, -1)


def test_a_sequence_without_a_sense(client: WireClient, topic: str, producer: Producer) -> None:
    assert producer.send(-1)[0] == ErrorCode.INVALID_RECORD
    assert list_offsets(client, topic, LATEST).offset == 0


@pytest.mark.parametrize("acks", [-2, 2, 7, 2**15 - 1])
def test_impossible_acks(client: WireClient, topic: str, acks: int) -> None:
    answer = produce(client, topic, batch_of(), acks=acks)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.INVALID_REQUIRED_ACKS, -1)
    assert list_offsets(client, topic, LATEST).offset == 0


@pytest.mark.parametrize("acks", [ALL, 0, 1])
def test_more_in_sync_replicas_wanted_than_there_are_replicas(
    client: WireClient, make_topic: Callable[..., str], acks: int
) -> None:
    """min.insync.replicas is capped at the replicas that there are (Partition.effectiveMinIsr)."""
    topic = make_topic(**{"min.insync.replicas": "2"})
    if acks == 0:
        client.send(produce_request(topic, batch_of(), acks=0), 9)
        client.ping()
    else:
        answer = produce(client, topic, batch_of(), acks=acks)
        assert answer.error_code == OK
    assert list_offsets(client, topic, LATEST).offset == 1


@pytest.mark.parametrize("acks", [ALL, 1])
@pytest.mark.parametrize("place", [("no-such-topic", 0), (None, 1), (None, -1), ("", 0)])
def test_a_partition_that_is_not_there(
    client: WireClient, topic: str, place: tuple[str | None, int], acks: int
) -> None:
    name, partition = place
    wanted = topic if name is None else name
    answer = produce(client, wanted, batch_of(), partition=partition, acks=acks)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)


def test_acks_0_is_not_answered(client: WireClient, topic: str) -> None:
    client.send(produce_request(topic, batch_of(), acks=0), 9)
    # The next answer is the one of the next request.
    assert client.call(MetadataRequest(topics=[]), 9).topics == []
    assert list_offsets(client, topic, LATEST).offset == 1


@pytest.mark.parametrize("records", [b"", b"rubbish" * 20])
def test_an_error_with_acks_0_closes_the_connection(
    client: WireClient, topic: str, records: bytes
) -> None:
    client.send(produce_request(topic, records, acks=0), 9)
    client.wait_closed()


def test_an_unknown_topic_with_acks_0_closes_the_connection(client: WireClient) -> None:
    client.send(produce_request("no-such-topic", batch_of(), acks=0), 9)
    client.wait_closed()


@pytest.mark.parametrize("version", range(3, 12))
def test_each_partition_is_answered_for_itself(
    client: WireClient, make_topic: Callable[..., str], version: int
) -> None:
    topic = make_topic(2)
    damaged = bytearray(batch_of())
    damaged[-1] ^= 1
    data = [
        PartitionProduceData(index=0, records=batch_of()),
        PartitionProduceData(index=9, records=batch_of()),
        PartitionProduceData(index=1, records=bytes(damaged)),
    ]
    request = ProduceRequest(
        acks=ALL, timeout_ms=5000, topic_data=[TopicProduceData(name=topic, partition_data=data)]
    )
    response = client.call(request, version)
    answers = {
        answer.index: (answer.error_code, answer.base_offset)
        for entry in response.responses
        for answer in entry.partition_responses
    }
    assert answers == {
        0: (OK, 0),
        9: (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1),
        1: (ErrorCode.CORRUPT_MESSAGE, -1),
    }


def test_an_empty_transactional_id(client: WireClient) -> None:
    request = InitProducerIdRequest(transactional_id="", transaction_timeout_ms=1000)
    assert client.call(request, 4).error_code == ErrorCode.INVALID_REQUEST
