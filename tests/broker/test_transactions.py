"""Transactions over the wire, in both protocols: what readers and groups see, who is fenced.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable

import pytest

from tests.broker.group_calls import (
    wait_until,
)
from tests.broker.transaction_calls import (
    TransactionalProducer,
    await_transactions,
    new_id,
    patiently,
    stable_offset,
)
from tests.broker.wire_calls import LATEST, fetch, list_offsets
from tests.broker.wire_client import WireClient
from tierbroker.records.batch import walk
from tierbroker.records.record import iterate
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from tierbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from tierbroker.wire.messages.list_transactions import ListTransactionsRequest

OK = ErrorCode.NONE
FENCED, OLD_EPOCH = ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH
READ_COMMITTED = 1

Make = Callable[..., TransactionalProducer]


def values_of(client: WireClient, topic: str) -> list[bytes | None]:
    """What a reader of committed records is left with."""
    answer = fetch(client, topic, isolation_level=READ_COMMITTED)
    assert answer.error_code == OK
    data = bytes(answer.records or b"")
    aborted = [(entry.producer_id, entry.first_offset) for entry in answer.aborted_transactions]
    assert aborted == sorted(aborted, key=lambda pair: pair[1])
    values: list[bytes | None] = []
    skipped: set[int] = set()
    for position, header in walk(data):
        for producer_id, first in aborted:
            if header.producer_id == producer_id and header.base_offset == first:
                skipped.add(producer_id)
        if header.control:
            skipped.discard(header.producer_id)
        elif header.producer_id not in skipped:
            values += [record.value for record in iterate(memoryview(data)[position:])]
    return values


# --- readers


def test_records_count_once_committed(
    client: WireClient, topic: str, producer: TransactionalProducer
) -> None:
    producer.begin_with(topic, b"a", b"b")
    assert values_of(client, topic) == []
    assert producer.state() == "Ongoing"
    assert producer.end() == OK
    wait_until(lambda: values_of(client, topic) == [b"a", b"b"], "the marker is there")
    assert list_offsets(client, topic, LATEST).offset == 3


def test_aborted_records_are_never_seen(
    client: WireClient, topic: str, producer: TransactionalProducer
) -> None:
    producer.begin_with(topic, b"a")
    assert producer.end(commit=False) == OK
    producer.begin_with(topic, b"b")
    assert producer.end() == OK
    wait_until(lambda: values_of(client, topic) == [b"b"], "both markers are there")
    assert len(fetch(client, topic, isolation_level=READ_COMMITTED).aborted_transactions) == 1
    assert fetch(client, topic).aborted_transactions in (None, [])


def test_many_transactions_one_after_another(
    client: WireClient, topic: str, producer: TransactionalProducer
) -> None:
    for number in range(10):
        producer.begin_with(topic, b"%d" % number)
        assert producer.end(commit=number % 3 != 0) == OK
    expected = [b"%d" % number for number in range(10) if number % 3]
    wait_until(lambda: values_of(client, topic) == expected, "all markers are there")


# --- trap 13: what the two protocols differ in


def test_every_transaction_of_the_new_protocol_has_its_own_epoch(
    client: WireClient, topic: str, producer: TransactionalProducer
) -> None:
    epochs = [producer.epoch]
    for _ in range(3):
        producer.begin_with(topic)
        assert producer.end() == OK
        epochs.append(producer.epoch)
    assert epochs == ([0, 1, 2, 3] if producer.implicit else [0, 0, 0, 0])


@pytest.mark.parametrize("commit", [True, False])
def test_the_end_of_a_transaction_may_be_repeated(
    client: WireClient, topic: str, commit: bool
) -> None:
    producer = TransactionalProducer(client, implicit=True)
    producer.init()
    producer.begin_with(topic)
    before = producer.epoch
    assert producer.end(commit=commit) == OK
    after = producer.epoch
    producer.epoch = before
    answer = patiently(
        lambda: producer.try_end(commit=commit, version=5), lambda answer: answer.error_code
    )
    assert (answer.error_code, answer.producer_epoch) == (OK, after)
    other = producer.try_end(commit=not commit, version=5)
    assert other.error_code == ErrorCode.INVALID_TXN_STATE


def test_a_partition_that_was_not_added(
    client: WireClient, topic: str, old: TransactionalProducer
) -> None:
    assert old.send(topic, version=11) == ErrorCode.TRANSACTION_ABORTABLE
    assert old.send(topic, version=10) == ErrorCode.INVALID_TXN_STATE
    assert list_offsets(client, topic, LATEST).offset == 0


# --- trap 14: one transaction at a time


def test_who_comes_anew_ends_what_is_open(
    client: WireClient, topic: str, producer: TransactionalProducer
) -> None:
    producer.begin_with(topic, b"lost")
    successor = TransactionalProducer(client, producer.transactional_id, implicit=producer.implicit)
    first = successor.try_init()
    assert first.error_code == ErrorCode.CONCURRENT_TRANSACTIONS
    assert successor.init() == OK
    assert successor.id == producer.id
    assert successor.epoch > producer.epoch
    successor.begin_with(topic, b"kept")
    assert successor.end() == OK
    wait_until(lambda: values_of(client, topic) == [b"kept"], "the markers are there")


def test_nothing_to_end(producer: TransactionalProducer) -> None:
    if producer.implicit:
        assert producer.end(commit=False) == OK
        assert producer.end(commit=True) == ErrorCode.INVALID_TXN_STATE
    else:
        assert producer.end() == ErrorCode.INVALID_TXN_STATE


# --- trap 15: who was fenced is told so in words that the version knows


@pytest.fixture
def zombie(client: WireClient, topic: str, old: TransactionalProducer) -> TransactionalProducer:
    """Another producer has taken over from this one."""
    old.begin_with(topic)
    assert old.end() == OK
    successor = TransactionalProducer(client, old.transactional_id)
    assert successor.init() == OK
    return old


@pytest.mark.parametrize("version", range(5))
def test_a_zombie_ends_nothing(zombie: TransactionalProducer, version: int) -> None:
    assert zombie.end(version=version) == (OLD_EPOCH if version < 2 else FENCED)


@pytest.mark.parametrize("version", range(4))
def test_a_zombie_adds_no_partitions(
    zombie: TransactionalProducer, topic: str, version: int
) -> None:
    told = OLD_EPOCH if version < 2 else FENCED
    assert zombie.add((topic, 0), version=version) == {(topic, 0): told}


@pytest.mark.parametrize("version", range(5))
def test_a_zombie_adds_no_offsets(zombie: TransactionalProducer, group: str, version: int) -> None:
    told = OLD_EPOCH if version < 2 else FENCED
    assert zombie.add_offsets(group, version=version) == told


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_zombie_does_not_come_back(zombie: TransactionalProducer, version: int) -> None:
    answer = zombie.try_init(version, producer_id=zombie.id, producer_epoch=zombie.epoch)
    assert answer.error_code == (OLD_EPOCH if version < 4 else FENCED)
    assert (answer.producer_id, answer.producer_epoch) == (-1, -1)


@pytest.mark.parametrize("version", [9, 10, 11, 12])
def test_a_zombie_writes_nothing(
    client: WireClient, zombie: TransactionalProducer, topic: str, version: int
) -> None:
    end = list_offsets(client, topic, LATEST).offset
    assert zombie.send(topic, version=version) == OLD_EPOCH
    assert list_offsets(client, topic, LATEST).offset == end


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_zombie_commits_no_offsets(
    client: WireClient,
    zombie: TransactionalProducer,
    topic: str,
    group: str,
    version: int,
) -> None:
    assert zombie.commit_offset(group, topic, 5, version=version) == OLD_EPOCH
    assert stable_offset(client, group, topic) == (OK, -1, -1)


# --- AddPartitionsToTxn


@pytest.mark.parametrize("version", range(6))
def test_one_unknown_partition_fails_all(
    topic: str, old: TransactionalProducer, version: int
) -> None:
    errors = old.add((topic, 0), (topic, 9), ("nowhere", 0), version=version)
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert errors == {
        (topic, 0): ErrorCode.OPERATION_NOT_ATTEMPTED,
        (topic, 9): unknown,
        ("nowhere", 0): unknown,
    }
    assert old.state() == "Empty"


def test_clients_do_not_add_internal_topics(
    topic: str, group: str, old: TransactionalProducer
) -> None:
    errors = old.add(("__consumer_offsets", 0), (topic, 0))
    assert errors == {
        ("__consumer_offsets", 0): ErrorCode.TOPIC_AUTHORIZATION_FAILED,
        (topic, 0): ErrorCode.OPERATION_NOT_ATTEMPTED,
    }


def test_a_broker_only_verifies(
    client: WireClient, make_topic: Callable[..., str], old: TransactionalProducer
) -> None:
    topic = make_topic(2)
    assert old.add((topic, 0)) == {(topic, 0): OK}

    def verify(version: int, epoch: int) -> dict[int, int]:
        asked = [AddPartitionsToTxnTopic(topic, [0, 1])]
        request = AddPartitionsToTxnRequest(
            [AddPartitionsToTxnTransaction(old.transactional_id, old.id, epoch, True, asked)]
        )
        (result,) = client.call(request, version).results_by_transaction
        (entry,) = result.topic_results
        return {
            part.partition_index: part.partition_error_code for part in entry.results_by_partition
        }

    assert verify(5, old.epoch) == {0: OK, 1: ErrorCode.TRANSACTION_ABORTABLE}
    assert verify(4, old.epoch) == {0: OK, 1: ErrorCode.TRANSACTION_ABORTABLE}
    assert set(verify(5, old.epoch + 1).values()) == {FENCED}


# --- who coordinates, and what is told of transactions


@pytest.mark.parametrize("version", range(1, 7))
def test_somebody_coordinates_every_transactional_id(client: WireClient, version: int) -> None:
    await_transactions(client)
    name = new_id()
    if version < 4:
        answer = client.call(FindCoordinatorRequest(key=name, key_type=1), version)
        assert (answer.error_code, answer.error_message) == (OK, "NONE")
        assert answer.port > 0
    else:
        request = FindCoordinatorRequest(coordinator_keys=[name, "b"], key_type=1)
        answer = client.call(request, version)
        assert [(found.key, found.error_code) for found in answer.coordinators] == [
            (name, OK),
            ("b", OK),
        ]


def test_transactions_are_described_and_listed(
    client: WireClient, make_topic: Callable[..., str], old: TransactionalProducer
) -> None:
    topic = make_topic(3)
    assert old.state() == "Empty"
    old.add((topic, 2), (topic, 0))
    described = old.described()
    assert described.error_code == OK
    assert (described.transaction_state, described.producer_id) == ("Ongoing", old.id)
    assert (described.producer_epoch, described.transaction_timeout_ms) == (old.epoch, 60_000)
    assert described.transaction_start_time_ms > 0
    assert [(found.topic, sorted(found.partitions)) for found in described.topics] == [
        (topic, [0, 2])
    ]
    listed = client.call(ListTransactionsRequest(["Ongoing", "Odd"], [old.id]), 1)
    assert [(row.transactional_id, row.transaction_state) for row in listed.transaction_states] == [
        (old.transactional_id, "Ongoing")
    ]
    assert listed.unknown_state_filters == ["Odd"]
    assert old.end(commit=False) == OK
    wait_until(lambda: old.state() == "CompleteAbort", "the marker is written")


def test_an_id_that_nobody_used(client: WireClient) -> None:
    await_transactions(client)
    stranger = TransactionalProducer(client)
    assert stranger.described().error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    assert stranger.end() == ErrorCode.INVALID_PRODUCER_ID_MAPPING


def test_a_timeout_that_nobody_may_ask_for(client: WireClient) -> None:
    producer = TransactionalProducer(client)
    assert producer.init(timeout_ms=0) == ErrorCode.INVALID_TRANSACTION_TIMEOUT
    assert producer.init(timeout_ms=2**31 - 1) == ErrorCode.INVALID_TRANSACTION_TIMEOUT
