"""The HTTP server alone, by raw sockets: limits, hostile clients, orderly ends."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.socket_server import Client, on_both_loops, wait_until
from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import ListenError
from tierbroker.base.executor import InlineExecutor, ManualExecutor, Outcome
from tierbroker.base.pending import Pending
from tierbroker.server.http import HttpServer
from tierbroker.server.http_connection import HttpLimits
from tierbroker.server.http_messages import (
    JSON,
    HttpRequest,
    HttpResponse,
    Reply,
    json_response,
    text_response,
)

HOST = b"Host: localhost\r\n"
LARGE = bytes(8 << 20)
PIECES = (b"", *(bytes([number % 256]) * (number * 97) for number in range(400)), b"end")


class Pages:
    """What the tests ask for. `/wait` is answered by `answer`."""

    def __init__(self) -> None:
        self.waiting: list[Pending[HttpResponse]] = []
        self.cancelled = 0
        self.routes = {
            "/page": {"GET": lambda _: text_response("here")},
            "/large": {"GET": lambda _: HttpResponse(200, LARGE)},
            "/pieces": {"GET": lambda _: HttpResponse(200, b"begin", rest=PIECES)},
            "/query": {"GET": lambda request: json_response(dict(request.query))},
            "/echo": {"POST": lambda request: HttpResponse(200, request.body)},
            "/fail": {"GET": self._fail},
            "/wait": {"GET": self._wait},
        }

    def answer(self) -> None:
        self.waiting.pop(0).resolve(text_response("at last"))

    def _fail(self, _: HttpRequest) -> HttpResponse:
        raise ValueError("a bug")

    def _wait(self, _: HttpRequest) -> Reply:
        self.waiting.append(Pending(self._on_cancel))
        return self.waiting[-1]

    def _on_cancel(self) -> None:
        self.cancelled += 1


class Serving:
    def __init__(self, server: HttpServer, pages: Pages) -> None:
        self.server = server
        self.pages = pages

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        connection = socket.socket()
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_connect(connection, self.server.address), 10)
        try:
            yield Client(connection)
        finally:
            connection.close()


@contextlib.asynccontextmanager
async def serving(**limits: float) -> AsyncIterator[Serving]:
    pages = Pages()
    server = HttpServer(
        "127.0.0.1",
        0,
        pages.routes,
        loop=asyncio.get_running_loop(),
        executor=InlineExecutor(),
        clock=SystemClock(),
        limits=replace(HttpLimits(), **limits),  # type: ignore[arg-type]
    )
    try:
        yield Serving(server, pages)
    finally:
        server.close()
        assert server.connection_count == 0


async def answer_of(client: Client, *, to_head: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by lower-case name, body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await client.receive(1)
    first, *lines = head.decode().splitlines()
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name
    }
    length = 0 if to_head else int(headers.get("content-length", "0"))
    return int(first.split()[1]), headers, await client.receive(length)


def get(path: str, more: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path.encode(), HOST, more)


def post(body: bytes, more: bytes = b"") -> bytes:
    kind = f"Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\n".encode()
    return b"POST /echo HTTP/1.1\r\n" + HOST + kind + more + b"\r\n" + body


@on_both_loops
async def test_a_connection_serves_many_requests() -> None:
    async with serving() as http, http.client() as client:
        for _ in range(3):
            await client.send(get("/page"))
            status, headers, body = await answer_of(client)
            assert (status, body) == (200, b"here\n")
            assert headers["cache-control"] == "no-store"
        await client.send(b"HEAD /page HTTP/1.1\r\n" + HOST + b"\r\n" + get("/query?a=%20&b="))
        assert (await answer_of(client, to_head=True))[1]["content-length"] == "5"
        assert (await answer_of(client))[2] == b'{\n  "a": " ",\n  "b": ""\n}\n'
        await client.send(post(b'{"x": 1}'))
        assert (await answer_of(client))[2] == b'{"x": 1}'


@on_both_loops
async def test_requests_sent_ahead_are_answered_in_order() -> None:
    async with serving() as http, http.client() as client:
        await client.send(get("/wait") + get("/page") * 100 + get("/none"))
        await wait_until(lambda: http.pages.waiting)
        http.pages.answer()
        assert (await answer_of(client))[2] == b"at last\n"
        for _ in range(100):
            assert (await answer_of(client))[2] == b"here\n"
        assert (await answer_of(client))[0] == 404


@on_both_loops
async def test_a_request_byte_by_byte() -> None:
    async with serving() as http, http.client() as client:
        for byte in get("/page", b"Connection: close\r\n"):
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await answer_of(client))[0] == 200
        assert await client.is_closed()


@on_both_loops
async def test_old_clients_get_their_answer_and_an_end() -> None:
    async with serving() as http, http.client() as client:
        await client.send(b"GET /page HTTP/1.0\r\n" + HOST + b"\r\n")
        assert (await answer_of(client))[2] == b"here\n"
        assert await client.is_closed()


@on_both_loops
async def test_leave_to_send_a_body_is_given() -> None:
    async with serving() as http, http.client() as client:
        whole = post(b'{"x": 2}', b"Expect: 100-continue\r\n")
        head, _, body = whole.partition(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        assert (await answer_of(client))[0] == 100
        await client.send(body)
        assert (await answer_of(client))[2] == body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /page HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 40_000, 431),
        (b"GET /" + b"x" * 40_000, 431),
        (post(bytes(70_000)), 413),
        (post(b"", b"Transfer-Encoding: chunked\r\n") + b"zz\r\n", 400),
        (get("/query?" + "a&" * 1000), 400),
    ],
    ids=["nonsense", "tls", "host", "path", "header", "target", "body", "chunk", "query"],
)
@on_both_loops
async def test_what_cannot_be_understood_is_answered_and_closed(sent: bytes, status: int) -> None:
    async with serving() as http:
        async with http.client() as client:
            await client.send(sent)
            assert (await answer_of(client))[0] == status
            assert await client.is_closed()
        async with http.client() as client:
            await client.send(get("/page"))
            assert (await answer_of(client))[0] == 200


@on_both_loops
async def test_a_fault_of_a_page_is_answered() -> None:
    async with serving() as http, http.client() as client:
        await client.send(get("/fail") + get("/wait"))
        assert (await answer_of(client))[0] == 500
        await wait_until(lambda: http.pages.waiting)
        http.pages.waiting.pop().fail(ValueError("a bug"))
        assert (await answer_of(client))[0] == 500
        await client.send(get("/page"))
        assert (await answer_of(client))[0] == 200


@on_both_loops
async def test_a_client_that_goes_cancels_what_it_asked_for() -> None:
    async with serving() as http:
        async with http.client() as client:
            await client.send(get("/wait"))
            await wait_until(lambda: http.pages.waiting)
        await wait_until(lambda: http.pages.cancelled == 1)
        http.pages.answer()
        assert http.server.connection_count == 0


@on_both_loops
async def test_nobody_keeps_a_connection_by_being_slow() -> None:
    async with serving(request_s=0.2, idle_s=0.2) as http:
        async with http.client() as slow:
            for byte in get("/page")[:8]:
                await slow.send(bytes([byte]))
                await asyncio.sleep(0.02)
            assert await slow.is_closed()
        async with http.client() as silent:
            assert await silent.is_closed()
        async with http.client() as done:
            await done.send(get("/page"))
            assert (await answer_of(done))[0] == 200
            assert await done.is_closed()


@on_both_loops
async def test_an_answer_that_nobody_reads_ends() -> None:
    async with serving(send_s=0.2) as http, http.client() as client:
        await client.send(get("/large"))
        await wait_until(lambda: http.server.connection_count == 1)
        await wait_until(lambda: http.server.connection_count == 0)


@on_both_loops
async def test_a_large_answer_arrives_whole() -> None:
    async with serving() as http, http.client() as client:
        await client.send(get("/large") + get("/page"))
        assert (await answer_of(client))[2] == LARGE
        assert (await answer_of(client))[2] == b"here\n"


@on_both_loops
async def test_an_answer_in_pieces_arrives_whole() -> None:
    whole = b"begin" + b"".join(PIECES)
    async with serving() as http, http.client() as client:
        await client.send(get("/pieces").replace(b"GET", b"HEAD") + get("/pieces") + get("/page"))
        _, headers, _ = await answer_of(client, to_head=True)
        assert headers["content-length"] == str(len(whole))
        assert (await answer_of(client))[2] == whole
        assert (await answer_of(client))[2] == b"here\n"


@on_both_loops
async def test_requests_sent_ahead_are_bounded() -> None:
    async with serving(ahead_bytes=10_000) as http, http.client() as client:
        await client.send(get("/wait"))
        await wait_until(lambda: http.pages.waiting)
        await client.send(get("/page") * 1000)
        assert await client.is_closed()
        assert http.pages.cancelled == 1
        assert http.server.connection_count == 0


@on_both_loops
async def test_connections_are_bounded_and_idle_ones_give_way() -> None:
    async with serving(max_connections=2) as http, http.client() as busy, http.client() as idle:
        await busy.send(get("/wait"))
        await wait_until(lambda: http.pages.waiting)
        await idle.send(get("/page"))
        assert (await answer_of(idle))[0] == 200
        async with http.client() as third:
            await third.send(get("/wait"))
            await wait_until(lambda: len(http.pages.waiting) == 2)
            assert await idle.is_closed()
            async with http.client() as refused:
                assert await refused.is_closed()
            http.pages.answer()
            http.pages.answer()
            assert (await answer_of(busy))[0] == 200
            assert (await answer_of(third))[0] == 200


@on_both_loops
async def test_draining_lets_answers_out() -> None:
    async with serving() as http, http.client() as busy, http.client() as idle:
        await idle.send(get("/page"))
        assert (await answer_of(idle))[0] == 200
        await busy.send(get("/wait"))
        await wait_until(lambda: http.pages.waiting)
        http.server.drain()
        assert await idle.is_closed()
        http.pages.answer()
        assert (await answer_of(busy))[1]["connection"] == "close"
        assert await busy.is_closed()


@pytest.mark.parametrize("seed", range(4))
@on_both_loops
async def test_rubbish_harms_nobody_else(seed: int) -> None:
    rng = random.Random(seed)
    whole = [get("/page"), get("/wait") + get("/page"), post(b'{"x": 1}'), get("/query?a=1&b=2")]
    async with serving() as http:
        for _ in range(50):
            sent = bytearray(rng.choice(whole))
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(sent))
                sent[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 4))
            async with http.client() as client:
                await client.send(bytes(sent) or b"x")
                client.finish_sending()
                while not await client.is_closed():
                    pass  # whatever it is told, it ends
        await wait_until(lambda: http.server.connection_count == 0)
        async with http.client() as client:
            await client.send(get("/page"))
            assert (await answer_of(client))[0] == 200


@on_both_loops
async def test_a_parser_that_cannot_be_loaded_stops_nobody() -> None:
    async with serving() as http:
        http.server._loaded(Outcome(error=ImportError("No module named 'h11'")))
        executor = ManualExecutor()
        http.server._executor = executor
        async with http.client() as client:
            await wait_until(lambda: len(executor))
            http.server._loaded(Outcome(error=ImportError("No module named 'h11'")))
            assert await client.is_closed()
            executor.run_all()
        async with http.client() as client:  # the next one tries again
            await client.send(get("/page"))
            assert (await answer_of(client))[0] == 200


@on_both_loops
async def test_a_port_that_is_taken_is_explained() -> None:
    async with serving() as http:
        taken = pytest.raises(ListenError, match=r"http\.listener")
        with taken:
            HttpServer(
                "127.0.0.1",
                http.server.address[1],
                {},
                loop=asyncio.get_running_loop(),
                executor=InlineExecutor(),
                clock=SystemClock(),
            )
