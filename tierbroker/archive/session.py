"""An archive that is open: topics, offsets and records, one call at a time.

For programs without an event loop of their own: the loop that the store needs runs while a call
does, and what is read ahead comes meanwhile. Nothing is ever written.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import Story, tell
from tierbroker.cold.archive import Archive, ArchiveReader, first_offset, records_in
from tierbroker.cold.ports import ObjectStore
from tierbroker.node.archived import open_archive as read_archive
from tierbroker.node.store_session import opened_store
from tierbroker.records.tier.state import PartitionTier

T = TypeVar("T")


class ArchivedRecord(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Milliseconds since 1970; -1 if it has none."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class ArchiveSession:
    """A cluster as of the latest checkpoint in its store. For one thread.

    Everything raises `cold.errors.StoreError` when the store does not answer, and
    `base.errors.KafkaStorageError` for records that are missing or damaged there; both say which
    object.
    """

    def __init__(self, runner: asyncio.Runner, store: ObjectStore, archive: Archive) -> None:
        """See `open_archive`."""
        self._runner = runner
        self._archive = archive
        self._reader = ArchiveReader(store, archive, runner.get_loop())

    @property
    def cluster_id(self) -> str:
        """Of the cluster that wrote it."""
        return self._archive.head.cluster_id

    @property
    def taken_ms(self) -> int:
        """When the checkpoint was taken: what was uploaded later is not in here."""
        return self._archive.checkpoint.taken_ms

    @property
    def topics(self) -> list[str]:
        """Those that have anything in the store."""
        return sorted(name for name in self._archive.topics if self._archive.tiers(name))

    def offsets(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition: the first offset that is there, and the one after the last.

        Raises KeyError for a topic that the cluster does not have.
        """
        return {
            tier.partition: (first_offset(tier), tier.end_offset + 1)
            for tier in self._archive.tiers(topic)
        }

    def offset_for_time(self, topic: str, partition: int, timestamp_ms: int) -> int | None:
        """The first record at or after the time, None if there is none."""
        tier = self._tier(topic, partition)
        place = TopicPartition(topic, partition)
        return _run(self._runner, self._reader.offset_for_time(tier, place, timestamp_ms))

    def records(
        self,
        topic: str,
        partition: int | None = None,
        *,
        start: int | None = None,
        end: int | None = None,
        uncommitted: bool = False,
    ) -> Iterator[ArchivedRecord]:
        """The records of a partition by offset, or of all partitions, one after the other.

        From offset `start` on and before `end`, as far as they are there. Records of transactions
        that were aborted only if `uncommitted`. Raises KeyError for what the store has nothing of.
        """
        if partition is None:
            tiers = self._archive.tiers(topic)
        else:
            tiers = [self._tier(topic, partition)]
        for tier in tiers:
            place = TopicPartition(topic, tier.partition)
            offset = max(first_offset(tier), start or 0)
            stop = tier.end_offset + 1 if end is None else min(end, tier.end_offset + 1)
            while offset < stop:
                read = _run(self._runner, self._reader.read(tier, place, offset))
                for record in records_in(read, offset, stop, uncommitted=uncommitted):
                    yield ArchivedRecord._make((*place, *record))
                offset = read.next_offset

    def close(self) -> None:
        """Give up what is read ahead."""
        self._reader.close()

    def _tier(self, topic: str, partition: int) -> PartitionTier:
        for tier in self._archive.tiers(topic):
            if tier.partition == partition:
                return tier
        raise KeyError(f"nothing of {topic}-{partition} is in the archive")


@contextmanager
def open_archive(url: str, settings: Mapping[str, str] | None = None) -> Iterator[ArchiveSession]:
    """The archive at `url`: s3://bucket/prefix or file:///dir.

    `settings` are those of a broker, such as cold.s3.endpoint; keys to the store also come from
    the environment or an AWS profile. Raises InvalidConfigError, StoreMismatchError where there
    is no cluster, ObjectDamagedError for a checkpoint of a later format, StoreError.
    """
    with (
        asyncio.Runner() as runner,
        opened_store(url, settings or {}, os.environ, runner.get_loop()) as store,
    ):
        session = ArchiveSession(runner, store, _run(runner, read_archive(store)))
        try:
            yield session
        finally:
            session.close()


def _run(runner: asyncio.Runner, story: Story[T]) -> T:
    async def told() -> T:
        return await tell(story)

    return runner.run(told())
