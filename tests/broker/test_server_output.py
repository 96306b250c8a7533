"""Answers over real sockets: file slices, cold pages, back pressure, leases."""

import asyncio
import errno
import os
import random
import socket
import struct
from typing import Any

import pytest

from tests.socket_server import (
    FETCH,
    PRODUCE,
    SliceFile,
    number_of,
    on_both_loops,
    request,
    serving,
    wait_until,
)
from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.base.parts import FileSlice
from tierbroker.base.pending import Pending
from tierbroker.server.output import Output
from tierbroker.server.residency import NowaitResidency, best_residency

SIZES = (
    *(0, 1, 2, 100, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_536, 100_001),
    *(1_048_575, 1_048_576, 1_048_577, 3_000_001),
)


@pytest.fixture
def file() -> Any:
    made = SliceFile(4 << 20)
    yield made
    made.close()


def never_resident(fd: int, position: int, length: int) -> bool:
    return False


@pytest.mark.parametrize("sendfile", [True, False])
@pytest.mark.parametrize("cold", [True, False])
@on_both_loops
async def test_slices_arrive_unchanged(file: SliceFile, sendfile: bool, cold: bool) -> None:
    answers: list[tuple[list[Any], bytes]] = []

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        return answers[number_of(frame)][0]

    chance = random.Random(5)
    for size in SIZES:
        position = chance.randrange(0, len(file.data) - size + 1)
        expected = b"head" + file.data[position : position + size] + b"tail"
        answers.append(([b"head", file.slice(position, size), b"tail"], expected))
    many: list[Any] = []
    expected = b""
    for index in range(1500):  # more parts than one system call takes
        size = chance.choice((0, 1, 50, 3000, 20_000))
        position = chance.randrange(0, len(file.data) - size)
        many += [b"%06d" % index, file.slice(position, size)]
        expected += b"%06d" % index + file.data[position : position + size]
    answers.append((many, expected))
    residency = never_resident if cold else None
    async with serving(dispatch, sendfile=sendfile, residency=residency) as server:
        client = await server.connect()
        for number, (_, expected) in enumerate(answers):
            await client.send(request(number, FETCH))
            assert await client.answer() == expected
        assert file.leases == 0


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("where", ["sendfile", "pread", "warming"])
@on_both_loops
async def test_a_slice_that_the_disk_refuses_closes_its_connection_alone(
    file: SliceFile,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    size: int,
) -> None:
    """Whoever owns the file is told where, and nobody waits."""
    bad = 200_000
    residency = never_resident if where == "warming" else None

    def refuse(position: int, length: int) -> None:
        if position <= bad < position + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    class RefusingOs:
        """The calls of `os` that read a file."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def sendfile(self, out: int, fd: int, position: int, count: int) -> int:
            refuse(position, count)
            return os.sendfile(out, fd, position, count)

        def pread(self, fd: int, count: int, position: int) -> bytes:
            refuse(position, count)
            return os.pread(fd, count, position)

        def preadv(self, fd: int, buffers: list[Any], position: int, flags: int = 0) -> int:
            if where == "warming" and flags:
                raise BlockingIOError
            refuse(position, sum(map(len, buffers)))
            return os.preadv(fd, buffers, position, flags)

    for module in ("output", "residency"):
        monkeypatch.setattr(f"tierbroker.server.{module}.os", RefusingOs())

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        position = bad - 10 if number_of(frame) == 1 else 0
        return [b"head", file.slice(position, size)]

    async with serving(dispatch, sendfile=where != "pread", residency=residency) as server:
        unlucky, lucky = await server.connect(), await server.connect()
        await unlucky.send(request(1, FETCH))
        with pytest.raises((EOFError, ConnectionError)):
            await unlucky.answer()
        await lucky.send(request(2, FETCH))
        assert await lucky.answer() == b"head" + file.data[:size]
        assert file.leases == 0
    assert file.unreadable == [(bad - 10, errno.EIO)]
    assert "Input/output error" in caplog.text


@on_both_loops
async def test_evicted_pages_are_read_off_the_loop(tmp_path: Any) -> None:
    data = os.urandom(3 << 20)
    path = tmp_path / "slice"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    class Lease:
        released = 0

        def release(self) -> None:
            Lease.released += 1

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        return [b"abc", FileSlice(fd, 5, 1000, Lease()), FileSlice(fd, 1005, 2_500_000, Lease())]

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(request(1, FETCH))
        assert await client.answer() == b"abc" + data[5 : 1005 + 2_500_000]
    assert Lease.released == 2
    os.close(fd)


def test_residency_tells_cached_from_evicted(tmp_path: Any) -> None:
    path = tmp_path / "pages"
    path.write_bytes(os.urandom(1 << 20))
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.pread(fd, 1 << 20, 0)
    for probe in (best_residency(), NowaitResidency()):
        if not probe(fd, 0, 4096):
            pytest.skip("this file system shows no page cache")
        assert probe(fd, 0, 1 << 20)
        assert probe(fd, 4095, 2)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert not best_residency()(fd, 0, 1 << 20)
    os.close(fd)


@on_both_loops
async def test_a_connection_closed_while_its_pages_are_read_keeps_the_lease(
    file: SliceFile,
) -> None:
    executor = ManualExecutor()

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        return [b"x", file.slice(0, 100_000), file.slice(5, 50_000)]

    async with serving(dispatch, executor=executor, residency=never_resident) as server:
        client = await server.connect()
        await client.send(request(1, FETCH))
        await wait_until(lambda: len(executor) == 1)
        server.server.stop()
        assert file.leases == 1  # the worker reads from it
        executor.run_all()
        assert file.leases == 0


@on_both_loops
async def test_a_file_shorter_than_its_slice_closes_the_connection(file: SliceFile) -> None:
    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        return [b"x", file.slice(len(file.data) - 50_000, 100_000)]

    async with serving(dispatch) as server:
        client = await server.connect()
        await client.send(request(1, FETCH))
        with pytest.raises((EOFError, ConnectionError)):
            await client.answer()
        assert file.leases == 0


@on_both_loops
async def test_sendfile_that_the_file_system_refuses(
    file: SliceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*arguments: int) -> int:
        calls.append(arguments)
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refuse)

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        return [b"head", file.slice(10, 500_000)]

    async with serving(dispatch) as server:
        client = await server.connect()
        for _ in range(3):
            await client.send(request(1, FETCH))
            assert await client.answer() == b"head" + file.data[10:500_010]
    assert len(calls) == 1


@on_both_loops
async def test_a_client_that_never_reads_stops_being_served(file: SliceFile) -> None:
    served = []

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        served.append(number_of(frame))
        return [bytes(1000), file.slice(0, 1 << 20)]

    async with serving(dispatch, socket_send_buffer_bytes=65_536) as server:
        client = await server.connect(receive_buffer=65_536)
        other = await server.connect()
        for number in range(200):
            await client.send(request(number, FETCH))
        await wait_until(lambda: served)
        for number in range(2000, 2020):
            await other.send(request(number, FETCH))
            await other.answer()
        assert len([number for number in served if number < 1000]) <= 3
        assert file.leases <= 3
        for _ in range(200):
            assert len(await client.answer()) == 1000 + (1 << 20)
    assert file.leases == 0
    assert [number for number in served if number < 1000] == list(range(200))


@on_both_loops
async def test_memory_is_bounded_when_clients_never_read() -> None:
    served = []

    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        served.append(peer.id)
        return [bytes(500_000)]

    async with serving(dispatch, socket_send_buffer_bytes=65_536) as server:
        clients = [await server.connect(receive_buffer=65_536) for _ in range(20)]
        for client in clients:
            await client.send(b"".join(request(number) for number in range(50)))
        await wait_until(lambda: len(set(served)) == 20)
        probe = await server.connect()
        for number in range(20):
            await probe.send(request(number))
            await probe.answer()
        unsent = [
            connection._output.unsent_bytes for connection in server.server._connections.values()
        ]
        assert max(unsent) <= 500_004 + 65_536
        assert len(served) <= 20 + 20 + 20


@on_both_loops
async def test_reading_stops_when_requests_pile_up() -> None:
    """Bytes behind a parked request stay in the kernel: the client is slowed down."""
    parked: Pending[Any] = Pending()

    def dispatch(peer: Any, frame: bytearray) -> Any:
        return parked if number_of(frame) == 0 else [b"done"]

    async with serving(dispatch, socket_receive_buffer_bytes=65_536) as server:
        client = await server.connect()
        await client.send(request(0, FETCH))
        chunk = b"".join(request(number, size=1000) for number in range(1, 1001))
        sent = asyncio.get_running_loop().create_future()

        async def push() -> None:
            for _ in range(20):
                await client.send(chunk)
            sent.set_result(True)

        task = asyncio.get_running_loop().create_task(push())
        probe = await server.connect()
        for number in range(1, 50):
            await probe.send(request(number))
            await probe.answer()
        assert not sent.done()
        assert server.server.memory.used_bytes < 300_000
        parked.resolve([b"first"])
        assert await client.answer() == b"first"
        for _ in range(20_000):
            assert await client.answer() == b"done"
        await task


@on_both_loops
async def test_requests_wait_for_the_memory_budget() -> None:
    size = 800_000
    parked: list[Pending[Any]] = []

    def dispatch(peer: Any, frame: bytearray) -> Any:
        parked.append(Pending())
        return parked[-1]

    limits = {"memory_budget_bytes": 2_000_000, "request_max_bytes": 1_000_000}
    async with serving(dispatch, **limits) as server:
        clients = [await server.connect() for _ in range(8)]
        stream = struct.pack(">i", size) + bytes(size)
        loop = asyncio.get_running_loop()
        sends = [loop.create_task(client.send(stream)) for client in clients]
        await wait_until(lambda: parked)
        memory = server.server.memory
        for _ in range(8):
            await wait_until(lambda: parked)
            await wait_until(lambda: memory.has_waiting or len(parked) == 1)
            assert memory.used_bytes <= memory.limit_bytes
            parked.pop(0).resolve([b"done"])
        for client in clients:
            assert await client.answer() == b"done"
        await asyncio.gather(*sends)


@on_both_loops
async def test_half_sent_large_requests_do_not_keep_small_ones_out() -> None:
    def dispatch(peer: Any, frame: bytearray) -> Any:
        return [frame[4:8]]

    limits = {"memory_budget_bytes": 4_000_000, "request_max_bytes": 1_000_000}
    async with serving(dispatch, **limits) as server:
        for _ in range(20):
            client = await server.connect()
            await client.send(struct.pack(">i", 1_000_000) + bytes(100))
        await wait_until(lambda: server.server.memory.has_waiting)
        quick = await server.connect()
        for number in range(50):
            await quick.send(request(number, size=2000))
            assert await quick.answer_number() == number


@on_both_loops
async def test_half_sent_requests_give_way_when_others_wait() -> None:
    def dispatch(peer: Any, frame: bytearray) -> Any:
        return [b"done"]

    limits = {"memory_budget_bytes": 1_500_000, "request_max_bytes": 1_000_000}
    async with serving(dispatch, slow_frame_s=0.05, **limits) as server:
        stalled = await server.connect()
        await stalled.send(struct.pack(">i", 900_000) + bytes(100))
        await wait_until(lambda: server.server.memory.used_bytes == 900_000)
        client = await server.connect()
        await client.send(struct.pack(">i", 900_000) + bytes(900_000))
        assert await client.answer() == b"done"
        assert await stalled.is_closed()


@on_both_loops
async def test_late_answers_of_a_gone_client_release_their_leases(file: SliceFile) -> None:
    promise: Pending[Any] = Pending()

    async with serving(lambda peer, frame: promise) as server:
        client = await server.connect()
        await client.send(request(1, PRODUCE))
        await wait_until(lambda: server.server.memory.used_bytes)
        client.reset()
        await wait_until(lambda: server.server.connection_count == 0)
        promise.resolve([b"late", file.slice(0, 10)])
        assert file.leases == 0


@on_both_loops
async def test_unsent_answers_of_a_gone_client_release_their_leases(file: SliceFile) -> None:
    def dispatch(peer: Any, frame: bytearray) -> list[Any]:
        return [b"x", *(file.slice(0, 1 << 20) for _ in range(30))]

    async with serving(dispatch, socket_send_buffer_bytes=65_536) as server:
        client = await server.connect(receive_buffer=65_536)
        await client.send(request(1, FETCH))
        await wait_until(lambda: file.leases)
        client.reset()
        await wait_until(lambda: server.server.connection_count == 0)
        assert file.leases == 0


async def test_a_short_rest_takes_no_turn_of_its_own(file: SliceFile) -> None:
    from tierbroker.server.output import Progress, Sender

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender = Sender(best_residency(), InlineExecutor(), sendfile=True, turn_bytes=50_000)
    output = Output(ours, sender, lambda outcome: None)
    output.add([b"head", file.slice(0, 50_000), b"end"])
    assert output.send() is Progress.EMPTY
    assert file.leases == 0
    ours.close()
    theirs.close()


async def test_one_turn_sends_no_more_than_its_share(file: SliceFile) -> None:
    from tierbroker.server.output import Progress, Sender

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender = Sender(best_residency(), InlineExecutor(), sendfile=True, turn_bytes=20_000)
    output = Output(ours, sender, lambda outcome: None)
    output.add([b"h" * 30_000, file.slice(0, 50_000), b"t"])
    rounds = []
    while output.unsent_bytes:
        before = output.unsent_bytes
        progress = output.send()
        rounds.append(before - output.unsent_bytes)
        assert progress is (Progress.TURN_USED if output.unsent_bytes else Progress.EMPTY)
    assert max(rounds) <= 20_000 + 20_000 // 16
    assert sum(rounds) == 4 + 80_001
    received = b""
    while len(received) < 80_005:
        received += theirs.recv(1 << 20)
    assert received[4:] == b"h" * 30_000 + file.data[:50_000] + b"t"
    assert file.leases == 0
    ours.close()
    theirs.close()
