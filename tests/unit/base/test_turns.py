"""Long work gives the loop away, short work does not."""

import pytest

from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import until
from tierbroker.base.turns import ELEMENTS_A_TURN, Turns, at_once_or_later, next_turn

N = ELEMENTS_A_TURN


async def work(scheduler: ManualScheduler, done: list[int], steps: list[int]) -> int:
    turns = Turns(scheduler)
    for step in steps:
        done.append(step)
        await turns.after(step)
    return sum(done)


def test_what_is_short_is_done_at_once() -> None:
    assert at_once_or_later(work(ManualScheduler(), [], [1] * (N - 1))) == N - 1


def test_what_is_long_takes_a_turn_for_each_slice() -> None:
    scheduler = ManualScheduler()
    done: list[int] = []
    pending = at_once_or_later(work(scheduler, done, [1] * (2 * N + 1)))
    assert isinstance(pending, Pending)
    assert len(done) == N
    scheduler.end_turn(follow=False)
    assert len(done) == 2 * N
    assert not pending.done
    scheduler.end_turn(follow=False)
    assert pending.result() == 2 * N + 1


def test_large_elements_count_for_more() -> None:
    scheduler = ManualScheduler()
    done: list[int] = []
    pending = at_once_or_later(work(scheduler, done, [N - 1, N, 7]))
    assert isinstance(pending, Pending)
    assert done == [N - 1, N]
    scheduler.end_turn(follow=False)
    assert pending.result() == 2 * N + 6


def test_nobody_waits_any_more() -> None:
    scheduler = ManualScheduler()
    done: list[int] = []
    pending = at_once_or_later(work(scheduler, done, [1] * 3 * N))
    assert isinstance(pending, Pending)
    pending.cancel()
    scheduler.end_turn()
    assert len(done) == N


def test_an_error_comes_at_once_or_later() -> None:
    scheduler = ManualScheduler()

    async def fail(first: Pending[None] | None) -> None:
        if first is not None:
            await until(first)
        raise LookupError

    with pytest.raises(LookupError):
        at_once_or_later(fail(None))
    pending = at_once_or_later(fail(next_turn(scheduler)))
    assert pending is not None
    assert not pending.done
    scheduler.end_turn()
    assert isinstance(pending.error, LookupError)
