"""What outlives a restart of the broker: `yield` is where both brokers are stopped and started.

All scripts of this file share one restart. Connections are made anew after it.
"""

from collections.abc import Iterator

from integration.differential.script import ALL, Connection, Run, since
from integration.scenarios.group_member import Member, stable
from integration.scenarios.requests import BY_ID, fetched, offsets_at, produced, records
from tierbroker.wire.api_keys import ApiKey as Api

LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3
NO_EPOCH = -1


def leader_epochs(run: Run) -> Iterator[None]:
    """A new epoch of the leader: who knows only the one before is told so."""
    topic = run.topic("epochs")
    topic_id = run.topic_id(topic)
    empty = run.topic("empty")
    client = run.connect()
    client.call(Api.PRODUCE, 9, **produced(topic, records(run, [b"1", b"2", b"3"])))
    yield
    new = run.new_epoch(topic)
    client.settled(Api.METADATA, [7, 12], topics=[{"name": topic}, {"name": empty}])
    client.settled(Api.PRODUCE, 9, **produced(topic, records(run, [b"4", b"5"], at_ms=100)))
    for epoch in (0, new, new + 1):
        run.note("the epoch of before, this one, a later one")
        how = {"current_leader_epoch": epoch}
        client.call(Api.FETCH, range(9, BY_ID), **fetched(topic, 3, **how))
        client.call(Api.FETCH, since(BY_ID), **fetched(topic_id, 3, **how))
        request = offsets_at(topic, LATEST)
        request["topics"][0]["partitions"][0]["current_leader_epoch"] = epoch
        client.call(Api.LIST_OFFSETS, since(4), **request)
    for last, offset in ((0, 3), (0, 4), (0, 5), (new, 3), (new, 5), (new + 1, 5)):
        run.note(f"at offset {offset}, having read that epoch last")
        how = {"last_fetched_epoch": last, "current_leader_epoch": new}
        client.call(Api.FETCH, 12, **fetched(topic, offset, **how))
        client.call(Api.FETCH, [13, 16], **fetched(topic_id, offset, **how))
    for name in (topic, empty):
        for epoch in (-1, 0, new, new + 1):
            run.note("where an epoch ends")
            asked = [{"partition": 0, "leader_epoch": epoch, "current_leader_epoch": NO_EPOCH}]
            request = {"topics": [{"topic": name, "partitions": asked}]}
            client.call(Api.OFFSET_FOR_LEADER_EPOCH, ALL, **request)
    asked = [{"partition": 0, "leader_epoch": 0, "current_leader_epoch": 0}]
    client.call(Api.OFFSET_FOR_LEADER_EPOCH, ALL, topics=[{"topic": topic, "partitions": asked}])
    for timestamp in (LATEST, EARLIEST, MAX_TIMESTAMP, run.start_ms, run.start_ms + 50):
        client.call(Api.LIST_OFFSETS, [4, 7, 11], **offsets_at(topic, timestamp))


def _send(run: Run, client: Connection, topic: str, producer: int, sequence: int) -> None:
    batch = records(
        run,
        [b"%d" % sequence],
        producer_id=producer,
        producer_epoch=0,
        base_sequence=sequence,
    )
    client.settled(Api.PRODUCE, 9, **produced(topic, batch))


def producers(run: Run) -> Iterator[None]:
    """What a producer sent last is known again, and what comes next has to follow it."""
    topic = run.topic("orders")
    client = run.connect()
    answer = client.settled(
        Api.INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000
    )
    producer = answer.producer_id
    for sequence in range(3):
        _send(run, client, topic, producer, sequence)
    yield
    run.note("the last one again")
    _send(run, client, topic, producer, 2)
    run.note("a gap")
    _send(run, client, topic, producer, 5)
    run.note("the next one")
    _send(run, client, topic, producer, 3)
    client.call(Api.DESCRIBE_PRODUCERS, 0, topics=[{"name": topic, "partition_indexes": [0]}])
    run.note("a new producer gets an id of its own")
    client.settled(Api.INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000)


def groups(run: Run) -> Iterator[None]:
    """Members, generations, assignments and offsets are what they were."""
    topic = run.topic("orders")
    member = stable(run, "group")
    static = stable(run, "static", instance="one")
    empty = stable(run, "empty")
    for one in (member, static, empty):
        one.commit(topic, 7)
    empty.leave()
    yield
    client = run.connect()
    for one in (member, static, empty):
        keys = [one.group]
        client.settled(Api.FIND_COORDINATOR, 4, coordinator_keys=keys)
        client.settled(Api.OFFSET_FETCH, 7, group_id=one.group, topics=None)
        client.call(Api.DESCRIBE_GROUPS, 5, groups=keys)
        one.beat()
        one.sync()
        one.commit(topic, 8)
    client.call(Api.LIST_GROUPS, 5)
    run.note("the static member comes back")
    static.id = ""
    static.join()
    static.sync()
    run.note("the other one joins again")
    member.join()
    member.sync({member.id: b"all"})
    run.note("somebody joins the empty group")
    newcomer = Member(run, empty.group, "new")
    newcomer.join()
    client.call(Api.OFFSET_FETCH, 7, group_id=empty.group, topics=None)


def topics_and_settings(run: Run) -> Iterator[None]:
    """Ids, partitions, settings and the ends of a log; not the sessions of fetches."""
    topic = run.topic("orders", partitions=2, config={"retention.ms": "123456789"})
    gone = run.topic("gone")
    client = run.connect()
    client.call(Api.PRODUCE, 9, **produced(topic, records(run, [b"1", b"2", b"3"])))
    client.call(Api.METADATA, 12, topics=[{"name": topic}])
    by_id = {"name": None, "topic_id": run.topic_id(gone)}
    client.call(Api.DELETE_TOPICS, 6, topics=[by_id], timeout_ms=10_000)
    made = client.call(Api.FETCH, 11, **fetched(topic, 2, session_epoch=0))
    yield
    run.new_epoch(topic)
    client.settled(Api.METADATA, 12, topics=[{"name": topic}])
    client.call(Api.METADATA, 12, topics=[{"name": gone}], allow_auto_topic_creation=False)
    resource = {"resource_type": 2, "resource_name": topic, "configuration_keys": ["retention.ms"]}
    client.call(Api.DESCRIBE_CONFIGS, 4, resources=[resource])
    for timestamp in (EARLIEST, LATEST, MAX_TIMESTAMP):
        client.settled(Api.LIST_OFFSETS, 7, **offsets_at(topic, timestamp))
    client.call(Api.FETCH, 11, **fetched(topic, 1))
    client.call(Api.FETCH, 11, **fetched(topic, 2))
    run.note("a session of before")
    request = fetched(topic, 2, session_id=made.session_id, session_epoch=1)
    client.call(Api.FETCH, 11, **request)
