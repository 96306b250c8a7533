"""Deletes objects that do not count any more: retired, abandoned, of deleted topics.

An object goes only when it was garbage already in the state that the newest checkpoint names, so
that a restore never looks for it, and after a grace period, so that a reader that is under way
gets to its end. What was deleted is noted in the metadata log; a delete that fails is tried again
for ever. Objects of earlier incarnations go too, where this cluster's own metadata names them as
garbage. Never lists the bucket and never guesses a key.
"""

import logging
from collections.abc import Iterator
from itertools import islice, takewhile

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError
from tierbroker.base.story import all_of, until
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    StoreError,
    StoreMismatchError,
)
from tierbroker.cold.head import HeadMissingError, read_head
from tierbroker.cold.keys import MANIFEST_SUFFIX, SEGMENT_SUFFIX, ObjectName, object_key
from tierbroker.cold.manifest import parse_manifest
from tierbroker.cold.outage_log import OutageLog
from tierbroker.cold.ports import ObjectStore, TierLedger
from tierbroker.records.tier.garbage import GarbageObject
from tierbroker.records.tier.segment import ObjectKind, TierSegment
from tierbroker.records.tier.state import PartitionTier

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""Deletes that are under way together."""
FORGOTTEN_TOGETHER = 1000
"""Objects of one note in the metadata log."""


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
        self._outage = OutageLog(logger, clock, f"removal of objects in {store.url}")
        self.deleted = 0
        self.failure: str | None = None
        """Why objects are not deleted that are due; None when that is not so."""

    async def remove(self, durable_offset: int) -> None:
        """Delete what is due; `durable_offset` is the last metadata record that the
        newest checkpoint contains.

        A store that fails is left for the next call, and so is an object that cannot be read; it
        keeps nothing else from going. Raises StoreMismatchError when the cluster was taken over
        by a restore, HeadMissingError when nobody can say.
        """
        failures: list[str] = []
        checked = False
        try:
            for tier, due in self._due(durable_offset):
                if not checked:
                    await self._check_incarnation()
                    checked = True
                failures += await self._remove(tier, due)
            for purge in list(self._ledger.state.purges.values()):
                if purge.done:
                    await until(self._ledger.finish_purge(purge.topic_id))
        except StoreMismatchError:
            raise
        except (StoreError, ApiError) as error:
            failures.append(str(error))
        if failures:
            self._outage.failed(f"objects in {self._store.url} are not deleted yet: {failures[0]}")
        else:
            self._outage.worked()
        self.failure = failures[0] if failures else None

    def _due(self, durable_offset: int) -> Iterator[tuple[PartitionTier, list[GarbageObject]]]:
        """What may go, so many objects of one partition at a time."""
        latest_ms = self._clock.now_ms() - self._grace_ms
        state = self._ledger.state

        def is_due(garbage: GarbageObject) -> bool:
            return garbage.since_metadata_offset <= durable_offset and garbage.since_ms <= latest_ms

        for tier in state.partitions.values():
            # In the order in which they became garbage: the first that is not due ends it.
            yield from _in_parts(tier, takewhile(is_due, tier.garbage))
        for purge in state.purges.values():
            # Its time is that of the first checkpoint without the topic.
            if purge.since_ms <= latest_ms and purge.since_metadata_offset <= durable_offset:
                for tier in purge.partitions:
                    yield from _in_parts(tier, iter(tier.garbage))

    async def _check_incarnation(self) -> None:
        found = await read_head(self._store)
        own = self._ledger.state.incarnations[-1]
        if found is None:
            raise HeadMissingError(self._store)
        if found[0].incarnation != own:
            raise StoreMismatchError(
                f"{self._store.url} belongs to another incarnation of the cluster: "
                "nothing is deleted there"
            )

    async def _remove(self, tier: PartitionTier, due: list[GarbageObject]) -> list[str]:
        """Delete the objects and note it; why some of them stay."""
        gone: list[int] = []
        failures: list[str] = []
        failed: StoreError | None = None
        try:
            await self._delete_all(tier, due, gone, failures)
        except StoreError as error:
            failed = error
        if gone:  # also what went before the store failed
            await until(self._ledger.forget(tier.topic_id, tier.partition, gone))
        if failed is not None:
            raise failed
        return failures

    async def _delete_all(
        self,
        tier: PartitionTier,
        due: list[GarbageObject],
        gone: list[int],
        failures: list[str],
    ) -> None:
        plain = [entry for entry in due if not entry.expand]
        for start in range(0, len(plain), AT_ONCE):
            part = plain[start : start + AT_ONCE]
            await self._delete([self._key(tier, entry) for entry in part])
            gone += [entry.intent_offset for entry in part]
        for entry in due:
            if entry.expand:
                try:
                    await self._remove_slice(tier, entry)
                except ObjectDamagedError as error:
                    failures.append(str(error))
                else:
                    gone.append(entry.intent_offset)

    async def _remove_slice(self, tier: PartitionTier, spilled: GarbageObject) -> None:
        """The segments that a manifest lists, then the manifest."""
        key = self._key(tier, spilled)
        try:
            facts = await until(self._store.head(key))
            data = await until(self._store.get_range(key, 0, facts.size_bytes))
        except ObjectNotFoundError:
            return  # the manifest goes last: an earlier call was through with it
        segments = parse_manifest(data).segments
        listed = segments.start_offset, segments.end_offset
        if listed != (spilled.base_offset, spilled.end_offset):
            # Of another manifest's place: those may be alive.
            raise ObjectDamagedError(f"{key} lists offsets {listed[0]} to {listed[1]}")
        keys = [self._key(tier, entry) for entry in segments]
        for start in range(0, len(keys), AT_ONCE):
            await self._delete(keys[start : start + AT_ONCE])
        await self._delete([key])

    async def _delete(self, keys: list[str]) -> None:
        await until(all_of([self._store.delete(key) for key in keys]))
        self.deleted += len(keys)

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


def _in_parts(
    tier: PartitionTier, due: Iterator[GarbageObject]
) -> Iterator[tuple[PartitionTier, list[GarbageObject]]]:
    while part := list(islice(due, FORGOTTEN_TOGETHER)):
        yield tier, part
