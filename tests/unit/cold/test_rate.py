"""Bytes a second, by a clock that is moved."""

import pytest

from tests.faulty_store import FaultyStore
from tierbroker.base.clock import ManualClock
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.cold.rate import ByteRate, RatedReads


class RateWorld:
    def __init__(self, bytes_per_second: int) -> None:
        self.clock = ManualClock()
        self.scheduler = ManualScheduler()
        self.rate = ByteRate(self.clock, self.scheduler, bytes_per_second)
        self.begun: list[tuple[float, int]] = []

    def draw(self, size_bytes: int) -> None:
        number = len(self.begun)
        pending = self.rate.draw(size_bytes)
        pending.on_done(lambda _: self.begun.append((self.clock.monotonic(), number)))

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(100)
            self.scheduler.advance(0.1)

    @property
    def times(self) -> list[float]:
        return [round(at, 1) for at, _ in self.begun]


def test_pieces_begin_when_those_before_are_paid_for() -> None:
    world = RateWorld(100)
    for size in (50, 100, 10, 40):
        world.draw(size)
    assert world.times == [0.0]
    world.advance(3)
    assert world.times == [0.0, 0.5, 1.5, 1.6]


def test_a_piece_larger_than_a_second_is_not_split() -> None:
    world = RateWorld(100)
    world.draw(1000)
    world.draw(1)
    world.advance(9.9)
    assert world.times == [0.0]
    world.advance(0.3)
    assert len(world.times) == 2


def test_time_that_nobody_used_is_not_saved() -> None:
    world = RateWorld(100)
    world.advance(60)
    world.draw(100)
    world.draw(100)
    assert world.times == [60.0]
    world.advance(1)
    assert world.times == [60.0, 61.0]


def test_who_waits_no_more_is_not_called() -> None:
    world = RateWorld(100)
    world.draw(100)
    waiting = world.rate.draw(100)
    waiting.cancel()
    world.advance(2)
    assert not waiting.done


def test_reads_of_a_store_are_limited_together() -> None:
    world = RateWorld(100)
    inner = FaultyStore(world.clock)
    inner.inner.put("a", [bytes(1000)])
    store = RatedReads(inner, world.rate)
    reads = [store.get_range("a", start, 100) for start in (0, 100, 200)]
    assert [read.done for read in reads] == [True, False, False]
    reads[1].cancel()
    world.advance(1.1)
    assert [read.done for read in reads] == [True, False, False]
    world.advance(1)
    assert [read.done for read in reads] == [True, False, True]
    assert bytes(reads[2].result()) == bytes(100)
    assert inner.calls["get_range"] == 2


@pytest.mark.parametrize("size", [0, 1, 1 << 40])
def test_without_a_limit_nobody_waits(size: int) -> None:
    world = RateWorld((1 << 63) - 1)
    for _ in range(1000):
        world.draw(size)
    assert world.times == [0.0] * 1000
