"""The retain rule, case by case. tests/property/test_compaction.py judges it as a whole."""

from collections.abc import Mapping, Sequence

import pytest

from tierbroker.records.batch import (
    DELETE_HORIZON_BIT,
    NO_TIMESTAMP,
    crc_valid,
    read_header,
)
from tierbroker.records.builder import build_batch
from tierbroker.records.compaction import (
    Action,
    LastEntry,
    LiveOffsets,
    RetainRule,
    Transactions,
    Verdict,
)
from tierbroker.records.compression import Codec
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.key_table import KeyTable
from tierbroker.records.record import Record, iterate
from tierbroker.records.txn_index import AbortedTxn

NOW_MS = 1_000_000
RETENTION_MS = 5_000
MARKER_MS = 900


class Rule:
    """A rule over a table that is filled by hand."""

    def __init__(
        self,
        last: Mapping[bytes, int],
        *,
        now_ms: int = NOW_MS,
        latest_offset: int = 999,
        producers: Mapping[int, LastEntry] | None = None,
        aborted: Sequence[AbortedTxn] = (),
        end_offset: int = 1_000,
    ) -> None:
        table = KeyTable(10_000, 0.9)
        table.recent.update(last)
        self.transactions = Transactions(aborted)
        live = LiveOffsets(table, 0, latest_offset, memory_bytes=4_000)
        self.rule = RetainRule(
            live,
            table,
            self.transactions,
            producers=producers or {},
            end_offset=end_offset,
            now_ms=now_ms,
            delete_retention_ms=RETENTION_MS,
        )

    def __call__(self, batch: bytes) -> Verdict:
        header = read_header(batch)
        return self.rule.judge(header, batch if self.rule.needs_records(header) else None)


def data_batch(*records: tuple[bytes | None, bytes | None], **options: object) -> bytes:
    content = [Record(0, 100 + number, *record) for number, record in enumerate(records)]
    return build_batch(content, **options)  # type: ignore[arg-type]


def marker(kind: ControlType, producer_id: int, offset: int) -> bytes:
    batch = bytearray(
        build_marker_batch(
            EndTxnMarker(kind, 0), timestamp_ms=MARKER_MS, producer_id=producer_id, producer_epoch=3
        )
    )
    batch[:8] = offset.to_bytes(8, "big")
    return bytes(batch)


def test_a_batch_that_stays_whole_is_not_touched() -> None:
    verdict = Rule({b"a": 10, b"b": 11})(data_batch((b"a", b"1"), (b"b", b"2"), base_offset=10))
    assert verdict == Verdict(Action.COPY, 2, b"", 101)


def test_a_dead_batch_needs_no_bytes() -> None:
    batch = data_batch((b"a", b"1"), base_offset=10)
    rule = Rule({b"a": 20})
    assert not rule.rule.needs_records(read_header(batch))
    assert rule(batch).action is Action.DROP


@pytest.mark.parametrize("codec", list(Codec))
def test_a_batch_keeps_offsets_sequence_and_codec(codec: Codec) -> None:
    batch = data_batch(
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b"3"),
        base_offset=10,
        codec=codec,
        producer_id=4,
        producer_epoch=1,
        base_sequence=77,
        leader_epoch=5,
    )
    verdict = Rule({b"a": 30, b"b": 11, b"c": 30})(batch)
    assert (verdict.action, verdict.kept) == (Action.REPLACE, 1)
    before, after = read_header(batch), read_header(verdict.data)
    assert crc_valid(verdict.data, 0, after)
    assert after.size_bytes == len(verdict.data)
    assert list(iterate(verdict.data)) == [Record(11, 101, b"b", b"2")]
    assert after.max_timestamp == verdict.max_timestamp == 101
    same = before._replace(crc=0, batch_length=0, record_count=0, max_timestamp=0)
    assert after._replace(crc=0, batch_length=0, record_count=0, max_timestamp=0) == same


def test_log_append_time_stays() -> None:
    batch = data_batch((b"a", b"1"), (b"b", b"2"), log_append_time_ms=7_000)
    verdict = Rule({b"a": 0, b"b": 5})(batch)
    assert list(iterate(verdict.data)) == [Record(0, 7_000, b"a", b"1")]


def test_records_without_a_key_go() -> None:
    verdict = Rule({b"a": 1})(data_batch((None, b"1"), (b"a", b"2")))
    assert [record.offset for record in iterate(verdict.data)] == [1]
    assert verdict.without_key == 1


def test_a_tombstone_gets_its_horizon_keeps_it_and_goes() -> None:
    batch = data_batch((b"a", None), (b"b", b"2"), codec=Codec.ZSTD)
    last = {b"a": 0, b"b": 1}
    first = Rule(last)(batch)
    assert (first.action, first.kept) == (Action.REPLACE, 2)
    header = read_header(first.data)
    assert header.has_delete_horizon
    assert header.base_timestamp == NOW_MS + RETENTION_MS
    assert crc_valid(first.data, 0, header)
    assert list(iterate(first.data)) == list(iterate(batch))
    assert first.max_timestamp == header.max_timestamp == 101

    assert Rule(last, now_ms=NOW_MS + RETENTION_MS - 1)(first.data).action is Action.COPY

    third = Rule(last, now_ms=NOW_MS + RETENTION_MS)(first.data)
    assert list(iterate(third.data)) == [Record(1, 101, b"b", b"2")]
    assert read_header(third.data).base_timestamp == NOW_MS + RETENTION_MS


def test_the_longest_retention_does_not_overflow() -> None:
    verdict = Rule({b"a": 0}, now_ms=2**63 - 10)(data_batch((b"a", None)))
    assert read_header(verdict.data).base_timestamp == 2**63 - 1
    assert list(iterate(verdict.data)) == [Record(0, 100, b"a", None)]


def test_what_lies_above_the_table_stays_but_its_tombstones_get_a_horizon() -> None:
    rule = Rule({b"a": 5}, latest_offset=5)
    assert rule(data_batch((b"a", b"1"), (None, b"2"), base_offset=6)).action is Action.COPY
    assert read_header(rule(data_batch((b"a", None), base_offset=8)).data).has_delete_horizon


def test_the_last_batch_of_an_active_producer_is_emptied() -> None:
    batch = data_batch(
        (b"a", b"1"), codec=Codec.GZIP, producer_id=4, producer_epoch=0, base_sequence=9
    )
    verdict = Rule({b"a": 20}, producers={4: LastEntry(0, 0)})(batch)
    header = read_header(verdict.data)
    assert (verdict.action, verdict.kept, header.record_count) == (Action.REPLACE, 0, 0)
    assert (header.base_sequence, header.last_offset, header.codec) == (9, 0, Codec.NONE)
    assert (header.base_timestamp, header.max_timestamp) == (NO_TIMESTAMP, 100)
    assert crc_valid(verdict.data, 0, header)
    again = Rule({b"a": 20}, producers={4: LastEntry(0, 0)})
    assert again(verdict.data).action is Action.COPY
    assert Rule({b"a": 20}, producers={4: LastEntry(0, 8)})(verdict.data).action is Action.DROP


def test_the_last_batch_of_the_round_is_emptied() -> None:
    verdict = Rule({b"a": 20}, end_offset=1)(data_batch((b"a", b"1")))
    assert (verdict.action, verdict.kept) == (Action.REPLACE, 0)


def aborted_batch(offset: int) -> bytes:
    return data_batch(
        (b"a", b"1"), base_offset=offset, producer_id=6, producer_epoch=3, transactional=True
    )


def test_aborted_records_go_and_their_marker_a_round_later() -> None:
    txn = AbortedTxn(6, 3, 5, 5)
    rule = Rule({}, aborted=[txn])
    assert rule(aborted_batch(3)).action is Action.DROP
    abort = marker(ControlType.ABORT, 6, 5)
    assert rule(abort).action is Action.COPY
    assert rule.transactions.take_still_marked() == [txn]
    assert rule.transactions.take_still_marked() == []

    rule = Rule({})
    second = rule(abort)
    header = read_header(second.data)
    assert (header.base_timestamp, header.control) == (NOW_MS + RETENTION_MS, True)
    assert list(iterate(second.data)) == list(iterate(abort))
    assert rule.transactions.take_still_marked() == []

    assert Rule({}, now_ms=NOW_MS + RETENTION_MS - 1)(second.data).action is Action.COPY
    assert Rule({}, now_ms=NOW_MS + RETENTION_MS)(second.data).action is Action.DROP


def test_a_commit_marker_stays_while_records_of_its_transaction_do() -> None:
    rule = Rule({b"a": 3})
    batch = aborted_batch(3)
    commit = marker(ControlType.COMMIT, 6, 5)
    assert rule(batch).action is Action.COPY
    assert rule(commit).action is Action.COPY
    assert rule(commit).action is Action.REPLACE


def test_a_marker_that_is_a_producers_last_entry_is_emptied() -> None:
    commit = marker(ControlType.COMMIT, 6, 5)
    rule = Rule({}, producers={6: LastEntry(3, -1)})
    with_horizon = rule(commit).data
    verdict = Rule({}, producers={6: LastEntry(3, -1)}, now_ms=NOW_MS + RETENTION_MS)(with_horizon)
    header = read_header(verdict.data)
    assert (header.record_count, header.control, header.producer_epoch) == (0, True, 3)
    assert not header.attributes & DELETE_HORIZON_BIT
    assert Rule({}, producers={6: LastEntry(4, -1)})(verdict.data).action is Action.DROP


def test_flags_may_stand_for_many_offsets() -> None:
    table = KeyTable(10_000, 0.9)
    table.recent[b"a"] = 1_000
    live = LiveOffsets(table, 500, 100_499, memory_bytes=10)

    def none_in(base_offset: int) -> bool:
        return live.none_in(read_header(data_batch((b"x", b"1"), base_offset=base_offset)))

    assert not none_in(1_000)
    assert none_in(90_000)
    assert not none_in(499)
    assert not none_in(100_500)


def test_flags_tell_of_batches_that_are_live_as_a_whole() -> None:
    table = KeyTable(10_000, 0.9)
    table.recent.update({b"a": 10, b"b": 11, b"c": 12})
    live = LiveOffsets(table, 10, 13, memory_bytes=10)
    pair = (b"x", b"1"), (b"y", b"2")
    assert live.all_in(read_header(data_batch(*pair, base_offset=10)))
    assert live.all_in(read_header(data_batch(*pair, base_offset=11)))
    assert not live.all_in(read_header(data_batch(*pair, base_offset=12)))
    assert not live.all_in(read_header(data_batch(*pair, base_offset=9)))
    assert not live.all_in(read_header(data_batch(*pair, base_offset=13)))
    coarse = LiveOffsets(table, 10, 13, memory_bytes=2)
    assert not coarse.all_in(read_header(data_batch(*pair, base_offset=10)))
