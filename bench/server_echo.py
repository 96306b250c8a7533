"""What one small request and its reply cost in the server, without any handler.

Resource: one core, spent in the broker's loop thread (client in a child process on the other
core). Physical limit: the system calls themselves, one recv and one send of about 4 us each on
loopback, plus one epoll_wait; the floor is measured here by a bare recv/send loop over the same
sockets. Prints microseconds of CPU of the server process per request, for one request at a
time, for pipelined small requests, and for 16 KiB requests; and CPU seconds per GiB of file
slices sent.
"""

import argparse
import asyncio
import os
import resource
import select
import socket
import struct
import tempfile
import time

from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import ThreadExecutor
from tierbroker.base.parts import FileSlice
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.server import Server

FETCH = b"\x00\x01\x00\x0c"
METADATA = b"\x00\x03\x00\x0c"


class NoLease:
    """Nothing to give back."""

    def release(self) -> None:
        """Nothing to do."""


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def client(port: int, count: int, size: int, depth: int, answer: int) -> None:
    """Sends `count` requests of `size` bytes, `depth` at a time, and exits."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = FETCH if answer > 100 else METADATA
    request = struct.pack(">i", size) + head + bytes(size - 4)
    batch = request * depth
    expected = (answer + 4) * depth
    buffer = bytearray(1 << 20)
    for _ in range(count // depth):
        connection.sendall(batch)
        left = expected
        while left:
            left -= connection.recv_into(buffer, min(left, len(buffer)))
    connection.close()


def fork_client(*arguments: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            client(*arguments)
        finally:
            os._exit(0)
    return pid


def floor(count: int, size: int, answer: int) -> float:
    """CPU per request of a loop of epoll, recv and send, and nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))
    pid = fork_client(listener.getsockname()[1], count, size, 1, answer)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    epoll = select.epoll()
    epoll.register(connection.fileno(), select.EPOLLIN)
    buffer = bytearray(65536)
    reply = struct.pack(">i", answer) + bytes(answer)
    start = cpu()
    for _ in range(count):
        left = size + 4
        while left:
            epoll.poll()
            left -= connection.recv_into(buffer)
        connection.send(reply)
    spent = cpu() - start
    os.waitpid(pid, 0)
    connection.close()
    listener.close()
    return spent / count * 1e6


async def measure(port: int, count: int, size: int, depth: int, answer: int) -> float:
    start = cpu()
    pid = fork_client(port, count, size, depth, answer)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.02)
    return (cpu() - start) / count * 1e6


async def run(requests: int, sendfile: bool) -> None:
    loop = asyncio.get_running_loop()
    answer = [bytes(40)]
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
    file.write(os.urandom(64 << 20))
    file.flush()
    lease = NoLease()
    slice_bytes = 1 << 20

    def dispatch(peer, frame):
        if frame[1] == 1:
            return [b"x" * 60, FileSlice(file.fileno(), 0, slice_bytes, lease)]
        return answer

    server = Server(
        loop,
        [ListenerConfig("BENCH", "127.0.0.1", 0)],
        dispatch,
        ServerLimits(sendfile=sendfile),
        ThreadExecutor(2, loop.call_soon_threadsafe),
        SystemClock(),
        on_error=lambda error: print("error", repr(error)),
    )
    port = server.start()["BENCH"]
    bare = floor(requests, 40, 40)
    alone = await measure(port, requests, 40, 1, 40)
    piped = await measure(port, requests, 40, 50, 40)
    floor_16k = floor(requests, 16 << 10, 40)
    large = await measure(port, requests, 16 << 10, 1, 40)
    print(f"small, one at a time   {alone:6.1f} us CPU/request (floor {bare:.1f})")
    print(f"small, 50 pipelined    {piped:6.1f} us CPU/request")
    print(f"16 KiB, one at a time  {large:6.1f} us CPU/request (floor {floor_16k:.1f})")
    megabyte = await measure(port, requests // 20, 1 << 20, 1, 40)
    print(f"1 MiB requests         {megabyte / 1e6 * 1024:6.3f} CPU-s/GiB received")
    for slice_bytes in (4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 1 << 20):
        count = max(500, min(requests, (4 << 30) // slice_bytes))
        spent = await measure(port, count, 40, 1, slice_bytes + 60)
        per_gib = spent / 1e6 * ((1 << 30) / slice_bytes)
        print(
            f"slices of {slice_bytes >> 10:5d} KiB    {spent:6.1f} us CPU/request, "
            f"{per_gib:.3f} CPU-s/GiB"
        )
    server.stop()
    file.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--no-sendfile", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    if options.loop == "uvloop":
        import uvloop

        uvloop.run(run(options.requests, not options.no_sendfile))
    else:
        asyncio.run(run(options.requests, not options.no_sendfile))
    print(f"took {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
