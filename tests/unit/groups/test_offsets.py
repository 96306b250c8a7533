"""The store of committed offsets."""

import gc
import random
import tracemalloc

import pytest

from tierbroker.base.ids import random_uuid
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.record_codec import CommittedOffset

ID = random_uuid(random.Random(1))
OTHER_ID = random_uuid(random.Random(2))
PLAIN = CommittedOffset(7, 3, "", 1_000, -1, ID)
RICH = CommittedOffset(8, -1, "note", 2_000, 9_000, OTHER_ID)


def test_what_was_put_is_there() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, PLAIN)
    store.put("g", "t", 5, RICH)
    assert store.get("g", "t", 0) == PLAIN
    assert store.get("g", "t", 5) == RICH
    assert list(store.committed("g", "t")) == [(0, PLAIN), (5, RICH)]
    assert store.partitions("g", "t") == [0, 5]
    assert store.topics("g") == ["t"]
    assert list(store.groups()) == ["g"]
    assert len(store) == 2
    assert "g" in store


def test_what_was_not_put_is_not_there() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, PLAIN)
    assert store.get("g", "t", 1) is None
    assert store.get("g", "u", 0) is None
    assert store.get("h", "t", 0) is None
    assert store.topics("h") == []
    assert store.partitions("g", "u") == []
    assert list(store.committed("h", "t")) == []
    assert "h" not in store


def test_the_last_commit_counts_with_all_that_belongs_to_it() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, RICH)
    store.put("g", "t", 0, PLAIN)
    assert store.get("g", "t", 0) == PLAIN
    assert store.is_plain
    store.put("g", "t", 0, RICH)
    assert store.get("g", "t", 0) == RICH
    assert not store.is_plain


def test_a_removed_offset_leaves_nothing_behind() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, RICH)
    store.put("g", "t", 1, PLAIN)
    store.remove("g", "t", 0)
    store.remove("g", "t", 9)
    assert store.get("g", "t", 0) is None
    assert store.is_plain
    store.remove("g", "t", 1)
    store.remove("g", "t", 1)
    assert "g" not in store
    assert not store.has_offsets("g")
    assert store.topics("g") == []
    store.put("g", "t", 0, PLAIN)
    assert store.get("g", "t", 0) == PLAIN


def test_groups_of_a_topic_are_found_pending_ones_as_well() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, PLAIN)
    store.put("h", "u", 0, PLAIN)
    store.add_pending(1, "i", "t", 0, PLAIN)
    assert sorted(store.groups_of_topics({"t", "v"})) == ["g", "i"]


def test_an_offset_of_a_transaction_counts_once_it_commits() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, PLAIN)
    store.add_pending(1, "g", "t", 0, RICH)
    assert store.get("g", "t", 0) == PLAIN
    store.complete(1, commit=True)
    assert store.get("g", "t", 0) == RICH
    assert not store.pending


def test_an_offset_of_an_aborted_transaction_never_counts() -> None:
    store = OffsetStore()
    store.add_pending(1, "g", "t", 0, RICH)
    assert store.has_offsets("g")
    store.complete(1, commit=False)
    assert store.get("g", "t", 0) is None
    assert not store.has_offsets("g")
    assert store.is_plain


def test_a_later_plain_commit_stays_when_the_transaction_commits() -> None:
    store = OffsetStore()
    store.add_pending(1, "g", "t", 0, RICH)
    store.put("g", "t", 0, PLAIN)
    assert store.pending.is_unstable("g", "t", 0)
    store.complete(1, commit=True)
    assert store.get("g", "t", 0) == PLAIN


def test_of_two_transactions_the_later_record_counts_whatever_the_order_of_markers() -> None:
    for order in ([1, 2], [2, 1]):
        store = OffsetStore()
        store.add_pending(1, "g", "t", 0, PLAIN)
        store.add_pending(2, "g", "t", 0, RICH)
        for producer_id in order:
            store.complete(producer_id, commit=True)
        assert store.get("g", "t", 0) == RICH


def test_a_deletion_takes_the_offsets_of_open_transactions_along() -> None:
    store = OffsetStore()
    store.put("g", "t", 0, PLAIN)
    store.add_pending(1, "g", "t", 0, RICH)
    store.remove("g", "t", 0)
    assert not store.pending.is_unstable("g", "t", 0)
    store.complete(1, commit=True)
    assert store.get("g", "t", 0) is None


@pytest.mark.parametrize(("groups", "topics", "partitions"), [(50, 10, 100), (5_000, 1, 10)])
def test_an_offset_takes_at_most_100_bytes(groups: int, topics: int, partitions: int) -> None:
    ids = [random_uuid(random.Random(number)) for number in range(topics)]
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    store = OffsetStore()
    for group in range(groups):
        for topic in range(topics):
            for partition in range(partitions):
                committed = CommittedOffset(1 << 40, 7, "", 1_700_000_000_000, -1, ids[topic])
                store.put(f"consumers-{group}", f"topic-{topic}", partition, committed)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) == groups * topics * partitions
    assert (after - before) / len(store) <= 100
