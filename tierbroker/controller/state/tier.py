"""Deciding on the object tier: what may be uploaded, what counts, what is garbage (D-7).

An upload begins with an intent, whose offset becomes part of the object's key, and counts once it
is committed. Both are for the leader of the partition's present epoch alone: who was deposed may
still write objects, but nothing that counts (INV-7). An intent that was given up stays given up,
so an object that arrives late changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from tierbroker.base.errors import (
    ApiError,
    FencedLeaderEpochError,
    InvalidRequestError,
    InvalidUpdateVersionError,
    OffsetOutOfRangeError,
    UnknownLeaderEpochError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import TopicPartition, Uuid, uuid_text
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import MetadataRecord, Result
from tierbroker.controller.state.tier_record import tier_record
from tierbroker.records.tier.events import (
    TierAbandon,
    TierCheckpointed,
    TierCommit,
    TierDrop,
    TierForget,
    TierIntent,
    TierPurged,
    TierRetire,
    TierSpill,
    TierStoreBound,
)
from tierbroker.records.tier.garbage import GarbageArray
from tierbroker.records.tier.segment import (
    MAX_SEGMENT_BYTES,
    ObjectKind,
    TierSegment,
    TierSlice,
)
from tierbroker.records.tier.state import PartitionTier, TierDelta

FORGET_AT_ONCE = 1000
"""Intents of one TierForget."""
_CHECKSUM_END = 1 << 64


class Plan(Protocol):
    """An object that a leader wants to write; `end_offset` is inclusive."""

    @property
    def topic_id(self) -> Uuid: ...
    @property
    def partition(self) -> int: ...
    @property
    def leader_epoch(self) -> int: ...
    @property
    def base_offset(self) -> int: ...
    @property
    def end_offset(self) -> int: ...
    @property
    def kind(self) -> ObjectKind: ...


def bind_store(image: MetadataImage, store_id: Uuid, incarnation: Uuid) -> Result[None]:
    """Keep objects in this store, under this incarnation from now on; again changes nothing.

    Raises InvalidRequestError when the objects are in another store, or the incarnation is one of
    the past.
    """
    tier = image.tier
    if tier.store_id is not None and tier.store_id != store_id:
        raise InvalidRequestError(
            f"The cold data of this cluster is in store {uuid_text(tier.store_id)}, the configured"
            f" one is {uuid_text(store_id)}: set cold.url to where the data is."
        )
    if incarnation in tier.incarnations:
        if tier.incarnations[-1] == incarnation:
            return Result((), None)
        raise InvalidRequestError(
            f"Incarnation {uuid_text(incarnation)} is one of the past,"
            f" {uuid_text(tier.incarnations[-1])} follows it."
        )
    return Result((tier_record(TierStoreBound(store_id, incarnation)),), None)


def begin_uploads(
    image: MetadataImage, plans: Sequence[Plan]
) -> Result[list[TierIntent | ApiError]]:
    """Announce objects. One answer a plan: its intent, or why it is refused.

    InvalidRequestError without a store; UnknownTopicIdError, UnknownTopicOrPartitionError;
    FencedLeaderEpochError for an epoch of the past and UnknownLeaderEpochError for one to come;
    InvalidUpdateVersionError for a range that does not follow what is there and under way.
    """
    delta = TierDelta(image.tier)
    records: list[MetadataRecord] = []
    answers: list[TierIntent | ApiError] = []
    for plan in plans:
        try:
            answer = _intent(image, delta, plan, image.offset + 1 + len(records))
        except ApiError as error:
            answers.append(error)
            continue
        delta.apply(answer, answer.intent_offset)
        records.append(tier_record(answer))
        answers.append(answer)
    return Result(tuple(records), answers, atomic=False)


def _intent(image: MetadataImage, delta: TierDelta, plan: Plan, offset: int) -> TierIntent:
    if image.tier.own_incarnation < 0:
        raise InvalidRequestError("No store is bound: set cold.url.")
    place = _check_leader(image, plan.topic_id, plan.partition, plan.leader_epoch)
    key = (plan.topic_id, plan.partition)
    tier = delta.partition(*key) or PartitionTier(*key, log_start_offset=0)
    refusal = tier.refusal_of_intent(plan.kind, plan.base_offset, plan.end_offset)
    if refusal is not None:
        raise InvalidUpdateVersionError(f"Nothing is uploaded of {place}: {refusal}.")
    return TierIntent(
        *key,
        plan.leader_epoch,
        plan.base_offset,
        plan.end_offset,
        offset,
        ObjectKind(plan.kind),
        image.tier.own_incarnation,
    )


def commit_upload(
    image: MetadataImage, topic_id: Uuid, partition: int, segment: TierSegment
) -> Result[None]:
    """The object is in the store, whole: from now on it counts. Again changes nothing.

    Raises UnknownTopicIdError and UnknownTopicOrPartitionError, FencedLeaderEpochError when the
    partition has another leader epoch by now, InvalidUpdateVersionError when the intent is not
    open or another segment comes first, InvalidRequestError for impossible sizes.
    """
    place = _check_leader(image, topic_id, partition, segment.leader_epoch)
    _check_segment(place, segment)
    tier = image.tier.partition(topic_id, partition)
    if tier is None:
        raise InvalidUpdateVersionError(f"Nothing was announced for {place}.")
    if tier.find(segment.base_offset) == segment:
        return Result((), None)
    refusal = tier.refusal_of_segment(segment)
    if refusal is not None:
        raise InvalidUpdateVersionError(f"{place} cannot take an upload: {refusal}.")
    return Result((tier_record(TierCommit(topic_id, partition, segment)),), None)


def _check_segment(place: TopicPartition, segment: TierSegment) -> None:
    if (
        segment.log_bytes < 0
        or not segment.log_bytes < segment.object_bytes <= MAX_SEGMENT_BYTES
        or not 0 <= segment.checksum < _CHECKSUM_END
    ):
        raise InvalidRequestError(
            f"An object of {segment.object_bytes} bytes with {segment.log_bytes} bytes of log and"
            f" checksum {segment.checksum} cannot be a segment of {place}."
        )


def spill(image: MetadataImage, topic_id: Uuid, partition: int, spilled: TierSlice) -> Result[None]:
    """The manifest object is in the store: it takes the place of the segments that it lists.

    Again changes nothing. Raises as `commit_upload` does.
    """
    place = _check_leader(image, topic_id, partition, spilled.leader_epoch)
    if spilled.object_bytes <= 0 or not 0 <= spilled.checksum < _CHECKSUM_END:
        raise InvalidRequestError(
            f"An object of {spilled.object_bytes} bytes and checksum {spilled.checksum} cannot be"
            f" a manifest of {place}."
        )
    tier = image.tier.partition(topic_id, partition)
    if tier is None:
        raise InvalidUpdateVersionError(f"Nothing was announced for {place}.")
    if tier.find(spilled.base_offset) == spilled:
        return Result((), None)
    refusal = tier.refusal_of_slice(spilled)
    if refusal is not None:
        raise InvalidUpdateVersionError(f"{place} cannot be spilled: {refusal}.")
    return Result((tier_record(TierSpill(topic_id, partition, spilled)),), None)


def abandon_uploads(
    image: MetadataImage, intents: Iterable[TierIntent], now_ms: int
) -> Result[None]:
    """Give uploads up: whatever exists of them is garbage. Those not under way are passed over."""
    records: list[MetadataRecord] = []
    given_up: set[TierIntent] = set()
    for intent in intents:
        tier = image.tier.partition(intent.topic_id, intent.partition)
        if tier is None or tier.intent(intent.intent_offset) != intent or intent in given_up:
            continue
        given_up.add(intent)
        event = TierAbandon(intent.topic_id, intent.partition, intent.intent_offset, now_ms)
        records.append(tier_record(event))
    return Result(tuple(records), None, atomic=False)


def retire(
    image: MetadataImage,
    topic_id: Uuid,
    partition: int,
    leader_epoch: int,
    log_start_offset: int,
    now_ms: int,
) -> Result[None]:
    """The log starts at this offset: objects wholly below are garbage.

    An offset at or below the known start changes nothing, and so does any of a partition of which
    nothing was ever uploaded. Raises UnknownTopicIdError, UnknownTopicOrPartitionError,
    FencedLeaderEpochError, UnknownLeaderEpochError, OffsetOutOfRangeError for a negative offset.
    """
    place = _check_leader(image, topic_id, partition, leader_epoch)
    if log_start_offset < 0:
        raise OffsetOutOfRangeError(f"{place} cannot start at offset {log_start_offset}.")
    tier = image.tier.partition(topic_id, partition)
    if tier is None or log_start_offset <= tier.log_start_offset:
        return Result((), None)
    event = TierRetire(topic_id, partition, leader_epoch, log_start_offset, now_ms)
    return Result((tier_record(event),), None)


def drop(
    image: MetadataImage,
    topic_id: Uuid,
    partition: int,
    leader_epoch: int,
    log_start_offset: int,
    now_ms: int,
) -> Result[None]:
    """The topic is tiered no more, and its cold data is to go (KIP-950); again changes nothing.

    Raises as `retire` does, and InvalidRequestError when the settings of the topic do not, or not
    any more, say so: whoever asks may have seen older ones.
    """
    place = _check_leader(image, topic_id, partition, leader_epoch)
    settings = image.configs.topic(place.topic)
    if _is_true(settings, "remote.storage.enable") or not _is_true(
        settings, "remote.log.delete.on.disable"
    ):
        raise InvalidRequestError(f"The cold data of {place} is to be kept.")
    tier = image.tier.partition(topic_id, partition)
    if tier is None or (tier.empty and not tier.intents):
        return Result((), None)
    start = max(log_start_offset, tier.log_start_offset)
    return Result((tier_record(TierDrop(topic_id, partition, leader_epoch, start, now_ms)),), None)


def _is_true(settings: Mapping[str, str], key: str) -> bool:
    return settings.get(key, "").strip().lower() == "true"


def forget(
    image: MetadataImage, topic_id: Uuid, partition: int, intent_offsets: Iterable[int]
) -> Result[None]:
    """These garbage objects are deleted. What is no garbage is passed over."""
    purge = image.tier.purges.get(topic_id)
    if purge is None:
        tier = image.tier.partition(topic_id, partition)
    else:
        tier = next((t for t in purge.partitions if t.partition == partition), None)
    if tier is None:
        return Result((), None)
    found = _found_in(tier.garbage, set(intent_offsets))
    records = tuple(
        tier_record(TierForget(topic_id, partition, found[start : start + FORGET_AT_ONCE]))
        for start in range(0, len(found), FORGET_AT_ONCE)
    )
    return Result(records, None, atomic=False)


def _found_in(garbage: GarbageArray, wanted: set[int]) -> tuple[int, ...]:
    """The wanted intents that are garbage, in its order; reads no further than it has to."""
    found: list[int] = []
    for intent in garbage.intent_offsets():
        if intent in wanted:
            found.append(intent)
            if len(found) == len(wanted):
                break
    return tuple(found)


def finish_purge(image: MetadataImage, topic_id: Uuid) -> Result[None]:
    """No object of the deleted topic is left. Again changes nothing.

    Raises InvalidUpdateVersionError while objects are known that were not forgotten.
    """
    purge = image.tier.purges.get(topic_id)
    if purge is None:
        return Result((), None)
    if not purge.done:
        left = sum(len(tier.garbage) for tier in purge.partitions)
        raise InvalidUpdateVersionError(
            f"{left} objects of deleted topic {uuid_text(topic_id)} are still to be deleted."
        )
    return Result((tier_record(TierPurged(topic_id)),), None)


def note_checkpoint(
    image: MetadataImage, sequence: int, metadata_offset: int, now_ms: int
) -> Result[None]:
    """A bucket checkpoint of the metadata as of that offset (inclusive) is durable.

    Raises InvalidUpdateVersionError for one that is older than the known one, or of the future.
    """
    known = image.tier.checkpoint
    if metadata_offset > image.offset or (
        known is not None
        and (sequence <= known.sequence or metadata_offset < known.metadata_offset)
    ):
        raise InvalidUpdateVersionError(
            f"Checkpoint {sequence} as of metadata offset {metadata_offset} does not follow"
            f" {known} in a log up to {image.offset}."
        )
    return Result((tier_record(TierCheckpointed(sequence, metadata_offset, now_ms)),), None)


def _check_leader(
    image: MetadataImage, topic_id: Uuid, partition: int, leader_epoch: int
) -> TopicPartition:
    """The partition exists and has this leader epoch."""
    topic = image.topic_by_id(topic_id)
    if topic is None:
        raise UnknownTopicIdError(f"No topic has the id {uuid_text(topic_id)}.")
    if not 0 <= partition < len(topic.partitions):
        raise UnknownTopicOrPartitionError(f"Topic {topic.name!r} has no partition {partition}.")
    place = TopicPartition(topic.name, partition)
    current = topic.partitions[partition].leader_epoch
    if leader_epoch < current:
        raise FencedLeaderEpochError(
            f"{place} has leader epoch {current}, epoch {leader_epoch} is over."
        )
    if leader_epoch > current:
        raise UnknownLeaderEpochError(
            f"{place} has leader epoch {current}, and no epoch {leader_epoch} yet."
        )
    return place
