"""The handler of EndTxn: the coordinator's answer, in words that the client knows."""

import pathlib
from typing import Any, cast

import pytest

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.broker.handlers import end_txn
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse, encode_response

FENCED, OLD_EPOCH = ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH


@pytest.mark.parametrize(
    ("version", "said", "told"),
    [
        (0, FENCED, OLD_EPOCH),
        (1, FENCED, OLD_EPOCH),
        (2, FENCED, FENCED),
        (5, FENCED, FENCED),
        (0, ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.CONCURRENT_TRANSACTIONS),
        (5, ErrorCode.NONE, ErrorCode.NONE),
    ],
)
def test_the_answer_is_the_coordinator_s(
    tmp_path: pathlib.Path, version: int, said: ErrorCode, told: ErrorCode
) -> None:
    """Trap 15."""
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    request = EndTxnRequest("tx", 9, 1, committed=True)
    answer = end_txn.handle(request, bench.context(version))
    assert transactions.calls == [(request, version)]
    transactions.pending.resolve(EndTxnResponse(error_code=said, producer_id=9, producer_epoch=2))
    assert answer.result().error_code == told
    assert encode_response(answer.result(), version)
