"""One HTTP/1.1 connection on the loop: a socket, h11's parser, and the answers.

One request at a time; requests sent ahead wait in the parser, within a limit. One request a turn,
so that nobody who sends many at once keeps the loop from the broker's own clients. Imported with
the first connection, as h11 is. Must never know what a request means.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from tierbroker.base.pending import Pending
from tierbroker.server.http_messages import (
    HttpRequest,
    HttpResponse,
    Routes,
    error_response,
    route,
)

logger = logging.getLogger(__name__)

RECEIVE_BYTES = 65_536
MAX_QUERY_FIELDS = 32
PIECES_AT_ONCE = 64
"""Pieces of an answer that one call sends."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one HTTP server grants its clients."""

    max_connections: int = 64
    header_bytes: int = 16_384
    body_bytes: int = 65_536
    ahead_bytes: int = 65_536
    """Requests that may be sent before the one under way is answered."""
    request_s: float = 10.0
    """From the first byte of a request, or the connection's begin, to its last."""
    idle_s: float = 90.0
    """Between requests: longer than most scrapers' interval."""
    send_s: float = 30.0
    """Without a byte of an answer taken."""
    linger_s: float = 2.0
    """In which a client that was turned away may stop sending and read why."""


@dataclass(frozen=True, slots=True)
class HttpContext:
    """What the connections of one server have in common."""

    loop: asyncio.AbstractEventLoop
    limits: HttpLimits
    routes: Routes
    local_only: bool
    on_closed: Callable[["HttpConnection"], None]


class HttpConnection:
    """A connected socket. Created reading; ends with `close`, its own or the server's."""

    def __init__(self, connection: socket.socket, peer_host: str, context: HttpContext) -> None:
        self._socket = connection
        self._fd = connection.fileno()
        self._peer_host = peer_host
        self._context = context
        self._parser = h11.Connection(
            h11.SERVER, max_incomplete_event_size=context.limits.header_bytes
        )
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._reply: Pending[HttpResponse] | None = None
        self._output: deque[memoryview] = deque()
        self._ahead = 0
        self._reading = False
        self._writing = False
        self._discarding = False
        self._draining = False
        self._turn: asyncio.Handle | None = None
        self.closed = False
        self.deadline = context.loop.time() + context.limits.request_s
        """When the client must have done what it is waited for, by the loop's clock."""
        self._read(wanted=True)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._reply is not None or bool(self._output)

    def drain(self) -> None:
        """End when the request under way is answered, at once without one."""
        self._draining = True
        if not self.is_busy:
            self.close()

    def close(self) -> None:
        """Close now; what is being answered is cancelled."""
        if self.closed:
            return
        self.closed = True
        # Before the descriptor: its number may be reused at once, and uvloop would never fire.
        self._read(wanted=False)
        self._write(wanted=False)
        if self._turn is not None:
            self._turn.cancel()
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.cancel()
        self._socket.close()
        self._context.on_closed(self)

    # -- in ------------------------------------------------------------------------------------

    def _read(self, *, wanted: bool) -> None:
        if wanted and not self._reading:
            self._context.loop.add_reader(self._fd, self._on_readable)
        elif self._reading and not wanted:
            self._context.loop.remove_reader(self._fd)
        self._reading = wanted

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if self._discarding:
            if not data:
                self.close()
            return
        if self._reply is not None:
            self._ahead += len(data)
            if not data or self._ahead > self._context.limits.ahead_bytes:
                self.close()  # nobody waits for the answer any more, or far too much is sent
                return
        elif self._parser.their_state is h11.IDLE and not self._parser.trailing_data[0]:
            self._wait_at_most(self._context.limits.request_s)
        self._parser.receive_data(data)
        if self._reply is None:
            self._advance()

    def _advance(self) -> None:
        """Take what has arrived, up to one request."""
        self._turn = None
        limits = self._context.limits
        while not (self.closed or self._discarding or self.is_busy):
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                self._turn_away(error.error_status_hint, str(error))
                return
            if event is h11.NEED_DATA:
                if self._parser.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    self._send(self._parser.send(go_on))
                    self._wait_at_most(limits.request_s)
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, bytearray()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > limits.body_bytes:
                    self._turn_away(413, f"a body has at most {limits.body_bytes} bytes here")
            elif isinstance(event, h11.EndOfMessage):
                self._answer()
            else:
                self.close()  # ConnectionClosed, or PAUSED where nothing is under way

    def _answer(self) -> None:
        assert self._request is not None, "a message ends after it has begun"
        try:
            request = self._read_request(self._request)
        except ValueError as error:
            self._turn_away(400, str(error))
            return
        self._ahead = len(self._parser.trailing_data[0])
        self.deadline = float("inf")
        context = self._context
        try:
            reply = route(context.routes, request, local_only=context.local_only)
        except Exception:
            # D-14: one request never stops the broker.
            logger.exception("%s %s failed", request.method, request.path)
            reply = error_response("the request failed inside the broker", 500)
        if isinstance(reply, HttpResponse):
            self._respond(reply)
            return
        self._reply = reply
        reply.on_done(self._on_reply)

    def _read_request(self, event: h11.Request) -> HttpRequest:
        target = urlsplit(event.target.decode("ascii"))
        return HttpRequest(
            event.method.decode("ascii"),
            unquote(target.path, errors="strict") or "/",
            dict(parse_qsl(target.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)),
            {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers},
            bytes(self._body),
            self._peer_host,
        )

    # -- out -----------------------------------------------------------------------------------

    def _on_reply(self, reply: Pending[HttpResponse]) -> None:
        if self.closed:
            return
        self._reply = None
        if reply.error is None:
            self._respond(reply.result())
            return
        logger.error("a request of %s failed", self._peer_host, exc_info=reply.error)
        self._respond(error_response("the request failed inside the broker", 500))

    def _turn_away(self, status: int, message: str) -> None:
        """Answer with an error and close: what follows cannot be told from the rest of this."""
        self._discarding = True
        if self._parser.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._respond(error_response(message, status))
        else:
            self.close()

    def _respond(self, response: HttpResponse) -> None:
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(response.body_bytes)),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        if self._discarding or self._draining:
            headers.append(("Connection", "close"))
        head = h11.Response(status_code=response.status, headers=headers)
        data = [self._parser.send(head)]
        if self._request is None or self._request.method != b"HEAD":
            # One piece after the other: a page of megabytes is copied by nobody but the kernel.
            data += [self._parser.send(h11.Data(data=d)) for d in (response.body, *response.rest)]
        data.append(self._parser.send(h11.EndOfMessage()))
        self._send(*data)
        if not (self.closed or self._output):
            self._on_sent()

    def _send(self, *data: bytes | None) -> None:
        self._output += [memoryview(piece) for piece in data if piece]
        self._wait_at_most(self._context.limits.send_s)
        self._flush()

    def _flush(self) -> None:
        """Give the socket what it takes."""
        while self._output:
            try:
                sent = self._socket.sendmsg(list(islice(self._output, PIECES_AT_ONCE)))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.close()
                return
            self._drop(sent)
            self._wait_at_most(self._context.limits.send_s)
        # A client that does not read its answers sends nothing more.
        self._read(wanted=not self._output)
        self._write(wanted=bool(self._output))

    def _drop(self, sent: int) -> None:
        output = self._output
        while output and sent >= len(output[0]):
            sent -= len(output.popleft())
        if sent:
            output[0] = output[0][sent:]

    def _write(self, *, wanted: bool) -> None:
        if wanted and not self._writing:
            self._context.loop.add_writer(self._fd, self._on_writable)
        elif self._writing and not wanted:
            self._context.loop.remove_writer(self._fd)
        self._writing = wanted

    def _on_writable(self) -> None:
        self._flush()
        if not (self.closed or self._output):
            self._on_sent()

    def _on_sent(self) -> None:
        """An answer, or leave to go on with the body, has left."""
        if self._parser.our_state is h11.SEND_RESPONSE:
            self._wait_at_most(self._context.limits.request_s)
            return
        if self._discarding or self._draining or self._parser.our_state is not h11.DONE:
            self._linger()
            return
        if self._parser.their_state is not h11.DONE:
            self._linger()
            return
        self._parser.start_next_cycle()
        self._request = None
        waits = self._parser.trailing_data[0]
        limits = self._context.limits
        self._wait_at_most(limits.request_s if waits else limits.idle_s)
        if waits:
            self._turn = self._context.loop.call_soon(self._advance)

    def _linger(self) -> None:
        """The last answer must not be lost to a reset because bytes of the client lie unread."""
        self._discarding = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._wait_at_most(self._context.limits.linger_s)

    def _wait_at_most(self, seconds: float) -> None:
        self.deadline = self._context.loop.time() + seconds
