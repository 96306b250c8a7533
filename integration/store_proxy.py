"""An HTTP proxy before an object store, that does to requests what bad days do to them.

It runs in a thread of its own. Each request is read whole, then `plan` decides what becomes of it;
without a plan everything goes through. It knows nothing of the broker, and of S3 only enough to
send a request again later, or without its condition, under a new signature.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.s3_server import KEY_ID, SECRET

HANG_MAX_S = 60.0
RUN_MAX_S = 300.0
READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def key(self) -> str:
        """The object's key, bucket included."""
        return urlsplit(self.target).path.lstrip("/")

    @property
    def suffix(self) -> str:
        """seg, man, ckpt, head; a listing has none."""
        name = self.key.rpartition("/")[2]
        return name.rpartition(".")[2] if "." in name else name

    @property
    def conditional(self) -> bool:
        return any(name in ("if-match", "if-none-match") for name, _ in self.headers)

    def head_bytes(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Response(NamedTuple):
    """An answer, whole."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request; the fields are looked at from top to bottom."""

    delay_s: float = 0.0
    answer: tuple[int, str] | None = None
    """Status and code that are answered; the store hears nothing."""
    late: bool = False
    """The client's connection breaks, and the store gets the request when `replay` is called."""
    torn: bool = False
    """The store gets the head and half of the body, then both connections break."""
    unconditional: bool = False
    """The store gets the request without its condition."""
    silent: bool = False
    """The store does it; then the client's connection breaks without an answer."""
    hang_s: float = 0.0
    """As `silent`, and the client waits so long for that."""
    flip: int | None = None
    """This byte of the answer's body (modulo its length) is wrong."""
    cut: bool = False
    """The answer's body ends in the middle."""
    stale: bool = False
    """What was answered to the same question before the object last changed."""


Plan = Callable[[Request], Fault | None]
GOOD = Fault()


@dataclass
class StoreProxy:
    """`plan` and `watch` may be set from another thread at any time."""

    upstream_port: int
    plan: Plan | None = None
    watch: Callable[[Request, Response], None] | None = None
    """Sees each request that the store has answered, before the client does."""
    port: int = 0
    injected: int = 0
    """Requests that something was done to."""
    kept: list[Request] = field(default_factory=list)
    """Those that are to arrive late."""

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._answers: dict[tuple[str, str], list[Response]] = {}
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self.run(self._listen())

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Awaitable[object]) -> None:
        """Do it in the proxy's thread, and wait."""

        async def awaited() -> None:
            await work

        asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(RUN_MAX_S)

    def replay(self) -> list[int]:
        """The late requests arrive now; what the store says to each."""
        statuses: list[int] = []

        async def send() -> None:
            late, self.kept[:] = list(self.kept), []
            answers = [await self._forward_alone(signed_anew(request)) for request in late]
            statuses.extend(answer.status for answer in answers)

        self.run(send())
        return statuses

    # -- in the proxy's thread -------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        upstream = _Upstream(self.upstream_port)
        try:
            while (request := await read_request(reader, writer)) is not None:
                fault = self.plan(request) if self.plan is not None else None
                if fault is not None:
                    self.injected += 1
                response = await self._treat(request, fault or GOOD, upstream)
                if response is None:
                    break
                writer.write(response.head + response.body)
                await writer.drain()
                if fault is not None and fault.cut:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side is gone, and the other one hears of it now
        finally:
            self._clients.discard(task)
            upstream.close()
            writer.close()

    async def _treat(
        self, request: Request, fault: Fault, upstream: "_Upstream"
    ) -> Response | None:
        """The answer for the client; None to break its connection."""
        await asyncio.sleep(fault.delay_s)
        if fault.answer is not None:
            return error_response(request, *fault.answer)
        if fault.late:
            self.kept.append(request)
            return None
        if fault.torn:
            await upstream.send_half(request)
            return None
        if fault.unconditional:
            request = signed_anew(request, without=("if-match", "if-none-match"))
        response = await upstream.ask(request)
        if self.watch is not None:
            self.watch(request, response)
        if fault.silent or fault.hang_s:
            await asyncio.sleep(min(fault.hang_s, HANG_MAX_S))
            return None
        response = self._remembered(request, response, stale=fault.stale)
        body = response.body
        if fault.flip is not None and body:
            at = fault.flip % len(body)
            body = body[:at] + bytes([body[at] ^ 0x40]) + body[at + 1 :]
        return Response(response.head, body[: len(body) // 2] if fault.cut else body)

    def _remembered(self, request: Request, response: Response, *, stale: bool) -> Response:
        """The answer, or the one before it that was different."""
        if request.method not in ("GET", "HEAD") or request.suffix != "head":
            return response
        answers = self._answers.setdefault((request.method, request.target), [])
        if not answers or _etag(answers[-1]) != _etag(response):
            answers.append(response)
            del answers[:-2]
        return answers[0] if stale else response

    async def _forward_alone(self, request: Request) -> Response:
        upstream = _Upstream(self.upstream_port)
        try:
            return await upstream.ask(request)
        finally:
            upstream.close()


class _Upstream:
    """A connection to the store, made when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: Request) -> Response:
        kept = self._writer is not None
        try:
            return await self._ask(request)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            if not kept:
                raise
        return await self._ask(request)  # the store had closed it

    async def send_half(self, request: Request) -> None:
        await self._connect()
        assert self._writer is not None
        self._writer.write(request.head_bytes() + request.body[: len(request.body) // 2])
        await self._writer.drain()
        await asyncio.sleep(0.02)
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    async def _connect(self) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def _ask(self, request: Request) -> Response:
        await self._connect()
        assert self._writer is not None
        self._writer.write(request.head_bytes() + request.body)
        await self._writer.drain()
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 100"):
                break
        return Response(*await _whole_answer(self._reader, head, request.method))


async def _whole_answer(
    reader: asyncio.StreamReader, head: bytes, method: str
) -> tuple[bytes, bytes]:
    """Head and body; a body in chunks gets a length."""
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(_header(line) for line in lines[1:] if line)
    status = int(lines[0].split(" ")[1])
    if method == "HEAD" or status in (204, 304):
        return head, b""
    if headers.get("transfer-encoding") != "chunked":
        return head, await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            break
    kept = [line for line in lines if line and _header(line)[0] != "transfer-encoding"]
    kept.append(f"content-length: {len(body)}")
    return ("\r\n".join(kept) + "\r\n\r\n").encode("latin-1"), body


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """The next one of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = tuple(_header(line) for line in lines[1:] if line)
    if "expect" in dict(headers):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = int(dict(headers).get("content-length", "0"))
    return Request(method, target, headers, await reader.readexactly(length))


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _etag(response: Response) -> str:
    lines = response.head.decode("latin-1").split("\r\n")
    return dict(_header(line) for line in lines[1:] if line).get("etag", "")


def error_response(request: Request, status: int, code: str) -> Response:
    """As S3 says it."""
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    return Response(head.encode(), b"" if request.method == "HEAD" else body)


_NOT_SIGNED = ("authorization", "x-amz-date", "content-length", "user-agent", "accept")


def signed_anew(request: Request, without: tuple[str, ...] = ()) -> Request:
    """The same request with a signature of now."""
    headers = {
        name: value
        for name, value in request.headers
        if name not in _NOT_SIGNED and name not in without
    }
    url = f"http://{headers['host']}{request.target}"
    # As it was sent: percent signs stay as they are.
    again = AWSRequest(method=request.method, url=url, headers=headers, data=request.body)
    S3SigV4Auth(Credentials(KEY_ID, SECRET), "s3", "us-east-1").add_auth(again)
    sent = {name.lower(): value for name, value in again.headers.items()}
    sent["content-length"] = str(len(request.body))
    return Request(request.method, request.target, tuple(sent.items()), request.body)
