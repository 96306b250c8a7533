"""Orphans are told from everything else, and nothing else is deleted."""

import pytest

from tests.cold_store import (
    CLUSTER,
    FIRST,
    ORDERS,
    SECOND,
    TAKEN_MS,
    ColdStore,
    golden_store,
    memory_store,
)
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.archive import Archive, read_latest
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    StoreMismatchError,
    StoreRefusedError,
)
from tierbroker.cold.head import Head, decode_head, encode_head
from tierbroker.cold.keys import (
    HEAD_KEY,
    MANIFEST_SUFFIX,
    SEGMENT_SUFFIX,
    ObjectName,
    checkpoint_key,
    object_key,
)
from tierbroker.cold.scrub import Kind, Scrub, Scrubber, Tally
from tierbroker.cold.stores.memory import MemoryStore
from tierbroker.cold.stores.unfinished import UnfinishedUpload
from tierbroker.records.tier.events import TierForget, TierRetire

HOUR_MS = 3_600_000


def archive_of(made: ColdStore) -> Archive:
    head, name, *_ = tell(read_latest(memory_store(made.objects))).result()
    return Archive(head, name, made.state, made.topics, {})


def find(
    made: ColdStore, *, now_ms: int = TAKEN_MS + HOUR_MS, earlier: bool = False
) -> tuple[Scrub, Scrubber, MemoryStore]:
    store = memory_store(made.objects)
    scrubber = Scrubber(
        store,
        archive_of(made),
        ManualClock(now_ms=now_ms),
        older_than_ms=HOUR_MS,
        earlier_incarnations=earlier,
    )
    return tell(scrubber.find()).result(), scrubber, store


def stray(
    intent: int,
    suffix: str = SEGMENT_SUFFIX,
    incarnation: Uuid = SECOND,
    topic_id: Uuid = ORDERS,
) -> str:
    name = ObjectName(topic_id, 0, 100, 200, 5, intent)
    return object_key(CLUSTER, incarnation, name, suffix)


def test_a_store_without_orphans() -> None:
    found, _, _ = find(golden_store())
    assert found.orphans == []
    # Four segments, a manifest and two checkpoints; what the deleted topic has left.
    assert found.tally == Tally(alive=7, waiting=1)


def test_orphans_and_only_those() -> None:
    made = golden_store()
    orphans = {
        # An attempt that was forgotten and arrived late; a topic that nobody knows any more.
        stray(1): Kind.SEGMENT,
        stray(10, MANIFEST_SUFFIX): Kind.MANIFEST,
        stray(12, topic_id=Uuid(b"t" * 16)): Kind.SEGMENT,
        checkpoint_key(CLUSTER, SECOND, 3, 0): Kind.CHECKPOINT,
    }
    others = [
        stray(made.offset + 1),
        stray(made.offset + 100, MANIFEST_SUFFIX),
        checkpoint_key(CLUSTER, SECOND, 99, 7),
        stray(5, incarnation=FIRST),
        checkpoint_key(CLUSTER, FIRST, 3, 0),
        stray(3, incarnation=Uuid(b"n" * 16)),
        f"{CLUSTER}/readme.txt",
        stray(4) + ".bak",
    ]
    for key in (*orphans, *others):
        made.objects[key] = b"x"
    found, scrubber, store = find(made)
    assert {orphan.key: orphan.kind for orphan in found.orphans} == orphans
    assert found.tally == Tally(alive=7, waiting=1, too_new=3, other_incarnations=3, foreign=2)
    assert tell(scrubber.delete(found)).result() == 4
    assert set(store.contents) == set(made.objects) - set(orphans)


def test_nothing_young_is_an_orphan() -> None:
    made = golden_store()
    made.objects[stray(1)] = b"x"
    found, _, _ = find(made, now_ms=TAKEN_MS + HOUR_MS - 1)
    assert (found.orphans, found.tally.too_young) == ([], 1)


def test_earlier_incarnations_only_on_demand() -> None:
    made = golden_store()
    left = stray(50, incarnation=FIRST)
    made.objects[left] = b"x"
    found, _, _ = find(made, earlier=True)
    # What the state names of that incarnation stays, whoever wrote it.
    assert [orphan.key for orphan in found.orphans] == [left]
    assert found.tally.alive == 7


def test_what_a_host_wrote_that_no_checkpoint_tells_of_goes_on_demand_too() -> None:
    """It began with a restore, and a restore from a checkpoint before that took its place."""
    made = golden_store()
    fork = Uuid(b"fork".ljust(16, b"."))
    left = {stray(1, incarnation=fork), checkpoint_key(CLUSTER, fork, 99, 7)}
    made.objects.update(dict.fromkeys(left, b"x"))
    found, _, _ = find(made)
    assert (found.orphans, found.tally.other_incarnations) == ([], 2)
    found, _, _ = find(made, earlier=True)
    assert {orphan.key for orphan in found.orphans} == left


def test_garbage_and_open_uploads_are_the_brokers() -> None:
    made = golden_store()
    waiting = [entry.intent_offset for entry in made.tier().garbage]
    waiting += [intent.intent_offset for intent in made.tier().intents]
    for intent in waiting:
        made.objects[stray(intent)] = b"x"
    found, _, _ = find(made)
    assert (found.orphans, found.tally.waiting) == ([], 1 + len(waiting))
    assert len(waiting) == 2


def test_segments_of_a_manifest_that_is_garbage_are_the_brokers() -> None:
    made = golden_store()
    made.apply(TierRetire(ORDERS, 0, 5, 45, TAKEN_MS))
    made.checkpoint()
    found, _, _ = find(made)
    assert found.orphans == []
    assert found.tally == Tally(alive=5, waiting=4)
    # Once all of it is forgotten nobody deletes what came back.
    intents = tuple(entry.intent_offset for entry in made.tier().garbage)
    made.apply(TierForget(ORDERS, 0, intents))
    made.checkpoint()
    found, _, _ = find(made, earlier=True)
    kinds = sorted(orphan.kind for orphan in found.orphans)
    assert kinds == ["checkpoint", "manifest", "segment", "segment"]


def test_a_manifest_that_cannot_be_read_ends_it() -> None:
    made = golden_store()
    (key,) = (key for key in made.objects if key.endswith(".man"))
    del made.objects[key]
    with pytest.raises(ObjectNotFoundError):
        find(made)


def test_a_restored_cluster_without_a_checkpoint_of_its_own() -> None:
    made = golden_store()
    head = decode_head(made.objects[HEAD_KEY])
    restored = Head(head.cluster_id, head.store_id, Uuid(b"third".ljust(16)), head.checkpoints)
    made.objects[HEAD_KEY] = encode_head(restored)
    with pytest.raises(StoreMismatchError, match="has written no checkpoint since"):
        find(made)


def test_a_newest_checkpoint_that_is_of_no_use() -> None:
    made = golden_store()
    del made.objects[made.checkpoints[0].key]
    latest = tell(read_latest(memory_store(made.objects))).result()
    archive = Archive(latest.head, latest.checkpoint, made.state, {}, {}, latest.faults)
    with pytest.raises(ObjectDamagedError, match="nothing is scrubbed"):
        Scrubber(memory_store(made.objects), archive, ManualClock(), older_than_ms=0)


def test_a_restore_in_the_middle_ends_it() -> None:
    made = golden_store()
    for intent in range(100):
        made.objects[stray(intent, topic_id=Uuid(b"t" * 16))] = b"x"
    made.offset = 200
    made.checkpoint()
    found, scrubber, store = find(made)
    count = len(found.orphans)
    assert count > 80
    head = decode_head(made.objects[HEAD_KEY])
    taken = Head(head.cluster_id, head.store_id, Uuid(b"third".ljust(16)), head.checkpoints)
    store.put(HEAD_KEY, [encode_head(taken)]).result()
    with pytest.raises(StoreMismatchError, match="0 orphans were deleted"):
        tell(scrubber.delete(found)).result()
    assert len(store.contents) == len(made.objects)
    store.put(HEAD_KEY, [made.objects[HEAD_KEY]]).result()
    assert tell(scrubber.delete(found)).result() == count


class StoreWithUploads(MemoryStore):
    """One that leaves uploads unfinished."""

    def __init__(self, left: list[UnfinishedUpload], *, lists: bool = True) -> None:
        super().__init__(InlineExecutor(), OsFileSystem(), ManualClock(now_ms=TAKEN_MS))
        self.left = left
        self.lists = lists

    def unfinished(self, older_than_ms: int) -> Pending[list[UnfinishedUpload]]:
        answer: Pending[list[UnfinishedUpload]] = Pending()
        if self.lists:
            answer.resolve(self.left)
        else:
            answer.fail(StoreRefusedError("no"))
        return answer

    def remove_unfinished(self, uploads: list[UnfinishedUpload]) -> Pending[None]:
        self.left = [upload for upload in self.left if upload not in uploads]
        done: Pending[None] = Pending()
        done.resolve(None)
        return done


def test_unfinished_uploads() -> None:
    made = golden_store()
    open_intent = made.tier().intents[0].intent_offset
    gone = [
        UnfinishedUpload(stray(1), "a", 0),
        UnfinishedUpload("4711-3", "", 0),  # of a directory: a temporary file
        UnfinishedUpload(checkpoint_key(CLUSTER, SECOND, 3, 0), "b", 0),
    ]
    kept = [
        UnfinishedUpload(stray(made.offset + 1), "c", 0),
        UnfinishedUpload(stray(open_intent), "d", 0),
        UnfinishedUpload(stray(1, incarnation=FIRST), "e", 0),
        UnfinishedUpload("other/thing", "f", 0),
    ]
    store = StoreWithUploads([*gone, *kept])
    for key, data in made.objects.items():
        store.put(key, [data]).result()
    scrubber = Scrubber(
        store, archive_of(made), ManualClock(now_ms=TAKEN_MS + HOUR_MS), older_than_ms=HOUR_MS
    )
    found = tell(scrubber.find()).result()
    assert [orphan.key for orphan in found.orphans] == [upload.key for upload in gone]
    assert tell(scrubber.delete(found)).result() == 3
    assert store.left == kept
    store.lists = False
    found = tell(scrubber.find()).result()
    assert (found.orphans, found.tally.lists_uploads) == ([], False)


def test_objects_are_listed_in_pages() -> None:
    made = golden_store()
    store = memory_store(made.objects)
    store._page_objects = 2
    scrubber = Scrubber(store, archive_of(made), ManualClock(now_ms=TAKEN_MS), older_than_ms=0)
    assert tell(scrubber.find()).result().tally.alive == 7
