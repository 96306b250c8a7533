"""Static members (KIP-345): instances that come back, and those that are fenced."""

from integration.differential.script import Run, since
from integration.scenarios.group_member import Member, coordinated, stable, subscription
from tierbroker.wire.api_keys import ApiKey as Api


def alone(run: Run) -> None:
    """No id is required; the same instance comes back without a rebalance."""
    for version in (5, 6, 7, 8, 9):
        member = stable(run, f"static-{version}", version, instance="one")
        member.beat()
        old_id, old_generation = member.id, member.generation
        run.note("the instance comes back under another id")
        member.id = ""
        member.join()
        member.sync()
        member.beat()
        run.note("who it was before is fenced")
        member.beat(member_id=old_id, generation_id=old_generation)
        member.sync(member_id=old_id, generation_id=old_generation)
        run.note("and not known without its instance")
        member.beat(member_id=old_id, group_instance_id=None)
        run.note("joining as the one before")
        member.send_join(member_id=old_id).answer()
        member.client.call(Api.DESCRIBE_GROUPS, 5, groups=[member.group])
        run.note("leaving by the instance")
        member.id = ""
        member.leave()
        member.leave()
        member.client.call(Api.DESCRIBE_GROUPS, 5, groups=[member.group])


def two_members(run: Run) -> None:
    """A follower and a leader come back while the group is stable."""
    first = stable(run, "static-two", instance="one")
    second = Member(run, first.group, "b", instance="two")
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()
    run.note("the follower comes back")
    second.id = ""
    second.join()
    second.sync()
    run.note("the leader comes back: from version 9 on it is told not to assign")
    first.id = ""
    first.join()
    first.sync()
    run.note("an old leader is told so by its name")
    first.id = ""
    first.version = 8
    first.join()
    first.sync()
    first.beat()
    second.beat()
    run.note("other metadata for the same protocol make no rebalance")
    second.id = ""
    second.protocols = (("range", subscription("orders", "more")),)
    second.join()
    second.sync()
    first.beat()
    run.note("the leader asks for one")
    joining = first.send_join()
    first.client.silent()
    second.beat()
    second.join()
    first.joined(joining)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()


def instances_that_nobody_knows(run: Run) -> None:
    """In each API that takes one."""
    member = stable(run, "instances", instance="one")
    dynamic = Member(run, member.group, "b")
    run.note("an instance of nobody")
    member.beat(group_instance_id="nobody")
    member.sync(group_instance_id="nobody")
    run.note("the instance of another one")
    member.beat(member_id="stranger")
    member.sync(member_id="stranger")
    member.send_join(member_id="stranger").answer()
    run.note("an instance of nobody with an id")
    dynamic.send_join(member_id="stranger", group_instance_id="new").answer()
    member.beat()
    run.note("no instance at all")
    member.beat(group_instance_id=None)


def leaving(run: Run) -> None:
    """Several at once: by id, by instance, by both, and those who are not there."""
    group = coordinated(run, "leaving")
    first = Member(run, group, "a", instance="one")
    first.join()
    first.sync({first.id: b"all"})
    client = run.connect()
    for what, members in {
        "nobody": [{"member_id": "stranger"}, {"member_id": "", "group_instance_id": "nobody"}],
        "an id without its instance, and the other way round": [
            {"member_id": "stranger", "group_instance_id": "one"},
            {"member_id": first.id, "group_instance_id": "nobody"},
        ],
        "by its id": [{"member_id": first.id, "reason": None}],
    }.items():
        run.note(what)
        client.call(
            Api.LEAVE_GROUP,
            since(3),
            group_id=group,
            members=[{k: v for k, v in member.items() if k != "reason"} for member in members],
        )
    first.id = ""
    first.join()
    first.sync({first.id: b"all"})
    run.note("twice in one request, with a reason")
    client.call(
        Api.LEAVE_GROUP,
        5,
        group_id=group,
        members=[{"member_id": first.id, "group_instance_id": "one", "reason": "done"}] * 2,
    )
    client.call(Api.DESCRIBE_GROUPS, 5, groups=[group])


def while_joining(run: Run) -> None:
    """An instance that joins again while its first request waits: the first one is fenced."""
    first = stable(run, "again", instance="one")
    second = Member(run, first.group, "b", instance="two")
    waiting = second.send_join()
    second.client.silent()
    again = Member(run, first.group, "c", instance="two")
    joining = again.send_join()
    again.client.silent()
    waiting.answer()
    first.join()
    again.joined(joining)
    first.sync({first.id: b"1", again.id: b"2"})
    again.sync()


def while_syncing(run: Run) -> None:
    """An instance that comes back before the leader has assigned makes another rebalance."""
    first = stable(run, "syncing", instance="one")
    second = Member(run, first.group, "b", instance="two")
    joining = second.send_join()
    second.client.silent()
    first.join()
    second.joined(joining)
    syncing = second.send_sync()
    second.client.silent()
    again = Member(run, first.group, "c", instance="two")
    joining = again.send_join()
    again.client.silent()
    syncing.answer()
    first.beat()
    first.join()
    again.joined(joining)
    first.sync({first.id: b"1", again.id: b"2"})
    again.sync()
