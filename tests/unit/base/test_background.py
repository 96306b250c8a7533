"""Long work in slices of the loop's time."""

from collections.abc import Iterator

from tierbroker.base.background import SLICE_S, Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.scheduler import ManualScheduler

STEP_MS = 1
STEPS_A_SLICE = int(SLICE_S * 1000) // STEP_MS


class Rig:
    """Works whose every step takes a millisecond; `done` tells the steps by the work's name."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.scheduler = ManualScheduler()
        self.turns: list[int] = []
        self.done: list[str] = []
        self.background = Background(self.clock, self._yield)

    def _yield(self, callback: object) -> None:
        assert callable(callback)
        self.turns.append(len(self.done))
        self.scheduler.call_soon(callback)

    def work(self, name: str, steps: int) -> Iterator[None]:
        for _ in range(steps):
            self.clock.advance(STEP_MS)
            self.done.append(name)
            yield


def test_work_is_done_in_slices() -> None:
    rig = Rig()
    rig.background.begin(rig.work("a", STEPS_A_SLICE * 3))
    assert rig.done == []
    rig.scheduler.end_turn()
    assert len(rig.done) == STEPS_A_SLICE * 3
    assert rig.turns == [0, STEPS_A_SLICE, STEPS_A_SLICE * 2, STEPS_A_SLICE * 3]


def test_all_works_share_one_slice_a_turn() -> None:
    rig = Rig()
    for name in ("a", "b", "c"):
        rig.background.begin(rig.work(name, STEPS_A_SLICE - 1))
    rig.scheduler.end_turn()
    assert rig.done == [name for name in "abc" for _ in range(STEPS_A_SLICE - 1)]
    assert rig.turns == [0, STEPS_A_SLICE, STEPS_A_SLICE * 2]


def test_cancelled_work_takes_no_further_step() -> None:
    rig = Rig()
    first, second = rig.work("a", 9), rig.work("b", 2)
    rig.background.begin(first)
    rig.background.begin(second)
    rig.background.cancel(first)
    rig.background.cancel(first)
    rig.scheduler.end_turn()
    assert rig.done == ["b", "b"]


def test_work_may_cancel_itself() -> None:
    rig = Rig()

    def suicidal() -> Iterator[None]:
        rig.background.cancel(work)
        rig.done.append("a")
        yield
        rig.done.append("never")

    work = suicidal()
    rig.background.begin(work)
    rig.background.begin(rig.work("b", 1))
    rig.scheduler.end_turn()
    assert rig.done == ["a", "b"]


def test_work_that_is_begun_after_everything_ended_is_done_as_well() -> None:
    rig = Rig()
    rig.background.begin(rig.work("a", 1))
    rig.scheduler.end_turn()
    rig.background.begin(rig.work("b", 1))
    rig.scheduler.end_turn()
    assert rig.done == ["a", "b"]
