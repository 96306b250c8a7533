"""Makes what is committed durable in the bucket: checkpoints, and the head that names them.

Only what a checkpoint names may be let go locally, and only garbage that no checkpoint names any
more is deleted (INV-4): `durable_offset` is the metadata offset of the last checkpoint that the
store has. After a start it is unknown until the first one is written.

Answers get lost. A head that was written without anybody hearing of it is recognized at the next
attempt; a head that somebody else wrote ends all work with the store.
"""

import logging
from dataclasses import replace

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.parts import parts_length, release_parts
from tierbroker.base.story import until
from tierbroker.cold.checkpoint_object import build_checkpoint, checksum_as_made
from tierbroker.cold.errors import ObjectDamagedError, StoreError, StoreMismatchError
from tierbroker.cold.head import (
    CheckpointName,
    Head,
    HeadChangedError,
    changed,
    read_head,
    write_head,
)
from tierbroker.cold.keys import checkpoint_key
from tierbroker.cold.outage_log import OutageLog
from tierbroker.cold.ports import CheckpointContent, ClusterState, ObjectStore, TierLedger

logger = logging.getLogger(__name__)

KEPT_CHECKPOINTS = 3
"""Checkpoints that stay in the bucket: a restore may be reading an older one."""
ATTEMPTS_KNOWN = 16
"""Heads of which no answer came, and that may yet turn out to be written."""
CONFLICTS_MAX = 3


class Checkpointer:
    """The checkpoints of one incarnation of a cluster. One at a time."""

    def __init__(
        self,
        store: ObjectStore,
        ledger: TierLedger,
        cluster: ClusterState,
        head: Head,
        etag: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._cluster = cluster
        self._clock = clock
        self._etag = etag
        self.head = head
        self.durable_offset = -1
        """The last metadata record that the newest checkpoint of this run contains."""
        self.current_ms = -1
        """When the newest checkpoint was last known to say all there is to say."""
        self.failure: str | None = None
        """Why the last attempt failed; None when it did not."""
        self._outage = OutageLog(logger, clock, f"checkpoints in {store.url}")
        self._removal_outage = OutageLog(logger, clock, f"removal of checkpoints in {store.url}")
        self._known_at_start = ledger.metadata_offset
        self._attempted: list[Head] = []
        self._sequence = -1
        self._settled_offset = -1
        """Up to there the metadata says nothing that the newest checkpoint does not."""
        self._settled: tuple[bytes, bytes] = (b"", b"")
        """The group offsets and log ends that it holds."""
        self._left_over: list[str] = []
        """Keys of checkpoints that no head names, or will name any more."""

    async def take(self) -> None:
        """Write a checkpoint and let the head name it, unless the newest one says it all.

        A store that fails is noted, and the next call tries again. Raises StoreMismatchError when
        the cluster was taken over, HeadMissingError when the head was removed: nothing may be
        written or deleted any more.
        """
        try:
            content = await self._news()
            if content is not None:
                await self._write(content)
            self.current_ms = self._clock.now_ms()
        except StoreMismatchError:
            raise
        except (StoreError, ApiError) as error:
            self._outage.failed(f"no checkpoint in {self._store.url}: {error}")
            self.failure = str(error)
        else:
            self._outage.worked()
            self.failure = None
            await self._remove_left_over()

    async def find_head(self) -> None:
        """Go on with the head that is there again, after it was gone.

        Raises HeadMissingError while it is, StoreMismatchError for one that this cluster did not
        write, StoreError.
        """
        found = await read_head(self._store)
        if found is None or not self._wrote(found[0]):
            raise changed(self._store, self.head, found)
        self._etag = found[1]
        # It may be an older one, which names less than this run has written: as after a start
        # nothing is known to be durable before the next checkpoint is, and that is due in any case.
        self.durable_offset = self._settled_offset = -1

    async def _news(self) -> CheckpointContent | None:
        """What a new checkpoint would say; None if nobody would miss it.

        Group offsets and log ends change without the metadata; the metadata changes by the note
        of a checkpoint, which is no news.
        """
        content = await until(self._cluster.take(self._settled_offset))
        if content.metadata_offset > self._settled_offset:
            return content
        if (content.group_offsets, content.log_ends) == self._settled:
            return None
        return await until(self._cluster.take())

    async def _write(self, content: CheckpointContent) -> None:
        sequence = self._sequence = self._next_sequence()
        key = checkpoint_key(
            self.head.cluster_id, self.head.incarnation, content.metadata_offset, sequence
        )
        self._left_over.append(key)  # until a head names it
        try:
            parts = build_checkpoint(content)
            size_bytes = parts_length(parts)
            made_as = checksum_as_made(content, parts)
            stored = await until(self._store.put(key, parts))
        finally:
            release_parts(content.metadata.parts)
        if stored.size_bytes != size_bytes or stored.checksum is None:
            raise ObjectDamagedError(f"{key} has {stored.size_bytes} bytes, {size_bytes} were sent")
        if made_as is not None and made_as != stored.checksum:
            raise ObjectDamagedError(
                f"{key} was made with the checksum {made_as:016x} and stored with "
                f"{stored.checksum:016x}: the disk of the log directory has changed it on its way"
            )
        name = CheckpointName(
            key,
            size_bytes,
            stored.checksum,
            content.metadata_offset,
            sequence,
            self._clock.now_ms(),
        )
        kept = (name, *self.head.checkpoints)
        await self._replace_head(replace(self.head, checkpoints=kept[:KEPT_CHECKPOINTS]))
        self._left_over.remove(key)
        self._left_over += [old.key for old in kept[KEPT_CHECKPOINTS:] if self._is_own(old)]
        self.durable_offset = content.metadata_offset
        await self._note(sequence, content)

    def _next_sequence(self) -> int:
        """Never one that was tried: a key is used once, whatever became of the attempt."""
        latest, noted = self.head.latest, self._ledger.state.checkpoint
        known = (
            self._sequence,
            -1 if latest is None else latest.sequence,
            -1 if noted is None else noted.sequence,
        )
        return max(known) + 1

    async def _replace_head(self, head: Head) -> None:
        self._attempted = [*self._attempted[1 - ATTEMPTS_KNOWN :], head]
        for _ in range(CONFLICTS_MAX):
            try:
                self._etag = await write_head(self._store, head, self._etag)
            except HeadChangedError as conflict:
                if conflict.found is None or not self._wrote(conflict.found[0]):
                    raise
                self._etag = conflict.found[1]
            else:
                self.head = head
                return
        raise StoreError(f"the head in {self._store.url} changes all the time")

    def _wrote(self, found: Head) -> bool:
        """Whether a head that comes as a surprise is by this cluster's own hand.

        By this run, whose answer got lost; or by the run before, arriving late: what it says is
        older than all that this run has done.
        """
        if found == self.head or found in self._attempted:
            return True
        latest = found.latest
        return (
            (found.cluster_id, found.store_id, found.incarnation)
            == (self.head.cluster_id, self.head.store_id, self.head.incarnation)
            and latest is not None
            and latest.metadata_offset <= self._known_at_start
        )

    async def _note(self, sequence: int, content: CheckpointContent) -> None:
        """Let the metadata know: only then anything local may go."""
        before = self._ledger.metadata_offset
        await until(self._ledger.note_checkpoint(sequence, content.metadata_offset))
        after = self._ledger.metadata_offset
        only_this = before == content.metadata_offset and after == before + 1
        self._settled_offset = after if only_this else content.metadata_offset
        self._settled = content.group_offsets, content.log_ends

    def _is_own(self, name: CheckpointName) -> bool:
        """Another incarnation may start from the others: they stay."""
        return name.key == checkpoint_key(
            self.head.cluster_id, self.head.incarnation, name.metadata_offset, name.sequence
        )

    async def _remove_left_over(self) -> None:
        try:
            while self._left_over:
                await until(self._store.delete(self._left_over[0]))
                del self._left_over[0]
                self._removal_outage.worked()
        except StoreError as error:
            self._removal_outage.failed(
                f"old checkpoints stay in {self._store.url} for now: {error}"
            )
