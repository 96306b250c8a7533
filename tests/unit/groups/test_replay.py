"""Batches of the log, replayed into a store."""

from collections.abc import Sequence

import pytest

from tierbroker.base.errors import CorruptMessageError
from tierbroker.base.ids import Uuid
from tierbroker.groups.offsets import OffsetStore
from tierbroker.groups.ports import KeyValue
from tierbroker.groups.record_codec import (
    CommittedOffset,
    group_metadata_key,
    group_metadata_value,
    offset_key,
    offset_value,
)
from tierbroker.groups.records import offset_commit_value
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue
from tierbroker.groups.records.offset_commit_value import OffsetCommitValue
from tierbroker.groups.replay import RECORDS_PER_STEP, Replay
from tierbroker.records.batch import read_header, rewrite_crc
from tierbroker.records.builder import build_batch
from tierbroker.records.compression import Codec
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.record import Record

TOPIC_ID = Uuid(bytes(range(16)))


def replay_all(*batches: bytes) -> tuple[OffsetStore, Replay, int]:
    """(store, replay, steps taken)."""
    store = OffsetStore()
    replay = Replay(store)
    data = b"".join(batches)
    position = steps = 0
    for batch in batches:
        steps += sum(1 for _ in replay.batch(data, position, read_header(data, position)))
        position += len(batch)
    return store, replay, steps


def batch_of(records: Sequence[KeyValue], **options: int) -> bytes:
    return build_batch([Record(0, 5, *pair) for pair in records], **options)


def commit(group: str, topic: str, partition: int, committed: CommittedOffset) -> KeyValue:
    return offset_key(group, topic, partition), offset_value(committed)


PLAIN = CommittedOffset(7, 3, "", 1_000, -1, TOPIC_ID)
OTHER = CommittedOffset(8, -1, "", 2_000)
RICH = CommittedOffset(9, 2, "note", 3_000, -1, TOPIC_ID)
EXPIRING = CommittedOffset(9, -1, "", 3_000, 4_000)


@pytest.mark.parametrize("committed", [PLAIN, OTHER, RICH, EXPIRING])
def test_a_committed_offset_is_replayed(committed: CommittedOffset) -> None:
    store, _, _ = replay_all(batch_of([commit("g", "t", 4, committed)]))
    assert store.get("g", "t", 4) == committed


@pytest.mark.parametrize("version", range(5))
def test_the_short_way_reads_the_same_as_the_codec(version: int) -> None:
    value = OffsetCommitValue(9, 4, "", 77, 88, TOPIC_ID)
    encoded = version.to_bytes(2, "big") + offset_commit_value.encode(value, version)
    again, _ = offset_commit_value.decode(encoded, 2, version)
    store, _, _ = replay_all(batch_of([(offset_key("g", "t", 0), encoded)]))
    assert store.get("g", "t", 0) == CommittedOffset(
        again.offset,
        again.leader_epoch,
        again.metadata,
        again.commit_timestamp,
        again.expire_timestamp,
        again.topic_id,
    )


def test_the_later_record_counts_whichever_way_it_was_read() -> None:
    for first in (PLAIN, RICH, EXPIRING):
        for second in (PLAIN, OTHER, RICH, EXPIRING):
            records = [commit("g", "t", 0, first), commit("g", "t", 0, second)]
            store, _, _ = replay_all(batch_of(records))
            assert store.get("g", "t", 0) == second


def test_a_tombstone_deletes_and_a_later_commit_brings_back() -> None:
    records: list[KeyValue] = [
        commit("g", "t", 0, PLAIN),
        commit("g", "t", 1, PLAIN),
        (offset_key("g", "t", 0), None),
        (offset_key("g", "t", 1), None),
        commit("g", "t", 1, OTHER),
        (offset_key("h", "t", 1), None),
    ]
    store, _, _ = replay_all(batch_of(records))
    assert list(store.committed("g", "t")) == [(1, OTHER)]
    assert list(store.groups()) == ["g"]


def test_the_last_state_of_a_group_is_kept_undecoded() -> None:
    states = [group_metadata_value(GroupMetadataValue("consumer", n)) for n in range(3)]
    records: list[KeyValue] = [
        (group_metadata_key("g"), states[0]),
        (group_metadata_key("gone"), states[0]),
        (group_metadata_key("g"), states[1]),
        (group_metadata_key("gone"), None),
        (group_metadata_key("never"), None),
    ]
    _, replay, _ = replay_all(batch_of(records))
    assert replay.group_values == {"g": states[1]}


def test_records_of_other_kinds_are_counted() -> None:
    records: list[KeyValue] = [
        (b"\x00\x03group", b"?"),
        (b"\x00\x03group", None),
        (b"\x00\x0bx", b"?"),
    ]
    store, replay, _ = replay_all(batch_of(records))
    assert replay.unknown == {3: 2, 11: 1}
    assert not len(store)


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.LZ4, Codec.ZSTD, Codec.SNAPPY])
def test_compressed_batches_are_replayed(codec: Codec) -> None:
    records = [commit("g", "t", number, PLAIN) for number in range(RECORDS_PER_STEP + 1)]
    store, _, steps = replay_all(batch_of(records, codec=codec))
    assert len(store) == len(records)
    assert steps == 1


def test_a_large_batch_is_replayed_in_steps() -> None:
    records = [commit("g", "t", number, PLAIN) for number in range(RECORDS_PER_STEP * 3 + 1)]
    store, _, steps = replay_all(batch_of(records))
    assert store.partitions("g", "t") == list(range(len(records)))
    assert steps == 4


def test_offsets_of_a_transaction_count_from_its_commit_on() -> None:
    def marker(kind: ControlType, producer_id: int) -> bytes:
        return build_marker_batch(
            EndTxnMarker(kind, 0), timestamp_ms=5, producer_id=producer_id, producer_epoch=0
        )

    records = [commit("g", "t", 0, PLAIN)]
    one = batch_of(records, producer_id=1, producer_epoch=0, transactional=True)
    two = batch_of([commit("g", "t", 1, RICH)], producer_id=2, transactional=True)
    three = batch_of([commit("g", "t", 2, RICH)], producer_id=3, transactional=True)
    store, _, _ = replay_all(
        one, two, three, marker(ControlType.COMMIT, 1), marker(ControlType.ABORT, 2)
    )
    assert list(store.committed("g", "t")) == [(0, PLAIN)]
    assert store.pending.partitions("g") == [("t", 2)]


def test_a_plain_commit_after_the_transactions_record_wins_over_its_marker() -> None:
    marker = build_marker_batch(
        EndTxnMarker(ControlType.COMMIT, 0), timestamp_ms=5, producer_id=1, producer_epoch=0
    )
    store, _, _ = replay_all(
        batch_of([commit("g", "t", 0, RICH)], producer_id=1, transactional=True),
        batch_of([commit("g", "t", 0, PLAIN)]),
        marker,
        batch_of([commit("g", "t", 1, PLAIN)]),
    )
    assert list(store.committed("g", "t")) == [(0, PLAIN), (1, PLAIN)]


def test_a_flipped_bit_is_found() -> None:
    damaged = bytearray(batch_of([commit("g", "t", 0, PLAIN)]))
    damaged[80] ^= 4
    with pytest.raises(CorruptMessageError, match="CRC"):
        replay_all(bytes(damaged))


@pytest.mark.parametrize("position", [61, 63, 64, 65, 68, 69])
def test_a_malformed_record_is_found_even_if_the_crc_fits(position: int) -> None:
    damaged = bytearray(batch_of([commit("g", "t", 0, PLAIN)]))
    damaged[position] = 0xFF
    rewrite_crc(damaged, 0, len(damaged))
    with pytest.raises(CorruptMessageError):
        replay_all(bytes(damaged))


def test_a_wrong_number_of_records_is_found() -> None:
    for count in (0, 1, 3, 1_000):
        damaged = bytearray(batch_of([commit("g", "t", number, PLAIN) for number in (0, 1)]))
        damaged[57:61] = count.to_bytes(4, "big")
        rewrite_crc(damaged, 0, len(damaged))
        with pytest.raises(CorruptMessageError):
            replay_all(bytes(damaged))


def test_a_record_without_a_key_is_found() -> None:
    with pytest.raises(CorruptMessageError):
        replay_all(build_batch([Record(0, 5, None, b"x")]))


def test_headers_mean_nothing() -> None:
    key, value = commit("g", "t", 0, PLAIN)
    store, _, _ = replay_all(build_batch([Record(0, 5, key, value, (("h", b"x"),))]))
    assert store.get("g", "t", 0) == PLAIN


def test_an_empty_batch_of_compaction_is_nothing() -> None:
    store, _, _ = replay_all(build_batch([], base_offset=0, last_offset=4))
    assert not len(store)
