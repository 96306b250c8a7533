"""All committed offsets of the groups on this broker, for a copy elsewhere."""

from collections.abc import Iterator

from tierbroker.groups.coordinator import GroupCoordinator
from tierbroker.groups.record_codec import CommittedOffset

ExportedOffset = tuple[str, str, int, CommittedOffset]
"""(group, topic, partition, what was committed)."""


def export_offsets(groups: GroupCoordinator) -> Iterator[list[ExportedOffset]]:
    """What each group has committed, a group a step; those that come or go meanwhile may be left
    out. Offsets of open transactions are not committed."""
    for shard in groups.active_shards():
        store = shard.offsets.store
        for group_id in list(store.groups()):
            yield [
                (group_id, topic, partition, committed)
                for topic in store.topics(group_id)
                for partition, committed in store.committed(group_id, topic)
            ]
