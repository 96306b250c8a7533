"""Finds objects in a bucket that no committed state knows, and deletes them if that is wanted.

Judged by the latest checkpoint alone; no broker is asked, and one may be running. An object of the
own incarnation is an orphan when its intent is at or below the metadata offset of the checkpoint
and the state as of there knows it as nothing: not as alive, not as under way, not as garbage. No
key is used twice and nothing that was forgotten comes back, so that holds for ever after, however
old the checkpoint is. Everything else is left alone: what is newer than the checkpoint, what is
younger than a safety age, and what has no key of ours. Objects of earlier incarnations that the
state does not know count for nothing, unless a restore begins with another checkpoint; and the
host that wrote them may still be there and need them. So they are left alone unless one says
otherwise.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, cast

from tierbroker.base.clock import Clock
from tierbroker.base.ids import Uuid, parse_uuid, uuid_text
from tierbroker.base.story import all_of, until
from tierbroker.cold.archive import Archive, read_manifest
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    StoreMismatchError,
    StoreRefusedError,
)
from tierbroker.cold.head import read_head
from tierbroker.cold.keys import MANIFEST_SUFFIX, ObjectName, incarnation_prefix, object_key
from tierbroker.cold.manifest import parse_manifest
from tierbroker.cold.ports import ObjectFacts, ObjectStore
from tierbroker.cold.stores.unfinished import UnfinishedUpload, UnfinishedUploads
from tierbroker.records.tier.garbage import GarbageObject
from tierbroker.records.tier.state import PartitionTier, TierState

FILE_AGE_MS = 3_600_000
"""Temporary files of a directory store have no key to judge them by: they are as old at least."""
AT_ONCE = 16
"""Deletes that are under way together; the head is read before each such group."""

_OBJECT = re.compile(
    r"(?P<topic>[\w-]{22})/(?P<partition>\d+)/"
    r"\d{20}-\d{20}\.-?\d+\.(?P<intent>\d+)\.(?P<kind>seg|man)"
)
_CHECKPOINT = re.compile(r"checkpoints/\d{20}-(?P<sequence>\d+)\.ckpt")


class Kind(StrEnum):
    """What an orphan is."""

    SEGMENT = "segment"
    MANIFEST = "manifest"
    CHECKPOINT = "checkpoint"
    UPLOAD = "unfinished upload"


class Orphan(NamedTuple):
    """Something that takes space and counts for nothing."""

    key: str
    kind: Kind
    size_bytes: int
    """-1 where the store does not say: an unfinished upload."""
    modified_ms: int


@dataclass(slots=True)
class Tally:
    """Objects that are no orphans, by why."""

    alive: int = 0
    waiting: int = 0
    """Garbage that the broker itself deletes when it is time, and open uploads."""
    too_new: int = 0
    """Announced after the checkpoint: the next one tells."""
    too_young: int = 0
    """They would be orphans, but the safety age."""
    other_incarnations: int = 0
    """Not known, of an incarnation before a restore: a host may still use them."""
    foreign: int = 0
    """Not of a form that this release knows."""
    lists_uploads: bool = True
    """Whether the store tells its unfinished uploads."""


@dataclass(slots=True)
class Scrub:
    """What a scrub found."""

    orphans: list[Orphan] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    uploads: list[UnfinishedUpload] = field(default_factory=list)


class _Known:
    """The intents of one incarnation that the state knows; some bytes for each."""

    def __init__(self) -> None:
        self.alive: array[int] = array("q")
        self.waiting: array[int] = array("q")

    def sort(self) -> None:
        self.alive = array("q", sorted(self.alive))
        self.waiting = array("q", sorted(self.waiting))


def _holds(intents: "array[int]", intent: int) -> bool:
    slot = bisect_left(intents, intent)
    return slot < len(intents) and intents[slot] == intent


class Scrubber:
    """One scrub of the bucket that an archive was read from."""

    def __init__(
        self,
        store: ObjectStore,
        archive: Archive,
        clock: Clock,
        *,
        older_than_ms: int,
        earlier_incarnations: bool = False,
    ) -> None:
        """`older_than_ms`: what was written later than so long ago is left alone.

        `earlier_incarnations`: also what is not known of those.

        Raises StoreMismatchError when the checkpoint is of another incarnation than the head: a
        restored cluster has written none yet, and nobody knows what it knows. ObjectDamagedError
        when the newest checkpoint is of no use.
        """
        if archive.faults:
            raise ObjectDamagedError(
                f"The newest checkpoint in {store.url} is of no use, so nothing is scrubbed: "
                f"{archive.faults[0].error}"
            )
        self._store = store
        self._archive = archive
        self._clock = clock
        self._older_than_ms = older_than_ms
        self._earlier = earlier_incarnations
        head, state = archive.head, archive.state
        if not state.incarnations or state.incarnations[-1] != head.incarnation:
            raise StoreMismatchError(
                f"Cluster {head.cluster_id} was restored from {store.url} and has written no "
                "checkpoint since: what it needs is not known. Start it, and scrub again once "
                "`tierbroker tier status` shows a checkpoint."
            )
        self._own = incarnation_prefix(head.cluster_id, head.incarnation)
        self._known: dict[Uuid, _Known] = {}

    async def find(self) -> Scrub:
        """List the bucket and judge. A story.

        Raises StoreError; ObjectDamagedError or ObjectNotFoundError also for a manifest that
        cannot be read: then nobody knows which segments are alive.
        """
        await self._gather()
        scrub = Scrub()
        before_ms = self._clock.now_ms() - self._older_than_ms
        async for facts in self._objects():
            orphan = self._judge(facts, scrub.tally)
            if orphan is None:
                continue
            if orphan.modified_ms > before_ms:
                scrub.tally.too_young += 1
            else:
                scrub.orphans.append(orphan)
        await self._find_uploads(scrub)
        return scrub

    async def delete(self, scrub: Scrub) -> int:
        """Delete what was found; how many. A story.

        Raises StoreMismatchError as soon as the head says that the cluster is another one by now,
        StoreError.
        """
        deleted = 0
        orphans = [orphan for orphan in scrub.orphans if orphan.kind is not Kind.UPLOAD]
        for start in range(0, len(orphans), AT_ONCE):
            await self._check_head(deleted)
            part = orphans[start : start + AT_ONCE]
            await until(all_of([self._store.delete(orphan.key) for orphan in part]))
            deleted += len(part)
        unfinished = _unfinished(self._store)
        if scrub.uploads and unfinished is not None:
            await self._check_head(deleted)
            await until(unfinished.remove_unfinished(scrub.uploads))
            deleted += len(scrub.uploads)
        return deleted

    # -- what is known ---------------------------------------------------------------------------

    async def _gather(self) -> None:
        state = self._archive.state
        self._known = {incarnation: _Known() for incarnation in state.incarnations}
        for tier in state.partitions.values():
            for spilled in tier.slices:
                manifest = await read_manifest(self._store, self._archive, tier, spilled)
                self._add_alive(manifest.segments)
            self._add_alive(tier.slices)
            self._add_alive(tier.segments)
            for intent in tier.intents:
                self._of(intent.incarnation).waiting.append(intent.intent_offset)
        for tier in _all_tiers(state):
            for garbage in tier.garbage:
                self._of(garbage.incarnation).waiting.append(garbage.intent_offset)
                if garbage.expand:
                    await self._add_garbage_of(tier, garbage)
        for known in self._known.values():
            known.sort()

    def _of(self, slot: int) -> _Known:
        return self._known[self._archive.state.incarnations[slot]]

    def _add_alive(self, entries: Iterable[NamedTuple]) -> None:
        for entry in cast("Iterable[GarbageObject]", entries):
            self._of(entry.incarnation).alive.append(entry.intent_offset)

    async def _add_garbage_of(self, tier: PartitionTier, garbage: GarbageObject) -> None:
        """The segments of a manifest that is garbage: the broker deletes them, then it."""
        name = ObjectName(
            tier.topic_id,
            tier.partition,
            garbage.base_offset,
            garbage.end_offset,
            garbage.leader_epoch,
            garbage.intent_offset,
        )
        incarnation = self._archive.state.incarnations[garbage.incarnation]
        key = object_key(self._archive.head.cluster_id, incarnation, name, MANIFEST_SUFFIX)
        try:
            facts = await until(self._store.head(key))
            data = await until(self._store.get_range(key, 0, facts.size_bytes))
            segments = parse_manifest(data).segments
        except (ObjectNotFoundError, ObjectDamagedError):
            return  # it is garbage itself: what it names is by now, or soon, an orphan
        for segment in segments:
            self._of(segment.incarnation).waiting.append(segment.intent_offset)

    # -- what is there ---------------------------------------------------------------------------

    async def _objects(self) -> AsyncIterator[ObjectFacts]:
        after: str | None = None
        prefix = f"{self._archive.head.cluster_id}/"
        while True:
            page = await until(self._store.list(prefix, after))
            for facts in page.objects:
                yield facts
            after = page.next_after
            if after is None:
                return

    def _judge(self, facts: ObjectFacts, tally: Tally) -> Orphan | None:
        """The object as an orphan; None if it is none, which is counted."""
        incarnation, rest = self._split(facts.key)
        if incarnation is None:
            tally.foreign += 1
            return None
        found = _OBJECT.fullmatch(rest)
        if found is None:
            return self._judge_checkpoint(facts, rest, incarnation, tally)
        intent = int(found["intent"])
        known = self._known.get(incarnation)
        if known is not None and _holds(known.alive, intent):
            tally.alive += 1
        elif known is not None and _holds(known.waiting, intent):
            tally.waiting += 1
        elif self._is_spared(incarnation):
            tally.other_incarnations += 1
        elif self._is_own(incarnation) and intent > self._archive.checkpoint.metadata_offset:
            tally.too_new += 1
        else:
            kind = Kind.SEGMENT if found["kind"] == "seg" else Kind.MANIFEST
            return Orphan(facts.key, kind, facts.size_bytes, facts.modified_ms)
        return None

    def _judge_checkpoint(
        self, facts: ObjectFacts, rest: str, incarnation: Uuid, tally: Tally
    ) -> Orphan | None:
        found = _CHECKPOINT.fullmatch(rest)
        if found is None:
            tally.foreign += 1
        elif any(facts.key == name.key for name in self._archive.head.checkpoints):
            tally.alive += 1
        elif self._is_spared(incarnation):
            tally.other_incarnations += 1
        elif (
            self._is_own(incarnation)
            and int(found["sequence"]) >= self._archive.checkpoint.sequence
        ):
            tally.too_new += 1
        else:
            return Orphan(facts.key, Kind.CHECKPOINT, facts.size_bytes, facts.modified_ms)
        return None

    def _is_own(self, incarnation: Uuid) -> bool:
        return incarnation == self._archive.head.incarnation

    def _is_spared(self, incarnation: Uuid) -> bool:
        return not self._earlier and not self._is_own(incarnation)

    def _split(self, key: str) -> tuple[Uuid | None, str]:
        """The incarnation that a key is of, and what follows; None if it is of none.

        It may be one that the state does not know: of a host that began with a restore, and that a
        restore from a checkpoint before that one has replaced. Never of a later host: nothing is
        deleted before the head, read after the listing, still names the own incarnation.
        """
        text, _, rest = key.removeprefix(f"{self._archive.head.cluster_id}/").partition("/")
        try:
            return parse_uuid(text), rest
        except ValueError:
            return None, key

    async def _find_uploads(self, scrub: Scrub) -> None:
        unfinished = _unfinished(self._store)
        if unfinished is None:
            return
        try:
            found = await until(unfinished.unfinished(self._older_than_ms))
        except StoreRefusedError:
            scrub.tally.lists_uploads = False
            return
        for upload in found:
            if self._is_left(upload):
                scrub.uploads.append(upload)
                scrub.orphans.append(Orphan(upload.key, Kind.UPLOAD, -1, upload.begun_ms))

    def _is_left(self, upload: UnfinishedUpload) -> bool:
        """Nobody goes on with it: by its age alone where it has no key yet, else also by intent."""
        if not upload.upload_id:
            return upload.begun_ms <= self._clock.now_ms() - FILE_AGE_MS
        if not upload.key.startswith(self._own):
            return False
        found = _OBJECT.fullmatch(upload.key, len(self._own))
        if found is None:
            return _CHECKPOINT.fullmatch(upload.key, len(self._own)) is not None
        intent = int(found["intent"])
        return intent <= self._archive.checkpoint.metadata_offset and not _holds(
            self._known[self._archive.head.incarnation].waiting, intent
        )

    async def _check_head(self, deleted: int) -> None:
        found = await read_head(self._store)
        head = self._archive.head
        if found is None or (found[0].cluster_id, found[0].incarnation) != (
            head.cluster_id,
            head.incarnation,
        ):
            raise StoreMismatchError(
                f"{self._store.url} is not incarnation {uuid_text(head.incarnation)} of cluster "
                f"{head.cluster_id} any more: it was restored, or its head was removed. {deleted} "
                f"{'orphan was' if deleted == 1 else 'orphans were'} deleted, no more are."
            )


def _all_tiers(state: TierState) -> Iterator[PartitionTier]:
    yield from state.partitions.values()
    for purge in state.purges.values():
        yield from purge.partitions


def _unfinished(store: ObjectStore) -> UnfinishedUploads | None:
    """The store, if it is one that can leave uploads unfinished."""
    return store if isinstance(store, UnfinishedUploads) else None
