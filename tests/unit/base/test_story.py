"""Stories: coroutines that wait for `Pending`s, without a loop."""

import pytest

from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import Stories, all_of, sleep, tell, until


async def _sum(first: Pending[int], second: Pending[int]) -> int:
    return await until(first) + await until(second)


def test_goes_on_in_the_turn_in_which_what_it_waits_for_is_done() -> None:
    first: Pending[int] = Pending()
    second: Pending[int] = Pending()
    told = tell(_sum(first, second))
    second.resolve(2)
    assert not told.done
    first.resolve(1)
    assert told.result() == 3


def test_what_is_done_already_needs_no_turn() -> None:
    first: Pending[int] = Pending()
    first.resolve(1)
    assert tell(_sum(first, first)).result() == 2


def test_an_error_is_raised_where_the_story_waits_and_ends_it() -> None:
    first: Pending[int] = Pending()
    told = tell(_sum(first, Pending()))
    first.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        told.result()


def test_cancelling_runs_what_the_story_does_at_its_end_and_cancels_its_wait() -> None:
    seen: list[str] = []

    async def story() -> None:
        try:
            await until(Pending[None](on_cancel=lambda: seen.append("wait")))
        finally:
            seen.append("end")

    tell(story()).cancel()
    assert seen == ["wait", "end"]


def test_ten_thousand_waits_that_are_done_need_no_stack() -> None:
    async def story() -> int:
        total = 0
        for number in range(10_000):
            done: Pending[int] = Pending()
            done.resolve(number)
            total += await until(done)
        return total

    assert tell(story()).result() == sum(range(10_000))


def test_a_story_in_the_background_that_fails_is_reported_by_name() -> None:
    reported: list[tuple[BaseException, str]] = []
    stories = Stories(lambda error, name: reported.append((error, name)))
    wait: Pending[int] = Pending()
    stories.begin(_sum(wait, wait), "sum of all")
    assert len(stories) == 1
    error = RuntimeError("gone")
    wait.fail(error)
    assert reported == [(error, "sum of all")]
    assert len(stories) == 0


def test_stop_closes_every_story() -> None:
    ended: list[int] = []

    async def story(number: int) -> None:
        try:
            await until(Pending[None]())
        finally:
            ended.append(number)

    stories = Stories(lambda error, name: pytest.fail(f"{name}: {error}"))
    for number in range(3):
        stories.begin(story(number), f"story {number}")
    stories.stop()
    assert sorted(ended) == [0, 1, 2]
    assert len(stories) == 0


def test_all_of_waits_for_the_last_even_when_one_fails() -> None:
    parts: list[Pending[int]] = [Pending(), Pending(), Pending()]
    whole = all_of(parts)
    parts[1].fail(KeyError("b"))
    parts[2].resolve(3)
    assert not whole.done
    parts[0].resolve(1)
    with pytest.raises(KeyError):
        whole.result()
    assert all_of([]).result() == []


def test_sleep_ends_when_the_time_has_come_and_can_be_taken_back() -> None:
    scheduler = ManualScheduler()
    slept, cancelled = sleep(scheduler, 2.0), sleep(scheduler, 1.0)
    cancelled.cancel()
    scheduler.advance(1.5)
    assert not slept.done
    scheduler.advance(1.0)
    assert slept.done
    assert not cancelled.done
