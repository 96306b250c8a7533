"""What a restore from an older checkpoint would lose, as far as the store can tell.

The newest checkpoint of a bucket may be damaged or gone. The one before brings the cluster back as
it was some minutes earlier, and nobody but a person can weigh that: whether the newest one can be
put back (from a version that the bucket keeps, from a replica), or is lost for good. So a restore
never falls back by itself, as reading an archive does, which decides nothing; it stops, says what
it would take and what is lost by it, and takes exactly that when it is named. The keys of objects
tell most of what is lost: they name partition, offsets, leader epoch, and whether the object was
announced after the checkpoint. The bucket is listed for that, and nothing in it is changed.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.story import until
from tierbroker.cold.archive import Latest, first_offset
from tierbroker.cold.errors import StoreError, StoreRefusedError
from tierbroker.cold.keys import MANIFEST_SUFFIX, KeyOfObject, read_object_key
from tierbroker.cold.ports import ObjectStore
from tierbroker.controller.state.image import MetadataImage
from tierbroker.records.tier.state import TierState


@dataclass(slots=True)
class Since:
    """What happened to the objects after a checkpoint was taken."""

    objects: int = 0
    """Segments that were uploaded since. They stay where they are, and nothing names them."""
    offsets: int = 0
    """Their offsets, as far as the checkpoint knows the partition."""
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    """The offset behind them, of partitions that the checkpoint knows."""
    unknown_topics: set[Uuid] = field(default_factory=set)
    """Topics of which something was uploaded, and that were made since."""
    gone: dict[TopicPartition, int] = field(default_factory=dict)
    """Offsets that the checkpoint names and whose objects are not there any more."""
    leader_epoch: int = -1
    """The latest one under which anything was uploaded."""
    listed: bool = True
    """False where the store may not be listed: then nothing of this is known."""


class OlderCheckpointError(StoreError):
    """The newest checkpoint is of no use, and nobody has named the one that could be taken."""

    def __init__(self, url: str, latest: Latest, since: Since) -> None:
        fault = latest.faults[0]
        super().__init__(
            f"{url}: checkpoint {fault.name.sequence} of cluster {latest.head.cluster_id} cannot "
            f"be read: {fault.error}"
        )
        self.latest = latest
        self.since = since


async def look_since(store: ObjectStore, latest: Latest, image: MetadataImage) -> Since:
    """List the store for what the checkpoint does not know. A story; raises StoreError."""
    since = Since()
    looking = _Looking(image, since)
    try:
        async for key in _keys(store, latest.head.cluster_id):
            looking.see(key)
    except StoreRefusedError:
        return Since(listed=False)
    looking.finish()
    return since


def tier_end(image: MetadataImage, place: TopicPartition) -> int:
    """The offset behind all that the checkpoint names of a partition."""
    topic = image.topic(place.topic)
    tier = None if topic is None else image.tier.partition(topic.topic_id, place.partition)
    return 0 if tier is None else tier.end_offset + 1


def without_uploads(state: TierState) -> TierState:
    """The state with no upload under way.

    What was under way at an older checkpoint may be finished, and named by the newer one. Who
    begins with the older one would give these uploads up and delete their objects; that they are
    only not known is enough, for a scrub leaves alone what earlier incarnations wrote.
    """
    idle = {
        key: replace(tier, intents=()) for key, tier in state.partitions.items() if tier.intents
    }
    return replace(state, partitions=state.partitions.with_changes(idle))


class _Looking:
    """Sorts the objects of a listing."""

    def __init__(self, image: MetadataImage, since: Since) -> None:
        self._image = image
        self._since = since
        state = image.tier
        self._slots = {incarnation: slot for slot, incarnation in enumerate(state.incarnations)}
        self._there: list[set[int]] = [set() for _ in state.incarnations]
        """Intents of the objects that are in the store, by incarnation."""
        self._under_way = {
            (intent.incarnation, intent.intent_offset)
            for tier in state.partitions.values()
            for intent in tier.intents
        }

    def see(self, key: KeyOfObject) -> None:
        name = key.name
        slot = self._slots.get(key.incarnation, -1)
        if slot >= 0:
            self._there[slot].add(name.intent_offset)
        self._since.leader_epoch = max(self._since.leader_epoch, name.leader_epoch)
        if key.suffix == MANIFEST_SUFFIX or not self._is_new(slot, name.intent_offset):
            return
        topic = self._image.topic_by_id(name.topic_id)
        if topic is None:
            self._since.unknown_topics.add(name.topic_id)
        else:
            place = TopicPartition(topic.name, name.partition)
            if name.end_offset < tier_end(self._image, place):
                return  # an attempt that came to nothing
            ends = self._since.ends
            ends[place] = max(name.end_offset + 1, ends.get(place, 0))
        self._since.objects += 1

    def _is_new(self, slot: int, intent_offset: int) -> bool:
        """Announced after the checkpoint, or under way then; all that a later host wrote is."""
        if slot < 0 or (slot, intent_offset) in self._under_way:
            return True
        return slot == len(self._there) - 1 and intent_offset > self._image.offset

    def finish(self) -> None:
        """Add up; find what the checkpoint names and no listed object is: retention went on."""
        self._since.offsets = sum(
            end - tier_end(self._image, place) for place, end in self._since.ends.items()
        )
        for tier in self._image.tier.partitions.values():
            topic = self._image.topic_by_id(tier.topic_id)
            if topic is None or tier.empty:
                continue
            start = first_offset(tier)
            gone = sum(
                max(entry.end_offset + 1 - max(entry.base_offset, start), 0)
                for entries in (tier.slices, tier.segments)
                for entry in entries
                if entry.intent_offset not in self._there[entry.incarnation]
            )
            if gone:
                self._since.gone[TopicPartition(topic.name, tier.partition)] = gone


async def _keys(store: ObjectStore, cluster_id: str) -> AsyncIterator[KeyOfObject]:
    after: str | None = None
    while True:
        page = await until(store.list(f"{cluster_id}/", after))
        for facts in page.objects:
            key = read_object_key(cluster_id, facts.key)
            if key is not None:
                yield key
        after = page.next_after
        if after is None:
            return
