"""Transactions as a partition sees them: what must not be written, markers by hand, aborted lists.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.group_calls import wait_until
from tests.broker.transaction_calls import TransactionalProducer, new_id
from tests.broker.wire_calls import batch_of, fetch, produce_request, topic_id_of
from tests.broker.wire_client import WireClient
from tierbroker.base.ids import Uuid
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tierbroker.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tierbroker.wire.produce import PartitionProduceData, ProduceRequest, TopicProduceData

OK = ErrorCode.NONE
COMMITTED = 1


@pytest.fixture
def producer(client: WireClient) -> TransactionalProducer:
    made = TransactionalProducer(client)
    assert made.init() == OK
    return made


@pytest.fixture
def modern(client: WireClient) -> TransactionalProducer:
    made = TransactionalProducer(client, implicit=True)
    assert made.init() == OK
    return made


def send(
    producer: TransactionalProducer,
    topic: str,
    sequence: int,
    *,
    version: int = 11,
    transactional: bool = True,
    transactional_id: str | None = "",
    epoch: int | None = None,
) -> tuple[ErrorCode, int]:
    """One batch by hand: the error, and the log start that the answer tells."""
    batch = batch_of(
        producer_id=producer.id,
        producer_epoch=producer.epoch if epoch is None else epoch,
        base_sequence=sequence,
        transactional=transactional,
    )
    name = producer.transactional_id if transactional_id == "" else transactional_id
    request = produce_request(topic, batch, transactional_id=name)
    if version >= 13:
        request.topic_data[0].topic_id = topic_id_of(producer.client, topic)
    answer = producer.client.call(request, version).responses[0].partition_responses[0]
    return ErrorCode(answer.error_code), answer.log_start_offset


def mark(
    producer: TransactionalProducer,
    topic: str,
    *,
    commit: bool = False,
    epoch: int | None = None,
    coordinator_epoch: int = 0,
    transaction_version: int = 0,
    partition: int = 0,
) -> ErrorCode:
    """A marker by hand."""
    marker = WritableTxnMarker(
        producer.id,
        producer.epoch if epoch is None else epoch,
        commit,
        [WritableTxnMarkerTopic(topic, [partition])],
        coordinator_epoch,
        transaction_version,
    )
    response = producer.client.call(WriteTxnMarkersRequest([marker]), 2)
    (result,) = response.markers
    assert result.producer_id == producer.id
    return ErrorCode(result.topics[0].partitions[0].error_code)


def committed(client: WireClient, topic: str, offset: int = 0, **how: Any) -> Any:
    return fetch(client, topic, offset, isolation_level=COMMITTED, **how)


def aborted(answer: Any) -> list[tuple[int, int]]:
    """Sorted: Kafka's list has the order of the markers."""
    return sorted((txn.producer_id, txn.first_offset) for txn in answer.aborted_transactions)


def latest(client: WireClient, topic: str, isolation_level: int) -> int:
    asked = ListOffsetsPartition(partition_index=0, timestamp=-1)
    request = ListOffsetsRequest(-1, isolation_level, [ListOffsetsTopic(topic, [asked])])
    return int(client.call(request, 7).topics[0].partitions[0].offset)


@pytest.mark.parametrize("version", [3, 7, 9, 10])
def test_a_partition_that_was_not_added_for_an_old_client(
    producer: TransactionalProducer, topic: str, version: int
) -> None:
    error, _ = send(producer, topic, 0, version=version)
    assert error == ErrorCode.INVALID_TXN_STATE
    assert latest(producer.client, topic, 0) == 0


def test_a_partition_that_was_not_added(producer: TransactionalProducer, topic: str) -> None:
    assert send(producer, topic, 0) == (ErrorCode.TRANSACTION_ABORTABLE, -1)


def test_a_batch_behind_the_end(producer: TransactionalProducer, topic: str) -> None:
    producer.begin_with(topic)
    assert producer.end() == OK
    # The end is answered before the markers are written.
    wait_until(lambda: latest(producer.client, topic, COMMITTED) == 2, "the marker is visible")
    assert send(producer, topic, 1)[0] in (
        ErrorCode.TRANSACTION_ABORTABLE,
        ErrorCode.NOT_ENOUGH_REPLICAS,
    )
    assert latest(producer.client, topic, 0) == 2


def test_a_transactional_batch_without_a_transactional_id(
    producer: TransactionalProducer, topic: str
) -> None:
    code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert send(producer, topic, 0, transactional_id=None)[0] == code


def test_a_plain_batch_within_the_transaction(producer: TransactionalProducer, topic: str) -> None:
    producer.begin_with(topic)
    assert send(producer, topic, 1, transactional=False)[0] == ErrorCode.INVALID_TXN_STATE
    assert send(producer, topic, 1)[0] == OK


def test_a_plain_batch_with_a_transactional_id(producer: TransactionalProducer, topic: str) -> None:
    assert send(producer, topic, 0, transactional=False)[0] == OK
    assert latest(producer.client, topic, COMMITTED) == 1


def test_somebody_elses_transactional_id(producer: TransactionalProducer, topic: str) -> None:
    code = ErrorCode.INVALID_PRODUCER_ID_MAPPING
    for version in (9, 11, 12):
        assert send(producer, topic, 0, version=version, transactional_id=new_id())[0] == code


@pytest.mark.parametrize("version", [9, 11, 12])
def test_an_epoch_of_the_future(producer: TransactionalProducer, topic: str, version: int) -> None:
    code = ErrorCode.INVALID_PRODUCER_EPOCH
    assert send(producer, topic, 0, version=version, epoch=producer.epoch + 1)[0] == code


def test_a_new_producer_begins_with_0(modern: TransactionalProducer, topic: str) -> None:
    code = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(modern, topic, 3, version=12)[0] == code
    assert send(modern, topic, 0, version=12)[0] == OK
    assert modern.end() == OK
    assert send(modern, topic, 1, version=12)[0] in (code, ErrorCode.CONCURRENT_TRANSACTIONS)


def test_topics_by_their_ids(modern: TransactionalProducer, topic: str) -> None:
    assert modern.send(topic, version=13) == OK
    request = ProduceRequest(None, -1, 5000, [TopicProduceData(partition_data=[])])
    request.topic_data[0].topic_id = Uuid(os.urandom(16))
    request.topic_data[0].partition_data = [PartitionProduceData(0, batch_of())]
    answer = modern.client.call(request, 13).responses[0]
    assert answer.topic_id == request.topic_data[0].topic_id
    (partition,) = answer.partition_responses
    assert (partition.error_code, partition.base_offset) == (ErrorCode.UNKNOWN_TOPIC_ID, -1)


def test_offsets_up_to_which_everything_is_decided(
    producer: TransactionalProducer, topic: str
) -> None:
    client = producer.client
    producer.begin_with(topic)
    for isolation_level in (0, COMMITTED):
        answer = fetch(client, topic, isolation_level=isolation_level)
        assert (answer.high_watermark, answer.last_stable_offset) == (1, 0)
        assert bool(answer.records) == (isolation_level == 0)
        assert (answer.aborted_transactions is None) == (isolation_level == 0)
    assert (latest(client, topic, COMMITTED), latest(client, topic, 0)) == (0, 1)
    # Beyond what is decided there is nothing, and nothing wrong.
    answer = committed(client, topic, 1)
    assert (answer.error_code, bool(answer.records), aborted(answer)) == (OK, False, [])
    assert mark(producer, topic) == OK
    assert latest(client, topic, COMMITTED) == 2


def test_aborted_lists(client: WireClient, make_topic: Callable[..., str]) -> None:
    topic = make_topic(1)
    first, second, third = (TransactionalProducer(client) for _ in range(3))
    for each in (first, second, third):
        assert each.init() == OK
        each.begin_with(topic)
    assert mark(second, topic) == OK  # at offset 3
    assert aborted(committed(client, topic)) == []
    assert mark(first, topic) == OK
    assert aborted(committed(client, topic)) == sorted([(first.id, 0), (second.id, 1)])
    assert mark(third, topic, commit=True) == OK
    assert aborted(committed(client, topic, 2)) == sorted([(first.id, 0), (second.id, 1)])
    assert aborted(committed(client, topic, 4)) == [(first.id, 0)]
    assert aborted(committed(client, topic, 5)) == []


def test_markers_of_the_old_protocol(producer: TransactionalProducer, topic: str) -> None:
    producer.begin_with(topic)
    assert mark(producer, topic, coordinator_epoch=5) == OK
    # Once more: nothing is open, and it does no harm.
    assert mark(producer, topic, coordinator_epoch=5) == OK
    code = ErrorCode.TRANSACTION_COORDINATOR_FENCED
    assert mark(producer, topic, coordinator_epoch=4) == code
    assert mark(producer, topic, coordinator_epoch=5, epoch=producer.epoch + 1) == OK
    code = ErrorCode.INVALID_PRODUCER_EPOCH
    assert mark(producer, topic, coordinator_epoch=5) == code


def test_markers_of_the_new_protocol(modern: TransactionalProducer, topic: str) -> None:
    modern.begin_with(topic)
    how = {"coordinator_epoch": 5, "transaction_version": 2}
    assert mark(modern, topic, **how) == ErrorCode.INVALID_PRODUCER_EPOCH  # type: ignore[arg-type]
    for _ in range(2):
        assert mark(modern, topic, epoch=modern.epoch + 1, **how) == OK  # type: ignore[arg-type]
    code = ErrorCode.INVALID_PRODUCER_EPOCH
    assert send(modern, topic, 1, version=12)[0] == code


def test_a_marker_for_a_producer_that_nobody_knows(
    producer: TransactionalProducer, topic: str
) -> None:
    assert mark(producer, topic, coordinator_epoch=2) == OK
    request = DescribeProducersRequest([TopicRequest(topic, [0])])
    (one,) = producer.client.call(request, 0).topics[0].partitions[0].active_producers
    assert (one.producer_id, one.producer_epoch, one.last_sequence) == (
        producer.id,
        producer.epoch,
        -1,
    )
    assert (one.coordinator_epoch, one.current_txn_start_offset) == (2, -1)


def test_a_marker_for_no_partition(producer: TransactionalProducer, topic: str) -> None:
    assert mark(producer, topic, partition=7) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_an_open_transaction_is_described(producer: TransactionalProducer, topic: str) -> None:
    producer.begin_with(topic)
    request = DescribeProducersRequest([TopicRequest(topic, [0])])
    (one,) = producer.client.call(request, 0).topics[0].partitions[0].active_producers
    assert (one.last_sequence, one.coordinator_epoch, one.current_txn_start_offset) == (0, -1, 0)
