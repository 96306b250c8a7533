"""TxnOffsetCommit and what becomes of its offsets when the transaction ends."""

from dataclasses import replace

import pytest

from tests.group_broker import CLIENT, CONFIG, GroupBroker, Offsets, errors_of, join_request
from tests.group_log import GroupLog
from tierbroker.base.errors import (
    ApiError,
    InvalidProducerEpochError,
    KafkaStorageError,
    MessageTooLargeError,
    NotEnoughReplicasError,
)
from tierbroker.base.ids import Uuid
from tierbroker.groups.record_codec import decode_offset_value
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode

ID, OTHER_ID = Uuid(b"1" * 16), Uuid(b"2" * 16)
PLACE = ("t", 0)


def stable(broker: GroupBroker, group_id: str = "g") -> tuple[int, int]:
    """(error, offset) of t-0 as a consumer of committed data is told."""
    answer = broker.fetch(group_id, {"t": [0]}, require_stable=True)
    (partition,) = answer.topics[0].partitions
    return partition.error_code, partition.committed_offset


# --- trap 21: invisible until the marker


def test_an_offset_counts_once_the_transaction_commits() -> None:
    broker = GroupBroker()
    broker.commit("g", {PLACE: 1})
    assert errors_of(broker.commit_transactional("g", {PLACE: 5})) == {PLACE: ErrorCode.NONE}
    assert broker.committed("g") == {PLACE: 1}
    broker.end_transaction()
    assert broker.committed("g") == {PLACE: 5}


def test_an_offset_of_an_aborted_transaction_never_counts() -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5})
    broker.end_transaction(commit=False)
    assert broker.committed("g") == {}
    assert stable(broker) == (ErrorCode.NONE, -1)


def test_the_client_is_answered_when_its_commit_is_flushed() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    done = broker.commit_transactional("g", {PLACE: 5})
    assert not done.done
    assert stable(broker) == (ErrorCode.NONE, -1)
    broker.log.flush()
    assert errors_of(done) == {PLACE: ErrorCode.NONE}
    assert stable(broker) == (ErrorCode.UNSTABLE_OFFSET_COMMIT, -1)


def test_a_marker_changes_the_group_once_flushed_and_in_log_order() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit_transactional("g", {PLACE: 5})
    broker.end_transaction()
    broker.commit_transactional("g", {PLACE: 6})
    assert broker.committed("g") == {}
    broker.log.flush()
    assert broker.committed("g") == {PLACE: 5}
    assert stable(broker)[0] == ErrorCode.UNSTABLE_OFFSET_COMMIT
    broker.end_transaction(commit=False)
    assert broker.committed("g") == {PLACE: 5}
    broker.log.flush()
    assert stable(broker) == (ErrorCode.NONE, 5)


@pytest.mark.parametrize("first", [8, 9])
def test_the_order_of_records_decides_not_that_of_markers(first: int) -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 1}, producer=(8, 0))
    broker.commit_transactional("g", {PLACE: 2}, producer=(9, 0))
    for producer_id in (first, 17 - first):
        broker.end_transaction(producer_id)
    assert broker.committed("g") == {PLACE: 2}
    assert broker.restarted().committed("g") == {PLACE: 2}


def test_a_plain_commit_after_it_wins() -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5})
    broker.commit("g", {PLACE: 7})
    broker.end_transaction()
    assert broker.committed("g") == {PLACE: 7}
    assert broker.restarted().committed("g") == {PLACE: 7}


def test_the_record_is_of_the_producer_s_transaction() -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5}, producer=(9, 3), topic_ids={"t": ID})
    (batch,) = broker.log.batches(0)
    header = read_header(batch)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (9, 3, 0)
    assert header.transactional
    ((_, value),) = broker.log.records(0)
    assert value is not None
    assert decode_offset_value(value)[::5] == (5, ID)


# --- a group with an open transaction


@pytest.mark.parametrize("commit", [True, False])
def test_open_offsets_survive_a_restart(commit: bool) -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5})
    again = broker.restarted()
    assert stable(again) == (ErrorCode.UNSTABLE_OFFSET_COMMIT, -1)
    again.end_transaction(commit=commit)
    assert again.committed("g") == ({PLACE: 5} if commit else {})


def test_what_is_open_does_not_expire_nor_does_its_group() -> None:
    config = replace(CONFIG, offsets_retention_ms=1_000)
    broker = GroupBroker(config=config)
    member, _ = broker.join("g", "t")
    broker.leave("g", member)
    broker.commit("g", {PLACE: 1})
    broker.commit_transactional("g", {PLACE: 5})
    written = len(broker.log.batches(0))

    def expire() -> None:
        broker.clock.advance(5_000)
        broker.coordinator.expire_offsets()
        broker.scheduler.end_turn()

    expire()
    assert broker.committed("g") == {PLACE: 1}
    assert len(broker.log.batches(0)) == written
    broker.end_transaction()
    expire()
    assert broker.committed("g") == {}
    assert broker.coordinator.describe_group("g").error_code == ErrorCode.GROUP_ID_NOT_FOUND


def test_a_commit_on_its_way_keeps_its_group_from_expiring() -> None:
    config = replace(CONFIG, offsets_retention_ms=1_000)
    broker = GroupBroker(config=config)
    broker.commit("g", {PLACE: 1})
    broker.log.auto_flush = False
    done = broker.commit_transactional("g", {PLACE: 5})
    broker.clock.advance(5_000)
    broker.coordinator.expire_offsets()
    broker.scheduler.end_turn()
    broker.log.flush()
    assert errors_of(done) == {PLACE: ErrorCode.NONE}
    assert broker.committed("g") == {PLACE: 1}


def test_a_deleted_group_takes_its_open_offsets_with_it() -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5})
    broker.log.auto_flush = False
    broker.commit_transactional("g", {("t", 1): 6})
    deleted = broker.coordinator.delete_groups(["g"])
    broker.log.auto_flush = True
    broker.log.flush()
    assert deleted.result() == {"g": ErrorCode.NONE}
    for coordinated in (broker, broker.restarted()):
        assert stable(coordinated) == (ErrorCode.NONE, -1)
    broker.end_transaction()
    assert broker.committed("g") == {}
    assert broker.restarted().committed("g") == {}


@pytest.mark.parametrize(("forgotten", "left"), [(ID, {}), (OTHER_ID, {PLACE: 5})])
def test_open_offsets_go_with_the_topic_that_they_are_for(forgotten: Uuid, left: Offsets) -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5}, topic_ids={"t": ID})
    broker.forget_topics("t", topic_id=forgotten)
    broker.end_transaction()
    assert broker.committed("g") == left


# --- markers of shards that are not active


def test_a_marker_that_comes_while_the_shard_loads_is_not_forgotten() -> None:
    """The loader may have read past the end that it knew before the marker was visible."""
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5})
    again = GroupBroker(broker.log, load=False)
    again.coordinator.load(0)
    again.coordinator.complete_transaction(0, 9, commit=True)
    again.scheduler.end_turn()
    assert again.committed("g") == {PLACE: 5}


def test_a_marker_that_the_loader_reads_as_well_counts_once() -> None:
    broker = GroupBroker()
    broker.commit_transactional("g", {PLACE: 5})
    again = GroupBroker(broker.log, load=False)
    again.coordinator.load(0)
    again.end_transaction()
    again.scheduler.end_turn()
    assert again.committed("g") == {PLACE: 5}


def test_a_marker_of_a_shard_that_is_not_here() -> None:
    broker = GroupBroker(load=False)
    broker.coordinator.complete_transaction(0, 9, commit=True)
    broker.coordinator.load(0)
    broker.coordinator.unload(0)
    broker.coordinator.complete_transaction(0, 9, commit=True)
    assert broker.log.batches(0) == []


# --- refusals


def test_members_are_checked() -> None:
    broker = GroupBroker()
    member, generation = broker.join("g", "t")

    def error(group_id: str, member_id: str, generation_id: int) -> int:
        done = broker.commit_transactional(group_id, {PLACE: 5}, member=(member_id, generation_id))
        return errors_of(done)[PLACE]

    assert error("g", member, generation) == ErrorCode.NONE
    assert error("g", member, generation + 1) == ErrorCode.ILLEGAL_GENERATION
    assert error("g", "stranger", generation) == ErrorCode.UNKNOWN_MEMBER_ID
    # Older versions of the request know no members: such a commit is accepted, as in Kafka.
    assert error("g", "", -1) == ErrorCode.NONE
    assert error("nobody", "m", 3) == ErrorCode.ILLEGAL_GENERATION
    assert error("nobody", "", -1) == ErrorCode.NONE
    assert error("nobody", "m", 3) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_may_commit_while_its_group_waits_for_the_leader() -> None:
    broker = GroupBroker()
    request = join_request("g", "", "t")
    joined = broker.coordinator.join_group(request, CLIENT, member_id_required=False).result()
    member = (joined.member_id, joined.generation_id)
    assert errors_of(broker.commit("g", {PLACE: 5}, member=member)) == {
        PLACE: ErrorCode.REBALANCE_IN_PROGRESS
    }
    done = broker.commit_transactional("g", {PLACE: 5}, member=member)
    assert errors_of(done) == {PLACE: ErrorCode.NONE}


def test_metadata_that_is_too_long_is_refused_and_nothing_written() -> None:
    broker = GroupBroker()
    done = broker.commit_transactional("g", {PLACE: 5}, metadata="x" * 5_000)
    assert errors_of(done) == {PLACE: ErrorCode.OFFSET_METADATA_TOO_LARGE}
    assert broker.log.batches(0) == []


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (InvalidProducerEpochError("old"), ErrorCode.INVALID_PRODUCER_EPOCH),
        (NotEnoughReplicasError("few"), ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (KafkaStorageError("disk"), ErrorCode.NOT_COORDINATOR),
        (MessageTooLargeError("large"), ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_what_the_log_refuses_is_told(failure: ApiError, code: ErrorCode) -> None:
    broker = GroupBroker()
    broker.log.refuse = failure
    assert errors_of(broker.commit_transactional("g", {PLACE: 5})) == {PLACE: code}
    assert stable(broker) == (ErrorCode.NONE, -1)


def test_shards_that_cannot_be_asked() -> None:
    broker = GroupBroker(load=False)
    assert errors_of(broker.commit_transactional("g", {PLACE: 5})) == {
        PLACE: ErrorCode.NOT_COORDINATOR
    }
    broker.coordinator.load(0)
    assert errors_of(broker.commit_transactional("g", {PLACE: 5})) == {
        PLACE: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    }
    broker.scheduler.end_turn()
    assert errors_of(broker.commit_transactional("", {PLACE: 5})) == {
        PLACE: ErrorCode.INVALID_GROUP_ID
    }
