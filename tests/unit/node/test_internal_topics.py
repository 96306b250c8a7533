"""What a coordinator hears of the partitions of its topic."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tierbroker.base.ids import ZERO_UUID, TopicPartition
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.hot.producer_state import ProducerState
from tierbroker.node.internal_topics import InternalTopicFollower
from tierbroker.replication.partition import Appender, Partition

if TYPE_CHECKING:
    from tierbroker.controller.state.image import MetadataImage

TOPIC = "__transaction_state"


class Heard:
    """A coordinator that takes note."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def load(self, partition: int, leader_epoch: int) -> None:
        self.calls.append(f"load {partition} in {leader_epoch}")

    def unload(self, partition: int) -> None:
        self.calls.append(f"unload {partition}")


class World:
    """One partition of the topic, led here, with or without a log."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.held: dict[TopicPartition, Partition] = {}
        image = SimpleNamespace(topic=lambda name: SimpleNamespace(partitions=[None]))
        self.image = cast("MetadataImage", image)
        self.follower = InternalTopicFollower(
            TOPIC, self.heard, cast("Any", SimpleNamespace(find=self.held.get))
        )
        self.partition = self.make(None)

    def make(self, log: Any) -> Partition:
        place = TopicPartition(TOPIC, 0)
        appender = Appender(ManualScheduler())
        partition = Partition(place, ZERO_UUID, log, appender, cast("Any", None))
        partition.become_leader(3)
        self.held[place] = partition
        return partition

    def log(self) -> Any:
        return SimpleNamespace(
            log_end_offset=0,
            log_start_offset=0,
            offline=False,
            producer_state=ProducerState(),
            assign_epoch_start=lambda epoch, offset: None,
        )


@pytest.fixture
def world() -> World:
    return World()


def test_each_leader_epoch_is_loaded_once(world: World) -> None:
    world.make(world.log())
    world.follower.load(world.image)
    world.follower.load(world.image)
    assert world.heard.calls == ["load 0 in 3"]


def test_a_log_that_comes_late_is_loaded_then(world: World) -> None:
    world.follower.load(world.image)
    world.partition.wake_waiters()
    assert world.heard.calls == ["load 0 in 3"]
    world.partition.take_log(world.log())
    assert world.heard.calls == ["load 0 in 3", "unload 0", "load 0 in 3"]
    world.partition.wake_waiters()
    assert len(world.heard.calls) == 3


def test_one_that_is_deleted_before_is_not_loaded_again(world: World) -> None:
    world.follower.load(world.image)
    world.held.clear()
    world.partition.retire()
    assert world.heard.calls == ["load 0 in 3"]
    assert not world.partition.waiters
