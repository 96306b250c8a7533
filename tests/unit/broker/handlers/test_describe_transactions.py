"""The handler of DescribeTransactions."""

import pathlib
from typing import Any, cast

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.base.turns import ELEMENTS_A_TURN
from tierbroker.broker.handlers import describe_transactions
from tierbroker.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    TopicData,
    TransactionState,
)


def test_the_coordinator_tells(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    request = DescribeTransactionsRequest(["tx", "u"])
    answer = bench.answered(describe_transactions.handle(request, bench.context(0)))
    assert transactions.calls == [(["tx"],), (["u"],)]
    assert answer.transaction_states == transactions.described * 2


def test_many_ids_take_turns_with_others(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    ids = [f"id-{number % 1000}" for number in range(3000)]
    request = DescribeTransactionsRequest(ids)
    answering = describe_transactions.handle(request, bench.context(0))
    assert bench.count_turns(answering) == 3000 // ELEMENTS_A_TURN
    answer = bench.answered(answering)
    assert [state.transactional_id for state in answer.transaction_states] == ids[:1000]


def test_partitions_count_as_ids_do(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    topics = [TopicData("t", list(range(ELEMENTS_A_TURN)))]
    transactions.described = [TransactionState(topics=topics)]
    request = DescribeTransactionsRequest(["tx", "u", "v"])
    assert bench.count_turns(describe_transactions.handle(request, bench.context(0))) == 3
