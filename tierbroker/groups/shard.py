"""One shard: the groups and offsets of one partition of `__consumer_offsets`, while we lead it.

It has a life (loading, active, closed; or failed, when the log cannot be read) and answers nothing
but while it is active. Requests are carried out by `Memberships` and `CommittedOffsets`; their
records go through one journal, so that what is in memory changes in log order.
"""

import random
from collections.abc import Iterator, Mapping
from enum import Enum

from tierbroker.base.background import Background
from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import Uuid
from tierbroker.groups.committed_offsets import CommittedOffsets
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.deletion import Deletion
from tierbroker.groups.expiry import Expiry
from tierbroker.groups.journal import PartitionJournal
from tierbroker.groups.loader import Loader
from tierbroker.groups.memberships import Memberships
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.ports import PartitionReader, PartitionWriter, Timers
from tierbroker.groups.transactional_commits import TransactionalCommits
from tierbroker.wire.error_codes import ErrorCode


class ShardState(Enum):
    """A shard answers only while it is ACTIVE."""

    LOADING = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    ACTIVE = ErrorCode.NONE
    FAILED = ErrorCode.COORDINATOR_NOT_AVAILABLE
    CLOSED = ErrorCode.NOT_COORDINATOR


class Shard:
    """Loop thread only; begins to load at once."""

    def __init__(
        self,
        partition: int,
        config: GroupConfig,
        writer: PartitionWriter,
        reader: PartitionReader,
        timers: Timers,
        clock: Clock,
        rng: random.Random,
        background: Background,
    ) -> None:
        journal = PartitionJournal(writer, partition)
        store = OffsetStore()
        self.partition = partition
        self.state = ShardState.LOADING
        self.memberships = Memberships(
            config, journal, timers, clock, rng, has_offsets=store.has_offsets
        )
        self.offsets = CommittedOffsets(config, store, self.memberships, journal, clock)
        self.transactional_commits = TransactionalCommits(
            self.offsets, self.memberships, journal, clock
        )
        self.deletion = Deletion(self.offsets, self.memberships)
        self._expiry = Expiry(config, self.offsets, self.memberships, clock, background)
        self._background = background
        self._forgotten_while_loading: list[Mapping[str, Uuid]] = []
        self._ended_while_loading: list[tuple[int, bool]] = []
        self._loader = Loader(partition, reader, store, self.memberships, background, self._loaded)
        self._loader.start()

    @property
    def error(self) -> ErrorCode:
        """NONE while it may be asked, else what requests are answered."""
        return self.state.value

    def forget_topics(self, topics: Mapping[str, Uuid]) -> None:
        """Delete the offsets of topics that exist no more; once loaded, if it is loading."""
        if self.state is ShardState.ACTIVE:
            self._background.begin(self._forget(topics))
        elif self.state is ShardState.LOADING:
            self._forgotten_while_loading.append(topics)

    def complete_transaction(self, producer_id: int, *, commit: bool) -> None:
        """The producer's marker is visible; each is told of in log order.

        Whether the loader has seen it already does not matter: as long as the shard is not active
        no offsets come behind the marker that it could be mistaken to be for.
        """
        if self.state is ShardState.ACTIVE:
            self.offsets.store.complete(producer_id, commit)
        elif self.state is ShardState.LOADING:
            self._ended_while_loading.append((producer_id, commit))

    def expire_offsets(self) -> None:
        """Look for expired offsets, over the next turns."""
        if self.state is ShardState.ACTIVE:
            self._expiry.start()

    def close(self, error: ErrorCode) -> None:
        """Leadership went elsewhere, or the broker stops: who waits is answered with `error`."""
        if self.state is ShardState.CLOSED:
            return
        self.state = ShardState.CLOSED
        self._loader.cancel()
        self._expiry.cancel()
        self.memberships.stop(error)

    def _loaded(self, error: ApiError | None) -> None:
        if error is not None:
            self.state = ShardState.FAILED
        else:
            for producer_id, commit in self._ended_while_loading:
                self.offsets.store.complete(producer_id, commit)
            self.memberships.start()
            self.state = ShardState.ACTIVE
            for topics in self._forgotten_while_loading:
                self.forget_topics(topics)

    def _forget(self, topics: Mapping[str, Uuid]) -> Iterator[None]:
        """A group a step, while the shard is active."""
        for group_id in self.offsets.groups_of_topics(topics.keys()):
            if self.state is not ShardState.ACTIVE:
                return
            self.deletion.forget_topics(group_id, topics)
            yield
