"""What expires, when, and what never does."""

from dataclasses import replace

import pytest

from tests.group_broker import CONFIG, GroupBroker
from tests.group_log import GroupLog
from tierbroker.base.errors import KafkaStorageError
from tierbroker.groups.record_codec import (
    CommittedOffset,
    group_metadata_key,
    offset_key,
    offset_value,
)
from tierbroker.wire.error_codes import ErrorCode

RETENTION_MS = 60_000
EXPIRING = replace(CONFIG, offsets_retention_ms=RETENTION_MS)


def make_broker(log: GroupLog | None = None) -> GroupBroker:
    return GroupBroker(log, EXPIRING)


def expire(broker: GroupBroker, *, after_ms: int = 0) -> None:
    broker.clock.advance(after_ms)
    broker.coordinator.expire_offsets()
    broker.scheduler.end_turn()


def described(broker: GroupBroker, group_id: str) -> int:
    return broker.coordinator.describe_group(group_id).error_code


def test_offsets_without_a_group_expire_after_their_commit() -> None:
    broker = make_broker()
    broker.commit("g", {("t", 0): 1})
    broker.clock.advance(10)
    broker.commit("g", {("t", 1): 1})
    expire(broker, after_ms=RETENTION_MS - 11)
    assert broker.committed("g") == {("t", 0): 1, ("t", 1): 1}
    expire(broker, after_ms=1)
    assert broker.committed("g") == {("t", 1): 1}
    expire(broker, after_ms=10)
    for one in (broker, broker.restarted()):
        assert described(one, "g") == ErrorCode.GROUP_ID_NOT_FOUND


def test_offsets_of_a_group_expire_after_it_became_empty() -> None:
    broker = make_broker()
    member_id, generation = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1}, member=(member_id, generation))
    broker.clock.advance(RETENTION_MS * 2)
    broker.leave("g", member_id)
    expire(broker, after_ms=RETENTION_MS - 1)
    assert broker.committed("g") == {("t", 0): 1}
    expire(broker, after_ms=1)
    assert broker.committed("g") == {}
    assert broker.log.records(0)[-2:] == [
        (offset_key("g", "t", 0), None),
        (group_metadata_key("g"), None),
    ]
    for one in (broker, broker.restarted()):
        assert described(one, "g") == ErrorCode.GROUP_ID_NOT_FOUND


def test_the_moment_when_a_group_became_empty_survives_a_restart() -> None:
    broker = make_broker()
    member_id, generation = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1}, member=(member_id, generation))
    broker.leave("g", member_id)
    broker.clock.advance(RETENTION_MS - 1)
    broker = broker.restarted(EXPIRING)
    expire(broker)
    assert broker.committed("g") == {("t", 0): 1}
    expire(broker, after_ms=1)
    assert broker.committed("g") == {}


def test_a_stable_group_loses_topics_that_nobody_subscribes_to() -> None:
    broker = make_broker()
    member = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1, ("u", 0): 2}, member=member)
    expire(broker, after_ms=RETENTION_MS)
    assert broker.committed("g") == {("t", 0): 1}
    assert described(broker, "g") == ErrorCode.NONE


def test_a_stable_group_of_another_kind_keeps_everything() -> None:
    broker = make_broker()
    member = broker.join("g", "t", kind="connect")
    broker.commit("g", {("t", 0): 1, ("u", 0): 2}, member=member)
    expire(broker, after_ms=RETENTION_MS * 9)
    assert broker.committed("g") == {("t", 0): 1, ("u", 0): 2}


def test_an_explicit_time_of_expiry_is_kept_to() -> None:
    broker = make_broker()
    broker.commit("g", {("t", 0): 1}, retention_ms=5)
    broker.commit("g", {("t", 1): 1}, retention_ms=RETENTION_MS * 3)
    expire(broker, after_ms=4)
    assert broker.committed("g") == {("t", 0): 1, ("t", 1): 1}
    expire(broker, after_ms=1)
    assert broker.committed("g") == {("t", 1): 1}
    expire(broker, after_ms=RETENTION_MS * 2)
    assert broker.committed("g") == {("t", 1): 1}
    expire(broker, after_ms=RETENTION_MS)
    assert broker.committed("g") == {}


def test_an_offset_that_a_transaction_may_change_never_expires() -> None:
    broker = make_broker()
    broker.commit("g", {("t", 0): 1, ("t", 1): 1})
    record = offset_key("g", "t", 0), offset_value(CommittedOffset(5))
    broker.log.place_transactional(0, 9, [record])
    broker = broker.restarted(EXPIRING)
    expire(broker, after_ms=RETENTION_MS)
    assert broker.committed("g") == {("t", 0): 1}


def test_an_empty_group_without_offsets_goes_at_the_next_look() -> None:
    broker = make_broker()
    member_id, _ = broker.join("g", "t")
    expire(broker, after_ms=RETENTION_MS)
    assert described(broker, "g") == ErrorCode.NONE
    broker.leave("g", member_id)
    expire(broker)
    assert broker.log.records(0)[-1] == (group_metadata_key("g"), None)
    for one in (broker, broker.restarted()):
        assert described(one, "g") == ErrorCode.GROUP_ID_NOT_FOUND


def test_an_empty_group_stays_for_the_offsets_of_an_open_transaction() -> None:
    broker = make_broker()
    member_id, _ = broker.join("g", "t")
    broker.leave("g", member_id)
    record = offset_key("g", "t", 0), offset_value(CommittedOffset(5))
    broker.log.place_transactional(0, 9, [record])
    broker = broker.restarted(EXPIRING)
    expire(broker, after_ms=RETENTION_MS)
    assert described(broker, "g") == ErrorCode.NONE


def test_a_commit_on_its_way_is_never_lost_with_what_it_replaces() -> None:
    broker = make_broker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    broker.clock.advance(RETENTION_MS)
    broker.commit("g", {("t", 0): 2})
    expire(broker)
    broker.log.flush()
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("t", 0): 2}


def test_a_commit_that_comes_while_tombstones_are_on_their_way_stays() -> None:
    broker = make_broker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    expire(broker, after_ms=RETENTION_MS)
    broker.commit("g", {("t", 0): 2})
    broker.log.flush()
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("t", 0): 2}


def test_the_group_goes_once_its_last_tombstone_is_flushed() -> None:
    broker = make_broker(GroupLog(auto_flush=False))
    member_id, generation = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1}, member=(member_id, generation))
    broker.leave("g", member_id)
    expire(broker, after_ms=RETENTION_MS)
    assert broker.log.records(0)[-1] == (offset_key("g", "t", 0), None)
    broker.log.flush()
    assert broker.log.records(0)[-1] == (group_metadata_key("g"), None)
    assert described(broker, "g") == ErrorCode.NONE
    broker.log.flush()
    assert described(broker, "g") == ErrorCode.GROUP_ID_NOT_FOUND


def test_what_cannot_be_deleted_now_is_deleted_next_time() -> None:
    broker = make_broker()
    broker.commit("g", {("t", 0): 1})
    broker.log.refuse = KafkaStorageError()
    expire(broker, after_ms=RETENTION_MS)
    assert broker.committed("g") == {("t", 0): 1}
    broker.log.refuse = None
    expire(broker)
    assert broker.committed("g") == {}


def test_a_round_is_spread_over_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make_broker()
    for number in range(20):
        broker.commit(f"g{number}", {("t", 0): 1})
    monkeypatch.setattr("tierbroker.base.background.SLICE_S", 0)
    before = broker.turns
    expire(broker, after_ms=RETENTION_MS)
    assert broker.coordinator.list_groups() == (ErrorCode.NONE, [])
    assert broker.turns - before > 20


def test_a_round_ends_when_the_shard_is_closed() -> None:
    broker = make_broker()
    broker.commit("g", {("t", 0): 1})
    before = broker.log.records(0)
    broker.clock.advance(RETENTION_MS)
    broker.coordinator.expire_offsets()
    broker.coordinator.unload(0)
    broker.scheduler.end_turn()
    assert broker.log.records(0) == before


def test_a_second_round_waits_for_the_first() -> None:
    broker = make_broker()
    broker.commit("g", {("t", 0): 1})
    broker.clock.advance(RETENTION_MS)
    broker.coordinator.expire_offsets()
    broker.coordinator.expire_offsets()
    broker.scheduler.end_turn()
    assert broker.log.records(0)[1:] == [(offset_key("g", "t", 0), None)]
