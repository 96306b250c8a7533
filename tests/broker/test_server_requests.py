"""Requests and answers over real sockets: splits, order, pipelining, bad input."""

import asyncio
import logging
import random
import socket
import struct
from typing import Any

import pytest

from tests.socket_server import (
    FETCH,
    METADATA,
    PRODUCE,
    Later,
    echo,
    number_of,
    on_both_loops,
    request,
    serving,
    wait_until,
)
from tierbroker.base.errors import CloseConnection
from tierbroker.base.pending import Pending


@on_both_loops
async def test_one_request_one_answer() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        for number in range(50):
            await client.send(request(number, size=8 + number))
            assert await client.answer() == number.to_bytes(4, "big") + bytes(number)


@on_both_loops
async def test_a_request_byte_by_byte() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        for byte in request(7, size=30) + request(8):
            await client.send(bytes([byte]))
        assert await client.answer_number() == 7
        assert await client.answer_number() == 8


@on_both_loops
async def test_slow_clients_do_not_hold_up_others() -> None:
    async with serving(echo) as server:
        slow = [await server.connect() for _ in range(20)]
        stream = request(1, size=40)
        quick = await server.connect()
        for position in range(len(stream)):
            for client in slow:
                await client.send(stream[position : position + 1])
            await quick.send(request(position))
            assert await quick.answer_number() == position
        for client in slow:
            assert await client.answer_number() == 1


@on_both_loops
async def test_large_requests_arrive_unchanged() -> None:
    seen: list[bytes] = []

    def dispatch(peer: Any, frame: bytearray) -> list[bytes]:
        assert type(frame) is bytearray
        seen.append(bytes(frame))
        return [b"done"]

    async with serving(dispatch) as server:
        client = await server.connect()
        payloads = [bytes(range(256)) * count for count in (200, 300, 5000, 30_000, 1)]
        for payload in payloads:
            await client.send(struct.pack(">i", len(payload)) + payload)
            assert await client.answer() == b"done"
        assert seen == payloads


@on_both_loops
async def test_pipelined_answers_keep_the_order() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(b"".join(request(number) for number in range(5000)))
        assert [await client.answer_number() for _ in range(5000)] == list(range(5000))


@on_both_loops
async def test_produce_answers_that_resolve_out_of_order() -> None:
    later = Later()
    async with serving(later) as server:
        client = await server.connect()
        await client.send(b"".join(request(number, PRODUCE) for number in range(10)))
        await wait_until(lambda: len(later.started) == 10)
        for number in (3, 9, 1, 0, 2, 8, 7, 5, 6, 4):
            later.answer(number)
        assert [await client.answer_number() for _ in range(10)] == list(range(10))


@on_both_loops
async def test_other_requests_wait_for_their_turn() -> None:
    later = Later()
    async with serving(later) as server:
        client = await server.connect()
        await client.send(request(1, FETCH) + request(2, PRODUCE) + request(3, METADATA))
        await client.send(request(4, METADATA))
        await wait_until(lambda: later.started == [1])
        later.answer(1)
        assert later.started == [1, 2]
        later.answer(2)
        later.answer(3)
        await wait_until(lambda: later.started == [1, 2, 3, 4])
        later.answer(4)
        assert [await client.answer_number() for _ in range(4)] == [1, 2, 3, 4]


@on_both_loops
async def test_pending_produce_requests_are_bounded() -> None:
    later = Later()
    async with serving(later, max_in_flight=5) as server:
        client = await server.connect()
        await client.send(b"".join(request(number, PRODUCE) for number in range(12)))
        await wait_until(lambda: len(later.started) >= 5)
        assert later.started == [0, 1, 2, 3, 4]
        for number in range(12):
            later.answer(number)
        assert [await client.answer_number() for _ in range(12)] == list(range(12))


@on_both_loops
async def test_acks_0_is_never_answered() -> None:
    def dispatch(peer: Any, frame: bytearray) -> list[bytes] | Pending[Any] | None:
        number = number_of(frame)
        if number % 3 == 0:
            return None
        if number % 3 == 1:
            promise: Pending[Any] = Pending()
            asyncio.get_running_loop().call_soon(promise.resolve, None)
            return promise
        return [frame[4:8]]

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(b"".join(request(number, PRODUCE) for number in range(30)))
        got = [await client.answer_number() for _ in range(10)]
        assert got == [number for number in range(30) if number % 3 == 2]


@on_both_loops
async def test_answers_of_one_turn_leave_in_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later()
    async with serving(later) as server:
        client = await server.connect()
        await client.send(b"".join(request(number, PRODUCE) for number in range(40)))
        await wait_until(lambda: len(later.started) == 40)
        calls = []
        send = socket.socket.send
        monkeypatch.setattr(
            socket.socket, "send", lambda self, *rest: calls.append(1) or send(self, *rest)
        )
        for number in range(39):
            later.answer(number)
        assert calls == []
        later.answer(39)  # the last one in flight: no reason to wait any longer
        assert calls == [1]
        assert [await client.answer_number() for _ in range(40)] == list(range(40))
        await client.send(request(50, PRODUCE) + request(51, PRODUCE))
        await wait_until(lambda: len(later.started) == 42)
        later.answer(50)
        assert await client.answer_number() == 50
        later.answer(51)
        assert await client.answer_number() == 51


@on_both_loops
async def test_a_promise_that_is_kept_already() -> None:
    def dispatch(peer: Any, frame: bytearray) -> Pending[Any]:
        promise: Pending[Any] = Pending()
        promise.resolve([frame[4:8]])
        return promise

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(request(1) + request(2))
        assert [await client.answer_number() for _ in range(2)] == [1, 2]


@on_both_loops
async def test_a_promise_resolved_while_another_request_is_dispatched() -> None:
    promises: list[Pending[Any]] = []

    def dispatch(peer: Any, frame: bytearray) -> Pending[Any] | list[bytes]:
        if number_of(frame) == 1:
            promises.append(Pending())
            return promises[0]
        promises[0].resolve([b"\x00\x00\x00\x01"])
        return [frame[4:8]]

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(request(1, PRODUCE) + request(2, PRODUCE))
        assert [await client.answer_number() for _ in range(2)] == [1, 2]


@on_both_loops
async def test_a_flood_of_small_requests_leaves_turns_to_others() -> None:
    turns: list[int] = []
    served_in_turn = [0]

    def dispatch(peer: Any, frame: bytearray) -> list[bytes]:
        served_in_turn[0] += 1
        return [frame[4:8]]

    async with serving(dispatch) as server:
        client = await server.connect()
        loop = asyncio.get_running_loop()

        def end_of_turn() -> None:
            turns.append(served_in_turn[0])
            served_in_turn[0] = 0
            if sum(turns) < 4000:
                loop.call_soon(end_of_turn)

        loop.call_soon(end_of_turn)
        await client.send(b"".join(request(number) for number in range(4000)))
        assert [await client.answer_number() for _ in range(4000)] == list(range(4000))
        await wait_until(lambda: sum(turns) == 4000)
        assert max(turns) <= 2 * 64


@on_both_loops
async def test_a_half_closed_flood_is_answered_to_the_end() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(b"".join(request(number) for number in range(1000)))
        client.finish_sending()
        assert [await client.answer_number() for _ in range(1000)] == list(range(1000))
        assert await client.is_closed()


@on_both_loops
async def test_a_handler_that_stops_the_server() -> None:
    promises: list[Pending[Any]] = []
    async with serving(lambda peer, frame: stop(frame)) as server:

        def stop(frame: bytearray) -> Pending[Any]:
            promises.append(Pending())
            server.server.stop()
            return promises[0]

        client = await server.connect()
        await client.send(request(1))
        assert await client.is_closed()
        promises[0].resolve([b"too late"])


@pytest.mark.parametrize("size", [-(2**31), -1, 0, 7, 100_001, 0x7FFFFFFF])
@on_both_loops
async def test_impossible_sizes_close_after_the_earlier_answers(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(echo, request_max_bytes=100_000) as server:
        client = await server.connect()
        with caplog.at_level(logging.WARNING):
            await client.send(request(1) + request(2) + struct.pack(">i", size) + b"x" * 50)
            assert [await client.answer_number() for _ in range(2)] == [1, 2]
            assert await client.is_closed()
        assert [str(size) in record.message for record in caplog.records] == [True]
        other = await server.connect()
        await other.send(request(3))
        assert await other.answer_number() == 3


@on_both_loops
async def test_bad_requests_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo) as server:
        with caplog.at_level(logging.WARNING):
            for _ in range(100):
                client = await server.connect()
                await client.send(struct.pack(">i", -1))
                assert await client.is_closed()
        assert 1 <= len(caplog.records) < 40


@on_both_loops
async def test_a_handler_closes_after_the_earlier_answers() -> None:
    promises: list[Pending[Any]] = []

    def dispatch(peer: Any, frame: bytearray) -> Pending[Any]:
        if number_of(frame) == 3:
            raise CloseConnection("not this one")
        promises.append(Pending())
        return promises[-1]

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(b"".join(request(number, PRODUCE) for number in range(1, 6)))
        await wait_until(lambda: len(promises) == 2)
        promises[1].resolve([(2).to_bytes(4, "big")])
        promises[0].resolve([(1).to_bytes(4, "big")])
        assert [await client.answer_number() for _ in range(2)] == [1, 2]
        assert await client.is_closed()


@on_both_loops
async def test_a_promise_that_closes_the_connection() -> None:
    later = Later()
    async with serving(later) as server:
        client = await server.connect()
        await client.send(b"".join(request(number, PRODUCE) for number in range(4)))
        await wait_until(lambda: len(later.started) == 4)
        later.answer(3)
        later.promises[1].fail(CloseConnection("acks=0 failed"))
        later.answer(0)
        assert await client.answer_number() == 0
        assert await client.is_closed()
        assert later.cancelled == [2]


@on_both_loops
async def test_a_bug_of_a_handler_is_reported_not_swallowed() -> None:
    def dispatch(peer: Any, frame: bytearray) -> Any:
        if number_of(frame) == 1:
            raise ZeroDivisionError("bug")
        promise: Pending[Any] = Pending()
        asyncio.get_running_loop().call_soon(promise.fail, KeyError("late bug"))
        return promise

    async with serving(dispatch) as server:
        server.expected_errors = 2
        for number in (1, 2):
            client = await server.connect()
            await client.send(request(number))
            assert await client.is_closed()
        assert [type(error) for error in server.errors] == [ZeroDivisionError, KeyError]


@on_both_loops
async def test_a_half_closed_client_gets_its_answers() -> None:
    later = Later()
    async with serving(later) as server:
        client = await server.connect()
        await client.send(request(1, FETCH) + request(2, FETCH))
        client.finish_sending()
        await wait_until(lambda: later.started == [1])
        later.answer(1)
        later.answer(2)
        assert [await client.answer_number() for _ in range(2)] == [1, 2]
        assert await client.is_closed()
        await wait_until(lambda: server.server.connection_count == 0)


@on_both_loops
async def test_a_half_closed_client_is_not_kept_for_ever() -> None:
    later = Later()
    async with serving(later, half_closed_s=0.1) as server:
        client = await server.connect()
        await client.send(request(1, FETCH))
        client.finish_sending()
        assert await client.is_closed()
        assert later.cancelled == [1]


@on_both_loops
async def test_a_client_that_leaves_cancels_what_it_waited_for() -> None:
    later = Later()
    async with serving(later) as server:
        client = await server.connect()
        await client.send(request(1, FETCH))
        await wait_until(lambda: later.started == [1])
        client.reset()
        await wait_until(lambda: later.cancelled == [1])
        assert server.server.connection_count == 0


@on_both_loops
async def test_half_a_request_and_gone() -> None:
    async with serving(echo) as server:
        for size in (50, 100_000, 50_000_000):
            client = await server.connect()
            await client.send(struct.pack(">i", size) + b"x" * 20)
            client.close()
        await wait_until(lambda: server.server.connection_count == 0)
        assert server.server.memory.used_bytes == 0


@on_both_loops
async def test_rubbish_closes_only_its_own_connection() -> None:
    chance = random.Random(11)

    def dispatch(peer: Any, frame: bytearray) -> Any:
        if frame[1] != METADATA:
            raise CloseConnection("unknown API")
        return [frame[4:8]]

    async with serving(dispatch, request_max_bytes=1_000_000) as server:
        steady = await server.connect()
        for number in range(150):
            client = await server.connect()
            rubbish = chance.randbytes(chance.randrange(1, 300))
            if number % 3 == 0:
                rubbish = struct.pack(">i", chance.randrange(1_000_000)) + rubbish
            elif number % 3 == 1:
                stream = bytearray(request(1, size=40) * 3)
                stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
                rubbish = bytes(stream)
            await client.send(rubbish)
            if number % 2:
                client.close()
            else:
                client.reset()
            await steady.send(request(number))
            assert await steady.answer_number() == number
        await wait_until(lambda: server.server.connection_count == 1)
        assert server.server.memory.used_bytes == 0


@on_both_loops
async def test_the_peer_knows_both_ends() -> None:
    peers: list[Any] = []

    def dispatch(peer: Any, frame: bytearray) -> list[bytes]:
        peers.append(peer)
        peer.session = number_of(frame)
        return [b"ok"]

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(request(41) + request(42))
        await client.answer()
        await client.answer()
        assert peers[0] is peers[1]
        assert peers[0].session == 42
        assert peers[0].listener_name == "TEST"
        assert (peers[0].client_host, peers[0].client_port) == client.socket.getsockname()
        assert peers[0].local_address == ("127.0.0.1", server.port)
