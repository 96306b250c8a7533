import queue
import threading
from collections.abc import Callable

import pytest

from tierbroker.base.executor import InlineExecutor, ManualExecutor, Outcome, ThreadExecutor


def test_an_outcome_keeps_the_error_until_it_is_unwrapped() -> None:
    outcome = Outcome.of(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        outcome.unwrap()
    assert Outcome.of(lambda: 3).unwrap() == 3


def test_inline_runs_now() -> None:
    seen: list[int] = []
    InlineExecutor().run(lambda: 2, lambda outcome: seen.append(outcome.unwrap()))
    assert seen == [2]


def test_manual_runs_when_told_and_in_order() -> None:
    executor = ManualExecutor()
    seen: list[int] = []
    for number in range(3):
        executor.run(lambda number=number: number, lambda outcome: seen.append(outcome.unwrap()))
    assert len(executor) == 3
    assert seen == []
    executor.run_one()
    assert seen == [0]
    executor.run_all()
    assert seen == [0, 1, 2]


def test_threads_work_elsewhere_and_post_back() -> None:
    posted: list[object] = []
    arrived = threading.Event()
    seen: list[bool] = []

    def post(callback: object) -> None:
        posted.append(callback)
        if len(posted) == 4:
            arrived.set()

    executor = ThreadExecutor(2, post)
    here = threading.current_thread()
    for _ in range(4):
        executor.run(
            lambda: threading.current_thread() is here,
            lambda outcome: seen.append(outcome.unwrap()),
        )
    assert arrived.wait(10)
    executor.close()
    assert seen == []
    for callback in posted:
        callback()  # type: ignore[operator]
    assert seen == [False] * 4


class Posts:
    """What would go to the loop."""

    def __init__(self) -> None:
        self._callbacks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def __call__(self, callback: Callable[[], None]) -> None:
        self._callbacks.put(callback)

    def run(self, count: int) -> None:
        for _ in range(count):
            self._callbacks.get(timeout=10)()

    def run_one_now(self) -> None:
        self._callbacks.get_nowait()()


def test_the_thread_that_finished_last_works_next() -> None:
    posts = Posts()
    executor = ThreadExecutor(4, posts)
    seen: list[str] = []
    for _ in range(20):
        executor.run(lambda: threading.current_thread().name, lambda o: seen.append(o.unwrap()))
        posts.run(1)
    executor.close()
    assert seen == ["worker-0"] * 20


def test_no_more_threads_than_allowed_and_the_rest_waits_in_order() -> None:
    posts = Posts()
    executor = ThreadExecutor(2, posts)
    may_end = threading.Event()
    seen: list[object] = []
    for number in range(6):
        executor.run(
            lambda number=number: (may_end.wait(10), threading.current_thread().name, number)[1:],
            lambda outcome: seen.append(outcome.unwrap()),
        )
    may_end.set()
    posts.run(6)
    executor.close()
    names, numbers = zip(*seen, strict=True)  # type: ignore[misc]
    assert set(names) == {"worker-0", "worker-1"}
    assert sorted(numbers) == list(range(6))


def test_close_waits_for_what_is_queued() -> None:
    posts = Posts()
    executor = ThreadExecutor(1, posts)
    done: list[int] = []
    for number in range(50):
        executor.run(lambda number=number: done.append(number), lambda _: None)
    executor.close()
    assert done == list(range(50))
    with pytest.raises(AssertionError, match="closed"):
        executor.run(lambda: None, lambda _: None)


def test_a_close_that_gives_up_waits_for_nobody() -> None:
    posts = Posts()
    executor = ThreadExecutor(1, posts)
    may_end, begun = threading.Event(), threading.Event()
    seen: list[object] = []

    def hang() -> threading.Thread:
        begun.set()
        may_end.wait(60)
        return threading.current_thread()

    executor.run(threading.current_thread, seen.append)
    posts.run(1)
    thread = seen.pop().unwrap()  # type: ignore[attr-defined]
    executor.run(hang, seen.append)
    for _ in range(3):
        executor.run(lambda: seen.append("begun too late"), seen.append)
    assert begun.wait(10)
    assert executor.close(0.01) == 4
    may_end.set()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(queue.Empty):
        posts.run_one_now()
    assert seen == []


def test_a_close_that_may_give_up_lets_the_queued_work_finish() -> None:
    executor = ThreadExecutor(1, Posts())
    done: list[int] = []
    for number in range(50):
        executor.run(lambda number=number: done.append(number), lambda _: None)
    assert executor.close(30) == 0
    assert done == list(range(50))


def test_an_error_on_a_thread_arrives_as_the_outcome() -> None:
    posts = Posts()
    executor = ThreadExecutor(1, posts)
    outcomes: list[Outcome[object]] = []
    executor.run(lambda: 1 // 0, outcomes.append)
    posts.run(1)
    executor.close()
    assert isinstance(outcomes[0].error, ZeroDivisionError)


def test_work_from_work_that_is_done_while_others_wait() -> None:
    """Each outcome starts the next piece, as a group flush does; nothing is lost or left over."""
    posts = Posts()
    executor = ThreadExecutor(3, posts)
    left = [300]

    def again(outcome: Outcome[int]) -> None:
        if left[0]:
            left[0] -= 1
            executor.run(lambda: 1, again)

    for _ in range(8):
        executor.run(lambda: 1, again)
    posts.run(308)
    executor.close()
    assert left == [0]
