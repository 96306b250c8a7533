"""The floor: what receiving, checking, storing and answering cost when nothing else is done.

Resource: one core, or the disk, in a loop of system calls without any protocol. Nothing that
speaks Kafka can be cheaper: the rows are read against these figures.
"""

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from crc32c import crc32c

from bench.process_cost import resident_mb
from bench.system import data_root

GIB = 1 << 30
BATCH_BYTES = 16_384
LARGE_BYTES = 1 << 20
TOTAL_BYTES = 256 << 20
SMALL_BYTES = 350
SMALL_REQUESTS = 30_000


def receive(size: int) -> float:
    """CPU seconds per GiB to receive, check and append requests of `size` bytes."""
    server, child = _pair(lambda client: _send_all(client, size))
    buffer = memoryview(bytearray(size))
    with tempfile.TemporaryFile(dir=data_root()) as file:
        before = _cpu()
        for number in range(TOTAL_BYTES // size):
            _fill(server, buffer)
            crc32c(buffer)
            os.pwrite(file.fileno(), buffer, number * size)
        cpu = _cpu() - before
    server.close()
    os.waitpid(child, 0)
    return cpu / TOTAL_BYTES * GIB


def answer() -> float:
    """CPU seconds to receive a small request, check and append it, and answer."""
    server, child = _pair(_ask_ahead)
    buffer = memoryview(bytearray(SMALL_BYTES))
    with tempfile.TemporaryFile(dir=data_root()) as file:
        before = _cpu()
        for number in range(SMALL_REQUESTS):
            _fill(server, buffer)
            crc32c(buffer)
            os.pwrite(file.fileno(), buffer, number * SMALL_BYTES)
            server.send(b"a" * 60)
        cpu = _cpu() - before
    server.close()
    os.waitpid(child, 0)
    return cpu / SMALL_REQUESTS


def send() -> float:
    """CPU seconds per GiB to send slices of a file that is in the page cache, each asked for."""
    server, child = _pair(_fetch_all)
    with tempfile.TemporaryFile(dir=data_root()) as file:
        file.write(os.urandom(LARGE_BYTES * 16))
        file.flush()
        before = _cpu()
        for number in range(TOTAL_BYTES // LARGE_BYTES):
            server.recv(1)
            position = number % 16 * LARGE_BYTES
            end = position + LARGE_BYTES
            while position < end:
                position += os.sendfile(server.fileno(), file.fileno(), position, end - position)
        cpu = _cpu() - before
    server.close()
    os.waitpid(child, 0)
    return cpu / TOTAL_BYTES * GIB


def round_trips(count: int) -> list[float]:
    """Milliseconds of each of `count` round trips of one byte between two blocking processes."""
    client, child = _pair(_echo)
    times = []
    for _ in range(count):
        started = time.perf_counter()
        client.send(b"p")
        client.recv(1)
        times.append((time.perf_counter() - started) * 1e3)
    client.close()
    os.waitpid(child, 0)
    return times


def flushes(count: int) -> list[float]:
    """Milliseconds of each of `count` appends of a small record with its fdatasync."""
    times = []
    with tempfile.TemporaryFile(dir=data_root()) as file:
        for number in range(count):
            started = time.perf_counter()
            os.pwrite(file.fileno(), b"\x42" * SMALL_BYTES, number * SMALL_BYTES)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1e3)
    return times


def flushed_rate(size: int) -> float:
    """Bytes a second that reach the disk when each append of `size` bytes is flushed."""
    data, count = os.urandom(size), 40
    with tempfile.TemporaryFile(dir=data_root()) as file:
        started = time.perf_counter()
        for number in range(count):
            os.pwrite(file.fileno(), data, number * size)
            os.fdatasync(file.fileno())
        return count * size / (time.perf_counter() - started)


def bare_start() -> float:
    """Seconds until an interpreter with a loop has been started and has ended."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", "import uvloop"], check=True)
    return time.perf_counter() - started


def bare_memory() -> float:
    """Resident memory of an interpreter with a loop, in 10^6 bytes."""
    program = "import sys, uvloop; uvloop.new_event_loop(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return resident_mb(process.pid)


def _pair(client: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """A connection to a child process that runs `client`, and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            try:
                client(_unpaced(socket.create_connection(listener.getsockname())))
            finally:
                os._exit(0)
        connection, _ = listener.accept()
    return _unpaced(connection), child


def _unpaced(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")  # see take_unpaced
    return connection


def _fill(connection: socket.socket, buffer: memoryview) -> None:
    have = 0
    while have < len(buffer):
        have += connection.recv_into(buffer[have:])


def _send_all(client: socket.socket, size: int) -> None:
    """Without waiting for an answer: a producer has more than one request under way."""
    data = os.urandom(size)
    for _ in range(TOTAL_BYTES // size):
        client.sendall(data)


def _ask_ahead(client: socket.socket) -> None:
    """A few requests under way at a time, as a producer has."""
    data = os.urandom(SMALL_BYTES)
    ahead = 5
    for _ in range(ahead):
        client.sendall(data)
    for number in range(SMALL_REQUESTS):
        client.recv(60, socket.MSG_WAITALL)
        if number < SMALL_REQUESTS - ahead:
            client.sendall(data)


def _fetch_all(client: socket.socket) -> None:
    buffer = bytearray(LARGE_BYTES)
    for _ in range(TOTAL_BYTES // LARGE_BYTES):
        client.send(b"f")
        left = LARGE_BYTES
        while left:
            left -= client.recv_into(buffer, left)


def _echo(client: socket.socket) -> None:
    while data := client.recv(1):
        client.send(data)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
