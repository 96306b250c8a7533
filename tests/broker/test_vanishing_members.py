"""Members whose connections end without a word, in each state that a group can be in.

The others go on when a session or the rebalance timeout is over, and nobody is left who is not
there. Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

import time
from collections.abc import Callable

from tests.broker.group_calls import (
    SHORTEST_SESSION_MS,
    Member,
    await_members,
    committed,
    join_request,
    make_joined,
    make_stable,
    member_ids,
    state_of,
    wait_until,
)
from tests.broker.wire_client import WireClient
from tierbroker.wire.error_codes import ErrorCode

OK = ErrorCode.NONE
REBALANCE = ErrorCode.REBALANCE_IN_PROGRESS
SHORT = {
    "session_timeout_ms": SHORTEST_SESSION_MS,
    "rebalance_timeout_ms": SHORTEST_SESSION_MS,
}


def test_members_vanish_in_each_state(
    client: WireClient, topic: str, new_member: Callable[..., Member]
) -> None:
    """All at once, so that the sessions are waited for only once."""
    # With an id that it was given and never used.
    unborn = new_member("unborn", **SHORT)
    asked = unborn.client.call(join_request(unborn.group, **SHORT), 5)
    assert asked.error_code == ErrorCode.MEMBER_ID_REQUIRED
    # While everybody has to join again: one that does not.
    late, waiting = new_member("late", **SHORT), new_member("late", **SHORT)
    make_stable(late)
    waiting.start_join()
    await_members(client, late.group, 2)
    # Between join and assignment: the leader.
    leader, follower = new_member("leader", **SHORT), new_member("leader", **SHORT)
    make_joined(leader, follower)
    follower.start_sync()
    # In a stable group: one of two, and the only one.
    staying, leaving = new_member("stable", **SHORT), new_member("stable", **SHORT)
    make_stable(staying, leaving)
    lonely = new_member("lonely", **SHORT)
    make_stable(lonely)
    assert lonely.commit(topic, 7) == OK

    for gone in (unborn, late, leader, leaving, lonely):
        gone.client.close()

    wait_until(lambda: staying.heartbeat() == REBALANCE, "a rebalance of who is left")
    assert staying.join().error_code == OK
    assert member_ids(client, staying.group) == [staying.id]
    alone = waiting.joined()
    assert (alone.error_code, alone.leader) == (OK, waiting.id)
    assert member_ids(client, waiting.group) == [waiting.id]
    assert follower.synced().error_code == REBALANCE
    assert follower.join().error_code == OK
    assert member_ids(client, follower.group) == [follower.id]
    wait_until(lambda: state_of(client, lonely.group) == "Empty", "an empty group")
    assert committed(client, lonely.group) == {(topic, 0): 7}
    # As long as a session has passed: the id is forgotten.
    again = client.call(join_request(unborn.group, asked.member_id, **SHORT), 5)
    assert again.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert member_ids(client, unborn.group) == []


def test_a_member_whose_join_waits_vanishes(
    client: WireClient, new_member: Callable[..., Member]
) -> None:
    """Its JoinGroup counts: the rebalance takes place with it, and another one without it."""
    patient, parked = new_member(**SHORT), new_member(**SHORT)
    make_stable(patient)
    parked.start_join()
    await_members(client, patient.group, 2)
    parked.client.close()
    time.sleep(0.1)
    assert len(member_ids(client, patient.group)) == 2
    answer = patient.join()
    assert (answer.error_code, len(answer.members)) == (OK, 2)
    assert patient.sync({patient.id: b"all"}).error_code == OK
    wait_until(lambda: patient.heartbeat() == REBALANCE, "a rebalance without who vanished")
    make_stable(patient)
    assert member_ids(client, patient.group) == [patient.id]


def test_a_member_whose_sync_waits_vanishes(
    client: WireClient, new_member: Callable[..., Member]
) -> None:
    """The assignment is not lost by it: who comes back before the session ends can ask again."""
    leader, follower = new_member(**SHORT), new_member(**SHORT)
    make_joined(leader, follower)
    follower.start_sync()
    time.sleep(0.1)
    follower.client.close()
    assert leader.sync({leader.id: b"mine", follower.id: b"yours"}).error_code == OK
    assert state_of(client, leader.group) == "Stable"
    follower.client = client.another()
    assert bytes(follower.sync().assignment) == b"yours"
    assert follower.heartbeat() == OK
    follower.client.close()
