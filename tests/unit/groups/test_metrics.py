"""Groups are counted by their states, shard by shard."""

from types import SimpleNamespace
from typing import Any, cast

from tests.group_world import GroupWorld
from tierbroker.groups.group import GroupState
from tierbroker.groups.metrics import GroupTotals


def test_groups_of_all_shards_by_state() -> None:
    first, second = GroupWorld(), GroupWorld()
    first.stable(2, group="g")
    first.stable(1, group="h")
    second.stable(1, group="i")
    totals = GroupTotals()
    for world in (first, second):
        totals.add(cast("Any", SimpleNamespace(memberships=world.groups)))
    found = {sample.labels: sample.value for sample in totals.samples()}
    assert found == {(state.value,): 3 * (state is GroupState.STABLE) for state in GroupState}
