"""The classic protocol of groups: joining, syncing, heartbeats and leaving."""

from integration.differential.script import ALL, Run, since, until
from integration.scenarios.group_member import (
    SHORT_MS,
    Member,
    coordinated,
    stable,
    subscription,
    until_state,
)
from tierbroker.wire.api_keys import ApiKey as Api

SHORTEST_MS = 400
ORDERS = subscription("orders")


def alone(run: Run) -> None:
    """One member through the whole cycle, at every version of JoinGroup."""
    for version in run.versions(Api.JOIN_GROUP):
        member = stable(run, f"alone-{version}", version)
        member.beat()
        run.note("joining again changes nothing but the generation")
        member.join()
        member.beat()
        run.note("syncing once more")
        member.sync({member.id: b"again"})
        member.sync({member.id: b"too late"})
        member.leave()
        run.note("it has left")
        member.beat()
        member.sync()
        member.leave()


def two_members(run: Run) -> None:
    """The second one makes the first one join again; each gets its part from the leader."""
    for version in (0, 2, 4, 5, 7, 9):
        first = stable(run, f"two-{version}", version)
        second = Member(run, first.group, "b", version)
        if version >= 4:
            second.ask_for_id()
            run.note("an id that nobody has used yet makes no rebalance")
            first.beat()
        joining = second.send_join()
        second.client.silent()
        run.note("a rebalance is under way")
        first.beat()
        first.sync()
        rejoining = first.send_join()
        first.joined(rejoining)
        second.joined(joining)
        run.note("heartbeats between join and sync")
        first.beat()
        second.beat()
        syncing = second.send_sync()
        second.client.silent()
        first.sync({first.id: b"part one", second.id: b"part two"})
        syncing.answer()
        first.beat()
        second.beat()
        run.note("the follower asks for its part again")
        second.sync()
        second.leave()
        run.note("the other one has left")
        first.beat()
        first.join()
        first.sync({first.id: b"all"})


def leader_of_before(run: Run) -> None:
    """The leader stays leader when it joins again, a follower follows when it leaves."""
    first = stable(run, "leaders")
    second = Member(run, first.group, "b")
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()
    run.note("a follower that joins again with what it had is answered at once")
    second.join()
    second.sync()
    run.note("with other metadata it makes a rebalance")
    second.protocols = (("range", subscription("orders", "more")),)
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()
    run.note("the leader leaves")
    first.leave()
    second.beat()
    second.join()
    second.sync({second.id: b"all"})


def assignments(run: Run) -> None:
    """Who gets none gets nothing, and what is for nobody is dropped."""
    first = stable(run, "assignments")
    second = Member(run, first.group, "b")
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    run.note("nothing for the second, something for a stranger")
    first.sync({first.id: b"", "stranger": b"x"})
    second.sync()
    run.note("a follower that assigns")
    second.sync({first.id: b"mine", second.id: b"mine"})


def strangers(run: Run) -> None:
    """Members and groups that nobody knows, and generations that are not now."""
    member = stable(run, "known")
    client = run.connect()
    nobody = coordinated(run, "nobody")
    for group, member_id, generation in (
        (nobody, "stranger", 1),
        (nobody, "", 0),
        (nobody, "stranger", -1),
        (member.group, "stranger", 1),
        (member.group, "", 1),
        (member.group, member.id, 0),
        (member.group, member.id, 2),
        (member.group, member.id, -1),
        ("", "stranger", 1),
    ):
        who = {"group_id": group, "member_id": member_id, "generation_id": generation}
        client.call(Api.HEARTBEAT, ALL, **who)
        client.call(Api.SYNC_GROUP, until(4), **who, assignments=[])
        client.call(
            Api.SYNC_GROUP,
            5,
            **who,
            assignments=[],
            protocol_type="consumer",
            protocol_name="range",
        )
    for group in (nobody, member.group, ""):
        run.note("a stranger leaves")
        client.call(Api.LEAVE_GROUP, until(2), group_id=group, member_id="stranger")
        client.call(Api.LEAVE_GROUP, since(3), group_id=group, members=[{"member_id": "stranger"}])
    run.note("nobody leaves")
    client.call(Api.LEAVE_GROUP, since(3), group_id=member.group, members=[])
    run.note("the member is still there")
    member.beat()


def joins_refused(run: Run) -> None:
    """Each reason, at every version where it can be given."""
    group = coordinated(run, "refused")
    for version in run.versions(Api.JOIN_GROUP):
        member = Member(run, group, "a", version)
        run.note("no group id")
        member.send_join(group_id="").answer()
        for timeout in (0, 100, -1, 2_000_000_000):
            run.note(f"a session timeout of {timeout} ms")
            member.send_join(session_timeout_ms=timeout).answer()
        run.note("an id that nobody was given")
        member.send_join(member_id="stranger").answer()
        run.note("no protocols")
        member.send_join(protocols=[]).answer()
        run.note("no type of protocols")
        member.send_join(protocol_type="").answer()


def protocols_that_do_not_match(run: Run) -> None:
    """Another type, or nothing in common; the vote for what all of them know."""
    first = stable(run, "protocols", protocols=(("range", ORDERS), ("sticky", ORDERS)))
    for version in (0, 4, 9):
        other = Member(run, first.group, "b", version)
        run.note("another type")
        other.send_join(protocol_type="connect").answer()
        run.note("nothing in common")
        other.send_join(protocols=[{"name": "own", "metadata": ORDERS}]).answer()
        run.note("no protocols")
        other.send_join(protocols=[]).answer()
    first.beat()
    run.note("something in common")
    second = Member(run, first.group, "b", protocols=(("own", ORDERS), ("sticky", ORDERS)))
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    run.note("another protocol than the one chosen")
    first.sync({first.id: b"1", second.id: b"2"}, protocol_name="range")
    first.sync({first.id: b"1", second.id: b"2"}, protocol_type="connect")
    first.sync({first.id: b"1", second.id: b"2"}, protocol_name="sticky")
    second.sync(protocol_name="sticky")
    second.sync(protocol_name="own")


def a_vote(run: Run) -> None:
    """Most members prefer what is chosen."""
    first = Member(run, coordinated(run, "vote"), "a", 3)
    first.protocols = (("range", ORDERS), ("sticky", ORDERS))
    first.join()
    others = [Member(run, first.group, name, 3) for name in ("b", "c")]
    for other in others:
        own = subscription("orders", user_data=other.name.encode())
        other.protocols = (("sticky", own), ("range", own))
    sent = [other.send_join() for other in others]
    for other in others:
        other.client.silent()
    first.join()
    for other, joining in zip(others, sent, strict=True):
        other.joined(joining)


def session_over(run: Run) -> None:
    """Who does not beat in time is gone, and the others join again."""
    first = stable(run, "over", session_ms=SHORT_MS)
    second = Member(run, first.group, "b")
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()
    until_state(run, first.group, "PreparingRebalance")
    run.note("the first one is gone")
    first.beat()
    run.note("so the second one has to join again")
    second.beat()
    second.join()


def last_session_over(run: Run) -> None:
    """A group whose only member is gone is empty."""
    member = stable(run, "over", session_ms=SHORT_MS)
    until_state(run, member.group, "Empty")
    member.beat()
    member.client.call(Api.DESCRIBE_GROUPS, 5, groups=[member.group])
    run.note("the generation goes on counting")
    member.id = ""
    member.join()


def too_late_for_the_rebalance(run: Run) -> None:
    """Who does not join again in time is left out."""
    first = stable(run, "late", rebalance_ms=SHORT_MS)
    second = Member(run, first.group, "b", rebalance_ms=SHORT_MS)
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    second.joined(joining)
    second.sync({second.id: b"all"})
    run.note("the first one comes too late")
    first.beat()
    first.send_join().answer()


def leader_that_does_not_sync(run: Run) -> None:
    """A leader that stays away is left out, and the follower joins again."""
    first = stable(run, "away", rebalance_ms=SHORT_MS)
    second = Member(run, first.group, "b", rebalance_ms=SHORT_MS)
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    syncing = second.send_sync()
    syncing.answer()


def members_that_vanish(run: Run) -> None:
    """A connection that is closed while its request waits leaves the member where it was."""
    first = stable(run, "vanish")
    second = Member(run, first.group, "b", session_ms=SHORT_MS, rebalance_ms=SHORT_MS)
    second.ask_for_id()
    second.send_join()
    second.client.silent()
    second.client.close()
    first.join()
    first.sync({first.id: b"all"})
    first.beat()


def an_id_that_is_not_used(run: Run) -> None:
    """A member that got its id and stays away is forgotten after its session timeout."""
    member = Member(run, coordinated(run, "pending"), "a", session_ms=SHORTEST_MS)
    member.ask_for_id()
    run.note("an id without a generation is none of the group yet")
    member.beat(generation_id=0)
    run.pause(SHORTEST_MS / 1000 + 5)
    run.note("too late")
    member.send_join().answer()
