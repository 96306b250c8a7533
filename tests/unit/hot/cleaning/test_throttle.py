"""The throttle holds a rate and saves nothing up."""

import pytest

from tierbroker.hot.cleaning.throttle import Throttle


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_bytes_that_come_at_once_take_their_time() -> None:
    time = Time()
    throttle = Throttle(1_000, time.monotonic, time.pause)
    for _ in range(50):
        throttle.add(100)
    assert time.now == pytest.approx(105.0)
    assert throttle.total_bytes == 5_000


def test_an_idle_while_is_not_saved_up() -> None:
    time = Time()
    throttle = Throttle(1_000, time.monotonic, time.pause)
    time.now += 60
    throttle.add(1)
    start = time.now
    for _ in range(40):
        throttle.add(100)
    assert time.now - start == pytest.approx(4.0)


def test_slow_work_is_not_slowed_down() -> None:
    time = Time()
    throttle = Throttle(1_000, time.monotonic, time.pause)
    for _ in range(10):
        time.now += 0.2
        throttle.add(100)
    assert time.now == pytest.approx(102.0)
