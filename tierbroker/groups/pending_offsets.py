"""Offsets that were committed within transactions which have not ended.

They are invisible until the marker, and block a fetch that asks for stable offsets. Which of two
commits of a partition came later is told by the order of their records, not of the markers.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from tierbroker.base.ids import Uuid
from tierbroker.groups.record_codec import CommittedOffset

Partition = tuple[str, str, int]
"""Group id, topic, partition."""


@dataclass(slots=True)
class _Open:
    """One offset of an open transaction; None once a later commit made it void."""

    order: int
    committed: CommittedOffset | None


class PendingOffsets:
    """By producer id; truthy while any transaction is open. Loop thread only."""

    __slots__ = ("_by_partition", "_by_producer", "_last_order", "_open_groups")

    def __init__(self) -> None:
        self._by_producer: dict[int, dict[Partition, _Open]] = {}
        self._by_partition: dict[Partition, set[int]] = {}
        self._open_groups: dict[str, set[int]] = {}
        self._last_order = 0

    def __bool__(self) -> bool:
        return bool(self._by_producer)

    def add(
        self, producer_id: int, group_id: str, topic: str, partition: int, offset: CommittedOffset
    ) -> None:
        """The next record in log order."""
        self._last_order += 1
        key = (group_id, topic, partition)
        self._by_producer.setdefault(producer_id, {})[key] = _Open(self._last_order, offset)
        self._by_partition.setdefault(key, set()).add(producer_id)
        self._open_groups.setdefault(group_id, set()).add(producer_id)

    def is_open(self, group_id: str) -> bool:
        """Whether a transaction with offsets of the group has not ended."""
        return group_id in self._open_groups

    def is_unstable(self, group_id: str, topic: str, partition: int) -> bool:
        """Whether the partition's offset may change when a transaction ends."""
        return (group_id, topic, partition) in self._by_partition

    def partitions(self, group_id: str) -> list[tuple[str, int]]:
        """(topic, partition) of all offsets of open transactions of a group."""
        return [
            (topic, partition)
            for (group, topic, partition) in self._by_partition
            if group == group_id
        ]

    def topic_ids(self, group_id: str) -> dict[tuple[str, int], Uuid]:
        """The id of the topic that each open offset of a group was committed for, by its last."""
        last: dict[Partition, tuple[int, Uuid]] = {}
        for producer_id in self._open_groups.get(group_id, ()):
            for key, entry in self._by_producer[producer_id].items():
                if key[0] == group_id and entry.committed is not None:
                    found = (entry.order, entry.committed.topic_id)
                    last[key] = max(last.get(key, found), found)
        return {(topic, partition): found[1] for (_, topic, partition), found in last.items()}

    def groups_of_topics(self, names: Set[str]) -> Iterator[str]:
        """The groups with offsets of the topics in open transactions."""
        return (group_id for (group_id, topic, _) in self._by_partition if topic in names)

    def supersede(self, group_id: str, topic: str, partition: int) -> None:
        """The partition was committed by a later record: what is open does not count any more."""
        self._supersede((group_id, topic, partition), self._last_order)

    def remove(self, group_id: str, topic: str, partition: int) -> None:
        """The partition's offset was deleted: open ones go as well."""
        key = (group_id, topic, partition)
        for producer_id in self._by_partition.pop(key, ()):
            del self._by_producer[producer_id][key]

    def complete(
        self, producer_id: int, commit: bool
    ) -> list[tuple[str, str, int, CommittedOffset]]:
        """The transaction ended; the offsets that count from now on."""
        ended = self._by_producer.pop(producer_id, {})
        for group_id in [key for key, ids in self._open_groups.items() if producer_id in ids]:
            self._open_groups[group_id].discard(producer_id)
            if not self._open_groups[group_id]:
                del self._open_groups[group_id]
        committed = []
        for key, entry in ended.items():
            others = self._by_partition[key]
            others.discard(producer_id)
            if not others:
                del self._by_partition[key]
            if commit and entry.committed is not None:
                committed.append((*key, entry.committed))
                self._supersede(key, entry.order)
        return committed

    def _supersede(self, key: Partition, order: int) -> None:
        for producer_id in self._by_partition.get(key, ()):
            entry = self._by_producer[producer_id][key]
            if entry.order <= order:
                entry.committed = None
