"""Makes what is committed durable in the bucket: checkpoints, and the head that names them.

Only what a checkpoint names may be let go locally, and only garbage that no checkpoint names any
more is deleted (INV-4): `durable_state` is the tier as of the last checkpoint that the store has.
After a start it is unknown until the first one is written.
"""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.story import until
from tierbroker.cold.checkpoint_object import build_checkpoint
from tierbroker.cold.errors import ObjectDamagedError, StoreError, StoreMismatchError
from tierbroker.cold.head import CheckpointName, Head, write_head
from tierbroker.cold.keys import checkpoint_key
from tierbroker.cold.ports import ClusterState, ObjectStore, TierLedger

if TYPE_CHECKING:
    from tierbroker.records.tier.state import TierState

logger = logging.getLogger(__name__)

KEPT_CHECKPOINTS = 3
"""Checkpoints that stay in the bucket: a restore may be reading an older one."""


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
        self.durable_state: TierState | None = None
        """The tier as the newest checkpoint of this run names it."""
        self.durable_offset = -1
        """The last metadata record that it contains."""

        self.failure: str | None = None
        """Why the last attempt failed; None when it did not."""
        self._outdated: list[CheckpointName] = []

    async def take(self) -> None:
        """Write a checkpoint and let the head name it.

        A store that fails is noted, and the next call tries again. Raises StoreMismatchError when
        the cluster was taken over: nothing may be written or deleted any more.
        """
        try:
            await self._take()
        except StoreMismatchError:
            raise
        except (StoreError, ApiError) as error:
            if self.failure is None:
                logger.warning("no checkpoint in %s: %s", self._store.url, error)
            self.failure = str(error)
        else:
            self.failure = None

    async def _take(self) -> None:
        content = await until(self._cluster.take())
        latest = self.head.latest
        sequence = 0 if latest is None else latest.sequence + 1
        data = build_checkpoint(content)
        key = checkpoint_key(
            self.head.cluster_id, self.head.incarnation, content.metadata_offset, sequence
        )
        stored = await until(self._store.put(key, [data]))
        if stored.size_bytes != len(data) or stored.checksum is None:
            raise ObjectDamagedError(f"{key} has {stored.size_bytes} bytes, {len(data)} were sent")
        name = CheckpointName(
            key,
            len(data),
            stored.checksum,
            content.metadata_offset,
            sequence,
            self._clock.now_ms(),
        )
        kept = (name, *self.head.checkpoints)
        head = replace(self.head, checkpoints=kept[:KEPT_CHECKPOINTS])
        self._etag = await write_head(self._store, head, self._etag)
        self.head = head
        self.durable_state = content.state
        self.durable_offset = content.metadata_offset
        self._outdated += kept[KEPT_CHECKPOINTS:]
        await until(self._ledger.note_checkpoint(sequence, content.metadata_offset))
        await self._remove_outdated()

    async def _remove_outdated(self) -> None:
        """Only those of the own incarnation: another one may start from the others."""
        while self._outdated:
            name = self._outdated[0]
            own = checkpoint_key(
                self.head.cluster_id, self.head.incarnation, name.metadata_offset, name.sequence
            )
            if name.key == own:
                await until(self._store.delete(name.key))
            del self._outdated[0]
