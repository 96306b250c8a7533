"""The handler of InitProducerId: new ids, and transactions that are refused for good."""

import asyncio
import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import NotControllerError
from tierbroker.broker.handlers import init_producer_id
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest


def request(transactional_id: str | None = None) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=1)


async def test_it_waits_for_a_block(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    waiting = asyncio.ensure_future(init_producer_id.handle(request(), bench.context(4)))
    await asyncio.sleep(0)
    bench.granted[0].resolve(range(2000, 3000))
    answer = await waiting
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, 2000, 0)
    following = await init_producer_id.handle(request(), bench.context(4))
    assert following.producer_id == 2001


async def test_no_block_is_an_error(tmp_path: pathlib.Path) -> None:
    bench = HandlerBench(tmp_path)
    waiting = asyncio.ensure_future(init_producer_id.handle(request(), bench.context(4)))
    await asyncio.sleep(0)
    bench.granted[0].fail(NotControllerError("elsewhere"))
    answer = await waiting
    assert answer.error_code == ErrorCode.NOT_CONTROLLER
    assert (answer.producer_id, answer.producer_epoch) == (-1, -1)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("tx", ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        ("", ErrorCode.INVALID_REQUEST),
    ],
)
async def test_transactions_cost_no_id(tmp_path: pathlib.Path, name: str, code: ErrorCode) -> None:
    bench = HandlerBench(tmp_path)
    answer = await init_producer_id.handle(request(name), bench.context(4))
    assert (answer.error_code, answer.producer_id) == (code, -1)
    assert bench.granted == []


@pytest.mark.parametrize(("producer", "epoch"), [(5, -1), (-1, 0)])
async def test_half_an_identity_is_refused(
    tmp_path: pathlib.Path, producer: int, epoch: int
) -> None:
    asked = InitProducerIdRequest(transactional_id=None, producer_id=producer, producer_epoch=epoch)
    answer = await init_producer_id.handle(asked, HandlerBench(tmp_path).context(4))
    assert (answer.error_code, answer.producer_id) == (ErrorCode.INVALID_REQUEST, -1)
