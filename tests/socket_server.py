"""A socket server with a scripted dispatch, and raw clients for it, on either event loop."""

import asyncio
import functools
import inspect
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import Executor, ThreadExecutor
from tierbroker.base.parts import FileSlice
from tierbroker.base.pending import Pending
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.residency import Residency
from tierbroker.server.server import Server

DEADLINE_S = 20.0
PRODUCE, FETCH, METADATA = 0, 1, 3


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test once on asyncio and once on uvloop."""

    def wrapper(loop_kind: str, **fixtures: Any) -> None:
        factory = uvloop.new_event_loop if loop_kind == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 60))

    functools.update_wrapper(wrapper, test)
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    signature = inspect.signature(test)
    extra = inspect.Parameter("loop_kind", inspect.Parameter.KEYWORD_ONLY)
    wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), extra]
    )
    return pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])(wrapper)


def request(number: int, api_key: int = METADATA, size: int = 8) -> bytes:
    """A frame with its size: api key, version 0, correlation id, then zeros."""
    return struct.pack(">ihhi", size, api_key, 0, number) + bytes(size - 8)


def number_of(frame: bytes | bytearray | memoryview) -> int:
    return int.from_bytes(frame[4:8], "big")


def echo(peer: Any, frame: bytearray) -> list[bytes | bytearray]:
    return [frame[4:8], frame[8:]]


class CountedLease:
    """Counts the leases that are out, over all that are made by one file."""

    def __init__(self, counter: "SliceFile") -> None:
        self.counter = counter
        self.released = False

    def release(self) -> None:
        assert not self.released, "a lease was released twice"
        self.released = True
        self.counter.leases -= 1

    def cannot_read(self, position: int, error: OSError) -> None:
        self.counter.unreadable.append((position, error.errno))


class SliceFile:
    """A file of random bytes to take slices of."""

    def __init__(self, size: int) -> None:
        self.data = os.urandom(size)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        self._file.write(self.data)
        self._file.flush()
        self.leases = 0
        self.unreadable: list[tuple[int, int | None]] = []

    def slice(self, position: int, length: int) -> FileSlice:
        self.leases += 1
        return FileSlice(self._file.fileno(), position, length, CountedLease(self))

    def close(self) -> None:
        self._file.close()


class Later:
    """A dispatch that answers when it is told to."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.promises: dict[int, Pending[Any]] = {}
        self.cancelled: list[int] = []

    def __call__(self, peer: Any, frame: bytearray) -> Pending[Any]:
        number = number_of(frame)
        self.started.append(number)
        self.promises[number] = Pending(lambda: self.cancelled.append(number))
        return self.promises[number]

    def answer(self, number: int) -> None:
        self.promises[number].resolve([number.to_bytes(4, "big")])


class Client:
    """A raw connection. Everything waits at most DEADLINE_S."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(self._loop.sock_sendall(self.socket, data), DEADLINE_S)

    async def receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = await asyncio.wait_for(
                self._loop.sock_recv(self.socket, min(count - len(data), 1 << 20)), DEADLINE_S
            )
            if not part:
                raise EOFError(f"closed after {len(data)} of {count} bytes")
            data += part
        return bytes(data)

    async def answer(self) -> bytes:
        (size,) = struct.unpack(">i", await self.receive(4))
        return await self.receive(size)

    async def answer_number(self) -> int:
        return int.from_bytes((await self.answer())[:4], "big")

    async def is_closed(self) -> bool:
        """Wait for the end of the stream; False if there is data instead."""
        try:
            return await asyncio.wait_for(self._loop.sock_recv(self.socket, 1), DEADLINE_S) == b""
        except ConnectionError:
            return True

    def finish_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Serving:
    """A started server, its clients, and the errors it reported."""

    def __init__(self, server: Server, ports: dict[str, int]) -> None:
        self.server = server
        self.ports = ports
        self.errors: list[BaseException] = []
        self.expected_errors = 0
        self._clients: list[Client] = []

    @property
    def port(self) -> int:
        return next(iter(self.ports.values()))

    async def connect(self, receive_buffer: int | None = None, host: str = "127.0.0.1") -> Client:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client = Client(connection)
        self._clients.append(client)
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_connect(connection, (host, self.port)), DEADLINE_S)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()


async def wait_until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds."""
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(
    dispatch: Callable[..., Any],
    listeners: list[ListenerConfig] | None = None,
    executor: Executor | None = None,
    residency: Residency | None = None,
    **limits: Any,
) -> AsyncIterator[Serving]:
    """A server on a free port of 127.0.0.1; afterwards nothing may be left of it."""
    loop = asyncio.get_running_loop()
    threads = ThreadExecutor(2, loop.call_soon_threadsafe)
    errors: list[BaseException] = []
    server = Server(
        loop,
        listeners or [ListenerConfig("TEST", "127.0.0.1", 0)],
        dispatch,
        replace(ServerLimits(), **limits),
        threads if executor is None else executor,
        SystemClock(),
        errors.append,
        residency,
    )
    serving_now = Serving(server, server.start())
    serving_now.errors = errors
    try:
        yield serving_now
        assert len(errors) == serving_now.expected_errors, errors
    finally:
        serving_now.close_clients()
        server.stop()
        threads.close()
    assert server.connection_count == 0
    assert server.memory.used_bytes == 0
