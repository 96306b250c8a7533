"""Groups as administrators see them: described in each state, listed, and deleted."""

from typing import Any

from integration.differential.script import ALL, Connection, Run, since, until
from integration.scenarios.group_member import Member, coordinated, stable
from tierbroker.wire.api_keys import ApiKey as Api


def _describe(client: Connection, *groups: str, versions: Any = (0, 4, 5, 6)) -> None:
    client.call(Api.DESCRIBE_GROUPS, versions, groups=list(groups))


def described(run: Run) -> None:
    """In each state that a group goes through."""
    group = coordinated(run, "states")
    topic = run.topic("orders")
    client = run.connect()
    run.note("it is not there")
    _describe(client, group, versions=ALL)
    first = Member(run, group, "a")
    first.join()
    run.note("before the leader has assigned")
    _describe(client, group)
    first.sync({first.id: b"all"})
    run.note("stable")
    _describe(client, group, versions=ALL)
    second = Member(run, group, "b", 5, instance="two")
    joining = second.send_join()
    second.client.silent()
    run.note("while members join")
    _describe(client, group)
    first.join()
    second.joined(joining)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()
    run.note("with two members")
    _describe(client, group)
    first.leave()
    second.leave()
    run.note("empty")
    _describe(client, group, versions=ALL)
    simple = coordinated(run, "simple")
    committer = Member(run, simple, "c")
    committer.commit(topic, 1)
    run.note("only offsets")
    _describe(client, simple, versions=ALL)
    run.note("several, twice, and none")
    _describe(client, group, simple, group, versions=[0, 6])
    _describe(client, versions=ALL)
    run.note("with what the client may do")
    client.call(Api.DESCRIBE_GROUPS, since(3), groups=[group], include_authorized_operations=True)


def of_another_type(run: Run) -> None:
    """Groups of Connect look the same."""
    member = stable(run, "connect", protocol_type="connect", protocols=(("default", b"\x01\x02"),))
    _describe(member.client, member.group)


def listed(run: Run) -> None:
    """All, those in some states, those of some types."""
    topic = run.topic("orders")
    client = run.connect()
    simple = coordinated(run, "list-simple")
    Member(run, simple, "committer").commit(topic, 1)
    full = stable(run, "list-stable")
    joining = Member(run, coordinated(run, "list-joining"), "joiner")
    joining.join()
    connect = stable(
        run, "list-connect", protocol_type="connect", protocols=(("default", b"\x01"),)
    )
    gone = stable(run, "list-gone")
    gone.leave()
    client.call(Api.LIST_GROUPS, ALL)
    for states in (
        ["Stable"],
        ["stable"],
        ["Empty", "CompletingRebalance"],
        ["Dead"],
        ["Nonsense"],
        ["PreparingRebalance"],
    ):
        run.note(f"states {states}")
        client.call(Api.LIST_GROUPS, since(4), states_filter=states)
    for types in (["classic"], ["Classic"], ["consumer"], ["Nonsense"], ["share", "classic"]):
        run.note(f"types {types}")
        client.call(Api.LIST_GROUPS, since(5), types_filter=types)
    run.note("both")
    client.call(Api.LIST_GROUPS, 5, states_filter=["Stable"], types_filter=["classic"])
    full.beat()
    connect.beat()


def deleted(run: Run) -> None:
    """Only groups without members; their offsets go with them."""
    topic = run.topic("orders")
    client = run.connect()
    full = stable(run, "full")
    full.commit(topic, 1)
    for version in run.versions(Api.DELETE_GROUPS):
        simple = coordinated(run, f"simple-{version}")
        committer = Member(run, simple, "c")
        committer.commit(topic, 1)
        names = [simple, full.group, coordinated(run, "nobody")]
        client.call(Api.DELETE_GROUPS, version, groups_names=names)
        _describe(client, simple)
        client.call(Api.OFFSET_FETCH, 7, group_id=simple, topics=None)
    run.note("the same twice, and none")
    client.call(Api.DELETE_GROUPS, ALL, groups_names=[coordinated(run, "nobody")] * 2)
    client.call(Api.DELETE_GROUPS, ALL, groups_names=[])
    full.leave()
    run.note("now it is empty")
    client.call(Api.DELETE_GROUPS, 2, groups_names=[full.group])
    full.beat()
    client.call(Api.OFFSET_FETCH, until(7), group_id=full.group, topics=[])
    run.note("it begins anew")
    full.id = ""
    full.join()
    client.call(Api.OFFSET_FETCH, 7, group_id=full.group, topics=None)
