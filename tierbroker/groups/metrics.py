"""Metrics of consumer groups."""

from collections import Counter

from tierbroker.base.metrics import Samples, gauge
from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.groups.group import GroupState

GROUPS = gauge("groups", "Consumer groups that this broker coordinates, by state.", "state")

METRICS = (GROUPS,)


def samples(groups: GroupCoordinator) -> Samples:
    """Groups as they are now; those that have offsets alone are not counted."""
    found = Counter(
        listed.group_state
        for shard in groups.active_shards()
        for listed in shard.memberships.listed()
    )
    for state in GroupState:
        yield GROUPS.at(found[state.value], state.value)
