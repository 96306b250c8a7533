"""Loads a shard: reads its partition of `__consumer_offsets` from the log start to the end.

The work is done in the background, since a large partition takes seconds. The loader answers no
request; the shard is not available until `done` is called, and stays so after an error.
"""

import logging
from collections.abc import Callable, Iterator

from tierbroker.base.background import Background
from tierbroker.base.errors import (
    ApiError,
    CorruptMessageError,
    NotLeaderOrFollowerError,
    UnknownTopicOrPartitionError,
)
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.ports import PartitionReader
from tierbroker.groups.record_codec import decode_group_value
from tierbroker.groups.replay import Replay
from tierbroker.records.batch import walk

READ_BYTES = 256 * 1024

logger = logging.getLogger(__name__)


class Loader:
    """One loading of one partition. Loop thread only."""

    def __init__(
        self,
        partition: int,
        reader: PartitionReader,
        offsets: OffsetStore,
        memberships: Memberships,
        background: Background,
        done: Callable[[ApiError | None], None],
    ) -> None:
        self._partition = partition
        self._reader = reader
        self._replay = Replay(offsets)
        self._memberships = memberships
        self._background = background
        self._done = done
        self._offset = 0
        self._steps = self._load()

    def start(self) -> None:
        """Begin in a later turn; `done` gets None, or why the partition cannot be loaded."""
        self._background.begin(self._steps)

    def cancel(self) -> None:
        """Stop reading; `done` is not called any more."""
        self._background.cancel(self._steps)

    def _load(self) -> Iterator[None]:
        try:
            yield from self._replay_all()
        except (UnknownTopicOrPartitionError, NotLeaderOrFollowerError) as error:
            # Deleted, or led elsewhere: the shard is about to be closed for it.
            self._done(error)
        except ApiError as error:
            logger.error(
                "__consumer_offsets-%d cannot be loaded at offset %d: %s; its groups stay "
                "unavailable",
                self._partition,
                self._offset,
                error.message,
            )
            self._done(error)
        else:
            self._done(None)

    def _replay_all(self) -> Iterator[None]:
        """Everything there is to do; each step is short."""
        self._offset, end = self._reader.bounds(self._partition)
        while self._offset < end:
            yield from self._read(end)
            _, end = self._reader.bounds(self._partition)
        values, self._replay.group_values = self._replay.group_values, {}
        for group_id, value in values.items():
            self._memberships.restore(decode_group_value(value), group_id)
            yield
        if self._replay.unknown:
            logger.warning(
                "__consumer_offsets-%d holds records of other kinds, which are left alone: %s",
                self._partition,
                ", ".join(
                    f"{count} of type {kind}"
                    for kind, count in sorted(self._replay.unknown.items())
                ),
            )

    def _read(self, end: int) -> Iterator[None]:
        """Replay the batches of one read."""
        data = self._reader.read(self._partition, self._offset, READ_BYTES)
        if not data:
            # The log ends with offsets that no batch has: a cleaner, or a power cut, took them.
            self._offset = end
            return
        first = self._offset
        for position, header in walk(data):
            if header.last_offset < self._offset:
                continue
            for _ in self._replay.batch(data, position, header):
                yield
            self._offset = header.next_offset
            yield
            if self._offset >= end:
                return
        if self._offset == first:
            raise CorruptMessageError(f"{len(data)} bytes hold no whole batch")
