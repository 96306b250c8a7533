"""Deletes objects that do not count any more: retired, abandoned, of deleted topics.

An object goes only when it was garbage already in the state that the newest checkpoint names, so
that a restore never looks for it, and after a grace period, so that a reader that is under way
gets to its end. What was deleted is noted in the metadata log; a delete that fails is tried again
for ever. Never lists the bucket and never guesses a key.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.story import all_of, until
from tierbroker.cold.errors import ObjectNotFoundError, StoreError, StoreMismatchError
from tierbroker.cold.head import read_head
from tierbroker.cold.keys import MANIFEST_SUFFIX, SEGMENT_SUFFIX, ObjectName, object_key
from tierbroker.cold.manifest import parse_manifest
from tierbroker.cold.ports import ObjectStore, TierLedger
from tierbroker.records.tier.garbage import GarbageObject
from tierbroker.records.tier.segment import ObjectKind, TierSegment
from tierbroker.records.tier.state import PartitionTier

if TYPE_CHECKING:
    from tierbroker.base.ids import Uuid

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""Deletes that are under way together."""


class Remover:
    """Deletes the garbage of one incarnation."""

    def __init__(
        self,
        store: ObjectStore,
        ledger: TierLedger,
        *,
        cluster_id: str,
        grace_ms: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._cluster_id = cluster_id
        self._grace_ms = grace_ms
        self._clock = clock
        self.deleted = 0

    async def remove(self, durable_offset: int) -> None:
        """Delete what is due; `durable_offset` is the last metadata record that the
        newest checkpoint contains.

        A store that fails is left for the next call. Raises StoreMismatchError when the cluster
        was taken over by a restore.
        """
        due = list(self._due(durable_offset))
        purges = self._ledger.state.purges
        if not due and not purges:
            return
        try:
            await self._check_incarnation()
            for start in range(0, len(due), AT_ONCE):
                await self._remove(due[start : start + AT_ONCE])
            for purge in list(self._ledger.state.purges.values()):
                if purge.done:
                    await until(self._ledger.finish_purge(purge.topic_id))
        except StoreMismatchError:
            raise
        except (StoreError, ApiError) as error:
            logger.warning("objects in %s are not deleted yet: %s", self._store.url, error)

    def _due(self, durable_offset: int) -> Iterator[tuple[PartitionTier, GarbageObject]]:
        latest_ms = self._clock.now_ms() - self._grace_ms
        state = self._ledger.state
        for tier in state.partitions.values():
            for garbage in tier.garbage:
                is_named = garbage.since_metadata_offset > durable_offset
                if not is_named and garbage.since_ms <= latest_ms:
                    yield tier, garbage
        for purge in state.purges.values():
            # Its time is that of the first checkpoint without the topic.
            if purge.since_ms <= latest_ms and purge.since_metadata_offset <= durable_offset:
                for tier in purge.partitions:
                    for garbage in tier.garbage:
                        yield tier, garbage

    async def _check_incarnation(self) -> None:
        found = await read_head(self._store)
        own = self._ledger.state.incarnations[-1]
        if found is None or found[0].incarnation != own:
            raise StoreMismatchError(
                f"{self._store.url} belongs to another incarnation of the cluster: "
                "nothing is deleted there"
            )

    async def _remove(self, due: list[tuple[PartitionTier, GarbageObject]]) -> None:
        await self._delete([self._key(tier, entry) for tier, entry in due if not entry.expand])
        for tier, garbage in due:
            if garbage.expand:
                await self._remove_slice(tier, garbage)
        by_partition: dict[tuple[Uuid, int], list[int]] = {}
        for tier, garbage in due:
            known = by_partition.setdefault((tier.topic_id, tier.partition), [])
            known.append(garbage.intent_offset)
        for (topic_id, partition), intent_offsets in by_partition.items():
            await until(self._ledger.forget(topic_id, partition, intent_offsets))

    async def _remove_slice(self, tier: PartitionTier, spilled: GarbageObject) -> None:
        """The segments that a manifest lists, then the manifest."""
        key = self._key(tier, spilled)
        try:
            facts = await until(self._store.head(key))
            data = await until(self._store.get_range(key, 0, facts.size_bytes))
        except ObjectNotFoundError:
            return  # the manifest goes last: an earlier call was through with it
        await self._delete([self._key(tier, entry) for entry in parse_manifest(data).segments])
        await self._delete([key])

    async def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            await until(all_of([self._store.delete(key) for key in part]))
            self.deleted += len(part)

    def _key(self, tier: PartitionTier, entry: GarbageObject | TierSegment) -> str:
        is_manifest = isinstance(entry, GarbageObject) and entry.kind is ObjectKind.MANIFEST
        name = ObjectName(
            tier.topic_id,
            tier.partition,
            entry.base_offset,
            entry.end_offset,
            entry.leader_epoch,
            entry.intent_offset,
        )
        incarnation = self._ledger.state.incarnations[entry.incarnation]
        suffix = MANIFEST_SUFFIX if is_manifest else SEGMENT_SUFFIX
        return object_key(self._cluster_id, incarnation, name, suffix)
