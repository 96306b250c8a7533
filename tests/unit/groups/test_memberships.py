"""What the coordinator sees of all groups of a shard; the transcripts tell the whole story."""

import re

import pytest

from tests.group_world import CLIENT, GroupWorld
from tierbroker.base.errors import NotLeaderOrFollowerError
from tierbroker.groups.client import Client
from tierbroker.groups.config import GroupConfig
from tierbroker.groups.group import GroupState
from tierbroker.groups.records.group_metadata_value import GroupMetadataValue, MemberMetadata
from tierbroker.wire.error_codes import ErrorCode

TOPIC_A = b"\0\1\0\0\0\1\0\1a\xff\xff\xff\xff"
TOPIC_B = b"\0\1\0\0\0\1\0\1b\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("session_ms", "error"),
    [
        (5_999, ErrorCode.INVALID_SESSION_TIMEOUT),
        (6_000, ErrorCode.MEMBER_ID_REQUIRED),
        (1_800_000, ErrorCode.MEMBER_ID_REQUIRED),
        (1_800_001, ErrorCode.INVALID_SESSION_TIMEOUT),
        (-1, ErrorCode.INVALID_SESSION_TIMEOUT),
    ],
)
def test_session_timeouts_have_bounds(session_ms: int, error: ErrorCode) -> None:
    world = GroupWorld()
    assert world.join(session_ms=session_ms).result().error_code == error
    assert (world.state() is None) == (error is ErrorCode.INVALID_SESSION_TIMEOUT)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_old_clients_are_members_at_once(version: int) -> None:
    world = GroupWorld()
    response = world.join(version=version).result()
    assert response.error_code == ErrorCode.NONE
    assert response.leader == response.member_id


def test_a_member_id_is_the_client_or_the_instance_and_a_uuid() -> None:
    world = GroupWorld()
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    dynamic = world.join(client=Client("my client", "/h")).result().member_id
    static = world.join(instance="my instance", group="h").result().member_id
    assert dynamic.startswith("my client-")
    assert static.startswith("my instance-")
    for member_id in (dynamic, static):
        assert re.fullmatch(rf".*-{uuid}", member_id)


def test_version_0_rebalances_within_the_session_timeout() -> None:
    world = GroupWorld()
    member = world.join(version=0, session_ms=20_000, rebalance_ms=-1).result().member_id
    assert world.groups._groups["g"].members[member].rebalance_timeout_ms == 20_000


def test_a_group_that_is_refused_at_once_leaves_nothing() -> None:
    world = GroupWorld()
    assert world.join(protocols=()).result().error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert world.join("made up").result().error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert list(world.groups.listed()) == []
    assert world.journal.flushed == []
    assert world.groups.describe("g") is None


def test_a_parked_member_whose_connection_goes_away_stays() -> None:
    world = GroupWorld()
    (leader,) = world.stable(1)
    member_id, parked = world.join_dynamic()
    parked.cancel()
    assert world.state() == "PreparingRebalance"
    assert world.join(leader).done
    assert world.state() == "CompletingRebalance"
    assert member_id in world.groups._groups["g"].members


def test_a_join_that_is_repeated_answers_the_first_one() -> None:
    world = GroupWorld()
    world.stable(1)
    member_id, first = world.join_dynamic()
    second = world.join(member_id)
    assert first.result().error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert not second.done


def test_requests_that_come_in_with_an_answer_find_a_consistent_group() -> None:
    """A connection may go on with its next request while the others are still to be answered."""
    world = GroupWorld()
    leader, follower = world.stable(2)
    synced: list[bytes] = []
    parked = world.join(leader)

    def go_on(_: object) -> None:
        generation = parked.result().generation_id
        world.sync(leader, generation, {leader: b"1", follower: b"2"}).on_done(
            lambda done: synced.append(bytes(done.result().assignment))
        )

    parked.on_done(go_on)
    joined = world.join(follower)
    assert synced == [b"1"]
    assert joined.result().generation_id == parked.result().generation_id
    assert bytes(world.sync(follower, joined.result().generation_id).result().assignment) == b"2"


def test_a_restart_does_not_rebalance_stable_groups() -> None:
    world = GroupWorld()
    members = world.stable(3)
    generation = world.generation()
    world.restart()
    for position, member in enumerate(members):
        assert world.heartbeat(member, generation) == ErrorCode.NONE
        synced = world.sync(member, generation).result()
        assert bytes(synced.assignment) == str(position).encode()
    assert world.state() == "Stable"


def test_a_record_without_a_rebalance_timeout_uses_the_session_timeout() -> None:
    world = GroupWorld()
    groups = world._memberships()
    members = [MemberMetadata("m", None, "c", "/h", -1, 7_000, b"s", b"a")]
    groups.restore(GroupMetadataValue("consumer", 4, "range", "m", -1, members), "g")
    groups.restore(GroupMetadataValue("consumer", 4, None, None, -1, []), "empty")
    groups.start()
    assert groups._groups["g"].members["m"].rebalance_timeout_ms == 7_000
    assert groups.state("empty") is GroupState.EMPTY
    assert groups.empty_since_ms("empty") is None


def test_replayed_tombstones_remove_groups_with_members() -> None:
    world = GroupWorld()
    groups = world._memberships()
    members = [MemberMetadata("m", None, "c", "/h", 1, 7_000, b"s", b"a")]
    groups.restore(GroupMetadataValue("consumer", 4, "range", "m", 0, members), "g")
    groups.forget("g")
    groups.forget("g")
    groups.start()
    assert groups.state("g") is None
    assert len(world.timers) == 0


def test_members_that_leave_unknown_get_their_own_error() -> None:
    world = GroupWorld()
    response = world.leave("nobody", ("", "instance"), ("", None)).result()
    assert response.error_code == ErrorCode.NONE
    codes = [member.error_code for member in response.members]
    assert codes == [ErrorCode.UNKNOWN_MEMBER_ID] * 3


def test_an_empty_assignment_is_present() -> None:
    world = GroupWorld()
    (leader,) = world.stable(1)
    generation = world.join(leader).result().generation_id
    response = world.sync(leader, generation, {}).result()
    assert response.error_code == ErrorCode.NONE
    assert response.assignment == b""


def test_views_of_a_stable_group() -> None:
    world = GroupWorld()
    one, _ = world.join_dynamic(protocols=(("range", TOPIC_A),))
    two, parked = world.join_dynamic(protocols=(("range", TOPIC_B),))
    world.join(one, protocols=(("range", TOPIC_A),))
    assert parked.done
    assert world.groups.subscribed_topics("g") == {"a", "b"}
    assert world.groups.uses_consumer_protocol("g")
    assert world.groups.empty_since_ms("g") is None
    assert world.groups.delete("g") == (ErrorCode.NON_EMPTY_GROUP, None)
    world.clock.advance(1_000)
    left_ms = world.clock.now_ms()
    world.leave(one, two)
    assert world.groups.empty_since_ms("g") == left_ms
    assert world.groups.subscribed_topics("g") == frozenset()
    assert world.groups.uses_consumer_protocol("g")


def test_metadata_that_is_not_a_consumers_cannot_be_told() -> None:
    world = GroupWorld()
    world.stable(1)
    assert world.groups.subscribed_topics("g") is None
    assert world.groups.uses_consumer_protocol("g")
    world.stable(1, group="connect", protocol_type="connect")
    assert world.groups.subscribed_topics("connect") is None
    assert not world.groups.uses_consumer_protocol("connect")


def test_a_group_of_offsets_alone_is_empty() -> None:
    world = GroupWorld(has_offsets=lambda group_id: group_id == "simple")
    described = world.groups.describe("simple")
    assert described is not None
    assert (described.group_state, described.protocol_type) == ("Empty", "")
    assert world.groups.state("simple") is GroupState.EMPTY
    assert world.groups.state("other") is None
    assert world.groups.empty_since_ms("simple") is None
    assert world.groups.subscribed_topics("simple") == frozenset()
    error, tombstone = world.groups.delete("simple")
    assert error is ErrorCode.NONE
    assert tombstone is not None
    assert world.groups.delete("other") == (ErrorCode.GROUP_ID_NOT_FOUND, None)


def test_after_it_stopped_nothing_comes_of_writes_under_way() -> None:
    world = GroupWorld(flush_at_once=False)
    member_id, joined = world.join_dynamic()
    parked = world.sync(member_id, joined.result().generation_id, {member_id: b"all"})
    static = world.join(instance="i")
    world.groups.stop(ErrorCode.NOT_COORDINATOR)
    assert parked.result().error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert static.result().error_code == ErrorCode.NOT_COORDINATOR
    world.journal.flush()
    world.journal.fail(NotLeaderOrFollowerError())
    assert len(world.timers) == 0
    assert list(world.groups.listed()) == []


@pytest.mark.parametrize(
    "reached", ["told its id", "join parked", "told the generation", "sync parked", "stable"]
)
@pytest.mark.parametrize("leads", [True, False])
def test_a_member_that_vanishes_leaves_nothing(reached: str, leads: bool) -> None:
    """Whatever it was doing, and whoever it was: the other one goes on, and then goes as well."""
    world = GroupWorld()
    vanished, other = world.stable(2) if leads else world.stable(2)[::-1]
    generation = world.generation() + 1
    if reached == "told its id":
        vanished = world.join().result().member_id
    elif reached == "join parked":
        world.join(vanished, protocols=(("range", b"new"),)).cancel()
    elif reached != "stable":
        parked = world.join(vanished, protocols=(("range", b"new"),))
        assert world.join(other).result().generation_id == parked.result().generation_id
        if reached == "sync parked":
            world.journal.flush_at_once = False
            world.sync(vanished, generation, {vanished: b"1", other: b"2"}).cancel()
    for _ in range(60):
        world.advance(3_000)
        world.journal.flush()
        error = world.heartbeat(other, world.generation())
        if error == ErrorCode.REBALANCE_IN_PROGRESS:
            world.join(other)
        if world.state() == "CompletingRebalance":
            world.sync(other, world.generation(), {other: b"all"})
    assert vanished not in world.groups._groups["g"].members
    assert list(world.groups._groups["g"].members) == [other]
    world.advance(600_000)
    assert world.state() == "Empty"
    assert len(world.timers) == 0
    world.journal.flush()
    assert world.journal.groups()["g"].members == []


def test_a_thousand_members_rebalance_once() -> None:
    world = GroupWorld(GroupConfig(initial_rebalance_delay_ms=3_000))
    joins = [world.join(version=3, client=CLIENT) for _ in range(1_000)]
    world.advance(6_000)
    answers = [join.result() for join in joins]
    assert {answer.generation_id for answer in answers} == {1}
    assert sum(len(answer.members) for answer in answers) == 1_000
    members = [answer.member_id for answer in answers]
    world.settle(members)
    assert world.state() == "Stable"
    assert len(world.journal.flushed) == 2
