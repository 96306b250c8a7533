"""The handler of ListTransactions."""

import pathlib
from typing import Any, cast

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import list_transactions
from tierbroker.wire.messages.list_transactions import ListTransactionsRequest


def test_the_coordinator_tells(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    request = ListTransactionsRequest(["Odd"])
    assert list_transactions.handle(request, bench.context(1)) == transactions.listed
    assert transactions.calls == [(request, 1)]
