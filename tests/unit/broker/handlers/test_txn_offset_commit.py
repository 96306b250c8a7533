"""The handler of TxnOffsetCommit: through the gate to the group, what exists."""

import pathlib
from typing import Any, cast

import pytest

from tests.fake_transactions import FakeGate, FakeTransactionalGroups
from tests.handler_bench import HandlerBench
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import txn_offset_commit
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
    encode_response,
)

UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
LOADING = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
VERSIONS = range(6)

Errors = dict[str, list[tuple[int, int]]]


class Setting:
    def __init__(self, folder: pathlib.Path) -> None:
        self.bench = HandlerBench(folder)
        self.topic_id = self.bench.add_topic("t", 2)
        self.gate = FakeGate()
        self.groups = FakeTransactionalGroups()
        self.bench.services.txn_gate = cast("Any", self.gate)
        self.bench.services.groups = cast("Any", self.groups)

    def ask(self, version: int, *topics: tuple[str, list[int]], group_id: str = "g") -> Any:
        request = TxnOffsetCommitRequest(
            "tx",
            group_id,
            9,
            1,
            topics=[
                TxnOffsetCommitRequestTopic(
                    name, [TxnOffsetCommitRequestPartition(index, 5) for index in partitions]
                )
                for name, partitions in topics
            ],
        )
        answer = txn_offset_commit.handle(request, self.bench.context(version))
        if not isinstance(answer, Pending):
            answered: Pending[TxnOffsetCommitResponse] = Pending()
            answered.resolve(answer)
            return answered
        return answer


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Setting:
    made = Setting(tmp_path)
    made.bench.add_topic("__consumer_offsets", 2)
    return made


def errors(answer: Pending[TxnOffsetCommitResponse], version: int = 5) -> Errors:
    response = answer.result()
    assert encode_response(response, version)
    return {
        topic.name: [(part.partition_index, part.error_code) for part in topic.partitions]
        for topic in response.topics
    }


def accepted(error: ErrorCode, *partitions: int) -> TxnOffsetCommitResponse:
    answers = [TxnOffsetCommitResponsePartition(index, error) for index in partitions]
    return TxnOffsetCommitResponse(topics=[TxnOffsetCommitResponseTopic("t", answers)])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_gate_is_asked_and_then_the_group_within_the_same_call(
    setting: Setting, version: int
) -> None:
    answer = setting.ask(version, ("t", [0, 1]))
    how = {"implicit": version >= 5, "knows_abortable": version >= 4}
    assert setting.gate.calls == [(("tx", 9, 1), ("__consumer_offsets", 1), how)]
    assert setting.groups.calls == []
    setting.gate.answer()
    ((request, topic_ids),) = setting.groups.calls
    assert [partition.partition_index for partition in request.topics[0].partitions] == [0, 1]
    assert topic_ids == {"t": setting.topic_id}
    assert not answer.done
    setting.groups.pending.resolve(accepted(ErrorCode.NONE, 0, 1))
    assert errors(answer, version) == {"t": [(0, 0), (1, 0)]}


def test_what_the_gate_refuses_never_reaches_the_group(setting: Setting) -> None:
    answer = setting.ask(4, ("t", [0, 1]), ("gone", [0]))
    setting.gate.answer(ErrorCode.TRANSACTION_ABORTABLE)
    refused = ErrorCode.TRANSACTION_ABORTABLE
    assert errors(answer) == {"gone": [(0, UNKNOWN)], "t": [(0, refused), (1, refused)]}
    assert setting.groups.calls == []


def test_what_does_not_exist_is_refused_and_the_rest_committed(setting: Setting) -> None:
    answer = setting.ask(5, ("t", [7, 1]), ("gone", [0]))
    setting.gate.answer()
    setting.groups.pending.resolve(accepted(ErrorCode.NONE, 1))
    assert errors(answer) == {"t": [(7, UNKNOWN), (1, 0)], "gone": [(0, UNKNOWN)]}


def test_nothing_that_exists_asks_nobody(setting: Setting) -> None:
    assert errors(setting.ask(5, ("t", [2]), ("gone", [0]))) == {
        "t": [(2, UNKNOWN)],
        "gone": [(0, UNKNOWN)],
    }
    assert setting.gate.calls == []


@pytest.mark.parametrize(
    ("version", "told"), [(1, ErrorCode.COORDINATOR_NOT_AVAILABLE), (2, LOADING), (5, LOADING)]
)
def test_old_clients_do_not_know_of_loading(
    setting: Setting, version: int, told: ErrorCode
) -> None:
    answer = setting.ask(version, ("t", [0]))
    setting.gate.answer()
    setting.groups.pending.resolve(accepted(LOADING, 0))
    assert errors(answer, version) == {"t": [(0, told)]}


def test_a_group_needs_a_name(setting: Setting) -> None:
    answer = setting.ask(5, ("t", [0]), group_id="")
    assert errors(answer) == {"t": [(0, ErrorCode.INVALID_GROUP_ID)]}
    assert setting.gate.calls == []


def test_a_group_that_is_kept_elsewhere(setting: Setting) -> None:
    setting.bench.partitions.held["__consumer_offsets", 1].retire()
    answer = setting.ask(5, ("t", [0]))
    assert errors(answer) == {"t": [(0, ErrorCode.NOT_COORDINATOR)]}


def test_no_groups_yet(tmp_path: pathlib.Path) -> None:
    answer = Setting(tmp_path).ask(5, ("t", [0]))
    assert errors(answer) == {"t": [(0, ErrorCode.COORDINATOR_NOT_AVAILABLE)]}
