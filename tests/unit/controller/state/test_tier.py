"""Deciding on the object tier."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.metadata_cluster import applied, cluster, replayed, with_topic
from tests.tier_state import INCARNATION, STORE, segment, slice_of
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
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.records.remove_topic_record import RemoveTopicRecord
from tierbroker.controller.state import tier as deciders
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.snapshot import image_of_records, image_records
from tierbroker.controller.state.tier import (
    abandon_uploads,
    begin_uploads,
    bind_store,
    commit_upload,
    drop,
    finish_purge,
    forget,
    note_checkpoint,
    retire,
    spill,
)
from tierbroker.records.tier.events import TierIntent
from tierbroker.records.tier.segment import ObjectKind, TierSegment
from tierbroker.records.tier.state import PartitionTier

NOW_MS = 1_700_000_000_000
TOPIC = Uuid(b"a".ljust(16, b"."))
OTHER = Uuid(b"other".ljust(16, b"."))


class Plan(NamedTuple):
    base_offset: int
    end_offset: int
    topic_id: Uuid = TOPIC
    partition: int = 0
    leader_epoch: int = 0
    kind: ObjectKind = ObjectKind.SEGMENT


def start() -> MetadataImage:
    """Topic a of two partitions, and a store."""
    image = with_topic(cluster(1), "a", (1,), (1,))
    return applied(image, bind_store(image, STORE, INCARNATION))


def begun(image: MetadataImage, *plans: Plan) -> tuple[MetadataImage, list[TierIntent]]:
    result = begin_uploads(image, plans)
    intents = [answer for answer in result.response if isinstance(answer, TierIntent)]
    assert len(intents) == len(plans), result.response
    return applied(image, result), intents


def done(intent: TierIntent, **changes: Any) -> TierSegment:
    values = {"leader_epoch": intent.leader_epoch, **changes}
    return segment(intent.base_offset, intent.end_offset, intent.intent_offset, **values)


def uploaded(image: MetadataImage, *plans: Plan) -> MetadataImage:
    for plan in plans:
        image, (intent,) = begun(image, plan)
        result = commit_upload(image, plan.topic_id, plan.partition, done(intent))
        image = applied(image, result)
    return image


def tier_of(image: MetadataImage, partition: int = 0) -> PartitionTier:
    found = image.tier.partition(TOPIC, partition)
    assert found is not None
    return found


def another_leader(image: MetadataImage) -> MetadataImage:
    """Partition 0 of topic a in its next leader epoch."""
    return replayed(image, [PartitionChangeRecord(partition_id=0, topic_id=TOPIC, leader=1)])


def without_topic(image: MetadataImage) -> MetadataImage:
    return replayed(image, [RemoveTopicRecord(TOPIC)])


def recreated(image: MetadataImage) -> MetadataImage:
    """Topic a was deleted, and there is one of that name with another id."""
    image = without_topic(image)
    again = with_topic(image, "b", (1,), (1,))
    assert again.topic_by_id(TOPIC) is None
    return again


def test_a_store_is_bound_once() -> None:
    image = start()
    assert image.tier.store_id == STORE
    assert bind_store(image, STORE, INCARNATION).records == ()
    restored = applied(image, bind_store(image, STORE, OTHER))
    assert restored.tier.incarnations == (INCARNATION, OTHER)
    with pytest.raises(InvalidRequestError, match="past"):
        bind_store(restored, STORE, INCARNATION)


def test_another_store_is_refused_with_both_ids() -> None:
    with pytest.raises(InvalidRequestError, match="in store c3RvcmUuLi4uLi4uLi4uLg") as refused:
        bind_store(start(), OTHER, OTHER)
    assert "b3RoZXIuLi4uLi4uLi4uLg" in refused.value.message


def test_nothing_is_uploaded_without_a_store() -> None:
    image = with_topic(cluster(1), "a", (1,))
    (answer,) = begin_uploads(image, [Plan(0, 9)]).response
    assert isinstance(answer, InvalidRequestError)


def test_intents_know_their_offsets() -> None:
    image = start()
    plans = [Plan(0, 9), Plan(100, 109, partition=1), Plan(10, 19)]
    after, intents = begun(image, *plans)
    assert [intent.intent_offset for intent in intents] == [
        image.offset + number for number in (1, 2, 3)
    ]
    assert tier_of(after).intents == (intents[0], intents[2])
    assert tier_of(after, 1).intents == (intents[1],)
    assert intents[0].incarnation == 0


def test_each_plan_is_refused_for_itself() -> None:
    image = start()
    plans = [
        Plan(0, 9, topic_id=OTHER),
        Plan(0, 9, partition=2),
        Plan(0, 9, leader_epoch=1),
        Plan(0, 9),
        Plan(5, 14),
        Plan(11, 14),
        Plan(10, 19),
        Plan(9, 5),
    ]
    result = begin_uploads(image, plans)
    assert [type(answer) for answer in result.response] == [
        UnknownTopicIdError,
        UnknownTopicOrPartitionError,
        UnknownLeaderEpochError,
        TierIntent,
        InvalidUpdateVersionError,
        InvalidUpdateVersionError,
        TierIntent,
        InvalidUpdateVersionError,
    ]
    assert len(result.records) == 2
    last = result.response[6]
    assert isinstance(last, TierIntent)
    assert last.intent_offset == image.offset + 2
    assert tier_of(applied(image, result)).intents == (result.response[3], last)


def test_a_leader_of_the_past_begins_nothing() -> None:
    (answer,) = begin_uploads(another_leader(start()), [Plan(0, 9)]).response
    assert isinstance(answer, FencedLeaderEpochError)


def test_a_new_leader_abandons_what_the_old_one_began() -> None:
    image, (old,) = begun(start(), Plan(0, 9))
    image = another_leader(image)
    plan = Plan(0, 9, leader_epoch=1)
    (answer,) = begin_uploads(image, [plan]).response
    assert isinstance(answer, InvalidUpdateVersionError)
    assert "leader epoch 0" in answer.message
    stale = tier_of(image).stale_intents(1, image.tier.own_incarnation)
    image = applied(image, abandon_uploads(image, stale, NOW_MS))
    image = uploaded(image, plan)
    assert tier_of(image).end_offset == 9
    (garbage,) = tier_of(image).garbage
    assert garbage.intent_offset == old.intent_offset
    assert garbage.since_ms == NOW_MS


def test_a_commit_counts() -> None:
    image, (intent,) = begun(start(), Plan(0, 9))
    result = commit_upload(image, TOPIC, 0, done(intent))
    after = applied(image, result)
    assert list(tier_of(after).segments) == [done(intent)]
    assert tier_of(after).marks[-1].metadata_offset == after.offset
    assert commit_upload(after, TOPIC, 0, done(intent)).records == ()


Change = Callable[[MetadataImage], MetadataImage]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (another_leader, FencedLeaderEpochError),
        (without_topic, UnknownTopicIdError),
        (recreated, UnknownTopicIdError),
    ],
)
def test_a_commit_that_comes_too_late(change: Change, error: type[ApiError]) -> None:
    image, (intent,) = begun(start(), Plan(0, 9))
    with pytest.raises(error):
        commit_upload(change(image), TOPIC, 0, done(intent))


def test_a_commit_of_what_was_given_up() -> None:
    image, (intent,) = begun(start(), Plan(0, 9))
    image = applied(image, abandon_uploads(image, [intent], NOW_MS))
    with pytest.raises(InvalidUpdateVersionError, match="given up"):
        commit_upload(image, TOPIC, 0, done(intent))
    again, (second,) = begun(image, Plan(0, 9))
    with pytest.raises(InvalidUpdateVersionError, match="given up"):
        commit_upload(again, TOPIC, 0, done(intent))
    assert second.intent_offset > intent.intent_offset


def test_a_commit_that_nobody_announced() -> None:
    with pytest.raises(InvalidUpdateVersionError):
        commit_upload(start(), TOPIC, 0, segment(0, 9, 5, leader_epoch=0))


def test_commits_come_in_order() -> None:
    image, (first, second) = begun(start(), Plan(0, 9), Plan(10, 19))
    with pytest.raises(InvalidUpdateVersionError):
        commit_upload(image, TOPIC, 0, done(second))
    image = applied(image, commit_upload(image, TOPIC, 0, done(first)))
    image = applied(image, commit_upload(image, TOPIC, 0, done(second)))
    assert tier_of(image).end_offset == 19


@pytest.mark.parametrize(
    "change",
    [
        {"log_bytes": -1},
        {"log_bytes": 150},
        {"object_bytes": 1 << 32},
        {"checksum": -1},
        {"checksum": 1 << 64},
    ],
)
def test_impossible_sizes(change: dict[str, int]) -> None:
    image, (intent,) = begun(start(), Plan(0, 9))
    with pytest.raises(InvalidRequestError):
        commit_upload(image, TOPIC, 0, done(intent, **change))


def test_what_is_not_under_way_is_not_abandoned() -> None:
    image, (intent,) = begun(start(), Plan(0, 9))
    result = abandon_uploads(image, [intent, intent, intent._replace(leader_epoch=7)], NOW_MS)
    assert len(result.records) == 1
    after = applied(image, result)
    assert abandon_uploads(after, [intent], NOW_MS).records == ()
    assert abandon_uploads(without_topic(image), [intent], NOW_MS).records == ()


def test_retiring() -> None:
    image = uploaded(start(), Plan(0, 9), Plan(10, 19))
    after = applied(image, retire(image, TOPIC, 0, 0, 15, NOW_MS))
    assert (tier_of(after).start_offset, tier_of(after).log_start_offset) == (10, 15)
    (garbage,) = tier_of(after).garbage
    assert garbage.since_metadata_offset == after.offset
    assert retire(after, TOPIC, 0, 0, 15, NOW_MS).records == ()
    assert retire(after, TOPIC, 0, 0, 3, NOW_MS).records == ()
    assert retire(after, TOPIC, 1, 0, 3, NOW_MS).records == ()
    with pytest.raises(OffsetOutOfRangeError):
        retire(after, TOPIC, 0, 0, -1, NOW_MS)
    with pytest.raises(FencedLeaderEpochError):
        retire(another_leader(after), TOPIC, 0, 0, 20, NOW_MS)


def test_dropping_is_for_topics_whose_settings_say_so() -> None:
    image = uploaded(start(), Plan(0, 9), Plan(10, 19))

    def after(**settings: str) -> MetadataImage:
        return replayed(
            image, [ConfigRecord(2, "a", key.replace("_", "."), v) for key, v in settings.items()]
        )

    for kept in (
        image,
        after(remote_storage_enable="true", remote_log_delete_on_disable="true"),
        after(remote_storage_enable="false"),
        after(remote_storage_enable="false", remote_log_delete_on_disable="false"),
    ):
        with pytest.raises(InvalidRequestError, match="to be kept"):
            drop(kept, TOPIC, 0, 0, 5, NOW_MS)
    unwanted = after(remote_storage_enable="False", remote_log_delete_on_disable="TRUE")
    dropped = applied(unwanted, drop(unwanted, TOPIC, 0, 0, 5, NOW_MS))
    assert (tier_of(dropped).empty, tier_of(dropped).log_start_offset) == (True, 5)
    assert len(tier_of(dropped).garbage) == 2
    assert drop(dropped, TOPIC, 0, 0, 7, NOW_MS).records == ()
    assert drop(unwanted, TOPIC, 1, 0, 7, NOW_MS).records == ()
    with pytest.raises(FencedLeaderEpochError):
        drop(another_leader(unwanted), TOPIC, 0, 0, 5, NOW_MS)


def test_spilling() -> None:
    image = uploaded(start(), Plan(0, 9), Plan(10, 19), Plan(20, 29))
    image, (intent,) = begun(image, Plan(0, 19, kind=ObjectKind.MANIFEST))
    spilled = slice_of(tier_of(image), 2, intent.intent_offset)._replace(leader_epoch=0)
    with pytest.raises(FencedLeaderEpochError):
        spill(another_leader(image), TOPIC, 0, spilled)
    with pytest.raises(InvalidRequestError):
        spill(image, TOPIC, 0, spilled._replace(object_bytes=0))
    with pytest.raises(InvalidUpdateVersionError):
        spill(image, TOPIC, 0, spilled._replace(count=3))
    with pytest.raises(InvalidUpdateVersionError):
        spill(image, TOPIC, 1, spilled)
    after = applied(image, spill(image, TOPIC, 0, spilled))
    assert list(tier_of(after).slices) == [spilled]
    assert len(tier_of(after).segments) == 1
    assert spill(after, TOPIC, 0, spilled).records == ()


def test_forgetting() -> None:
    image = uploaded(start(), Plan(0, 9), Plan(10, 19))
    image = applied(image, retire(image, TOPIC, 0, 0, 20, NOW_MS))
    first, second = (entry.intent_offset for entry in tier_of(image).garbage)
    after = applied(image, forget(image, TOPIC, 0, [first, 4711]))
    assert [entry.intent_offset for entry in tier_of(after).garbage] == [second]
    assert forget(after, TOPIC, 0, [first]).records == ()
    assert forget(after, TOPIC, 1, [first]).records == ()
    assert forget(after, OTHER, 0, [first]).records == ()


def test_a_live_object_is_not_forgotten() -> None:
    image = uploaded(start(), Plan(0, 9))
    live = tier_of(image).segments[0]
    assert forget(image, TOPIC, 0, [live.intent_offset]).records == ()


def test_much_garbage_is_forgotten_in_several_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciders, "FORGET_AT_ONCE", 2)
    image = uploaded(start(), *(Plan(n, n) for n in range(5)))
    image = applied(image, retire(image, TOPIC, 0, 0, 5, NOW_MS))
    result = forget(image, TOPIC, 0, [g.intent_offset for g in tier_of(image).garbage])
    assert len(result.records) == 3
    assert not tier_of(applied(image, result)).garbage


def test_a_deleted_topic_is_purged() -> None:
    image = uploaded(start(), Plan(0, 9), Plan(0, 9, partition=1))
    delta = MetadataDelta(image)
    delta.replay(RemoveTopicRecord(TOPIC))
    image, changes = delta.finish(image.offset + 1, 1)
    assert changes.tier_changed == {(TOPIC, 0), (TOPIC, 1)}
    purge = image.tier.purges[TOPIC]
    assert purge.since_metadata_offset == image.offset
    with pytest.raises(InvalidUpdateVersionError, match="2 objects"):
        finish_purge(image, TOPIC)
    for tier in purge.partitions:
        intents = [entry.intent_offset for entry in tier.garbage]
        image = applied(image, forget(image, TOPIC, tier.partition, intents))
    assert forget(image, TOPIC, 7, [1]).records == ()
    image = applied(image, finish_purge(image, TOPIC))
    assert not list(image.tier.purges)
    assert finish_purge(image, TOPIC).records == ()


def test_checkpoints_move_forward() -> None:
    image = start()
    noted = note_checkpoint(image, 1, image.offset, NOW_MS)
    delta = MetadataDelta(image)
    for record in noted.records:
        delta.replay(record)
    after, changes = delta.finish(image.offset + 1, 1)
    assert changes.tier_checkpointed
    assert not changes.tier_changed
    assert after.tier.checkpointed_offset == image.offset
    for sequence, offset in ((1, after.offset), (2, image.offset - 1), (2, after.offset + 1)):
        with pytest.raises(InvalidUpdateVersionError):
            note_checkpoint(after, sequence, offset, NOW_MS)
    assert note_checkpoint(after, 2, image.offset, NOW_MS).records != ()


def test_changes_name_partitions() -> None:
    image = start()
    result = begin_uploads(image, [Plan(0, 9, partition=1)])
    delta = MetadataDelta(image)
    for record in result.records:
        delta.replay(record)
    _, changes = delta.finish(image.offset + 1, 1)
    assert changes.tier_changed == {(TOPIC, 1)}
    assert not changes.tier_checkpointed


def test_a_snapshot_holds_the_tier() -> None:
    image = uploaded(start(), Plan(0, 9), Plan(10, 19), Plan(0, 9, partition=1))
    image = applied(image, note_checkpoint(image, 1, image.offset, NOW_MS))
    image = applied(image, retire(image, TOPIC, 0, 0, 12, NOW_MS))
    again = image_of_records(image_records(image), image.offset, image.epoch)
    assert again == image
    assert list(image_records(again)) == list(image_records(image))
