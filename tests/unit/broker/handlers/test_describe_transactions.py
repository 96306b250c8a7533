"""The handler of DescribeTransactions."""

import asyncio
import pathlib
from typing import Any, cast

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import describe_transactions
from tierbroker.wire.messages.describe_transactions import DescribeTransactionsRequest


async def test_the_coordinator_tells(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    request = DescribeTransactionsRequest(["tx", "u"])
    answer = await describe_transactions.handle(request, bench.context(0))
    assert transactions.calls == [(["tx", "u"],)]
    assert answer.transaction_states == transactions.described


async def test_many_ids_take_turns_with_others(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    ids = [f"id-{number % 1000}" for number in range(3000)]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    request = DescribeTransactionsRequest(ids)
    answer = await describe_transactions.handle(request, bench.context(0))
    beside.cancel()
    assert [state.transactional_id for state in answer.transaction_states] == ids[:1000]
    assert turns == 3
