"""The handler of AddPartitionsToTxn: one transaction of a client, or several of a broker."""

import pathlib
from typing import Any, cast

import pytest

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.base.ids import TopicPartition
from tierbroker.base.turns import ELEMENTS_A_TURN
from tierbroker.broker.handlers import add_partitions_to_txn
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
    encode_response,
)

PRODUCER = ("tx", 9, 1)
FENCED, UNKNOWN = ErrorCode.PRODUCER_FENCED, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
NOT_ATTEMPTED = ErrorCode.OPERATION_NOT_ATTEMPTED
FORBIDDEN = ErrorCode.TOPIC_AUTHORIZATION_FAILED

Errors = dict[tuple[str, int], int]


class Setting:
    def __init__(self, folder: pathlib.Path) -> None:
        self.bench = HandlerBench(folder)
        self.bench.add_topic("t", 2)
        self.bench.add_topic("u")
        self.bench.add_topic("__consumer_offsets")
        self.transactions = FakeTransactions()
        self.bench.services.transactions = cast("Any", self.transactions)

    def ask(
        self, version: int, *topics: tuple[str, list[int]], verify_only: bool = False
    ) -> tuple[Any, AddPartitionsToTxnRequest]:
        asked = [AddPartitionsToTxnTopic(name, partitions) for name, partitions in topics]
        if version < 4:
            request = AddPartitionsToTxnRequest([], *PRODUCER, asked)
        else:
            transaction = AddPartitionsToTxnTransaction(*PRODUCER, verify_only, asked)
            request = AddPartitionsToTxnRequest([transaction])
        return add_partitions_to_txn.handle(request, self.bench.context(version)), request

    def errors(
        self, version: int, *topics: tuple[str, list[int]], verify_only: bool = False
    ) -> Errors:
        """What is answered without the coordinator, or at once by it."""
        answer, _ = self.ask(version, *topics, verify_only=verify_only)
        return by_partition(answer.result(), version)


def by_partition(response: AddPartitionsToTxnResponse, version: int) -> Errors:
    assert encode_response(response, version)
    if version < 4:
        return _errors(response.results_by_topic_v3_and_below)
    (result,) = response.results_by_transaction
    assert result.transactional_id == "tx"
    return _errors(result.topic_results)


def _errors(topics: list[AddPartitionsToTxnTopicResult]) -> Errors:
    return {
        (topic.name, partition.partition_index): partition.partition_error_code
        for topic in topics
        for partition in topic.results_by_partition
    }


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Setting:
    return Setting(tmp_path)


@pytest.mark.parametrize(
    ("version", "said", "told"),
    [
        (0, ErrorCode.NONE, ErrorCode.NONE),
        (1, FENCED, ErrorCode.INVALID_PRODUCER_EPOCH),
        (2, FENCED, FENCED),
        (5, FENCED, FENCED),
    ],
)
def test_all_partitions_get_the_coordinator_s_answer(
    setting: Setting, version: int, said: ErrorCode, told: ErrorCode
) -> None:
    answer, _ = setting.ask(version, ("t", [1, 0, 1]), ("u", [0]))
    places = [TopicPartition("t", 1), TopicPartition("t", 0), TopicPartition("u", 0)]
    assert setting.transactions.calls == [(PRODUCER, places, 0 if version < 4 else 2)]
    setting.transactions.pending.resolve(said)
    assert by_partition(answer.result(), version) == dict.fromkeys(places, told)


@pytest.mark.parametrize("version", [0, 3, 4, 5])
def test_one_unknown_partition_fails_the_whole_transaction(setting: Setting, version: int) -> None:
    errors = setting.errors(version, ("t", [0, 7]), ("nowhere", [0]), ("u", [0]))
    assert errors == {
        ("t", 0): NOT_ATTEMPTED,
        ("t", 7): UNKNOWN,
        ("nowhere", 0): UNKNOWN,
        ("u", 0): NOT_ATTEMPTED,
    }
    assert setting.transactions.calls == []


def test_clients_may_not_add_internal_topics(setting: Setting) -> None:
    asked = [("__consumer_offsets", [0]), ("t", [0])]
    expected = {("__consumer_offsets", 0): FORBIDDEN, ("t", 0): NOT_ATTEMPTED}
    assert setting.errors(3, *asked) == expected
    assert setting.errors(3, ("__transaction_state", [0])) == {
        ("__transaction_state", 0): FORBIDDEN
    }
    assert setting.transactions.calls == []
    setting.ask(4, *asked)
    assert len(setting.transactions.calls) == 1


def test_verification_adds_nothing(setting: Setting) -> None:
    setting.transactions.verified = {
        TopicPartition("t", 0): ErrorCode.NONE,
        TopicPartition("t", 1): ErrorCode.TRANSACTION_ABORTABLE,
    }
    errors = setting.errors(5, ("t", [0, 1]), verify_only=True)
    assert errors == {("t", 0): ErrorCode.NONE, ("t", 1): ErrorCode.TRANSACTION_ABORTABLE}
    setting.transactions.verified = ErrorCode.INVALID_PRODUCER_ID_MAPPING
    errors = setting.errors(5, ("t", [0]), verify_only=True)
    assert errors == {("t", 0): ErrorCode.INVALID_PRODUCER_ID_MAPPING}


def test_a_batch_is_answered_when_all_of_it_is(setting: Setting) -> None:
    topics = [AddPartitionsToTxnTopic("t", [0])]
    request = AddPartitionsToTxnRequest(
        [
            AddPartitionsToTxnTransaction("tx", 9, 1, False, topics),
            AddPartitionsToTxnTransaction(
                "other", 10, 0, False, [AddPartitionsToTxnTopic("x", [0])]
            ),
        ]
    )
    answer = add_partitions_to_txn.handle(request, setting.bench.context(5))
    assert not answer.done
    setting.transactions.pending.resolve(ErrorCode.NONE)
    response = answer.result()
    assert {
        result.transactional_id: _errors(result.topic_results)
        for result in response.results_by_transaction
    } == {"tx": {("t", 0): 0}, "other": {("x", 0): UNKNOWN}}


def test_an_empty_batch(setting: Setting) -> None:
    answer = add_partitions_to_txn.handle(AddPartitionsToTxnRequest([]), setting.bench.context(5))
    assert answer.result().results_by_transaction == []


@pytest.mark.parametrize("version", [3, 5])
def test_many_partitions_take_turns_with_others(setting: Setting, version: int) -> None:
    """Nothing of the transaction is done before all of it was looked at."""
    count = 4 * ELEMENTS_A_TURN
    answer, _ = setting.ask(version, ("t", [0] * count), ("u", [0]))
    assert not setting.transactions.calls
    assert setting.bench.count_turns(answer, at_most=5) == 5
    assert setting.transactions.calls == [
        (PRODUCER, [TopicPartition("t", 0), TopicPartition("u", 0)], 0 if version < 4 else 2)
    ]
    setting.transactions.pending.resolve(ErrorCode.NONE)
    assert by_partition(answer.result(), version) == {("t", 0): 0, ("u", 0): 0}


def test_many_that_are_refused_take_turns_with_others(setting: Setting) -> None:
    count = 4 * ELEMENTS_A_TURN
    answer, _ = setting.ask(5, ("t", list(range(count))))
    assert setting.bench.count_turns(answer) == 8
    errors = by_partition(answer.result(), 5)
    assert list(errors.items()) == [
        (("t", index), NOT_ATTEMPTED if index < 2 else UNKNOWN) for index in range(count)
    ]


def test_many_transactions_take_turns_with_others(setting: Setting) -> None:
    count = 4 * ELEMENTS_A_TURN
    topics = [AddPartitionsToTxnTopic("t", [0])]
    request = AddPartitionsToTxnRequest(
        [
            AddPartitionsToTxnTransaction(f"tx-{number}", 9, 1, True, topics)
            for number in range(count)
        ]
    )
    answer = add_partitions_to_txn.handle(request, setting.bench.context(5))
    assert len(setting.transactions.calls) < ELEMENTS_A_TURN
    assert setting.bench.count_turns(answer) >= 8
    response = setting.bench.answered(answer)
    names = [result.transactional_id for result in response.results_by_transaction]
    assert names == [f"tx-{number}" for number in range(count)]
