"""Supervised tasks: the first failure is told once, stopping is none."""

import asyncio

import pytest

from tierbroker.base.tasks import TaskSupervisor


async def fail(error: BaseException) -> None:
    raise error


async def test_the_first_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    told: list[BaseException] = []
    supervisor = TaskSupervisor(told.append)
    first, second = ValueError("first"), ValueError("second")
    tasks = [supervisor.start(fail(error), name="doomed") for error in (first, second)]
    await asyncio.wait(tasks)
    await supervisor.stop()
    assert told == [first]
    assert supervisor.failure is first
    assert "doomed" in caplog.text


async def test_a_task_that_ends_is_no_failure() -> None:
    told: list[BaseException] = []
    supervisor = TaskSupervisor(told.append)
    assert await supervisor.start(asyncio.sleep(0, "done"), name="short") == "done"
    await supervisor.stop()
    assert told == []


async def test_stopping_cancels_and_waits() -> None:
    ended: list[str] = []
    told: list[BaseException] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("tidied")

    supervisor = TaskSupervisor(told.append)
    task = supervisor.start(work(), name="endless")
    await asyncio.sleep(0)
    await supervisor.stop()
    assert task.cancelled()
    assert ended == ["tidied"]
    assert told == []
    assert supervisor.failure is None


async def test_failures_outside_of_tasks_count_too() -> None:
    told: list[BaseException] = []
    supervisor = TaskSupervisor(told.append)
    error = OSError("disk")
    supervisor.fail(error, "the last log directory")
    supervisor.fail(OSError("more"), "something else")
    assert told == [error]
