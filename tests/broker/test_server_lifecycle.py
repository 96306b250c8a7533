"""Listening, limits, idle connections and an orderly end, over real sockets."""

import asyncio
import errno
import logging
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.socket_server import (
    FETCH,
    PRODUCE,
    Later,
    echo,
    on_both_loops,
    request,
    serving,
    wait_until,
)
from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import ListenError
from tierbroker.base.executor import InlineExecutor
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.listener import open_listener, who_listens
from tierbroker.server.server import Server


@pytest.fixture
def file_limit() -> Iterator[Any]:
    """Sets this process's limits of open files; puts the old ones back."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda soft: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, old[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


@on_both_loops
async def test_draining_answers_what_is_in_flight() -> None:
    later = Later()
    async with serving(later) as server:
        busy = await server.connect()
        idle = await server.connect()
        await busy.send(request(1, PRODUCE) + request(2, PRODUCE) + request(3, FETCH))
        await wait_until(lambda: later.started == [1, 2])
        server.server.begin_drain()
        assert await idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        await busy.send(request(4, PRODUCE))
        later.answer(2)
        later.answer(1)
        assert [await busy.answer_number() for _ in range(2)] == [1, 2]
        assert await busy.is_closed()
        assert await server.server.wait_drained(20)
        assert later.started == [1, 2]


@on_both_loops
async def test_draining_sends_what_a_slow_reader_has_yet_to_read() -> None:
    def dispatch(peer: Any, frame: bytearray) -> list[bytes]:
        return [bytes(5_000_000)]

    async with serving(dispatch, socket_send_buffer_bytes=65_536) as server:
        client = await server.connect(receive_buffer=65_536)
        await client.send(request(1))
        await client.receive(4)
        server.server.begin_drain()
        assert len(await client.receive(5_000_000)) == 5_000_000
        assert await client.is_closed()
        assert await server.server.wait_drained(20)


@on_both_loops
async def test_a_deadline_ends_draining() -> None:
    later = Later()
    async with serving(later) as server:
        parked = await server.connect()
        await parked.send(request(1, FETCH))
        half_open = await server.connect()
        await half_open.send(b"\x00\x00\x10\x00half")
        await wait_until(lambda: later.started == [1])
        server.server.begin_drain()
        assert await half_open.is_closed()
        assert not await server.server.wait_drained(0.01)
        server.server.stop()
        assert await parked.is_closed()
        assert later.cancelled == [1]


@on_both_loops
async def test_draining_without_connections_is_over_at_once() -> None:
    async with serving(echo) as server:
        server.server.begin_drain()
        assert await server.server.wait_drained(0)


def test_a_taken_port_is_explained() -> None:
    first = open_listener(ListenerConfig("ONE", "127.0.0.1", 0), ServerLimits())
    port = first.getsockname()[1]
    with pytest.raises(ListenError) as caught:
        open_listener(ListenerConfig("TWO", "127.0.0.1", port), ServerLimits())
    message = str(caught.value)
    assert f"127.0.0.1:{port}" in message
    assert f"process {os.getpid()} (" in message
    assert "--port 0" in message
    first.close()
    assert who_listens(port) is None


def test_a_port_taken_by_another_process_is_explained() -> None:
    script = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        with pytest.raises(ListenError, match=rf"process {other.pid} \(python"):
            open_listener(ListenerConfig("TWO", "127.0.0.1", port), ServerLimits())
        other.communicate("")


@pytest.mark.parametrize(
    ("host", "words"),
    [("203.0.113.7", "no such address"), ("no-such-host.invalid", "cannot be resolved")],
)
def test_an_impossible_address_is_explained(host: str, words: str) -> None:
    with pytest.raises(ListenError, match=words):
        open_listener(ListenerConfig("X", host, 0), ServerLimits())


@on_both_loops
async def test_a_failed_start_leaves_no_listener() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    free = socket.create_server(("127.0.0.1", 0))
    free_port = free.getsockname()[1]
    free.close()
    listeners = [
        ListenerConfig("FREE", "127.0.0.1", free_port),
        ListenerConfig("TAKEN", "127.0.0.1", taken.getsockname()[1]),
    ]
    with pytest.raises(ListenError, match="TAKEN"):
        async with serving(echo, listeners):
            pass
    socket.create_server(("127.0.0.1", free_port)).close()
    taken.close()


@on_both_loops
async def test_client_sockets_inherit_their_options() -> None:
    async with serving(echo, socket_send_buffer_bytes=50_000) as server:
        client = await server.connect()
        await client.send(request(1))
        await client.answer()
        (connection,) = server.server._connections.values()
        accepted = connection._socket
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100_000  # doubled
        assert not accepted.getblocking()


def bare_server(loop: asyncio.AbstractEventLoop) -> Server:
    return Server(
        loop,
        [ListenerConfig("X", "127.0.0.1", 0)],
        echo,
        ServerLimits(),
        InlineExecutor(),
        SystemClock(),
        lambda error: None,
    )


@on_both_loops
async def test_clients_wait_between_bind_and_start() -> None:
    loop = asyncio.get_running_loop()
    server = bare_server(loop)
    ports = server.bind()
    client = socket.create_connection(("127.0.0.1", ports["X"]))
    client.setblocking(False)
    await loop.sock_sendall(client, request(7))
    assert server.start() == ports
    assert await loop.sock_recv(client, 100) == b"\x00\x00\x00\x04\x00\x00\x00\x07"
    client.close()
    server.stop()


async def test_a_server_that_was_bound_and_never_started() -> None:
    server = bare_server(asyncio.get_running_loop())
    port = server.bind()["X"]
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@on_both_loops
async def test_several_listeners_and_ipv6() -> None:
    listeners = [
        ListenerConfig("ALL", "", 0),
        ListenerConfig("FOUR", "127.0.0.1", 0),
        ListenerConfig("SIX", "::1", 0),
        ListenerConfig("NAMED", "localhost", 0),
    ]
    names: list[tuple[str, str]] = []

    def dispatch(peer: Any, frame: bytearray) -> list[bytes]:
        names.append((peer.listener_name, peer.client_host))
        return [b"ok"]

    async with serving(dispatch, listeners) as server:
        assert all(port > 0 for port in server.ports.values())
        ports = server.ports
        for name, host in (
            ("FOUR", "127.0.0.1"),
            ("SIX", "::1"),
            ("ALL", "127.0.0.1"),
            ("ALL", "::1"),
            ("NAMED", "127.0.0.1"),
        ):
            server.ports = {name: ports[name]}
            client = await server.connect(host=host)
            await client.send(request(1))
            assert await client.answer() == b"ok"
            assert names[-1] == (name, host)


@on_both_loops
async def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    later = Later()
    async with serving(later, idle_timeout_s=0.3) as server:
        idle = await server.connect()
        waiting = await server.connect()
        await waiting.send(request(1, FETCH))
        await wait_until(lambda: later.started == [1])
        assert await idle.is_closed()
        # Twice the timeout later, the one that waits for its answer is still there.
        second = await server.connect()
        assert await second.is_closed()
        third = await server.connect()
        assert await third.is_closed()
        assert server.server.connection_count == 1
        later.answer(1)
        assert await waiting.answer_number() == 1
        assert await waiting.is_closed()


@on_both_loops
async def test_a_client_that_never_reads_is_idle() -> None:
    def dispatch(peer: Any, frame: bytearray) -> list[bytes]:
        return [bytes(20_000_000)]

    async with serving(dispatch, idle_timeout_s=0.2, socket_send_buffer_bytes=65_536) as server:
        client = await server.connect(receive_buffer=65_536)
        await client.send(request(1))
        await wait_until(lambda: server.server.connection_count == 1)
        await wait_until(lambda: server.server.connection_count == 0)


@on_both_loops
async def test_connections_over_the_limit_wait_until_there_is_room() -> None:
    async with serving(echo, max_connections=3) as server:
        first = [await server.connect() for _ in range(3)]
        for client in first:
            await client.send(request(1))
            await client.answer()
        fourth = await server.connect()
        await fourth.send(request(4))
        await first[0].send(request(2))
        await first[0].answer()
        assert server.server.connection_count == 3
        first[1].close()
        assert await fourth.answer_number() == 4


@on_both_loops
async def test_connections_of_one_address_over_its_limit_are_refused() -> None:
    limits = {"max_connections_per_ip": 5, "max_connections_per_ip_overrides": {"127.0.0.1": 2}}
    async with serving(echo, **limits) as server:
        for _ in range(2):
            client = await server.connect()
            await client.send(request(1))
            await client.answer()
        refused = await server.connect()
        assert await refused.is_closed()
        client.close()
        await wait_until(lambda: server.server.connection_count == 1)
        again = await server.connect()
        await again.send(request(5))
        assert await again.answer_number() == 5


@on_both_loops
async def test_accepting_pauses_before_descriptors_run_out(
    file_limit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(echo, descriptor_reserve=20) as server:
        client = await server.connect()
        await client.send(request(1))
        await client.answer()
        probe = os.dup(0)
        os.close(probe)
        real_limit = server.server._descriptor_limit
        server.server._descriptor_limit = probe + 21
        with caplog.at_level(logging.WARNING):
            second = await server.connect()
            await second.send(request(2))
            await wait_until(lambda: caplog.records)
        assert "file descriptors are left" in caplog.text
        assert server.server.connection_count == 1
        await client.send(request(3))
        assert await client.answer_number() == 3
        # Not merely a little more: the numbers above may be taken by whatever else is open here.
        server.server._descriptor_limit = real_limit
        assert await second.answer_number() == 2


@on_both_loops
async def test_running_out_of_descriptors_pauses_accepting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(echo) as server:
        accept = socket.socket.accept
        failures = [OSError(errno.EMFILE, "Too many open files")] * 2
        failures.append(OSError(errno.ECONNABORTED, "Software caused connection abort"))

        def failing(listener: socket.socket) -> Any:
            if failures:
                raise failures.pop()
            return accept(listener)

        monkeypatch.setattr(socket.socket, "accept", failing)
        with caplog.at_level(logging.WARNING):
            client = await server.connect()
            await client.send(request(1))
            assert await client.answer_number() == 1
        assert "Too many open files" in caplog.text


@on_both_loops
async def test_the_limit_of_open_files_is_raised(file_limit: Any) -> None:
    file_limit(512)
    async with serving(echo):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == hard


def test_a_low_limit_of_open_files_is_survived() -> None:
    """In a process that may open 256 files: 600 clients come, a third fits, all are served."""
    script = """
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.server import Server

async def main():
    loop = asyncio.get_running_loop()
    server = Server(loop, [ListenerConfig("X", "127.0.0.1", 0)], lambda peer, frame: [b"ok"],
                    ServerLimits(), InlineExecutor(), SystemClock(), print)
    print(server.start()["X"], flush=True)
    while not sys.stdin.closed:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        open("/dev/null").close()  # the logs can still open files
        print(server.connection_count, flush=True)

asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(600)]
        for client in clients:
            client.sendall(request(1))
            client.settimeout(20)
        assert clients[0].recv(100)
        process.stdin.write("count\n")
        process.stdin.flush()
        assert 50 < int(process.stdout.readline()) < 200
        clients[0].close()
        for client in clients[1:]:
            assert client.recv(100)
            client.close()
        _, err = process.communicate("")
        assert "Traceback" not in err
        assert "file descriptors are left" in err


@on_both_loops
async def test_descriptors_reused_at_once_are_served() -> None:
    """A new connection gets the number of one that has just been closed."""
    async with serving(echo) as server:
        for number in range(200):
            client = await server.connect()
            await client.send(request(number) + (b"\xff" * 4 if number % 2 else b""))
            assert await client.answer_number() == number
            client.close()


@on_both_loops
async def test_two_thousand_connections() -> None:
    count = 2000
    async with serving(echo) as server:
        clients = [await server.connect() for _ in range(count)]
        for number, client in enumerate(clients):
            await client.send(request(number))
        for number, client in enumerate(clients):
            assert await client.answer_number() == number
        assert server.server.connection_count == count
        for client in clients[::2]:
            client.close()
        await wait_until(lambda: server.server.connection_count == count // 2)
        for number, client in enumerate(clients):
            if number % 2:
                await client.send(request(number))
                assert await client.answer_number() == number
        server.server.begin_drain()
        assert await server.server.wait_drained(20)


def test_an_idle_connection_costs_little() -> None:
    """In a process of its own: what the server allocates for 4,000 idle connections."""
    script = """
import asyncio, socket, tracemalloc
import uvloop
from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.server import Server

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

async def main():
    loop = asyncio.get_running_loop()
    server = Server(loop, [ListenerConfig("X", "127.0.0.1", 0)], lambda peer, frame: [b"ok"],
                    ServerLimits(), InlineExecutor(), SystemClock(), print)
    port = server.start()["X"]
    clients = []
    async def connect(count):
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, b"\\0\\0\\0\\x08\\0\\3\\0\\0\\0\\0\\0\\1")
            await loop.sock_recv(client, 100)
            clients.append(client)
    await connect(200)
    before = rss()
    await connect(4000)
    print((rss() - before) / 4000)
    server.stop()

uvloop.run(main())
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100
    )
    assert float(finished.stdout) < 5_000, finished.stdout


def test_the_loop_is_told_before_a_descriptor_is_closed() -> None:
    """What a loop keeps of a closed descriptor would be found under its reused number."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        order: list[str] = []
        remove = loop.remove_reader

        def removing(fd: Any) -> bool:
            os.fstat(fd)  # raises when it is closed already
            order.append("removed")
            return remove(fd)

        loop.remove_reader = removing  # type: ignore[method-assign]
        async with serving(echo) as server:
            client = await server.connect()
            await client.send(request(1))
            await client.answer()
            client.close()
            await wait_until(lambda: server.server.connection_count == 0)
            assert order
        loop.remove_reader = remove  # type: ignore[method-assign]

    asyncio.run(scenario())
