"""The handler of DescribeTransactions."""

import pathlib
from typing import Any, cast

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import describe_transactions
from tierbroker.wire.messages.describe_transactions import DescribeTransactionsRequest


def test_the_coordinator_tells(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    request = DescribeTransactionsRequest(["tx", "u"])
    answer = describe_transactions.handle(request, bench.context(0))
    assert transactions.calls == [(["tx", "u"],)]
    assert answer.transaction_states == transactions.described
