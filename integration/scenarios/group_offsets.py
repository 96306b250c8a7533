"""Offsets of groups: committed in and out of a group, fetched, and deleted."""

from typing import Any

from integration.differential.script import ALL, Connection, Run, between, since, until
from integration.scenarios.group_member import Member, coordinated, stable, subscription
from integration.scenarios.requests import NOBODYS_ID
from tierbroker.wire.api_keys import ApiKey as Api

COMMIT_BY_ID = 10
FETCH_BY_ID = 10
MANY_GROUPS = 8


def _committed(topic: str, *offsets: int, **of_partition: Any) -> list[dict[str, Any]]:
    """The topics of a commit: an offset for each partition from 0 on."""
    partitions = [
        {"partition_index": n, "committed_offset": o, "committed_metadata": "", **of_partition}
        for n, o in enumerate(offsets)
    ]
    return [{"name": topic, "partitions": partitions}]


def _commit(client: Connection, versions: Any, group: str, topics: Any, **who: Any) -> Any:
    fields = {"generation_id_or_member_epoch": -1, "member_id": "", **who}
    return client.call(Api.OFFSET_COMMIT, versions, group_id=group, topics=topics, **fields)


def _fetch_all(client: Connection, group: str, version: int = 7) -> Any:
    return client.call(Api.OFFSET_FETCH, version, group_id=group, topics=None)


def outside_of_a_group(run: Run) -> None:
    """Generation -1 and no member: anybody may commit to a group without members."""
    topic = run.topic("orders", partitions=3)
    topic_id = run.topic_id(topic)
    group = coordinated(run, "simple")
    client = run.connect()
    for version in run.versions(Api.OFFSET_COMMIT, until(COMMIT_BY_ID - 1)):
        _commit(client, version, group, _committed(topic, version, 100 + version))
        _fetch_all(client, group)
    by_id = _committed(topic, 10, 110, committed_leader_epoch=0)
    by_id[0] = {"topic_id": topic_id, "partitions": by_id[0]["partitions"]}
    _commit(client, since(COMMIT_BY_ID), group, by_id)
    run.note("with metadata and an epoch")
    topics = _committed(topic, 5, committed_metadata="what it means")
    _commit(client, 5, group, topics)
    topics = _committed(topic, 5, committed_metadata="what it means", committed_leader_epoch=0)
    _commit(client, between(6, 9), group, topics)
    _fetch_all(client, group)
    run.note("a time to keep it, which means nothing any more")
    _commit(client, between(2, 4), group, _committed(topic, 6), retention_time_ms=1)
    _fetch_all(client, group)
    run.note("back")
    _commit(client, 9, group, _committed(topic, 1))
    _fetch_all(client, group)


def fetched(run: Run) -> None:
    """Some partitions, all of them, several groups; those that have no offset say -1."""
    topic, other = run.topic("orders", partitions=2), run.topic("other")
    topic_id = run.topic_id(topic)
    group, second, nobody = (coordinated(run, name) for name in ("first", "second", "nobody"))
    client = run.connect()
    _commit(client, 9, group, _committed(topic, 5, 6) + _committed(other, 7))
    _commit(client, 9, second, _committed(topic, 8))
    asked = [
        {"name": topic, "partition_indexes": [1, 0, 5]},
        {"name": other, "partition_indexes": [0]},
    ]
    unknown = [{"name": run.name("unknown"), "partition_indexes": [0]}]
    one_group = until(MANY_GROUPS - 1)
    client.call(Api.OFFSET_FETCH, one_group, group_id=group, topics=asked)
    run.note("all")
    client.call(Api.OFFSET_FETCH, between(2, MANY_GROUPS - 1), group_id=group, topics=None)
    run.note("none")
    client.call(Api.OFFSET_FETCH, one_group, group_id=group, topics=[])
    run.note("a topic that is not there")
    client.call(Api.OFFSET_FETCH, one_group, group_id=group, topics=unknown)
    run.note("a group that is not there")
    client.call(Api.OFFSET_FETCH, one_group, group_id=nobody, topics=asked)
    client.call(Api.OFFSET_FETCH, between(2, 7), group_id=nobody, topics=None)
    run.note("only what is stable")
    client.call(Api.OFFSET_FETCH, 7, group_id=group, topics=asked, require_stable=True)
    run.note("several groups")
    groups = [
        {"group_id": group, "topics": asked},
        {"group_id": second, "topics": asked},
        {"group_id": nobody, "topics": asked},
    ]
    client.call(Api.OFFSET_FETCH, between(MANY_GROUPS, FETCH_BY_ID - 1), groups=groups)
    every = [{"group_id": name, "topics": None} for name in (group, second, nobody)]
    client.call(Api.OFFSET_FETCH, since(MANY_GROUPS), groups=every, require_stable=True)
    run.note("by id")
    by_id = [{"topic_id": topic_id, "partition_indexes": [1, 0, 5]}]
    by_id += [{"topic_id": NOBODYS_ID, "partition_indexes": [0]}]
    client.call(Api.OFFSET_FETCH, since(FETCH_BY_ID), groups=[{"group_id": group, "topics": by_id}])
    run.note("the same group twice, and none")
    client.call(Api.OFFSET_FETCH, 8, groups=[{"group_id": group, "topics": None}] * 2)
    client.call(Api.OFFSET_FETCH, since(MANY_GROUPS), groups=[])


def fetched_by_members(run: Run) -> None:
    """A member may name itself from version 9 on; classic groups are not strict about it."""
    topic = run.topic("orders")
    member = stable(run, "group")
    member.commit(topic, 3)
    asked = [{"name": topic, "partition_indexes": [0]}]
    for member_id, epoch in (
        (member.id, member.generation),
        (member.id, 7),
        ("stranger", 1),
        (None, -1),
        ("", -1),
        (None, 5),
    ):
        who = {"member_id": member_id, "member_epoch": epoch}
        member.client.call(
            Api.OFFSET_FETCH, 9, groups=[{"group_id": member.group, "topics": asked, **who}]
        )


def commits_refused(run: Run) -> None:
    """Each reason; what is refused changes nothing."""
    topic = run.topic("orders")
    group = coordinated(run, "refused")
    client = run.connect()
    by_name = until(COMMIT_BY_ID - 1)
    run.note("a topic that is not there")
    _commit(client, by_name, group, _committed(run.name("nobody"), 1))
    run.note("an illegal name")
    _commit(client, by_name, group, _committed("a b", 1))
    run.note("a partition that is not there, beside one that is")
    _commit(client, by_name, group, _committed(topic, 1, 2))
    run.note("an id of nobody")
    nobody = [{"topic_id": NOBODYS_ID, "partitions": _committed(topic, 1)[0]["partitions"]}]
    _commit(client, since(COMMIT_BY_ID), group, nobody)
    run.note("metadata that is too long")
    _commit(client, by_name, group, _committed(topic, 9, committed_metadata="x" * 4097))
    run.note("metadata that is just short enough")
    _commit(client, 8, group, _committed(topic, 9, committed_metadata="x" * 4096))
    run.note("no metadata")
    _commit(client, by_name, group, _committed(topic, 10, committed_metadata=None))
    run.note("a negative offset")
    _commit(client, [2, 9], group, _committed(topic, -1))
    _fetch_all(client, group)
    run.note("a member of a group that has none")
    _commit(
        client, by_name, group, _committed(topic, 1), member_id="a", generation_id_or_member_epoch=1
    )
    _commit(client, by_name, group, _committed(topic, 1), member_id="a")
    run.note("a generation of a group that has none")
    _commit(client, by_name, group, _committed(topic, 1), generation_id_or_member_epoch=1)
    run.note("of a group that is not there")
    new = coordinated(run, "new")
    _commit(
        client, by_name, new, _committed(topic, 1), member_id="a", generation_id_or_member_epoch=1
    )
    run.note("nothing")
    _commit(client, ALL, group, [])
    run.note("the same partition twice")
    _commit(client, 9, group, _committed(topic, 20) + _committed(topic, 21))
    _fetch_all(client, group)


def a_group_without_a_name(run: Run) -> None:
    """Offsets can be kept under it, as by very old clients; it is seen and deleted as others."""
    topic = run.topic("orders")
    coordinated(run, "any")
    client = run.connect()
    asked = [{"name": topic, "partition_indexes": [0]}]
    unnamed = [{"group_id": "", "topics": asked}]

    def look() -> None:
        client.call(Api.OFFSET_FETCH, until(MANY_GROUPS - 1), group_id="", topics=asked)
        client.call(Api.OFFSET_FETCH, between(2, MANY_GROUPS - 1), group_id="", topics=None)
        client.call(Api.OFFSET_FETCH, between(MANY_GROUPS, FETCH_BY_ID - 1), groups=unnamed)
        client.call(Api.DESCRIBE_GROUPS, ALL, groups=[""])

    look()
    partitions = [{"partition_index": 0}]
    client.call(
        Api.OFFSET_DELETE, ALL, group_id="", topics=[{"name": topic, "partitions": partitions}]
    )
    client.call(Api.DELETE_GROUPS, ALL, groups_names=[""])
    _commit(client, until(COMMIT_BY_ID - 1), "", _committed(topic, 1))
    look()
    client.call(Api.DELETE_GROUPS, 2, groups_names=[""])
    look()


def commits_of_members(run: Run) -> None:
    """The generation and the member have to be right; strangers are refused while it has some."""
    topic = run.topic("orders")
    member = stable(run, "group")
    for version in run.versions(Api.OFFSET_COMMIT, until(COMMIT_BY_ID - 1)):
        member.commit(topic, version, version)
    run.note("another generation")
    for generation in (0, 2, -1):
        member.commit(topic, 50, generation_id_or_member_epoch=generation)
    run.note("a stranger")
    member.commit(topic, 51, member_id="stranger")
    member.commit(topic, 51, member_id="")
    run.note("from outside")
    _commit(run.connect(), until(9), member.group, _committed(topic, 52))
    run.note("an instance of nobody")
    member.commit(topic, 53, group_instance_id="nobody")
    _fetch_all(member.client, member.group)


def commits_while_the_group_changes(run: Run) -> None:
    """Accepted while members join, refused until the leader has assigned."""
    topic = run.topic("orders")
    first = stable(run, "group")
    second = Member(run, first.group, "b")
    second.ask_for_id()
    run.note("by one that only has an id")
    second.commit(topic, 1)
    joining = second.send_join()
    second.client.silent()
    run.note("while members join")
    first.commit(topic, 2)
    rejoining = first.send_join()
    first.joined(rejoining)
    second.joined(joining)
    run.note("until the leader has assigned")
    first.commit(topic, 3)
    second.commit(topic, 3)
    run.note("of the generation before")
    first.commit(topic, 3, generation_id_or_member_epoch=1)
    first.sync({first.id: b"1", second.id: b"2"})
    second.sync()
    second.commit(topic, 4)
    first.leave()
    run.note("one has left")
    first.commit(topic, 5)
    second.commit(topic, 6)
    second.leave()
    run.note("both have left")
    second.commit(topic, 7)
    _fetch_all(first.client, first.group)
    run.note("now anybody may")
    _commit(run.connect(), 9, first.group, _committed(topic, 8))
    _fetch_all(first.client, first.group)


def deleted(run: Run) -> None:
    """Offsets of topics that nobody in the group reads."""
    topic, other = run.topic("orders", partitions=2), run.topic("other")
    group = coordinated(run, "simple")
    client = run.connect()

    def delete(name: str, *topics: tuple[str, int]) -> None:
        asked = [{"name": t, "partitions": [{"partition_index": p}]} for t, p in topics]
        client.call(Api.OFFSET_DELETE, ALL, group_id=name, topics=asked)

    _commit(client, 9, group, _committed(topic, 1, 2) + _committed(other, 3))
    delete(group, (topic, 0))
    _fetch_all(client, group)
    run.note("what has none, and what is not there")
    delete(group, (topic, 0), (topic, 7), (run.name("nobody"), 0))
    run.note("a group that is not there")
    delete(coordinated(run, "nobody"), (topic, 1))
    run.note("nothing")
    delete(group)
    member = Member(run, group, "a", protocols=(("range", subscription(topic)),))
    member.join()
    member.sync({member.id: b"all"})
    run.note("a topic that a member reads, and one that none does")
    delete(group, (topic, 1), (other, 0))
    _fetch_all(client, group)
    member.leave()
    run.note("the member has left")
    delete(group, (topic, 1))
    _fetch_all(client, group)


def of_deleted_topics(run: Run) -> None:
    """The offsets go with the topic, and a new one of its name has none."""
    topic = run.topic("orders")
    topic_id = run.topic_id(topic)
    group = coordinated(run, "simple")
    client = run.connect()
    _commit(client, 9, group, _committed(topic, 5))
    client.call(
        Api.DELETE_TOPICS, 6, topics=[{"name": None, "topic_id": topic_id}], timeout_ms=10_000
    )
    run.catch_up()
    own = run.setup_connection()

    def gone() -> bool:
        answer, _ = own.send(Api.OFFSET_FETCH, 7, group_id=group, topics=None).receive()
        return not answer.topics

    run.wait_until("end of the offsets", gone)
    _fetch_all(client, group)
    run.topic("orders")
    _fetch_all(client, group)


def nothing_left(run: Run) -> None:
    """A group that had nothing but the offsets that were deleted, or that were refused."""
    topic = run.topic("orders")
    group = coordinated(run, "simple")
    client = run.connect()
    _commit(client, 9, group, _committed(topic, 5))
    topics = [{"name": topic, "partitions": [{"partition_index": 0}]}]
    client.call(Api.OFFSET_DELETE, 0, group_id=group, topics=topics)
    _fetch_all(client, group)
    client.call(Api.DESCRIBE_GROUPS, 5, groups=[group])
    refused = coordinated(run, "refused")
    _commit(client, 9, refused, _committed(topic, 9, committed_metadata="x" * 5000))
    client.call(Api.DESCRIBE_GROUPS, 5, groups=[refused])
