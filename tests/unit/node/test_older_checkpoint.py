"""A newest checkpoint that cannot be read: a person says whether the one before will do."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.lost_cluster import CLUSTER_ID, LostCluster, by_place
from tests.tier_world import INCARNATION
from tierbroker.base.ids import TopicPartition
from tierbroker.base.story import tell
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import ContentKind, SectionKind, build_end
from tierbroker.cold.errors import ObjectDamagedError, StoreMismatchError, StoreRefusedError
from tierbroker.cold.head import read_head, write_head
from tierbroker.cold.keys import HEAD_KEY, ObjectName, object_key
from tierbroker.node.older_checkpoint import OlderCheckpointError
from tierbroker.node.restoring import LEADER_EPOCHS_SKIPPED
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record


@pytest.fixture
def world(tmp_path: Path) -> LostCluster:
    return LostCluster(tmp_path / "data")


def older_world(world: LostCluster) -> int:
    """Two checkpoints, of which the newer one is damaged; the sequence number of the older one."""
    world.fill(2)
    world.ends = {TopicPartition("t", 0): 20, TopicPartition("hot", 0): 500}
    world.checkpoint()
    world.fill(3)
    world.ends = {TopicPartition("t", 0): 55, TopicPartition("hot", 0): 700}
    world.checkpoint()
    world.damage(0)
    world.store.may_be_listed = True
    return 0


def test_an_older_checkpoint_is_not_taken_without_being_asked_for(world: LostCluster) -> None:
    older = older_world(world)
    before = dict(world.store.contents)
    with pytest.raises(OlderCheckpointError, match="checkpoint 1 of cluster") as caught:
        world.restore()
    assert caught.value.latest.checkpoint.sequence == older
    (fault,) = caught.value.latest.faults
    assert fault.name.sequence == 1
    since = caught.value.since
    assert (since.objects, since.offsets) == (6, 60)
    assert since.ends == {TopicPartition("t", 0): 50, TopicPartition("t", 1): 50}
    with pytest.raises(OlderCheckpointError):
        world.restore(checkpoint=1)
    # The old host is not cut off for nothing, and the way stays free.
    assert world.store.contents == before
    assert not world.directory.exists()


def test_the_older_checkpoint_is_taken_when_it_is_named(world: LostCluster) -> None:
    restored = world.restore(checkpoint=older_world(world))
    assert restored.checkpoint.sequence == 0
    assert [fault.name.sequence for fault in restored.faults] == [1]
    assert restored.since is not None
    assert (restored.since.objects, restored.since.offsets, restored.since.gone) == (6, 60, {})
    found = by_place(restored)
    first, hot = found[TopicPartition("t", 0)], found[TopicPartition("hot", 0)]
    assert (first.start_offset, first.end_offset, first.missing) == (0, 20, 30)
    assert (hot.end_offset, hot.missing) == (500, 500)
    tier = world.image().tier.partition(world.partition.topic_id, 0)
    assert tier is not None
    assert tier.end_offset == 19
    # What cannot be read now may be put back, and would be restored from then.
    head = tell(read_head(world.store)).result()
    assert head is not None
    assert [name.sequence for name in head[0].checkpoints] == [1, 0]


def test_leader_epochs_go_past_those_of_what_was_uploaded_since(world: LostCluster) -> None:
    older = older_world(world)
    name = ObjectName(world.partition.topic_id, 0, 50, 59, 4321, 10_000)
    world.store.inner.put(object_key(CLUSTER_ID, INCARNATION, name), [b"x"])
    world.restore(checkpoint=older)
    (epoch,) = {p.leader_epoch for topic in world.image().topics for p in topic.partitions}
    assert epoch == 4321 + LEADER_EPOCHS_SKIPPED


def test_an_upload_that_a_newer_checkpoint_may_name_is_not_given_up(world: LostCluster) -> None:
    world.fill(1)
    world.partition.close_segment()
    world.store.hold("put")
    world.uploader.tick()
    world.store.hold_no_more()
    world.checkpoint()
    world.store.release()
    world.upload_all()
    world.checkpoint()
    world.damage(0)
    world.store.may_be_listed = True
    restored = world.restore(checkpoint=0)
    assert restored.since is not None
    assert (restored.since.objects, restored.since.offsets) == (1, 10)
    tier = world.image().tier.partition(world.partition.topic_id, 0)
    assert tier is not None
    assert (tier.end_offset, tier.intents, len(tier.garbage)) == (9, (), 0)


def test_objects_that_went_since_are_told(world: LostCluster) -> None:
    older = older_world(world)
    tier = world.tier()
    for slot in (0, 1):
        segment = tier.segments[slot]
        name = ObjectName(
            tier.topic_id,
            0,
            segment.base_offset,
            segment.end_offset,
            segment.leader_epoch,
            segment.intent_offset,
        )
        world.store.inner.delete(object_key(CLUSTER_ID, INCARNATION, name))
    restored = world.restore(checkpoint=older)
    assert restored.since is not None
    assert restored.since.gone == {TopicPartition("t", 0): 20}


def test_a_store_that_may_not_be_listed_tells_no_losses(world: LostCluster) -> None:
    older = older_world(world)
    world.store.fail("list", StoreRefusedError("you may not list"))
    restored = world.restore(checkpoint=older)
    assert restored.since is not None
    assert (restored.since.listed, restored.since.objects) == (False, 0)


def test_another_checkpoint_than_the_newest_is_refused(world: LostCluster) -> None:
    world.fill(1)
    world.checkpoint()
    world.fill(1)
    world.checkpoint()
    with pytest.raises(StoreMismatchError, match="checkpoint 1 of cluster"):
        world.restore(checkpoint=0)
    assert world.restore(checkpoint=1).checkpoint.sequence == 1


def test_a_checkpoint_of_a_later_release_cuts_nobody_off(world: LostCluster) -> None:
    world.fill(1)
    world.checkpoint()
    before = world.store.contents[HEAD_KEY]
    found = tell(read_head(world.store)).result()
    assert found is not None
    (name,) = found[0].checkpoints
    batch = build_batch([Record(0, 0, None, b"\x01\x02\x00rubbish")])
    data = build_end(ContentKind.CHECKPOINT, [(SectionKind.METADATA, batch)])
    world.store.inner.put(name.key, [data])
    newer = replace(name, size_bytes=len(data), checksum=crc64nvme(data))
    head = replace(found[0], checkpoints=(newer,))
    tell(write_head(world.store, head, found[1])).result()
    before = world.store.contents[HEAD_KEY]
    with pytest.raises(ObjectDamagedError, match=name.key):
        world.restore()
    assert world.store.contents[HEAD_KEY] == before
