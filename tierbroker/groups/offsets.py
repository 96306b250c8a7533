"""The committed offsets of one shard, in memory: what its log says, and nothing ahead of it.

Packed for a million of them (see `offset_rows`). The store decides nothing, writes nothing and
knows no time; it is changed in the order of the log.
"""

import sys
from collections.abc import Iterable, Iterator, Set

from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.groups import offset_rows
from tierbroker.groups.offset_rows import Row, Rows
from tierbroker.groups.pending_offsets import PendingOffsets
from tierbroker.groups.record_codec import NO_TIMESTAMP, CommittedOffset

_NO_TOPIC_ID = 0


class OffsetStore:
    """Offsets by group, topic and partition. Loop thread only."""

    __slots__ = ("_expiries", "_groups", "_metadata", "_topic_ids", "_topic_numbers", "pending")

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Rows]] = {}
        # What few offsets have is kept by (group, topic), then by partition.
        self._metadata: dict[tuple[str, str], dict[int, str]] = {}
        self._expiries: dict[tuple[str, str], dict[int, int]] = {}
        self._topic_ids: list[Uuid] = [ZERO_UUID]
        self._topic_numbers: dict[Uuid, int] = {ZERO_UUID: _NO_TOPIC_ID}
        self.pending = PendingOffsets()

    # --- reading

    def __contains__(self, group_id: object) -> bool:
        return group_id in self._groups

    def __len__(self) -> int:
        blocks = (rows for topics in self._groups.values() for rows in topics.values())
        return sum(map(len, blocks)) // offset_rows.ROW_BYTES

    def count(self, group_id: str) -> int:
        """How many offsets the group has."""
        return sum(map(len, self._groups.get(group_id, {}).values())) // offset_rows.ROW_BYTES

    def groups(self) -> Iterable[str]:
        """The groups that have an offset; the view changes with the store."""
        return self._groups.keys()

    def topics(self, group_id: str) -> list[str]:
        """The topics that the group has offsets of."""
        return list(self._groups.get(group_id, ()))

    def groups_of_topics(self, names: Set[str]) -> Iterator[str]:
        """The groups that have offsets of any of the topics; one may come several times.

        Those count that open transactions may commit.
        """
        for group_id, topics in self._groups.items():
            if not names.isdisjoint(topics):
                yield group_id
        yield from self.pending.groups_of_topics(names)

    def partitions(self, group_id: str, topic: str) -> list[int]:
        """The partitions that have an offset, in order."""
        rows = self._groups.get(group_id, {}).get(topic)
        return [] if rows is None else [row[0] for row in offset_rows.iterate(rows)]

    def get(self, group_id: str, topic: str, partition: int) -> CommittedOffset | None:
        """What was committed last, or None."""
        rows = self._groups.get(group_id, {}).get(topic)
        row = None if rows is None else offset_rows.get(rows, partition)
        return None if row is None else self._committed(group_id, topic, row)

    def committed(self, group_id: str, topic: str) -> Iterator[tuple[int, CommittedOffset]]:
        """(partition, what was committed last), in order of partitions."""
        rows = self._groups.get(group_id, {}).get(topic)
        if rows is not None:
            for row in offset_rows.iterate(rows):
                yield row[0], self._committed(group_id, topic, row)

    def has_offsets(self, group_id: str) -> bool:
        """Whether the group has an offset, or may have one when a transaction ends."""
        return group_id in self._groups or self.pending.is_open(group_id)

    def _committed(self, group_id: str, topic: str, row: Row) -> CommittedOffset:
        partition, offset, epoch, timestamp_ms, number = row
        metadata, expire_ms = "", NO_TIMESTAMP
        if self._metadata:
            metadata = self._metadata.get((group_id, topic), {}).get(partition, "")
        if self._expiries:
            expire_ms = self._expiries.get((group_id, topic), {}).get(partition, NO_TIMESTAMP)
        return CommittedOffset(
            offset, epoch, metadata, timestamp_ms, expire_ms, self._topic_ids[number]
        )

    # --- changes, in log order

    def put(self, group_id: str, topic: str, partition: int, committed: CommittedOffset) -> None:
        """An offset was committed."""
        self._put(group_id, topic, partition, committed)
        if self.pending:
            self.pending.supersede(group_id, topic, partition)

    def _put(self, group_id: str, topic: str, partition: int, committed: CommittedOffset) -> None:
        offset, epoch, metadata, timestamp_ms, expire_ms, topic_id = committed
        number = self._topic_numbers.get(topic_id)
        if number is None:
            number = self.topic_number(topic_id)
        topics = self._groups.get(group_id)
        rows = None if topics is None else topics.get(topic)
        if rows is None:
            rows = self.rows_of(group_id, topic)
        offset_rows.put(rows, partition, offset, epoch, timestamp_ms, number)
        if metadata:
            self._metadata.setdefault((group_id, topic), {})[partition] = metadata
        elif self._metadata:
            _drop(self._metadata, (group_id, topic), partition)
        if expire_ms != NO_TIMESTAMP:
            self._expiries.setdefault((group_id, topic), {})[partition] = expire_ms
        elif self._expiries:
            _drop(self._expiries, (group_id, topic), partition)

    def remove(self, group_id: str, topic: str, partition: int) -> None:
        """An offset was deleted, and with it what a transaction may still want to commit."""
        if self.pending:
            self.pending.remove(group_id, topic, partition)
        topics = self._groups.get(group_id)
        rows = None if topics is None else topics.get(topic)
        if topics is None or rows is None or not offset_rows.remove(rows, partition):
            return
        _drop(self._metadata, (group_id, topic), partition)
        _drop(self._expiries, (group_id, topic), partition)
        if not rows:
            del topics[topic]
            if not topics:
                del self._groups[group_id]

    def add_pending(
        self,
        producer_id: int,
        group_id: str,
        topic: str,
        partition: int,
        committed: CommittedOffset,
    ) -> None:
        """An offset was committed within a transaction: it counts once that commits."""
        self.pending.add(producer_id, group_id, sys.intern(topic), partition, committed)

    def complete(self, producer_id: int, commit: bool) -> None:
        """The producer's transaction ended.

        An offset that was committed later than the transaction's own record stays, even if the
        marker comes last: compaction of the log would keep that one too (Kafka:
        OffsetMetadataManager).
        """
        for group_id, topic, partition, committed in self.pending.complete(producer_id, commit):
            self._put(group_id, topic, partition, committed)

    # --- for the loader, which writes rows itself

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing beside the rows that a change of a row would have to touch."""
        return not (self._metadata or self._expiries or self.pending)

    def rows_of(self, group_id: str, topic: str) -> Rows:
        """The rows of a group and topic; made if there are none, so a row must be put there."""
        topics = self._groups.get(group_id)
        if topics is None:
            topics = self._groups[group_id] = {}
        rows = topics.get(topic)
        if rows is None:
            rows = topics[sys.intern(topic)] = bytearray()
        return rows

    def topic_number(self, topic_id: Uuid) -> int:
        """The number that stands for a topic id in a row."""
        number = self._topic_numbers.get(topic_id)
        if number is None:
            number = self._topic_numbers[topic_id] = len(self._topic_ids)
            self._topic_ids.append(topic_id)
        return number


def _drop(
    kept: dict[tuple[str, str], dict[int, str]] | dict[tuple[str, str], dict[int, int]],
    block: tuple[str, str],
    partition: int,
) -> None:
    of_block = kept.get(block)
    if of_block is not None and of_block.pop(partition, None) is not None and not of_block:
        del kept[block]
