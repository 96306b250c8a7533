"""A stream cut whole and the same stream cut anywhere give the same frames."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from tierbroker.wire.framing import RequestFramer, Scratch, UnlimitedBudget

LIMIT = 4096
payloads = st.lists(st.binary(min_size=8, max_size=300), max_size=12)


def cut(stream: bytes, pieces: list[int], scratch_bytes: int) -> tuple[list[bytes], str | None]:
    framer = RequestFramer(Scratch(scratch_bytes), UnlimitedBudget(), LIMIT)
    frames = []
    position = turn = 0
    while position < len(stream) and framer.error is None:
        buffer = framer.get_buffer()
        assert len(buffer) > 0
        piece = pieces[turn % len(pieces)] if pieces else len(stream)
        turn += 1
        count = min(piece, len(buffer), len(stream) - position)
        buffer[:count] = stream[position : position + count]
        position += count
        frames += [bytes(frame) for frame in framer.received(count)]
    return frames, None if framer.error is None else str(framer.error)


@given(payloads, st.lists(st.integers(1, 50), max_size=10), st.integers(5, 200))
def test_split_anywhere(items: list[bytes], pieces: list[int], scratch_bytes: int) -> None:
    stream = b"".join(struct.pack(">i", len(item)) + item for item in items)
    assert cut(stream, pieces, scratch_bytes) == (items, None)
    assert cut(stream, [1], scratch_bytes) == (items, None)
    assert cut(stream, [], 65_536) == (items, None)


@given(st.binary(max_size=2000), st.lists(st.integers(1, 50), max_size=10))
def test_rubbish_is_cut_alike_however_it_comes(stream: bytes, pieces: list[int]) -> None:
    assert cut(stream, pieces, 64) == cut(stream, [], 65_536) == cut(stream, [1], 64)
