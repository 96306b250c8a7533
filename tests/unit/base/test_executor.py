import threading

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
