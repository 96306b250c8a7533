"""All that the metadata log says of the object tier, as of one offset of it.

A `TierState` is immutable and safe to keep; `TierDelta` applies events to one and answers the
next, which shares all that did not change. Nothing here decides: what the log says, happened.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tierbroker.base.frozen_map import FrozenMap, PartitionKey
from tierbroker.base.ids import Uuid, uuid_text
from tierbroker.records.tier.errors import TierContradictionError
from tierbroker.records.tier.events import (
    TierAbandon,
    TierCheckpointed,
    TierCommit,
    TierDrop,
    TierEvent,
    TierForget,
    TierIntent,
    TierPartitionState,
    TierPurged,
    TierPurgeState,
    TierRetire,
    TierSpill,
    TierStoreBound,
)
from tierbroker.records.tier.garbage import NEVER_MS, GarbageArray, GarbageObject
from tierbroker.records.tier.partition import PartitionTier

__all__ = [
    "GarbageArray",
    "GarbageObject",
    "PartitionKey",
    "PartitionTier",
    "PurgedTopic",
    "TierDelta",
    "TierState",
]


@dataclass(frozen=True, slots=True)
class PurgedTopic:
    """A deleted topic whose objects are being deleted: data first, manifests last."""

    topic_id: Uuid
    since_metadata_offset: int
    """Of the record that removed the topic."""
    since_ms: int = NEVER_MS
    """Time of the first checkpoint that no longer names the topic; NEVER_MS until there is one.
    It holds for all that the topic had: the time in each object may be NEVER_MS for ever."""
    partitions: tuple[PartitionTier, ...] = ()
    """By number. All that they hold is garbage; less with each TierForget."""

    @property
    def done(self) -> bool:
        """Nothing is left to be deleted."""
        return not any(tier.garbage for tier in self.partitions)


def _no_partitions() -> FrozenMap[PartitionKey, PartitionTier]:
    return _NO_PARTITIONS


def _no_purges() -> FrozenMap[bytes, PurgedTopic]:
    return _NO_PURGES


_NO_PARTITIONS: FrozenMap[PartitionKey, PartitionTier] = FrozenMap()
_NO_PURGES: FrozenMap[bytes, PurgedTopic] = FrozenMap()


@dataclass(frozen=True, slots=True)
class TierState:
    """The tier of a cluster."""

    store_id: Uuid | None = None
    """The store that the objects are in; None before the first one was bound."""
    incarnations: tuple[Uuid, ...] = ()
    """Under which the cluster wrote, the oldest first; the last one is its own."""
    partitions: FrozenMap[PartitionKey, PartitionTier] = field(default_factory=_no_partitions)
    """By topic id and number; a partition of which nothing was ever begun is not in here."""
    purges: FrozenMap[bytes, PurgedTopic] = field(default_factory=_no_purges)
    """Deleted topics by id."""
    checkpoint: TierCheckpointed | None = None
    """The latest durable bucket checkpoint."""

    @property
    def own_incarnation(self) -> int:
        """Index of the incarnation under which new objects are written, -1 without a store."""
        return len(self.incarnations) - 1

    @property
    def checkpointed_offset(self) -> int:
        """The metadata offset (inclusive) that the latest durable checkpoint contains, or -1."""
        return -1 if self.checkpoint is None else self.checkpoint.metadata_offset

    def partition(self, topic_id: Uuid, partition: int) -> PartitionTier | None:
        """What the tier holds of a partition; None if nothing was ever begun."""
        return self.partitions.get((topic_id, partition))

    def named_end_offset(self, topic_id: Uuid, partition: int) -> int:
        """Up to where (inclusive) local data may go: committed and in a checkpoint. -1 for none."""
        tier = self.partitions.get((topic_id, partition))
        return -1 if tier is None else tier.named_end_offset(self.checkpointed_offset)

    def partitions_with_garbage(self) -> Iterator[PartitionTier]:
        """Those that hold objects to be deleted, also of deleted topics."""
        for tier in self.partitions.values():
            if tier.garbage:
                yield tier
        for purge in self.purges.values():
            yield from (tier for tier in purge.partitions if tier.garbage)

    def apply(self, event: TierEvent, metadata_offset: int) -> "TierState":
        """The state after one event at that offset; raises TierContradictionError."""
        delta = TierDelta(self)
        delta.apply(event, metadata_offset)
        return delta.finish()

    def remove_topic(self, topic_id: Uuid, partitions: int, metadata_offset: int) -> "TierState":
        """The state after a topic with so many partitions was deleted."""
        delta = TierDelta(self)
        delta.remove_topic(topic_id, partitions, metadata_offset)
        return delta.finish()

    def snapshot_events(self) -> Iterator[TierEvent]:
        """The events that rebuild this state, made one at a time; equal states give equal ones."""
        for incarnation in self.incarnations:
            assert self.store_id is not None
            yield TierStoreBound(self.store_id, incarnation)
        if self.checkpoint is not None:
            yield self.checkpoint
        for key in sorted(self.partitions):
            yield from self.partitions[key].pieces()
        for topic_id in sorted(self.purges):
            purge = self.purges[topic_id]
            yield TierPurgeState(purge.topic_id, purge.since_metadata_offset, purge.since_ms)
            for tier in purge.partitions:
                yield from tier.pieces(purged=True)


class TierDelta:
    """Edits on top of a TierState. Raises TierContradictionError for what cannot have happened."""

    __slots__ = ("_base", "_checkpoint", "_incarnations", "_partitions", "_pieces", "_purges",
                 "_store_id")  # fmt: skip

    def __init__(self, base: TierState) -> None:
        self._base = base
        self._store_id = base.store_id
        self._incarnations = base.incarnations
        self._checkpoint = base.checkpoint
        self._partitions: dict[PartitionKey, PartitionTier | None] = {}
        self._purges: dict[bytes, PurgedTopic | None] = {}
        # Of a snapshot: pieces wait until the partition is complete, to be joined once.
        self._pieces: list[TierPartitionState] = []

    def apply(self, event: TierEvent, metadata_offset: int) -> None:
        """One event, which stands at that offset of the metadata log."""
        if self._pieces and type(event) is not TierPartitionState:
            self._join_pieces()
        _HANDLERS[type(event)](self, event, metadata_offset)

    def partition(self, topic_id: Uuid, partition: int) -> PartitionTier | None:
        """The partition as it is by now."""
        key = (topic_id, partition)
        if key in self._partitions:
            return self._partitions[key]
        return self._base.partitions.get(key)

    def remove_topic(self, topic_id: Uuid, partitions: int, metadata_offset: int) -> None:
        """A topic with so many partitions was deleted: its objects are to be deleted."""
        if self._pieces:
            self._join_pieces()
        doomed: list[PartitionTier] = []
        for number in range(partitions):
            tier = self.partition(topic_id, number)
            if tier is None:
                continue
            self._partitions[topic_id, number] = None
            if not tier.named_by_nothing:
                doomed.append(tier.removed(metadata_offset))
        if doomed:
            self._purges[topic_id] = PurgedTopic(
                topic_id, metadata_offset, partitions=tuple(doomed)
            )

    @property
    def changed(self) -> frozenset[PartitionKey]:
        """The partitions that were changed or removed."""
        if self._pieces:
            self._join_pieces()
        return frozenset(self._partitions)

    def finish(self) -> TierState:
        """The next state; the base itself if nothing happened."""
        if self._pieces:
            self._join_pieces()
        base = self._base
        if (
            not self._partitions
            and not self._purges
            and self._checkpoint is base.checkpoint
            and self._incarnations is base.incarnations
        ):
            return base
        return TierState(
            self._store_id,
            self._incarnations,
            _edited(base.partitions, self._partitions),
            _edited(base.purges, self._purges),
            self._checkpoint,
        )

    def _known(self, topic_id: Uuid, partition: int, event: TierEvent) -> PartitionTier:
        tier = self.partition(topic_id, partition)
        if tier is None:
            raise TierContradictionError(f"{event} concerns a partition that the tier knows not of")
        return tier

    def _store_bound(self, event: TierStoreBound, _: int) -> None:
        if self._store_id is not None and self._store_id != event.store_id:
            raise TierContradictionError(
                f"store {uuid_text(event.store_id)} is bound, the objects are in store"
                f" {uuid_text(self._store_id)}"
            )
        if event.incarnation in self._incarnations:
            raise TierContradictionError(f"incarnation {uuid_text(event.incarnation)} comes back")
        self._store_id = event.store_id
        self._incarnations = (*self._incarnations, event.incarnation)

    def _intent(self, event: TierIntent, metadata_offset: int) -> None:
        if event.intent_offset != metadata_offset:
            raise TierContradictionError(f"{event} stands at offset {metadata_offset}")
        if event.incarnation != len(self._incarnations) - 1:
            raise TierContradictionError(f"{event} is not of the own incarnation")
        key = (event.topic_id, event.partition)
        tier = self.partition(*key) or PartitionTier(*key, log_start_offset=0)
        self._partitions[key] = tier.with_intent(event)

    def _commit(self, event: TierCommit, metadata_offset: int) -> None:
        tier = self._known(event.topic_id, event.partition, event)
        checkpointed = -1 if self._checkpoint is None else self._checkpoint.metadata_offset
        after = tier.committed(event, metadata_offset, checkpointed)
        self._partitions[event.topic_id, event.partition] = after

    def _abandon(self, event: TierAbandon, metadata_offset: int) -> None:
        tier = self._known(event.topic_id, event.partition, event)
        after = tier.abandoned(event, metadata_offset)
        self._partitions[event.topic_id, event.partition] = after

    def _retire(self, event: TierRetire, metadata_offset: int) -> None:
        tier = self._known(event.topic_id, event.partition, event)
        after = tier.retired(event, metadata_offset)
        self._partitions[event.topic_id, event.partition] = after

    def _drop(self, event: TierDrop, metadata_offset: int) -> None:
        tier = self._known(event.topic_id, event.partition, event)
        after = tier.dropped(event, metadata_offset)
        self._partitions[event.topic_id, event.partition] = after

    def _spill(self, event: TierSpill, _: int) -> None:
        tier = self._known(event.topic_id, event.partition, event)
        self._partitions[event.topic_id, event.partition] = tier.spilled(event)

    def _forget(self, event: TierForget, _: int) -> None:
        purge = self._purge(event.topic_id)
        if purge is not None:
            left = tuple(
                tier.without_garbage(event.intent_offsets)
                if tier.partition == event.partition
                else tier
                for tier in purge.partitions
            )
            self._purges[event.topic_id] = replace(purge, partitions=left)
            return
        tier = self._known(event.topic_id, event.partition, event)
        after = tier.without_garbage(event.intent_offsets)
        self._partitions[event.topic_id, event.partition] = after

    def _checkpointed(self, event: TierCheckpointed, _: int) -> None:
        self._checkpoint = event
        waiting = {**dict(self._base.purges.items()), **self._purges}
        for topic_id, purge in waiting.items():
            if (
                purge is not None
                and purge.since_ms == NEVER_MS
                and purge.since_metadata_offset <= event.metadata_offset
            ):
                self._purges[topic_id] = replace(purge, since_ms=event.now_ms)

    def _purge(self, topic_id: Uuid) -> PurgedTopic | None:
        if topic_id in self._purges:
            return self._purges[topic_id]
        return self._base.purges.get(topic_id)

    def _purged(self, event: TierPurged, _: int) -> None:
        if self._purge(event.topic_id) is None:
            raise TierContradictionError(f"{event} concerns a topic that is not being purged")
        self._purges[event.topic_id] = None

    def _partition_state(self, event: TierPartitionState, _: int) -> None:
        if self._pieces:
            first = self._pieces[0]
            if (first.topic_id, first.partition, first.purged) != (
                event.topic_id,
                event.partition,
                event.purged,
            ):
                self._join_pieces()
        self._pieces.append(event)

    def _join_pieces(self) -> None:
        pieces, self._pieces = self._pieces, []
        tier = PartitionTier.of_pieces(pieces)
        topic_id, number = tier.topic_id, tier.partition
        if not pieces[0].purged:
            if self.partition(topic_id, number) is not None:
                raise TierContradictionError(f"partition {number} of a topic comes twice")
            self._partitions[topic_id, number] = tier
            return
        purge = self._purge(topic_id)
        if purge is None or any(known.partition == number for known in purge.partitions[-1:]):
            raise TierContradictionError(f"a purged partition {number} without its topic, or twice")
        self._purges[topic_id] = replace(purge, partitions=(*purge.partitions, tier))

    def _purge_state(self, event: TierPurgeState, _: int) -> None:
        self._purges[event.topic_id] = PurgedTopic(
            event.topic_id, event.since_metadata_offset, event.since_ms
        )


def _edited(base: FrozenMap[Any, Any], edits: Mapping[Any, Any]) -> FrozenMap[Any, Any]:
    changed = {key: value for key, value in edits.items() if value is not None}
    return base.with_changes(changed, [key for key, value in edits.items() if value is None])


_HANDLERS: dict[type, Callable[[TierDelta, Any, int], None]] = {
    TierStoreBound: TierDelta._store_bound,
    TierIntent: TierDelta._intent,
    TierCommit: TierDelta._commit,
    TierAbandon: TierDelta._abandon,
    TierRetire: TierDelta._retire,
    TierSpill: TierDelta._spill,
    TierDrop: TierDelta._drop,
    TierForget: TierDelta._forget,
    TierCheckpointed: TierDelta._checkpointed,
    TierPurged: TierDelta._purged,
    TierPartitionState: TierDelta._partition_state,
    TierPurgeState: TierDelta._purge_state,
}
