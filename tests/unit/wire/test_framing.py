"""Frames come out whole whatever the pieces, and nothing is allocated ahead of the bytes."""

import struct
import sys

import pytest

from tierbroker.wire.framing import (
    LARGE_FRAME_BYTES,
    SCRATCH_BYTES,
    RequestFramer,
    Scratch,
    UnlimitedBudget,
)


class CountingBudget:
    """Grants up to a limit and keeps count."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit = limit
        self.used = 0

    def try_reserve(self, size_bytes: int) -> bool:
        if self.used + size_bytes > self.limit:
            return False
        self.used += size_bytes
        return True

    def charge(self, size_bytes: int) -> None:
        self.used += size_bytes

    def release(self, size_bytes: int) -> None:
        self.used -= size_bytes
        assert self.used >= 0


def framed(*payloads: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(payload)) + payload for payload in payloads)


def feed(framer: RequestFramer, data: bytes, piece: int | None = None) -> list[bytes]:
    """Receive `data` as a socket would hand it over, `piece` bytes at a time."""
    frames = []
    position = 0
    while position < len(data) and framer.error is None and not framer.blocked_bytes:
        buffer = framer.get_buffer()
        count = min(len(buffer), piece or len(data), len(data) - position)
        buffer[:count] = data[position : position + count]
        position += count
        frames += framer.received(count)
    return [bytes(frame) for frame in frames]


def test_several_frames_of_one_read() -> None:
    payloads = [b"01234567", b"x" * 100, b"y" * 8]
    framer = RequestFramer(Scratch(), UnlimitedBudget())
    assert feed(framer, framed(*payloads)) == payloads
    assert framer.partial_bytes == 0


@pytest.mark.parametrize("piece", [1, 2, 3, 4, 5, 7, 11, 12, 13, 100])
def test_any_piece_size(piece: int) -> None:
    payloads = [bytes(range(8)), b"a" * 9, b"b" * 300, b"c" * 8]
    framer = RequestFramer(Scratch(64), UnlimitedBudget())
    assert feed(framer, framed(*payloads), piece) == payloads


def test_a_frame_is_a_bytearray_of_its_own() -> None:
    scratch = Scratch()
    framer = RequestFramer(scratch, UnlimitedBudget())
    stream = framed(b"12345678", b"abcdefgh")
    framer.get_buffer()[: len(stream)] = stream
    first, second = framer.received(len(stream))
    first[0:4] = b"____"
    assert type(first) is bytearray
    assert second == b"abcdefgh"
    assert scratch.data[4:12] == b"12345678"


def test_two_connections_share_the_scratch_buffer() -> None:
    scratch = Scratch()
    one = RequestFramer(scratch, UnlimitedBudget())
    two = RequestFramer(scratch, UnlimitedBudget())
    stream_one = framed(b"1" * 50)
    stream_two = framed(b"2" * 50)
    got_one: list[bytes] = []
    got_two: list[bytes] = []
    for index in range(len(stream_one)):
        got_one += feed(one, stream_one[index : index + 1])
        got_two += feed(two, stream_two[index : index + 1])
    assert (got_one, got_two) == ([b"1" * 50], [b"2" * 50])


def test_a_large_frame_grows_with_what_arrives() -> None:
    framer = RequestFramer(Scratch(), UnlimitedBudget())
    size = 100 << 20
    feed(framer, struct.pack(">i", size) + b"x" * 1000)
    assert framer.partial_bytes == size
    assert framer.received_bytes == 1000
    assert sys.getsizeof(framer._frame) < 200_000
    assert len(framer.get_buffer()) < 200_000


def test_a_large_frame_is_received_in_place() -> None:
    payload = bytes(range(256)) * 20_000
    framer = RequestFramer(Scratch(), UnlimitedBudget())
    (frame,) = feed(framer, framed(payload), 70_000)
    assert frame == payload


@pytest.mark.parametrize("size", [-(2**31), -1, 0, 1, 7])
def test_sizes_that_no_request_has(size: int) -> None:
    framer = RequestFramer(Scratch(), CountingBudget())
    assert feed(framer, framed(b"12345678") + struct.pack(">i", size)) == [b"12345678"]
    assert str(size) in str(framer.error)


@pytest.mark.parametrize("size", [1025, 0x7FFFFFFF])
def test_the_limit_holds_before_anything_is_allocated(size: int) -> None:
    budget = CountingBudget()
    framer = RequestFramer(Scratch(), budget, limit_bytes=1024)
    assert feed(framer, struct.pack(">i", size) + b"x" * 100) == []
    assert "socket.request.max.bytes" in str(framer.error)
    assert budget.used == 0
    assert framer.partial_bytes == 0


def test_a_frame_of_exactly_the_limit() -> None:
    framer = RequestFramer(Scratch(), UnlimitedBudget(), limit_bytes=1024)
    assert feed(framer, framed(b"x" * 1024)) == [b"x" * 1024]


def test_frames_count_in_the_budget_until_released() -> None:
    budget = CountingBudget()
    framer = RequestFramer(Scratch(), budget)
    feed(framer, framed(b"x" * 100, b"y" * 50))
    assert budget.used == 150
    feed(framer, framed(b"z" * 200_000), 1000)
    assert budget.used == 200_150


def test_a_refused_frame_blocks_until_there_is_room() -> None:
    budget = CountingBudget(limit=1000)
    budget.used = 500
    framer = RequestFramer(Scratch(), budget)
    payload = b"p" * 800
    stream = framed(payload)
    assert feed(framer, stream[:300]) == []
    assert framer.blocked_bytes == 800
    assert not framer.try_unblock()
    budget.used = 0
    assert framer.try_unblock()
    assert framer.blocked_bytes == 0
    assert feed(framer, stream[300:]) == [payload]
    assert budget.used == 800


def test_close_gives_a_reservation_back_once() -> None:
    budget = CountingBudget()
    framer = RequestFramer(Scratch(), budget)
    feed(framer, struct.pack(">i", 500) + b"x")
    assert budget.used == 500
    framer.close()
    framer.close()
    assert budget.used == 0


def test_close_of_a_blocked_frame_gives_nothing_back() -> None:
    budget = CountingBudget(limit=100)
    budget.used = 90
    framer = RequestFramer(Scratch(), budget)
    feed(framer, struct.pack(">i", 50) + b"x")
    framer.close()
    assert budget.used == 90


def test_size_only_receives_no_byte_of_the_frame() -> None:
    framer = RequestFramer(Scratch(), UnlimitedBudget())
    stream = framed(b"q" * 20)
    buffer = framer.get_buffer(size_only=True)
    assert len(buffer) == 4
    buffer[:2] = stream[:2]
    assert framer.received(2) == []
    buffer = framer.get_buffer(size_only=True)
    assert len(buffer) == 2
    buffer[:] = stream[2:4]
    assert framer.received(2) == []
    assert framer.received_bytes == 0
    assert feed(framer, stream[4:]) == [b"q" * 20]


def test_after_a_large_frame_less_is_received_into_the_scratch_buffer() -> None:
    framer = RequestFramer(Scratch(), UnlimitedBudget())
    assert len(framer.get_buffer()) == SCRATCH_BYTES
    feed(framer, framed(b"x" * (LARGE_FRAME_BYTES + 1)), 1000)
    assert len(framer.get_buffer()) == LARGE_FRAME_BYTES
    feed(framer, framed(b"y" * 100))
    assert len(framer.get_buffer()) == SCRATCH_BYTES


def test_an_idle_framer_owns_no_buffer() -> None:
    framer = RequestFramer(Scratch(), UnlimitedBudget())
    feed(framer, framed(b"x" * (SCRATCH_BYTES * 2)))
    assert framer._frame is None
    assert framer._prefix == b""
