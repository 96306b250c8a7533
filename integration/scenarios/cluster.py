"""The cluster itself: its brokers, its topics page by page, and where coordinators are."""

from typing import Any

from integration.differential.script import ALL, Run, since, until
from tierbroker.wire.api_keys import ApiKey as Api

GROUP, TRANSACTION, SHARE = 0, 1, 2


def described(run: Run) -> None:
    """At every version, with what the client may do, and of each kind of endpoint."""
    client = run.connect()
    client.call(Api.DESCRIBE_CLUSTER, ALL)
    client.call(Api.DESCRIBE_CLUSTER, ALL, include_cluster_authorized_operations=True)
    for kind in (0, 1, 2, 3):
        run.note(f"endpoint type {kind}")
        client.call(Api.DESCRIBE_CLUSTER, since(1), endpoint_type=kind)
    run.note("with fenced brokers")
    client.call(Api.DESCRIBE_CLUSTER, since(2), include_fenced_brokers=True)


def topics_page_by_page(run: Run) -> None:
    """A limit of partitions, and a cursor that says where to go on."""
    first, second = run.topic("a-page", partitions=3), run.topic("b-page", partitions=2)
    client = run.connect()

    def ask(names: list[str], limit: int, cursor: dict[str, Any] | None = None) -> Any:
        return client.call(
            Api.DESCRIBE_TOPIC_PARTITIONS,
            ALL,
            topics=[{"name": name} for name in names],
            response_partition_limit=limit,
            cursor=cursor,
        )

    both = [first, second]
    for limit in (2000, 5, 4, 3, 2, 1, 0, -1):
        run.note(f"limit {limit}")
        ask(both, limit)
    run.note("page by page")
    answer = ask(both, 2)
    for _ in range(4):
        at = answer.next_cursor
        if at is None:
            break
        answer = ask(both, 2, {"topic_name": at.topic_name, "partition_index": at.partition_index})
    for partition in (0, 2, 3, -1):
        run.note(f"a cursor at partition {partition}")
        ask(both, 10, {"topic_name": first, "partition_index": partition})
    run.note("a cursor at a topic that is not asked for")
    ask([second], 10, {"topic_name": first, "partition_index": 1})
    run.note("a cursor at a topic that is not there")
    ask(both, 10, {"topic_name": run.name("aa"), "partition_index": 1})
    run.note("not in order, twice, unknown and illegal")
    ask([second, first, second], 10)
    ask([run.name("nobody"), second], 10)
    for name in ("a b", "."):
        ask([name], 10)
    run.note("nobody, at the limit")
    ask([run.name("a-nobody"), first, run.name("z-nobody")], 3)


def topic_without_a_name(run: Run) -> None:
    """An empty name among others."""
    topics = [{"name": name} for name in ("", run.topic("other"))]
    run.connect().call(
        Api.DESCRIBE_TOPIC_PARTITIONS, ALL, topics=topics, response_partition_limit=10
    )


def coordinators(run: Run) -> None:
    """Of groups, at every version; keys that are none."""
    client = run.connect()
    name = run.name("group")
    client.settled(Api.FIND_COORDINATOR, until(3), key=name)
    client.call(Api.FIND_COORDINATOR, since(4), coordinator_keys=[name, run.name("other")])
    run.note("no keys")
    client.call(Api.FIND_COORDINATOR, since(4), coordinator_keys=[])
    run.note("an empty key")
    client.call(Api.FIND_COORDINATOR, until(3), key="")
    client.call(Api.FIND_COORDINATOR, since(4), coordinator_keys=["", name])
    run.note("the same key twice")
    client.call(Api.FIND_COORDINATOR, since(4), coordinator_keys=[name, name])
    for kind in (3, -1, 99):
        run.note(f"key type {kind}")
        client.call(Api.FIND_COORDINATOR, [1, 3], key=name, key_type=kind)
        client.call(Api.FIND_COORDINATOR, since(4), coordinator_keys=[name], key_type=kind)


def coordinator_of_transactions(run: Run) -> None:
    """At each version that knows of them."""
    client = run.connect()
    name = run.name("transaction")
    client.settled(Api.FIND_COORDINATOR, range(1, 4), key=name, key_type=TRANSACTION)
    client.settled(Api.FIND_COORDINATOR, since(4), coordinator_keys=[name], key_type=TRANSACTION)


def coordinator_of_share_groups(run: Run) -> None:
    """Before its version, and with a key that is none."""
    client = run.connect()
    name = run.name("share")
    client.call(Api.FIND_COORDINATOR, range(1, 4), key=name, key_type=SHARE)
    client.call(Api.FIND_COORDINATOR, range(4, 6), coordinator_keys=[name], key_type=SHARE)
    run.note("no key of a share group")
    client.call(Api.FIND_COORDINATOR, 6, coordinator_keys=[name, "a:b:c"], key_type=SHARE)
