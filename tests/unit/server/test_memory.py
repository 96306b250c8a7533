"""The memory budget: who is refused, who waits, who is woken."""

import pytest

from tierbroker.base.scheduler import ManualScheduler
from tierbroker.server.memory import SMALL_FRAME_BYTES, MemoryBudget

MIB = 1 << 20


def budget(limit: int = 8 * MIB, largest: int = MIB) -> tuple[MemoryBudget, ManualScheduler]:
    scheduler = ManualScheduler()
    return MemoryBudget(limit, largest, scheduler.call_soon), scheduler


def test_reservations_up_to_the_limit() -> None:
    memory, _ = budget()
    for _ in range(6):
        assert memory.try_reserve(MIB)
    assert not memory.try_reserve(MIB)
    assert memory.used_bytes == 6 * MIB
    memory.release(MIB)
    assert memory.try_reserve(MIB)


def test_large_frames_leave_room_for_small_ones() -> None:
    memory, _ = budget()
    while memory.try_reserve(MIB):
        pass
    assert memory.try_reserve(SMALL_FRAME_BYTES)
    assert not memory.small_exhausted
    for _ in range(2 * MIB // SMALL_FRAME_BYTES):
        memory.charge(SMALL_FRAME_BYTES)
    assert memory.small_exhausted


def test_the_largest_frame_always_fits_an_empty_budget() -> None:
    memory, _ = budget(limit=MIB, largest=MIB)
    assert memory.try_reserve(MIB)


def test_waiting_connections_are_woken_in_order_as_far_as_there_is_room() -> None:
    memory, scheduler = budget()
    assert memory.try_reserve(6 * MIB - 1)
    woken = []

    def reserve(name: str) -> None:
        assert memory.try_reserve(2 * MIB)
        woken.append(name)

    for name in "abc":
        memory.wait(2 * MIB, lambda name=name: reserve(name))
    assert memory.under_pressure
    scheduler.end_turn()
    assert woken == []
    memory.release(6 * MIB - 1)
    assert woken == []  # never inside the release
    scheduler.end_turn()
    assert woken == ["a", "b", "c"]
    assert not memory.has_waiting


def test_one_that_only_starts_to_read_again_counts_as_if_it_had_taken() -> None:
    memory, scheduler = budget()
    assert memory.try_reserve(6 * MIB)
    woken = []
    for name in "abcdefgh":
        memory.wait(MIB, lambda name=name: woken.append(name))
    memory.release(6 * MIB)
    scheduler.end_turn()
    assert woken == list("abcdef")


def test_who_leaves_the_line_does_not_hold_it_up() -> None:
    memory, scheduler = budget()
    assert memory.try_reserve(5 * MIB)
    woken = []
    large = memory.wait(6 * MIB, lambda: woken.append("large"))
    memory.wait(MIB, lambda: woken.append("small"))
    scheduler.end_turn()
    assert woken == []
    memory.stop_waiting(large)
    scheduler.end_turn()
    assert woken == ["small"]


def test_waiting_for_what_fits_already_is_short() -> None:
    memory, scheduler = budget()
    woken = []
    memory.wait(MIB, lambda: woken.append(1))
    scheduler.end_turn()
    assert woken == [1]


def test_a_frame_released_twice_is_a_bug() -> None:
    memory, _ = budget()
    memory.charge(100)
    memory.release(100)
    with pytest.raises(AssertionError):
        memory.release(100)
