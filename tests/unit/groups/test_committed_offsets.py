"""OffsetCommit and OffsetFetch of one shard."""

from dataclasses import replace

import pytest

from tests.group_broker import CONFIG, GroupBroker, commit_request, errors_of
from tests.group_log import GroupLog
from tierbroker.base.errors import (
    ApiError,
    KafkaStorageError,
    MessageTooLargeError,
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import Uuid
from tierbroker.groups.committed_offsets import TOMBSTONE_BATCH_BYTES
from tierbroker.groups.record_codec import LAST_TIMESTAMP, NAME_BYTES_MAX, decode_offset_value
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode

TOPIC_ID = Uuid(bytes(range(16)))


def test_what_was_committed_is_fetched() -> None:
    broker = GroupBroker()
    done = broker.commit("g", {("t", 0): 5, ("t", 1): 6, ("u", 0): 7})
    assert errors_of(done) == {("t", 0): 0, ("t", 1): 0, ("u", 0): 0}
    assert broker.committed("g") == {("t", 0): 5, ("t", 1): 6, ("u", 0): 7}


def test_all_partitions_of_a_commit_share_one_batch() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5, ("t", 1): 6, ("u", 0): 7})
    assert len(broker.log.batches(0)) == 1


def test_a_commit_is_answered_and_seen_once_it_is_flushed() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    done = broker.commit("g", {("t", 0): 5})
    assert not done.done
    assert broker.committed("g") == {}
    broker.log.flush()
    assert errors_of(done) == {("t", 0): 0}
    assert broker.committed("g") == {("t", 0): 5}


def test_commits_survive_a_restart() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 5, ("t", 3): 1}, metadata="note", epoch=4)
    broker.commit("g", {("t", 0): 8})
    again = broker.restarted()
    assert again.committed("g") == {("t", 0): 8, ("t", 3): 1}
    (topic,) = again.fetch("g", {"t": [3]}).topics
    assert topic.partitions[0].metadata == "note"
    assert topic.partitions[0].committed_leader_epoch == 4


def test_metadata_is_limited_partition_by_partition() -> None:
    broker = GroupBroker(config=replace(CONFIG, offset_metadata_max_bytes=4))
    request = commit_request("g", {("t", 0): 1, ("t", 1): 2, ("u", 0): 3}, metadata="four")
    request.topics[0].partitions[1].committed_metadata = "fives"
    done = broker.coordinator.commit_offsets(request)
    assert errors_of(done) == {
        ("t", 0): 0,
        ("t", 1): ErrorCode.OFFSET_METADATA_TOO_LARGE,
        ("u", 0): 0,
    }
    assert broker.committed("g") == {("t", 0): 1, ("u", 0): 3}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("üüüü", ErrorCode.NONE),
        ("\U0001f600\U0001f600", ErrorCode.NONE),
        ("\U0001f600\U0001f600a", ErrorCode.OFFSET_METADATA_TOO_LARGE),
    ],
)
def test_metadata_is_counted_as_java_counts_characters(text: str, error: ErrorCode) -> None:
    broker = GroupBroker(config=replace(CONFIG, offset_metadata_max_bytes=4))
    assert errors_of(broker.commit("g", {("t", 0): 1}, metadata=text)) == {("t", 0): error}


def test_metadata_of_a_megabyte_leaves_nothing_behind() -> None:
    broker = GroupBroker()
    done = broker.commit("g", {("t", 0): 1}, metadata="x" * 1_000_000)
    assert errors_of(done) == {("t", 0): ErrorCode.OFFSET_METADATA_TOO_LARGE}
    assert broker.log.records(0) == []
    assert broker.coordinator.list_groups() == (ErrorCode.NONE, [])


def test_null_metadata_is_empty() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1}, metadata=None)
    (topic,) = broker.fetch("g").topics
    assert topic.partitions[0].metadata == ""


def test_metadata_that_fits_the_setting_but_not_the_record_is_refused() -> None:
    broker = GroupBroker(config=replace(CONFIG, offset_metadata_max_bytes=100_000))
    done = broker.commit("g", {("t", 0): 1}, metadata="x" * 40_000, retention_ms=5)
    assert errors_of(done) == {("t", 0): ErrorCode.OFFSET_METADATA_TOO_LARGE}
    done = broker.commit("g", {("t", 0): 1}, metadata="x" * 40_000)
    assert errors_of(done) == {("t", 0): ErrorCode.NONE}


def test_a_retention_time_becomes_a_time_of_expiry() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1}, retention_ms=60_000)
    ((_, value),) = broker.log.records(0)
    assert value is not None
    committed = decode_offset_value(value)
    assert committed.commit_timestamp_ms == broker.clock.now_ms()
    assert committed.expire_timestamp_ms == broker.clock.now_ms() + 60_000


@pytest.mark.parametrize("retention_ms", [LAST_TIMESTAMP, LAST_TIMESTAMP - 1])
def test_a_retention_time_for_ever_ends_with_time_itself(retention_ms: int) -> None:
    broker = GroupBroker()
    done = broker.commit("g", {("t", 0): 1}, retention_ms=retention_ms)
    assert errors_of(done) == {("t", 0): ErrorCode.NONE}
    ((_, value),) = broker.log.records(0)
    assert value is not None
    assert decode_offset_value(value).expire_timestamp_ms == LAST_TIMESTAMP
    broker.clock.advance(10_000 * 366 * 86_400_000)
    broker.coordinator.expire_offsets()
    broker.scheduler.end_turn()
    assert broker.committed("g") == {("t", 0): 1}


def test_without_a_retention_time_the_topic_id_is_kept() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1}, topic_id=TOPIC_ID)
    ((_, value),) = broker.log.records(0)
    assert value is not None
    assert decode_offset_value(value).topic_id == TOPIC_ID


def test_an_empty_commit_writes_nothing() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    done = broker.commit("g", {})
    assert done.result().topics == []
    assert broker.log.records(0) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotLeaderOrFollowerError(), ErrorCode.NOT_COORDINATOR),
        (KafkaStorageError(), ErrorCode.NOT_COORDINATOR),
        (NotEnoughReplicasError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (UnknownTopicOrPartitionError(), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (MessageTooLargeError(), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_a_failed_write_changes_nothing(error: ApiError, code: ErrorCode) -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    done = broker.commit("g", {("t", 0): 2, ("t", 1): 2})
    broker.log.fail(error)
    assert errors_of(done) == {("t", 0): code, ("t", 1): code}
    assert broker.committed("g") == {("t", 0): 1}


def test_commits_in_flight_apply_in_log_order() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    first = broker.commit("g", {("t", 0): 1, ("t", 1): 1})
    second = broker.commit("g", {("t", 0): 2})
    third = broker.commit("g", {("t", 1): 3})
    assert [first.done, second.done, third.done] == [False] * 3
    broker.log.flush()
    assert [first.done, second.done, third.done] == [True] * 3
    assert broker.committed("g") == {("t", 0): 2, ("t", 1): 3}
    assert broker.restarted().committed("g") == {("t", 0): 2, ("t", 1): 3}


def test_a_member_commits_with_its_generation() -> None:
    broker = GroupBroker()
    member_id, generation = broker.join("g", "t")
    assert errors_of(broker.commit("g", {("t", 0): 1}, member=(member_id, generation))) == {
        ("t", 0): 0
    }
    for member, error in (
        ((member_id, generation + 1), ErrorCode.ILLEGAL_GENERATION),
        (("stranger", generation), ErrorCode.UNKNOWN_MEMBER_ID),
        (("", -1), ErrorCode.UNKNOWN_MEMBER_ID),
    ):
        done = broker.commit("g", {("t", 0): 9, ("u", 1): 9}, member=member)
        assert errors_of(done) == {("t", 0): error, ("u", 1): error}
    assert broker.committed("g") == {("t", 0): 1}


def test_a_member_of_a_group_that_does_not_exist_commits_nothing() -> None:
    broker = GroupBroker()
    done = broker.commit("g", {("t", 0): 1}, member=("somebody", 4))
    assert errors_of(done) == {("t", 0): ErrorCode.GROUP_ID_NOT_FOUND}
    assert broker.log.records(0) == []


def test_a_commit_without_a_member_makes_a_simple_group() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    described = broker.coordinator.describe_group("g")
    assert (described.error_code, described.group_state) == (0, "Empty")
    assert described.protocol_type == ""
    assert described.members == []


def test_an_answer_to_a_client_that_went_away_is_dropped() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    done = broker.commit("g", {("t", 0): 1})
    done.cancel()
    broker.log.flush()
    assert broker.committed("g") == {("t", 0): 1}


@pytest.mark.parametrize("group_id", ["g", "g" * NAME_BYTES_MAX])
def test_many_tombstones_are_split_into_batches(group_id: str) -> None:
    broker = GroupBroker()
    count = 4_000 if group_id == "g" else 40
    broker.commit(group_id, {("t" * 249, number): 1 for number in range(count)})
    before = len(broker.log.batches(0))
    assert broker.coordinator.delete_groups([group_id]).result() == {group_id: ErrorCode.NONE}
    batches = broker.log.batches(0)[before:]
    assert len(batches) > 1
    assert max(map(len, batches)) <= TOMBSTONE_BATCH_BYTES
    assert sum(read_header(batch).record_count for batch in batches) == count + 1
    assert broker.committed(group_id) == {}
