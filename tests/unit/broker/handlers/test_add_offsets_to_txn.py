"""The handler of AddOffsetsToTxn: the partition of the group goes to the coordinator."""

import pathlib
from typing import Any, cast

import pytest

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.base.ids import TopicPartition
from tierbroker.broker.handlers import add_offsets_to_txn
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest


@pytest.mark.parametrize(
    ("version", "said", "told"),
    [
        (1, ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH),
        (2, ErrorCode.PRODUCER_FENCED, ErrorCode.PRODUCER_FENCED),
        (4, ErrorCode.NONE, ErrorCode.NONE),
    ],
)
def test_the_group_s_partition_is_added(
    tmp_path: pathlib.Path, version: int, said: ErrorCode, told: ErrorCode
) -> None:
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    request = AddOffsetsToTxnRequest("tx", 9, 1, "g")
    answer = add_offsets_to_txn.handle(request, bench.context(version))
    place = TopicPartition("__consumer_offsets", bench.groups.partition_for("g"))
    assert transactions.calls == [(("tx", 9, 1), [place], 0)]
    assert not answer.done
    transactions.pending.resolve(said)
    assert answer.result().error_code == told
