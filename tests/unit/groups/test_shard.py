"""The life of one shard."""

import random

import pytest

from tests.group_broker import CONFIG
from tests.group_log import GroupLog
from tierbroker.base.background import Background
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.ids import ZERO_UUID
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.groups.record_codec import CommittedOffset, offset_key, offset_value
from tierbroker.groups.shard import Shard, ShardState
from tierbroker.wire.error_codes import ErrorCode


class Rig:
    """A shard whose log holds one offset."""

    def __init__(self) -> None:
        self.log = GroupLog()
        record = offset_key("g", "t", 0), offset_value(CommittedOffset(5))
        self.log.append(0, [record], lambda _: None)
        self.scheduler = ManualScheduler()

    def start(self) -> Shard:
        clock = ManualClock()
        deadlines = Deadlines(self.scheduler, clock)
        background = Background(clock, self.scheduler.call_soon)
        return Shard(0, CONFIG, self.log, self.log, deadlines, clock, random.Random(1), background)


def test_a_shard_loads_and_is_active() -> None:
    rig = Rig()
    shard = rig.start()
    assert (shard.state, shard.error) == (
        ShardState.LOADING,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    )
    rig.scheduler.end_turn()
    assert (shard.state, shard.error) == (ShardState.ACTIVE, ErrorCode.NONE)
    assert shard.offsets.store.partitions("g", "t") == [0]


def test_a_shard_that_cannot_be_loaded_has_failed_for_good() -> None:
    rig = Rig()
    rig.log.damage(0, 0, 80)
    shard = rig.start()
    rig.scheduler.end_turn()
    assert (shard.state, shard.error) == (ShardState.FAILED, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    shard.forget_topics({"t": ZERO_UUID})
    shard.expire_offsets()
    rig.scheduler.end_turn()
    assert len(rig.log.batches(0)) == 1


@pytest.mark.parametrize("turns", [0, 1])
def test_a_closed_shard_stays_closed(turns: int) -> None:
    rig = Rig()
    shard = rig.start()
    for _ in range(turns):
        rig.scheduler.end_turn()
    shard.close(ErrorCode.NOT_COORDINATOR)
    shard.close(ErrorCode.NOT_COORDINATOR)
    shard.forget_topics({"t": ZERO_UUID})
    shard.expire_offsets()
    rig.scheduler.end_turn()
    assert (shard.state, shard.error) == (ShardState.CLOSED, ErrorCode.NOT_COORDINATOR)
    assert len(rig.log.batches(0)) == 1
