"""The floor: what receiving, checking and storing bytes costs when nothing else is done.

Resource: one core, in a loop of system calls without any protocol. Nothing that speaks Kafka
can be cheaper: row 1 and 3 are read against these figures.
"""

import os
import resource
import socket
import tempfile
from collections.abc import Callable, Mapping

from crc32c import crc32c

from bench.row import Figure
from bench.system import Durability, System, data_root

GIB = 1 << 30
BATCH_BYTES = 16_384
LARGE_BYTES = 1 << 20
TOTAL_BYTES = 256 << 20


class Floor:
    """Receive, CRC and append in one process; and sendfile from the page cache.

    Resource: one core. This is the physical limit itself.
    """

    number = 0
    title = "floor: system calls and CRC alone"
    figures = (
        Figure("receive, CRC, append of 16 KiB", "CPU-s/GiB"),
        Figure("receive, CRC, append of 1 MiB", "CPU-s/GiB"),
        Figure("sendfile of 1 MiB, one at a time", "CPU-s/GiB"),
        Figure("interpreter, a million additions", "ms"),
    )
    repetitions = 5
    durability: Durability | None = None

    def prepare(self, system: System) -> None:
        """Nothing."""

    def measure(self, system: System) -> Mapping[str, float]:
        return {
            "receive, CRC, append of 16 KiB": receive(BATCH_BYTES),
            "receive, CRC, append of 1 MiB": receive(LARGE_BYTES),
            "sendfile of 1 MiB, one at a time": send(),
            "interpreter, a million additions": add_up() * 1e3,
        }


def receive(size: int) -> float:
    """CPU seconds per GiB to receive, check and append requests of `size` bytes."""
    server, child = _pair(lambda client: _send_all(client, size))
    buffer = memoryview(bytearray(size))
    with tempfile.TemporaryFile(dir=data_root()) as file:
        before = _cpu()
        for number in range(TOTAL_BYTES // size):
            have = 0
            while have < size:
                have += server.recv_into(buffer[have:])
            crc32c(buffer)
            os.pwrite(file.fileno(), buffer, number * size)
        cpu = _cpu() - before
    server.close()
    os.waitpid(child, 0)
    return cpu / TOTAL_BYTES * GIB


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


def add_up() -> float:
    """CPU seconds of a fixed loop. Its spread is that of the machine: where two cores are
    threads of one, all CPU times nearly double while the other one is busy."""
    before = _cpu()
    total = 0
    for number in range(1_000_000):
        total += number
    return _cpu() - before


def _pair(client: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """A connection to a child process that runs `client`, and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            try:
                client(socket.create_connection(listener.getsockname()))
            finally:
                os._exit(0)
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")  # see take_unpaced
    return connection, child


def _send_all(client: socket.socket, size: int) -> None:
    """Without waiting for an answer: a producer has more than one request under way."""
    data = os.urandom(size)
    for _ in range(TOTAL_BYTES // size):
        client.sendall(data)


def _fetch_all(client: socket.socket) -> None:
    buffer = bytearray(LARGE_BYTES)
    for _ in range(TOTAL_BYTES // LARGE_BYTES):
        client.send(b"f")
        left = LARGE_BYTES
        while left:
            left -= client.recv_into(buffer, left)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
