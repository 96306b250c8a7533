"""Offsets of open transactions."""

from tierbroker.groups.pending_offsets import PendingOffsets
from tierbroker.groups.record_codec import CommittedOffset

ONE, TWO = CommittedOffset(1), CommittedOffset(2)


def test_an_open_transaction_is_seen_by_group_and_partition() -> None:
    pending = PendingOffsets()
    assert not pending
    pending.add(5, "g", "t", 0, ONE)
    assert pending
    assert pending.is_open("g")
    assert not pending.is_open("h")
    assert pending.is_unstable("g", "t", 0)
    assert not pending.is_unstable("g", "t", 1)
    assert pending.partitions("g") == [("t", 0)]
    assert list(pending.groups_of_topics({"t", "u"})) == ["g"]


def test_the_last_offset_of_a_transaction_counts() -> None:
    pending = PendingOffsets()
    pending.add(5, "g", "t", 0, ONE)
    pending.add(5, "g", "t", 0, TWO)
    assert pending.complete(5, commit=True) == [("g", "t", 0, TWO)]
    assert not pending
    assert not pending.is_open("g")
    assert not pending.is_unstable("g", "t", 0)


def test_a_group_stays_open_for_the_other_transaction() -> None:
    pending = PendingOffsets()
    pending.add(5, "g", "t", 0, ONE)
    pending.add(6, "g", "t", 0, TWO)
    assert pending.complete(5, commit=False) == []
    assert pending.is_open("g")
    assert pending.is_unstable("g", "t", 0)
    assert pending.complete(6, commit=True) == [("g", "t", 0, TWO)]


def test_a_marker_of_an_unknown_producer_is_ignored() -> None:
    assert PendingOffsets().complete(9, commit=True) == []


def test_a_group_is_open_until_the_marker_even_if_its_offsets_were_deleted() -> None:
    pending = PendingOffsets()
    pending.add(5, "g", "t", 0, ONE)
    pending.remove("g", "t", 0)
    assert pending.is_open("g")
    assert not pending.is_unstable("g", "t", 0)
    assert pending.complete(5, commit=True) == []
    assert not pending.is_open("g")
