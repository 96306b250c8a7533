"""Every call of the tier is one decision of the controller."""

import pytest

from tests.tier_state import segment
from tests.tier_world import INCARNATION, OTHER_INCARNATION, STORE_ID, TOPIC_ID, TierWorld
from tierbroker.base.errors import (
    ApiError,
    FencedLeaderEpochError,
    InvalidRequestError,
    KafkaStorageError,
    UnknownLeaderEpochError,
)
from tierbroker.cold.ports import UploadPlan
from tierbroker.records.tier.events import TierIntent
from tierbroker.records.tier.segment import ObjectKind, TierSegment

NOW_MS = 1_700_000_000_000


def begun(world: TierWorld, *plans: UploadPlan) -> list[TierIntent | ApiError]:
    return world.ledger.begin_uploads(plans).result()


def plan(base: int, end: int, partition: int = 0, epoch: int = 0) -> UploadPlan:
    return UploadPlan(TOPIC_ID, partition, epoch, base, end, ObjectKind.SEGMENT)


def uploaded(intent: TierIntent | ApiError) -> TierSegment:
    assert isinstance(intent, TierIntent)
    return segment(
        intent.base_offset,
        intent.end_offset,
        intent.intent_offset,
        leader_epoch=intent.leader_epoch,
    )


def test_the_state_is_that_of_the_newest_image() -> None:
    world = TierWorld()
    assert world.ledger.metadata_offset == world.driver.image.offset
    assert world.ledger.state is world.driver.image.tier
    assert (world.ledger.state.store_id, world.ledger.state.incarnations) == (
        STORE_ID,
        (INCARNATION,),
    )


def test_from_intent_to_forgetting() -> None:
    world = TierWorld(partitions=2)
    answers = begun(world, plan(0, 9), plan(0, 9, epoch=1), plan(0, 4, partition=1))
    first, refused, second = answers
    assert isinstance(refused, UnknownLeaderEpochError)
    assert isinstance(first, TierIntent)
    assert isinstance(second, TierIntent)
    assert world.tier(0).intents == (first,)
    assert second.intent_offset == first.intent_offset + 1 == world.ledger.metadata_offset
    world.ledger.commit_upload(TOPIC_ID, 0, uploaded(first)).result()
    assert world.ends(0) == [9]
    world.ledger.abandon_uploads([second]).result()
    (garbage,) = world.tier(1).garbage
    assert garbage.since_ms == NOW_MS
    world.ledger.forget(TOPIC_ID, 1, [second.intent_offset]).result()
    assert not world.tier(1).garbage
    world.clock.advance(5)
    world.ledger.retire(TOPIC_ID, 0, 0, 10).result()
    (garbage,) = world.tier(0).garbage
    assert garbage.since_ms == NOW_MS + 5
    world.ledger.note_checkpoint(0, world.ledger.metadata_offset).result()
    assert world.state.checkpoint is not None
    assert world.state.checkpoint.now_ms == NOW_MS + 5
    world.delete_topic()
    world.ledger.forget(TOPIC_ID, 0, [first.intent_offset]).result()
    world.ledger.finish_purge(TOPIC_ID).result()
    assert not world.state.purges


def test_what_is_refused_fails_and_changes_nothing() -> None:
    world = TierWorld()
    offset = world.ledger.metadata_offset
    with pytest.raises(InvalidRequestError):
        world.ledger.bind_store(OTHER_INCARNATION, INCARNATION).result()
    with pytest.raises(FencedLeaderEpochError):
        world.ledger.retire(TOPIC_ID, 0, -1, 5).result()
    with pytest.raises(InvalidRequestError):
        world.ledger.drop(TOPIC_ID, 0, 0, 5).result()
    world.driver.refuse("retire", KafkaStorageError("the disk fails"))
    with pytest.raises(KafkaStorageError):
        world.ledger.retire(TOPIC_ID, 0, 0, 5).result()
    assert world.ledger.metadata_offset == offset
