"""Deletes: only garbage that no checkpoint names, after the grace, of the own cluster."""

from dataclasses import replace

import pytest

from tests.tier_world import (
    CLUSTER,
    INCARNATION,
    OTHER_INCARNATION,
    STORE_ID,
    TOPIC_ID,
    TierWorld,
)
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.story import tell
from tierbroker.cold.errors import StoreMismatchError, StoreUnavailableError
from tierbroker.cold.head import Head, encode_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.cold.manifest import build_manifest
from tierbroker.cold.ports import UploadPlan
from tierbroker.cold.remover import Remover
from tierbroker.cold.spiller import Spiller
from tierbroker.records.tier.segment import ObjectKind

DOWN = StoreUnavailableError("the store is down")
GRACE_MS = 60_000
HEAD = Head(CLUSTER, STORE_ID, INCARNATION)


class RemoveWorld(TierWorld):
    def __init__(self, segments: int = 4, spilled: int = 0) -> None:
        super().__init__()
        self.store.inner.put(HEAD_KEY, [encode_head(HEAD)])
        self.remover = Remover(
            self.store, self.ledger, cluster_id=CLUSTER, grace_ms=GRACE_MS, clock=self.clock
        )
        for _ in range(segments):
            self.partition.close_segment()
        self.upload_all()
        if spilled:
            Spiller(
                self.store,
                self.ledger,
                self,
                self.stories,
                cluster_id=CLUSTER,
                clock=self.clock,
                slice_segments=spilled,
                kept_segments=0,
            ).tick()
            assert len(self.tier().slices) == 1

    def retire(self, offset: int) -> None:
        self.ledger.retire(TOPIC_ID, 0, 0, offset).result()

    def checkpoint(self) -> int:
        """Of the metadata as it is; answers its offset."""
        offset = self.driver.image.offset
        known = self.state.checkpoint
        sequence = 0 if known is None else known.sequence + 1
        self.ledger.note_checkpoint(sequence, offset).result()
        return offset

    def remove(self, durable_offset: int | None = None) -> None:
        durable = self.state.checkpointed_offset if durable_offset is None else durable_offset
        tell(self.remover.remove(durable)).result()

    def wait(self) -> None:
        self.clock.advance(GRACE_MS)

    @property
    def objects(self) -> set[str]:
        return set(self.store.contents) - {HEAD_KEY}

    def bases(self, suffix: str = ".seg") -> list[int]:
        """First offsets of the objects that are left."""
        names = [key.split("/")[-1] for key in self.objects if key.endswith(suffix)]
        return sorted(int(name.split("-")[0]) for name in names)


def test_after_a_checkpoint_and_the_grace_it_goes() -> None:
    world = RemoveWorld()
    world.checkpoint()
    world.retire(20)
    world.wait()
    world.remove()
    assert world.bases() == [0, 10, 20, 30]  # the checkpoint names them
    world.checkpoint()
    world.remove()
    assert world.bases() == [20, 30]
    assert not world.tier().garbage
    assert world.remover.deleted == 2


def test_the_grace_counts_from_when_it_became_garbage() -> None:
    world = RemoveWorld()
    world.retire(20)
    world.checkpoint()
    world.clock.advance(GRACE_MS - 1)
    world.remove()
    assert world.bases() == [0, 10, 20, 30]
    world.clock.advance(1)
    world.remove()
    assert world.bases() == [20, 30]


def test_what_is_not_garbage_stays_whatever_is_asked() -> None:
    world = RemoveWorld()
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.bases() == [0, 10, 20, 30]
    assert world.store.deleted == []
    assert world.store.calls["head"] == 0  # nothing due: not even a question


def test_an_upload_that_was_given_up_goes_though_it_may_never_have_been() -> None:
    world = RemoveWorld(segments=0)
    world.partition.close_segment()
    world.store.hold("put")
    world.uploader.tick()
    world.stories.stop()
    intents = world.tier().intents
    world.ledger.abandon_uploads(intents).result()
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.store.deleted == world.store.puts
    assert not world.tier().garbage


def test_a_store_that_fails_is_asked_again_and_what_went_is_noted() -> None:
    world = RemoveWorld(segments=40)
    world.retire(400)
    world.checkpoint()
    world.wait()
    gone = sorted(world.objects)[20]
    world.store.fail("delete", DOWN, suffix=gone)
    world.remove()
    assert world.remover.failure == "the store is down"
    assert len(world.tier().garbage) == 24  # of the first sixteen it is known that they went
    world.remove()
    assert world.objects == set()
    assert not world.tier().garbage
    assert world.remover.failure is None


@pytest.mark.parametrize("decided", [False, True])
def test_a_note_that_fails_is_made_again(*, decided: bool) -> None:
    world = RemoveWorld()
    world.retire(40)
    world.checkpoint()
    world.wait()
    world.driver.refuse("forget", KafkaStorageError("the disk fails"), decided=decided)
    world.remove()
    assert world.remover.failure is not None
    world.remove()
    assert world.objects == set()
    assert not world.tier().garbage


def test_a_slice_goes_with_its_segments_the_manifest_last() -> None:
    world = RemoveWorld(segments=6, spilled=6)
    (manifest,) = (key for key in world.objects if key.endswith(".man"))
    world.retire(60)
    world.checkpoint()
    world.wait()
    world.store.fail("delete", DOWN, suffix=".seg")
    world.remove()
    assert manifest in world.objects
    world.remove()
    assert world.objects == set()
    assert world.store.deleted[-1] == manifest
    assert not world.tier().garbage


def test_a_manifest_that_was_given_up_leaves_its_segments_alone() -> None:
    world = RemoveWorld(segments=4)

    plan = UploadPlan(TOPIC_ID, 0, 0, 0, 39, ObjectKind.MANIFEST)
    (intent,) = world.ledger.begin_uploads([plan]).result()
    world.ledger.abandon_uploads([intent]).result()  # type: ignore[list-item]
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.bases() == [0, 10, 20, 30]
    assert [key.endswith(".man") for key in world.store.deleted] == [True]


def test_a_manifest_that_is_damaged_keeps_nothing_else_from_going() -> None:
    world = RemoveWorld(segments=6, spilled=4)
    (manifest,) = (key for key in world.objects if key.endswith(".man"))
    world.store.contents[manifest] = bytes(len(world.store.contents[manifest]))
    world.retire(60)
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.bases() == [0, 10, 20, 30]  # those that it lists; nobody knows their names
    assert world.remover.failure is not None
    assert len(world.tier().garbage) == 1


def test_a_manifest_of_another_place_deletes_nothing_of_there() -> None:
    world = RemoveWorld(segments=8, spilled=4)
    (manifest,) = (key for key in world.objects if key.endswith(".man"))
    world.store.contents[manifest] = build_manifest(world.tier().segments, world.state.incarnations)
    before = world.objects
    world.retire(40)
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.objects == before
    assert "lists offsets 40 to 79" in str(world.remover.failure)


def test_a_deleted_topic_goes_data_first_manifests_last() -> None:
    world = RemoveWorld(segments=8, spilled=4)
    (manifest,) = (key for key in world.objects if key.endswith(".man"))
    world.delete_topic()
    world.wait()
    world.remove(world.driver.image.offset)
    assert len(world.objects) == 9  # no checkpoint without the topic yet
    world.checkpoint()
    world.remove()
    assert len(world.objects) == 9  # the grace begins with it
    world.wait()
    world.remove()
    assert world.objects == set()
    assert world.store.deleted[-1] == manifest
    assert not world.state.purges


def test_a_deleted_topic_is_purged_over_many_failures() -> None:
    world = RemoveWorld(segments=8, spilled=4)
    world.delete_topic()
    world.checkpoint()
    world.wait()
    for verb in ("delete", "head", "get_range", "delete", "delete"):
        world.store.fail(verb, DOWN)
        world.remove()
        assert world.state.purges
    world.remove()
    assert world.objects == set()
    assert not world.state.purges


@pytest.mark.parametrize("head", [None, replace(HEAD, incarnation=OTHER_INCARNATION)])
def test_an_old_host_deletes_nothing(head: Head | None) -> None:
    world = RemoveWorld()
    world.retire(20)
    world.checkpoint()
    world.wait()
    if head is None:
        world.store.inner.delete(HEAD_KEY)
    else:
        world.store.inner.put(HEAD_KEY, [encode_head(head)])
    with pytest.raises(StoreMismatchError, match=r"nothing is deleted|no object is deleted"):
        world.remove()
    assert world.bases() == [0, 10, 20, 30]
    assert world.store.deleted == []


def test_what_was_inherited_from_the_lost_host_goes_by_its_name() -> None:
    world = RemoveWorld()
    world.ledger.bind_store(STORE_ID, OTHER_INCARNATION).result()  # restored
    world.store.inner.put(HEAD_KEY, [encode_head(replace(HEAD, incarnation=OTHER_INCARNATION))])
    world.partition.close_segment()
    world.upload_all()
    assert len({key.split("/")[1] for key in world.objects}) == 2
    world.retire(30)
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.bases() == [30, 40]
    world.retire(50)
    world.checkpoint()
    world.wait()
    world.remove()
    assert world.objects == set()


def test_much_garbage_is_noted_in_large_pieces() -> None:
    world = RemoveWorld(segments=1500)
    world.retire(15_000)
    world.checkpoint()
    world.wait()
    before = len(world.driver.records)
    world.remove()
    assert world.objects == set()
    assert len(world.driver.records) - before == 2
