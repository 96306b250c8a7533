"""Groups and what is bad for them: names, sizes, members that go away in each state."""

from integration.differential.script import Run, since
from integration.scenarios.group_member import (
    SHORT_MS,
    Member,
    coordinated,
    stable,
    subscription,
    until_state,
)
from tierbroker.wire.api_keys import ApiKey as Api

NAMES = ["a b", "a/b", "übung", "x" * 300, "a\0b", " ", "."]


def names(run: Run) -> None:
    """Whatever is not empty is a name."""
    topic = run.topic("orders")
    for text in NAMES:
        member = stable(run, text)
        member.commit(topic, 1)
        member.client.call(Api.DESCRIBE_GROUPS, [0, 6], groups=[member.group])
        member.client.call(Api.OFFSET_FETCH, 7, group_id=member.group, topics=None)
        member.leave()
        member.client.call(Api.DELETE_GROUPS, 2, groups_names=[member.group])


def sizes(run: Run) -> None:
    """Large subscriptions and assignments are carried; large metadata of an offset is not."""
    topic = run.topic("orders")
    large = subscription("orders", user_data=bytes(200_000))
    member = Member(run, coordinated(run, "large"), "a", protocols=(("range", large),))
    member.join()
    member.sync({member.id: bytes(300_000)})
    run.note("a megabyte with an offset")
    partition = {"partition_index": 0, "committed_offset": 1, "committed_metadata": "x" * 32_000}
    member.commit(topic, 1, topics=[{"name": topic, "partitions": [partition] * 30}])
    member.client.call(Api.OFFSET_FETCH, 7, group_id=member.group, topics=None)
    member.beat()


def doubled(run: Run) -> None:
    """Two assignments for one member: which of them counts."""
    member = Member(run, coordinated(run, "doubled"), "a", 3)
    member.join()
    given = [{"member_id": member.id, "assignment": data} for data in (b"first", b"second")]
    member.sync(assignments=given)


def gone_while_joining(run: Run) -> None:
    """Whoever waits for others and hangs up stays a member until its session is over."""
    first = stable(run, "joining", rebalance_ms=SHORT_MS)
    second = Member(run, first.group, "b", session_ms=SHORT_MS, rebalance_ms=SHORT_MS)
    second.ask_for_id()
    second.send_join()
    second.client.silent()
    second.client.close()
    first.join()
    first.sync({first.id: b"1", second.id: b"2"})
    until_state(run, first.group, "PreparingRebalance")
    run.note("its session is over")
    first.beat()
    first.join()
    first.sync({first.id: b"all"})


def gone_while_syncing(run: Run) -> None:
    """The same for one that waits for its part."""
    first = stable(run, "syncing", rebalance_ms=SHORT_MS)
    second = Member(run, first.group, "b", session_ms=SHORT_MS, rebalance_ms=SHORT_MS)
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    second.send_sync()
    second.client.silent()
    second.client.close()
    first.sync({first.id: b"1", second.id: b"2"})
    first.beat()
    until_state(run, first.group, "PreparingRebalance")
    run.note("its session is over")
    first.beat()


def leaving_while_others_wait(run: Run) -> None:
    """A leader that leaves before it has assigned, a follower that leaves while others join."""
    first = stable(run, "leaving")
    second = Member(run, first.group, "b")
    second.ask_for_id()
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    syncing = second.send_sync()
    second.client.silent()
    run.note("the leader leaves")
    first.leave()
    syncing.answer()
    second.join()
    second.sync({second.id: b"all"})
    third = Member(run, first.group, "c")
    third.ask_for_id()
    joining = third.send_join()
    third.client.silent()
    run.note("the one that the others wait for leaves")
    second.leave()
    third.joined(joining)


def deleted_in_each_state(run: Run) -> None:
    """A group with members cannot be deleted, whatever they do."""
    first = Member(run, coordinated(run, "deleted"), "a")
    admin = run.connect("admin")

    def delete() -> None:
        admin.call(Api.DELETE_GROUPS, 2, groups_names=[first.group])

    first.join()
    run.note("until the leader has assigned")
    delete()
    first.sync({first.id: b"all"})
    run.note("stable")
    delete()
    second = Member(run, first.group, "b", 5, instance="two")
    joining = second.send_join()
    second.client.silent()
    run.note("while members join")
    delete()
    first.leave()
    second.joined(joining)
    admin.call(
        Api.LEAVE_GROUP,
        since(3),
        group_id=first.group,
        members=[{"member_id": "", "group_instance_id": "two"}],
    )
    run.note("empty")
    delete()
    delete()


def rebalance_without_end(run: Run) -> None:
    """Members that join one after the other while nobody syncs."""
    members = [Member(run, coordinated(run, "many"), "0", 3)]
    members[0].join()
    for number in range(1, 4):
        joiner = Member(run, members[0].group, str(number), 3)
        own = subscription("orders", user_data=b"%d" % number)
        joiner.protocols = (("range", own),)
        joining = joiner.send_join()
        joiner.client.silent()
        sent = [member.send_join() for member in members[1:]]
        members[0].join()
        for member, again in zip(members[1:], sent, strict=True):
            member.joined(again)
        joiner.joined(joining)
        members.append(joiner)
        run.note("a generation that nobody has synced")
        joiner.beat()
    members[0].sync({member.id: member.name.encode() for member in members})
    for member in members:
        member.sync()
