"""Slices of the loop's time: nothing out of order, nothing answered too early."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.image import MetadataImage
from tierbroker.node.follower import SLICE_S, MetadataFollower

STEP_MS = 1
IMAGE = MetadataImage()
STEPS_A_SLICE = int(SLICE_S * 1000) // STEP_MS


class Rig:
    """Each step takes a millisecond; `offset` of the image says how many steps there are."""

    def __init__(self) -> None:
        self.clock = ManualClock(now_ms=0)
        self.log: list[str] = []
        self.started: list[Coroutine[Any, Any, None]] = []
        self.fails_at: int | None = None
        self.follower = MetadataFollower(
            self,
            lambda changes, image: self.log.append(f"then {image.offset}"),
            self.started.append,
            self.clock,
        )

    def follow(self, changes: Changes, image: MetadataImage) -> Iterator[None]:
        for number in range(image.offset):
            self.clock.advance(STEP_MS)
            if number == self.fails_at:
                raise OSError("broken")
            self.log.append(f"{image.offset}.{number}")
            yield

    def change(self, steps: int) -> Any:
        return self.follower(Changes(), IMAGE.at(steps, 0))

    async def run(self) -> None:
        await self.started.pop()


def test_a_small_change_is_followed_at_once() -> None:
    rig = Rig()
    assert rig.change(2).done
    assert rig.log == ["2.0", "2.1", "then 2"]
    assert rig.started == []


async def test_a_large_one_takes_slices_and_is_over_at_its_end() -> None:
    rig = Rig()
    steps = STEPS_A_SLICE * 3
    done = rig.change(steps)
    assert not done.done
    assert len(rig.log) == STEPS_A_SLICE
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while not done.done:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(rig.run(), count_turns())
    assert turns >= 2
    assert rig.log[-1] == f"then {steps}"
    assert len(rig.log) == steps + 1


async def test_changes_are_followed_in_order() -> None:
    rig = Rig()
    large, small = rig.change(STEPS_A_SLICE * 2), rig.change(1)
    small.on_done(lambda _: rig.log.append("small answered"))
    large.on_done(lambda _: rig.log.append("large answered"))
    assert not small.done
    assert len(rig.started) == 1
    await rig.run()
    assert rig.log[-5:] == [
        f"then {STEPS_A_SLICE * 2}",
        "large answered",
        "1.0",
        "then 1",
        "small answered",
    ]


async def test_what_is_asked_for_by_whoever_was_answered_comes_after_the_rest() -> None:
    rig = Rig()
    rig.change(3).on_done(lambda _: rig.log.append("never waits"))
    large, small = rig.change(STEPS_A_SLICE * 2), rig.change(1)
    large.on_done(lambda _: rig.change(4))
    await rig.run()
    assert small.done
    assert rig.log.index("then 1") < rig.log.index("4.0")
    assert rig.log[-1] == "then 4"
    assert rig.started == []


async def test_a_failure_reaches_the_supervisor() -> None:
    rig = Rig()
    rig.fails_at = STEPS_A_SLICE + 1
    done = rig.change(STEPS_A_SLICE * 2)
    with pytest.raises(OSError, match="broken"):
        await rig.run()
    assert not done.done
