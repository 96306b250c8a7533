"""The handler of InitProducerId: new ids, and ids that a transactional id has."""

import asyncio
import pathlib
from typing import Any, cast

import pytest

from tests.fake_transactions import FakeTransactions
from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import init_producer_id
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)


def request(transactional_id: str | None = None) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=1)


def ask(
    asked: InitProducerIdRequest, bench: HandlerBench, version: int = 4
) -> Pending[InitProducerIdResponse]:
    answer = init_producer_id.handle(asked, bench.context(version))
    assert isinstance(answer, Pending)
    return answer


def test_it_waits_for_a_block(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    waiting = ask(request(), bench)
    assert not waiting.done
    bench.granted[0].resolve(range(2000, 3000))
    answer = waiting.result()
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, 2000, 0)
    assert ask(request(), bench).result().producer_id == 2001


async def test_it_can_be_waited_for(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    waiting = asyncio.ensure_future(_await(ask(request(), bench)))
    await asyncio.sleep(0)
    bench.granted[0].resolve(range(7, 8))
    assert (await waiting).producer_id == 7


async def _await(pending: Pending[InitProducerIdResponse]) -> InitProducerIdResponse:
    return await pending


def test_no_block_is_an_error(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    waiting = ask(request(), bench)
    bench.granted[0].fail(NotControllerError("elsewhere"))
    answer = waiting.result()
    assert answer.error_code == ErrorCode.NOT_CONTROLLER
    assert (answer.producer_id, answer.producer_epoch) == (-1, -1)


@pytest.mark.parametrize("name", [None, "tx"])
@pytest.mark.parametrize(("producer", "epoch"), [(5, -1), (-1, 0)])
def test_half_an_identity_is_refused(
    tmp_path: pathlib.Path, producer: int, epoch: int, name: str | None
) -> None:
    asked = InitProducerIdRequest(transactional_id=name, producer_id=producer, producer_epoch=epoch)
    answer = init_producer_id.handle(asked, HandlerBench(tmp_path).context(4))
    assert isinstance(answer, InitProducerIdResponse)
    assert (answer.error_code, answer.producer_id) == (ErrorCode.INVALID_REQUEST, -1)


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (3, ErrorCode.INVALID_PRODUCER_EPOCH),
        (4, ErrorCode.PRODUCER_FENCED),
        (5, ErrorCode.PRODUCER_FENCED),
    ],
)
def test_a_transactional_id_is_its_coordinator_s(
    tmp_path: pathlib.Path, version: int, code: ErrorCode
) -> None:
    """Trap 15: who is fenced is told so in words that the version knows."""
    bench = HandlerBench(tmp_path)
    transactions = FakeTransactions()
    bench.services.transactions = cast("Any", transactions)
    asked = request("tx")
    answer = ask(asked, bench, version)
    assert transactions.calls == [(asked, version)]
    transactions.pending.resolve(
        InitProducerIdResponse(error_code=ErrorCode.PRODUCER_FENCED, producer_epoch=-1)
    )
    assert answer.result().error_code == code
    assert bench.granted == []
