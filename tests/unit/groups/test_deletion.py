"""DeleteGroups, OffsetDelete, and the offsets of deleted topics."""

import pytest

from tests.group_broker import CLIENT, GroupBroker, errors_of, join_request
from tests.group_log import GroupLog
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import Uuid
from tierbroker.groups.record_codec import (
    CommittedOffset,
    group_metadata_key,
    offset_key,
    offset_value,
)
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)

TOPIC_ID = Uuid(bytes(range(16)))
NEW_TOPIC_ID = Uuid(bytes(range(1, 17)))


def delete_offsets(
    broker: GroupBroker, group_id: str, wanted: dict[str, list[int]]
) -> OffsetDeleteResponse:
    return broker.coordinator.delete_offsets(delete_request(group_id, wanted)).result()


def delete_request(group_id: str, wanted: dict[str, list[int]]) -> OffsetDeleteRequest:
    return OffsetDeleteRequest(
        group_id,
        [
            OffsetDeleteRequestTopic(
                name, [OffsetDeleteRequestPartition(number) for number in partitions]
            )
            for name, partitions in wanted.items()
        ],
    )


def deleted(wanted: dict[str, list[int]], error: ErrorCode = ErrorCode.NONE) -> object:
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                name, [OffsetDeleteResponsePartition(number, error) for number in partitions]
            )
            for name, partitions in wanted.items()
        ]
    )


# --- DeleteGroups


def test_a_group_goes_with_all_its_offsets_in_one_batch() -> None:
    broker = GroupBroker()
    member_id, generation = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1, ("u", 3): 2}, member=(member_id, generation))
    broker.leave("g", member_id)
    before = len(broker.log.batches(0))
    assert broker.coordinator.delete_groups(["g"]).result() == {"g": ErrorCode.NONE}
    assert len(broker.log.batches(0)) == before + 1
    assert broker.log.records(0)[-3:] == [
        (offset_key("g", "t", 0), None),
        (offset_key("g", "u", 3), None),
        (group_metadata_key("g"), None),
    ]
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {}
        assert one.coordinator.describe_group("g").error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert one.coordinator.list_groups() == (ErrorCode.NONE, [])


def test_each_group_gets_its_own_answer() -> None:
    broker = GroupBroker()
    broker.join("busy", "t")
    broker.commit("simple", {("t", 0): 1})
    broker.commit("", {("t", 0): 1})
    done = broker.coordinator.delete_groups(["busy", "simple", "unknown", "", "simple"])
    assert done.result() == {
        "busy": ErrorCode.NON_EMPTY_GROUP,
        "simple": ErrorCode.NONE,
        "unknown": ErrorCode.GROUP_ID_NOT_FOUND,
        "": ErrorCode.NONE,
    }


def test_nothing_to_delete_is_answered_at_once() -> None:
    assert GroupBroker().coordinator.delete_groups([]).result() == {}


def test_a_group_is_gone_once_its_tombstones_are_flushed() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    done = broker.coordinator.delete_groups(["g"])
    assert not done.done
    assert broker.committed("g") == {("t", 0): 1}
    broker.log.flush()
    assert done.result() == {"g": ErrorCode.NONE}
    assert broker.committed("g") == {}


def test_a_group_whose_tombstones_cannot_be_written_stays() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    broker.log.refuse = KafkaStorageError()
    done = broker.coordinator.delete_groups(["g"])
    assert done.result() == {"g": ErrorCode.NOT_COORDINATOR}
    assert broker.committed("g") == {("t", 0): 1}


def test_a_group_with_an_open_transaction_goes_with_what_that_would_commit() -> None:
    broker = GroupBroker()
    record = offset_key("g", "t", 4), offset_value(CommittedOffset(5))
    broker.log.place_transactional(0, 9, [record])
    broker = broker.restarted()
    assert broker.coordinator.delete_groups(["g"]).result() == {"g": ErrorCode.NONE}
    assert (offset_key("g", "t", 4), None) in broker.log.records(0)
    broker.log.append_marker(0, 9, commit=True)
    assert broker.restarted().committed("g") == {}


def test_a_commit_on_its_way_is_deleted_with_its_group() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    broker.commit("g", {("t", 1): 2})
    done = broker.coordinator.delete_groups(["g"])
    broker.log.flush()
    assert done.result() == {"g": ErrorCode.NONE}
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {}


def test_a_commit_after_the_deletion_makes_the_group_anew() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1, ("t", 1): 1})
    broker.log.flush()
    broker.coordinator.delete_groups(["g"])
    broker.commit("g", {("t", 0): 2})
    broker.log.flush()
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("t", 0): 2}


def test_a_group_that_had_members_since_its_deletion_is_as_its_record_says() -> None:
    """They came while the tombstone was being written, and left: their record is the later one."""
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.leave("g", broker.join("g")[0])
    done = broker.coordinator.delete_groups(["g"])
    joined = broker.coordinator.join_group(join_request("g"), CLIENT, member_id_required=False)
    broker.coordinator.leave_group(
        LeaveGroupRequest("g", members=[MemberIdentity(joined.result().member_id)])
    )
    broker.log.flush()
    assert done.result() == {"g": ErrorCode.NONE}
    for one in (broker, broker.restarted()):
        assert one.coordinator.describe_group("g").group_state == "Empty"


def test_a_group_that_is_made_while_its_offsets_are_deleted_stays() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    done = broker.coordinator.delete_groups(["g"])
    told = broker.coordinator.join_group(join_request("g"), CLIENT, member_id_required=True)
    broker.log.flush()
    assert done.result() == {"g": ErrorCode.NONE}
    request = join_request("g", told.result().member_id)
    joined = broker.coordinator.join_group(request, CLIENT, member_id_required=True)
    assert joined.result().error_code == ErrorCode.NONE
    assert broker.restarted().coordinator.describe_group("g").group_state == "Empty"


# --- OffsetDelete


def test_offsets_are_deleted_whether_or_not_there_are_any() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1, ("t", 1): 2, ("u", 0): 3})
    wanted = {"t": [0, 7], "v": [0]}
    assert delete_offsets(broker, "g", wanted) == deleted(wanted)
    assert broker.committed("g") == {("t", 1): 2, ("u", 0): 3}
    assert broker.log.records(0)[-1] == (offset_key("g", "t", 0), None)
    assert broker.restarted().committed("g") == {("t", 1): 2, ("u", 0): 3}


def test_offsets_of_subscribed_topics_stay() -> None:
    broker = GroupBroker()
    member = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1, ("u", 0): 2}, member=member)
    answer = delete_offsets(broker, "g", {"t": [0, 1], "u": [0]})
    assert answer.topics == [
        OffsetDeleteResponseTopic(
            "t",
            [
                OffsetDeleteResponsePartition(number, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC)
                for number in (0, 1)
            ],
        ),
        OffsetDeleteResponseTopic("u", [OffsetDeleteResponsePartition(0, ErrorCode.NONE)]),
    ]
    assert broker.committed("g") == {("t", 0): 1}


def test_offsets_of_an_empty_group_can_all_be_deleted() -> None:
    broker = GroupBroker()
    member_id, generation = broker.join("g", "t")
    broker.commit("g", {("t", 0): 1}, member=(member_id, generation))
    broker.leave("g", member_id)
    assert delete_offsets(broker, "g", {"t": [0]}) == deleted({"t": [0]})
    assert broker.committed("g") == {}


@pytest.mark.parametrize(
    ("group_id", "error"),
    [
        ("unknown", ErrorCode.GROUP_ID_NOT_FOUND),
        ("", ErrorCode.INVALID_GROUP_ID),
        ("connect", ErrorCode.NON_EMPTY_GROUP),
    ],
)
def test_a_group_that_may_not_be_touched_is_refused_as_a_whole(
    group_id: str, error: ErrorCode
) -> None:
    broker = GroupBroker()
    broker.join("connect", "t", kind="connect")
    assert delete_offsets(broker, group_id, {"t": [0]}) == OffsetDeleteResponse(error_code=error)


def test_a_commit_on_its_way_is_deleted_and_a_later_one_is_not() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("u", 0): 1})
    broker.log.flush()
    broker.commit("g", {("t", 0): 1, ("t", 1): 1})
    done = broker.coordinator.delete_offsets(delete_request("g", {"t": [0, 1]}))
    broker.commit("g", {("t", 0): 2})
    broker.log.flush()
    assert done.result() == deleted({"t": [0, 1]})
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("u", 0): 1, ("t", 0): 2}


def test_a_failed_deletion_changes_nothing() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    broker.log.refuse = KafkaStorageError()
    answer = delete_offsets(broker, "g", {"t": [0]})
    assert answer == OffsetDeleteResponse(error_code=ErrorCode.NOT_COORDINATOR)
    assert broker.committed("g") == {("t", 0): 1}


# --- topics that were deleted


def test_offsets_of_a_deleted_topic_go_in_every_group() -> None:
    broker = GroupBroker()
    for group_id in ("g", "h"):
        broker.commit(group_id, {("t", 0): 1, ("t", 1): 1, ("u", 0): 2})
    broker.forget_topics("t", "v")
    for one in (broker, broker.restarted()):
        assert one.committed("g") == one.committed("h") == {("u", 0): 2}


def test_a_commit_for_a_new_topic_of_the_name_stays() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.log.flush()
    broker.forget_topics("t")
    broker.commit("g", {("t", 0): 2})
    broker.log.flush()
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("t", 0): 2}


@pytest.mark.parametrize("flushed", [False, True])
def test_a_commit_for_a_new_topic_stays_even_if_the_deletion_is_heard_of_late(
    flushed: bool,
) -> None:
    """Both changes are in the metadata; the files of a thousand partitions take their time."""
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1, ("t", 1): 1, ("t", 2): 1}, topic_id=TOPIC_ID)
    broker.log.flush()
    broker.commit("g", {("t", 1): 2}, topic_id=TOPIC_ID)
    done = broker.commit("g", {("t", 0): 2}, topic_id=NEW_TOPIC_ID)
    if flushed:
        broker.log.flush()
    broker.forget_topics("t", topic_id=TOPIC_ID)
    broker.log.flush()
    assert errors_of(done) == {("t", 0): ErrorCode.NONE}
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("t", 0): 2}


def test_offsets_of_deleted_topics_go_in_later_turns() -> None:
    """A topic with many partitions in many groups must not hold the loop (D-11)."""
    broker = GroupBroker()
    for group_id in ("g", "h"):
        broker.commit(group_id, {("t", 0): 1})
    broker.coordinator.forget_topics({"t": TOPIC_ID})
    assert broker.committed("g") == broker.committed("h") == {("t", 0): 1}
    broker.scheduler.end_turn()
    assert broker.committed("g") == broker.committed("h") == {}


def test_a_shard_that_is_closed_forgets_no_more() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    before = len(broker.log.batches(0))
    broker.coordinator.forget_topics({"t": TOPIC_ID})
    broker.coordinator.unload(0)
    broker.scheduler.end_turn()
    assert len(broker.log.batches(0)) == before


def test_offsets_that_cannot_be_deleted_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    broker.log.refuse = KafkaStorageError()
    broker.forget_topics("t")
    assert "'g' keeps offsets of deleted topics: NOT_COORDINATOR" in caplog.text


def test_a_commit_on_its_way_goes_with_its_topic() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    broker.commit("g", {("t", 0): 1})
    broker.forget_topics("t")
    broker.commit("g", {("t", 1): 2})
    broker.log.flush()
    for one in (broker, broker.restarted()):
        assert one.committed("g") == {("t", 1): 2}


def test_topics_deleted_while_a_shard_loads_are_forgotten_afterwards() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1, ("u", 0): 2})
    again = GroupBroker(broker.log, load=False)
    again.coordinator.load(0)
    again.forget_topics("t")
    again.scheduler.end_turn()
    assert again.committed("g") == {("u", 0): 2}


def test_an_open_transactions_offset_of_a_deleted_topic_goes_as_well() -> None:
    broker = GroupBroker()
    record = offset_key("g", "t", 4), offset_value(CommittedOffset(5))
    broker.log.place_transactional(0, 9, [record])
    broker = broker.restarted()
    broker.forget_topics("t")
    broker.log.append_marker(0, 9, commit=True)
    assert broker.restarted().committed("g") == {}
