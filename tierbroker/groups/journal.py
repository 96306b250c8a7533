"""The log of one shard of `__consumer_offsets`, as those who write to it see it."""

from collections.abc import Sequence
from typing import Protocol

from tierbroker.groups.ports import KeyValue, PartitionWriter, WriteDone


class Journal(Protocol):
    """A `PartitionWriter` bound to the shard's partition."""

    def append(self, records: Sequence[KeyValue], done: WriteDone) -> None:
        """Write the records as one batch; see `PartitionWriter.append` for `done`."""

    def append_transactional(
        self, records: Sequence[KeyValue], producer_id: int, producer_epoch: int, done: WriteDone
    ) -> None:
        """Write the records as one batch of the producer's open transaction."""


class PartitionJournal:
    """The journal of one partition."""

    __slots__ = ("_partition", "_writer")

    def __init__(self, writer: PartitionWriter, partition: int) -> None:
        self._writer = writer
        self._partition = partition

    def append(self, records: Sequence[KeyValue], done: WriteDone) -> None:
        """Write the records as one batch."""
        self._writer.append(self._partition, records, done)

    def append_transactional(
        self, records: Sequence[KeyValue], producer_id: int, producer_epoch: int, done: WriteDone
    ) -> None:
        """Write the records as one batch of the producer's open transaction."""
        self._writer.append_transactional(
            self._partition, records, producer_id, producer_epoch, done
        )
