"""Routing to shards, and what is answered when a shard cannot be asked."""

import tracemalloc
from dataclasses import replace

import pytest

from tests.group_broker import CLIENT, CONFIG, GroupBroker, commit_request, errors_of
from tests.group_log import GroupLog
from tierbroker.base.pending import Pending
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.heartbeat import HeartbeatRequest
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tierbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tierbroker.wire.messages.list_groups import ListedGroup
from tierbroker.wire.messages.offset_delete import OffsetDeleteRequest
from tierbroker.wire.messages.offset_fetch import OffsetFetchRequestGroup
from tierbroker.wire.messages.sync_group import SyncGroupRequest

MANY = replace(CONFIG, offsets_partitions=50)


# --- routing


def test_names_that_strangers_make_up_are_not_kept() -> None:
    """INV-12: thousands of the longest names would fill hundreds of megabytes for good."""
    broker = GroupBroker()
    broker.coordinator.heartbeat(HeartbeatRequest("warm" * 7_000))
    tracemalloc.start()
    for number in range(10):
        broker.coordinator.heartbeat(HeartbeatRequest(f"{number:010}" + "x" * 32_000))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000


@pytest.mark.parametrize(
    ("group_id", "partition"), [("", 0), ("a", 47), ("polygenelubricants", 0), ("Hello, world!", 5)]
)
def test_a_group_lives_where_kafka_would_keep_it(group_id: str, partition: int) -> None:
    assert GroupBroker(config=MANY, load=False).coordinator.partition_for(group_id) == partition


def test_every_group_has_its_shard() -> None:
    broker = GroupBroker(config=MANY)
    names = [f"group-{number}" for number in range(100)]
    for number, name in enumerate(names):
        broker.commit(name, {("t", 0): number})
    written = {partition for partition in range(50) if broker.log.batches(partition)}
    assert written == {broker.coordinator.partition_for(name) for name in names}
    again = broker.restarted(MANY)
    assert [again.committed(name) for name in names] == [{("t", 0): n} for n in range(100)]
    assert sorted(row.group_id for row in again.coordinator.list_groups()[1]) == sorted(names)


# --- shards that cannot be asked


def join(broker: GroupBroker, group_id: str = "g") -> int:
    request = JoinGroupRequest(
        group_id,
        10_000,
        10_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", b"")],
    )
    done = broker.coordinator.join_group(request, CLIENT, member_id_required=False)
    return done.result().error_code


def all_errors(broker: GroupBroker, group_id: str = "g") -> dict[str, int]:
    """What every request for a group is answered."""
    asked = broker.coordinator
    leaving = asked.leave_group(LeaveGroupRequest(group_id, members=[MemberIdentity("m")]))
    commit = errors_of(asked.commit_offsets(commit_request(group_id, {("t", 0): 1})))
    fetch = OffsetFetchRequestGroup(group_id, topics=None)
    return {
        "join": join(broker, group_id),
        "sync": asked.sync_group(SyncGroupRequest(group_id)).result().error_code,
        "heartbeat": asked.heartbeat(HeartbeatRequest(group_id)).error_code,
        "leave": leaving.result().error_code,
        "commit": commit["t", 0],
        "fetch": asked.fetch_offsets(fetch, require_stable=True).error_code,
        "delete offsets": asked.delete_offsets(OffsetDeleteRequest(group_id)).result().error_code,
        "describe": asked.describe_group(group_id).error_code,
        "delete": asked.delete_groups([group_id]).result()[group_id],
    }


def test_a_shard_that_is_led_elsewhere_is_not_coordinated_here() -> None:
    errors = all_errors(GroupBroker(load=False))
    assert set(errors.values()) == {ErrorCode.NOT_COORDINATOR}


def test_a_shard_that_is_loading_says_so_but_for_heartbeats() -> None:
    broker = GroupBroker(load=False)
    broker.coordinator.load(0)
    assert not broker.coordinator.loaded
    errors = all_errors(broker)
    assert errors.pop("heartbeat") == ErrorCode.NONE
    assert set(errors.values()) == {ErrorCode.COORDINATOR_LOAD_IN_PROGRESS}
    assert broker.coordinator.list_groups() == (ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, [])
    broker.scheduler.end_turn()
    assert broker.coordinator.loaded
    assert broker.coordinator.list_groups() == (ErrorCode.NONE, [])


def test_a_shard_that_cannot_be_loaded_is_not_available() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    broker.log.damage(0, 0, 90)
    again = broker.restarted()
    assert again.coordinator.loaded
    assert set(all_errors(again).values()) == {ErrorCode.COORDINATOR_NOT_AVAILABLE}
    assert again.coordinator.list_groups() == (ErrorCode.NONE, [])


def test_after_stop_nothing_is_available() -> None:
    broker = GroupBroker()
    broker.coordinator.stop()
    assert set(all_errors(broker).values()) == {ErrorCode.COORDINATOR_NOT_AVAILABLE}
    assert broker.coordinator.list_groups() == (ErrorCode.COORDINATOR_NOT_AVAILABLE, [])
    broker.coordinator.load(0)
    assert broker.coordinator.list_groups() == (ErrorCode.COORDINATOR_NOT_AVAILABLE, [])
    assert len(broker.deadlines) == 0


def test_only_offsets_may_belong_to_the_empty_group_id() -> None:
    errors = all_errors(GroupBroker(), "")
    invalid = {name for name, error in errors.items() if error == ErrorCode.INVALID_GROUP_ID}
    assert invalid == {"join", "sync", "heartbeat", "leave", "delete offsets"}
    assert errors["commit"] == errors["fetch"] == ErrorCode.NONE


def test_a_group_id_that_no_record_can_hold_is_invalid() -> None:
    broker = GroupBroker()
    for group_id in ("g" * 40_000, "ü" * 20_000):
        assert set(all_errors(broker, group_id).values()) == {ErrorCode.INVALID_GROUP_ID}
    assert broker.log.records(0) == []
    longest = "g" * 0x7FFF
    assert errors_of(broker.commit(longest, {("t", 0): 1})) == {("t", 0): ErrorCode.NONE}


# --- life


def parked_join(broker: GroupBroker) -> Pending:
    """A JoinGroup that waits for the other member of the group."""
    broker.join("g", "t")
    request = JoinGroupRequest(
        "g",
        10_000,
        10_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", b"")],
    )
    done = broker.coordinator.join_group(request, CLIENT, member_id_required=False)
    assert not done.done
    return done


def test_parked_requests_are_answered_when_leadership_goes() -> None:
    broker = GroupBroker()
    parked = parked_join(broker)
    broker.coordinator.unload(0)
    broker.coordinator.unload(0)
    assert parked.result().error_code == ErrorCode.NOT_COORDINATOR
    assert join(broker) == ErrorCode.NOT_COORDINATOR


def test_parked_requests_are_answered_and_timers_taken_back_at_stop() -> None:
    broker = GroupBroker()
    parked = parked_join(broker)
    assert len(broker.deadlines) > 0
    broker.coordinator.stop()
    broker.coordinator.stop()
    assert parked.result().error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert len(broker.deadlines) == 0


def test_a_commit_on_its_way_is_answered_by_its_flush_even_after_stop() -> None:
    broker = GroupBroker(GroupLog(auto_flush=False))
    done = broker.commit("g", {("t", 0): 1})
    broker.coordinator.stop()
    broker.log.flush()
    assert errors_of(done) == {("t", 0): ErrorCode.NONE}
    assert broker.restarted().committed("g") == {("t", 0): 1}


def test_unloading_ends_a_loading() -> None:
    broker = GroupBroker()
    broker.commit("g", {("t", 0): 1})
    again = GroupBroker(broker.log, load=False)
    again.coordinator.load(0)
    again.coordinator.unload(0)
    assert again.coordinator.loaded
    again.scheduler.end_turn()
    assert again.fetch("g").error_code == ErrorCode.NOT_COORDINATOR
    again.coordinator.load(0)
    again.coordinator.load(0)
    again.scheduler.end_turn()
    assert again.committed("g") == {("t", 0): 1}


def test_members_survive_a_restart() -> None:
    broker = GroupBroker()
    member_id, generation = broker.join("g", "t")
    again = broker.restarted()
    beat = again.coordinator.heartbeat(HeartbeatRequest("g", generation, member_id))
    assert beat.error_code == ErrorCode.NONE
    assert again.coordinator.describe_group("g").group_state == "Stable"


# --- views


def test_groups_are_listed_by_state_and_type() -> None:
    broker = GroupBroker()
    broker.join("stable", "t")
    broker.commit("simple", {("t", 0): 1})
    member_id, generation = broker.join("left", "t")
    broker.commit("left", {("t", 0): 1}, member=(member_id, generation))
    broker.leave("left", member_id)
    stable = ListedGroup("stable", "consumer", "Stable", "classic")
    left = ListedGroup("left", "consumer", "Empty", "classic")
    simple = ListedGroup("simple", "", "Empty", "classic")

    def listed(states: list[str], types: list[str]) -> list[ListedGroup]:
        error, groups = broker.coordinator.list_groups(states, types)
        assert error == ErrorCode.NONE
        return groups

    assert listed([], []) == [stable, left, simple]
    assert listed(["STABLE"], []) == [stable]
    assert listed(["empty", "Dead"], ["Classic"]) == [left, simple]
    assert listed(["nonsense"], []) == []
    assert listed([], ["consumer"]) == []
    assert listed([], ["share", "classic"]) == [stable, left, simple]


def test_a_group_that_does_not_exist_is_described_as_dead() -> None:
    described = GroupBroker().coordinator.describe_group("g")
    assert described.error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert described.error_message == "Group g not found."
    assert described.group_state == "Dead"
