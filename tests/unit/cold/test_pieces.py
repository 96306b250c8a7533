"""Pieces of cold segments: judged when they arrive, found by offset."""

from collections.abc import Sequence

import pytest

from tests.log_setup import make_batch
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import Story, tell
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.pieces import (
    JUDGED_A_TURN_BATCHES,
    JUDGED_A_TURN_BYTES,
    Piece,
    PieceCache,
    check_piece,
)
from tierbroker.records.batch import patch_offsets
from tierbroker.records.epoch_lineage import EpochEntry

LINEAGE = (EpochEntry(1, 0), EpochEntry(3, 12))


def batch(base_offset: int, records: int = 4, epoch: int = 1) -> bytes:
    data, _ = make_batch([b"value"] * records)
    patch_offsets(data, 0, base_offset, epoch)
    return bytes(data)


def judging(
    scheduler: ManualScheduler,
    data: bytes,
    *,
    end_offset: int = 99,
    is_last: bool = False,
    lineage: Sequence[EpochEntry] = LINEAGE,
) -> Story[tuple[Piece, int]]:
    return check_piece(
        scheduler,
        memoryview(data),
        1000,
        base_offset=4,
        end_offset=end_offset,
        is_last=is_last,
        lineage=lineage,
        what="an object",
    )


def judge(data: bytes, *, end_offset: int = 99, is_last: bool = False) -> tuple[Piece, int]:
    """In one turn: there is not much of it."""
    return tell(judging(ManualScheduler(), data, end_offset=end_offset, is_last=is_last)).result()


def test_whole_batches_are_found_by_offset() -> None:
    parts = [batch(4), batch(8), batch(12, epoch=3), batch(20, epoch=3)]
    data = b"".join(parts)
    piece, wanted = judge(data + parts[0][:40])
    assert (piece.end_position, wanted) == (1000 + len(data), 0)
    assert piece.last_offsets == [7, 11, 15, 23]
    size = len(parts[0])
    assert piece.batches(9, 1) == (parts[1], 12, 1000 + 2 * size)
    assert piece.batches(13, 1 << 20) == (parts[2] + parts[3], 24, 1000 + 4 * size)
    assert piece.batches(17, 1 << 20) == (parts[3], 24, 1000 + 4 * size)
    assert piece.batches(24, 1 << 20) is None


def test_a_batch_that_is_larger_than_the_piece_says_how_large_it_is() -> None:
    data = batch(4, 50)
    piece, wanted = judge(data[:100])
    assert (piece.positions, wanted) == ([], len(data))


@pytest.mark.parametrize("cut", [3, 20, 60])
def test_a_segment_does_not_end_within_a_batch(cut: int) -> None:
    whole = batch(4)
    judge(whole, is_last=True)
    with pytest.raises(ObjectDamagedError, match=f"{cut} bytes at its end are no whole batch"):
        judge(whole + batch(8)[:cut], is_last=True)


def test_wrong_bytes_are_found_out() -> None:
    first = batch(4)
    data = bytearray(first + batch(8))
    data[-1] ^= 1
    with pytest.raises(ObjectDamagedError, match=f"wrong CRC .* at byte {1000 + len(first)}"):
        judge(bytes(data))


@pytest.mark.parametrize("second", [batch(7), batch(4), batch(97)])
def test_offsets_rise_within_the_segment(second: bytes) -> None:
    with pytest.raises(ObjectDamagedError, match=r"does not follow 7 within 99"):
        judge(batch(4) + second)


@pytest.mark.parametrize(("offset", "epoch", "right"), [(8, 3, 1), (12, 1, 3), (16, 2, 3)])
def test_a_batch_is_of_the_epoch_that_the_lineage_names(
    offset: int, epoch: int, right: int
) -> None:
    with pytest.raises(ObjectDamagedError, match=f"epoch {epoch}, offset {offset} of {right}"):
        judge(batch(4) + batch(offset, epoch=epoch))


def test_what_is_no_batch_is_found_out() -> None:
    data = batch(4)
    for place, byte in ((16, 1), (8, 255)):
        wrong = bytearray(data + data)
        wrong[len(data) + place] = byte
        with pytest.raises(ObjectDamagedError, match="no v2 batch"):
            judge(bytes(wrong))


@pytest.mark.parametrize("records", [1, 4000])
def test_others_have_their_turn_while_a_piece_is_judged(records: int) -> None:
    """However small or large its batches are."""
    size = len(batch(0, records))
    a_turn = min(JUDGED_A_TURN_BATCHES, -(-JUDGED_A_TURN_BYTES // size))
    count = 3 * a_turn + 1
    data = bytearray(batch(4, records) * count)
    for number in range(count):
        patch_offsets(data, number * size, 4 + number * records, 1)
    scheduler = ManualScheduler()
    data_end = count * records + 3
    telling = tell(judging(scheduler, bytes(data), end_offset=data_end, lineage=LINEAGE[:1]))
    for _ in range(3):
        assert not telling.done
        scheduler.end_turn(follow=False)
    piece, _ = telling.result()
    assert (len(piece.positions), piece.last_offsets[-1]) == (count, data_end)


def whole(position: int) -> Piece:
    """A piece of ten bytes."""
    return Piece(memoryview(bytes(10)), position, [0], [position])


def test_what_is_under_way_takes_room_but_never_all_of_it() -> None:
    cache = PieceCache(40)
    for position in (0, 10, 20, 30):
        cache.add((0, 1), whole(position))
    cache.expect(10)
    assert [cache.find((0, 1), position) is not None for position in (0, 10, 20, 30)] == [
        False, True, True, True,
    ]  # fmt: skip
    cache.expect(100)
    assert cache.size_bytes == 20
    cache.expect(-110)
    cache.add((0, 1), whole(40))
    assert (cache.size_bytes, cache.under_way_bytes) == (30, 0)
    assert cache.find((0, 1), 40) is not None


def test_what_is_read_again_leaves_half_of_the_room_to_what_comes_next() -> None:
    cache = PieceCache(80)
    for position in range(0, 80, 10):
        cache.add((0, 1), whole(position))
    for position in range(0, 80, 10):
        for _ in range(2):  # a second reader behind the first
            piece = cache.find((0, 1), position)
            assert piece is not None
            piece.batches(position, 10)
    for position in range(100, 140, 10):
        cache.add((0, 1), whole(position))
    assert [at for at in range(0, 140, 10) if cache.find((0, 1), at)] == [
        40, 50, 60, 70, 100, 110, 120, 130,
    ]  # fmt: skip
