"""Metrics of consumer groups."""

from collections import Counter

from tierbroker.base.metrics import Samples, gauge
from tierbroker.groups.group import GroupState
from tierbroker.groups.shard import Shard

GROUPS = gauge("groups", "Consumer groups that this broker coordinates, by state.", "state")

METRICS = (GROUPS,)


class GroupTotals:
    """Counts groups, shard by shard; those that have offsets alone are not counted."""

    def __init__(self) -> None:
        self._found: Counter[GroupState] = Counter()

    def add(self, shard: Shard) -> None:
        """Look at the groups of one shard."""
        self._found.update(shard.memberships.states())

    def samples(self) -> Samples:
        """What was added."""
        for state in GroupState:
            yield GROUPS.at(self._found[state], state.value)
