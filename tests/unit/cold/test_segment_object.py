"""A segment's object: the tail that is built is the tail that is read."""

import pytest

from tierbroker.base.ids import Uuid
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.keys import ObjectName, object_key
from tierbroker.cold.segment_object import build_tail, parse_tail, read_about
from tierbroker.records import epoch_lineage, offset_index, producer_snapshot, time_index
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.producer_snapshot import ProducerEntry
from tierbroker.records.tier.local import SegmentContent
from tierbroker.records.txn_index import AbortedTxn

_NAME = ObjectName(Uuid(bytes(range(16))), 3, 100, 199, 7, 42)
_LINEAGE = (EpochEntry(5, 0), EpochEntry(7, 120))
_ABORTED = [AbortedTxn(9, 90, 110, 115), AbortedTxn(9, 150, 160, 199)]
_PRODUCER = ProducerEntry(9, 1, 10, 199, 0, 1000, 0, -1)


def _content(log_bytes: int = 4096) -> SegmentContent:
    return SegmentContent(
        log=[bytes(log_bytes)],
        log_bytes=log_bytes,
        offset_index=offset_index.pack_entry(100, 120, 1000)
        + offset_index.pack_entry(100, 150, 2000),
        time_index=time_index.pack_entry(100, 5000, 120),
        aborted=_ABORTED,
        producers=producer_snapshot.encode([_PRODUCER]),
        lineage=epoch_lineage.encode(_LINEAGE),
    )


def test_all_parts_come_back() -> None:
    data = build_tail(_NAME, _content(), {"topic": "orders"})
    tail = parse_tail(data, 100, 4096)
    assert tail.lineage == _LINEAGE
    assert list(tail.aborted) == _ABORTED
    assert tail.producer_entries() == [_PRODUCER]
    assert [tail.position_of(offset) for offset in (100, 119, 120, 149, 150, 199)] == [
        0, 0, 1000, 1000, 2000, 2000,
    ]  # fmt: skip
    assert [tail.position_after(position) for position in (0, 999, 1000, 2000)] == [
        1000, 1000, 2000, None,
    ]  # fmt: skip
    assert read_about(data, 4096 + len(data)) == {
        "topic": "orders",
        "topic_id": "AAECAwQFBgcICQoLDA0ODw",
        "partition": 3,
        "base_offset": 100,
        "end_offset": 199,
        "leader_epoch": 7,
        "intent_offset": 42,
    }


def test_a_segment_without_side_files_has_a_tail_too() -> None:
    empty = SegmentContent([b"x"], 1, b"", b"", [], b"", b"")
    tail = parse_tail(build_tail(_NAME, empty, {}), 100, 1)
    assert (tail.position_of(150), tail.position_after(0), tail.aborted) == (0, None, ())


def test_damage_is_told() -> None:
    data = bytearray(build_tail(_NAME, _content(), {}))
    data[20] ^= 1
    with pytest.raises(ObjectDamagedError):
        parse_tail(data, 100, 4096)
    with pytest.raises(ObjectDamagedError):
        parse_tail(bytes(data[:-30]), 100, 4096)


def test_keys_sort_by_offset_and_are_never_the_same_for_two_attempts() -> None:
    incarnation = Uuid(bytes(16))
    keys = [
        object_key("cluster", incarnation, _NAME._replace(base_offset=base, intent_offset=intent))
        for base, intent in ((9, 50), (10, 2), (10, 3), (100, 1))
    ]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert keys[0] == (
        "cluster/AAAAAAAAAAAAAAAAAAAAAA/AAECAwQFBgcICQoLDA0ODw/3/"
        "00000000000000000009-00000000000000000199.7.50.seg"
    )
