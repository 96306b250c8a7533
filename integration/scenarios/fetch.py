"""Fetch outside of sessions: positions, sizes, epochs, waiting, and each refusal."""

from integration.differential.script import ALL, Run, since, until
from integration.scenarios.requests import (
    BY_ID,
    NOBODYS_ID,
    fetched,
    offsets_at,
    produced,
    records,
)
from tierbroker.wire.api_keys import ApiKey as Api

NO_LIMIT = 1 << 24
# Of fetches that may wait LONG_MS, and of those that wait SHORT_MS; a machine may be busy.
LONG_MS, SHORT_MS = 60_000, 1200
AT_ONCE, WAITED = (0, 25_000), (1150, 25_000)


def _fill(run: Run, topic: str, batches: int = 3) -> None:
    client = run.connect("producer")
    for number in range(batches):
        values = [b"%d-%d" % (number, n) * 20 for n in range(3)]
        batch = records(run, values, at_ms=1000 * number)
        client.call(Api.PRODUCE, 9, **produced(topic, batch))


def positions(run: Run) -> None:
    """Within a batch, at the end, beyond it, before the start; at every version."""
    topic = run.topic("log")
    topic_id = run.topic_id(topic)
    _fill(run, topic)
    client = run.connect()
    for offset in (0, 2, 3, 4, 8, 9, 10, 10**12, -1):
        run.note(f"offset {offset}")
        client.call(Api.FETCH, until(BY_ID - 1), **fetched(topic, offset))
        client.call(Api.FETCH, since(BY_ID), **fetched(topic_id, offset))


def isolation(run: Run) -> None:
    """Read committed: without transactions it is the same, and the list of aborted is empty."""
    topic = run.topic("log")
    topic_id = run.topic_id(topic)
    _fill(run, topic)
    client = run.connect()
    client.call(Api.FETCH, until(BY_ID - 1), **fetched(topic, 3, isolation_level=1))
    client.call(Api.FETCH, since(BY_ID), **fetched(topic_id, 3, isolation_level=1))
    run.note("errors")
    client.call(Api.FETCH, 11, **fetched(topic, 99, isolation_level=1))
    client.call(Api.FETCH, 11, **fetched(topic, 0, partition=1, isolation_level=1))
    client.call(Api.FETCH, 11, **fetched(topic, 0, isolation_level=1, current_leader_epoch=7))
    client.call(Api.FETCH, 12, **fetched(topic, 9, isolation_level=1, last_fetched_epoch=7))


def sizes(run: Run) -> None:
    """At least one whole batch, then no more than allowed, of all and of each partition."""
    topic = run.topic("log", partitions=2)
    client = run.connect()
    for number in range(4):
        batch = records(run, [b"%d" % number * 100])
        client.call(Api.PRODUCE, 9, **produced(topic, batch, batch))
    for limit in (0, 1, 100, 200, 400, 500):
        run.note(f"{limit} bytes of a partition")
        client.call(Api.FETCH, 11, **fetched(topic, partition_max_bytes=limit))
        run.note(f"{limit} bytes in all")
        client.call(Api.FETCH, 11, **fetched(topic, max_bytes=limit))
    for in_all, of_each in ((1, NO_LIMIT), (250, NO_LIMIT), (NO_LIMIT, 1), (600, 250), (1, 1)):
        request = fetched(topic, partition_max_bytes=of_each, max_bytes=in_all)
        (asked,) = request["topics"]
        asked["partitions"] = [{**asked["partitions"][0], "partition": n} for n in (1, 0)]
        run.note(f"two partitions, {in_all} bytes in all, {of_each} of each")
        client.call(Api.FETCH, [4, 11], **request)


def nonsense(run: Run) -> None:
    """An isolation level that nobody knows, a negative size."""
    topic = run.topic("log")
    _fill(run, topic)
    client = run.connect()
    client.call(Api.FETCH, 11, **fetched(topic, 3, isolation_level=2))
    client.call(Api.FETCH, 11, **fetched(topic, partition_max_bytes=-1))
    client.call(Api.FETCH, 11, **fetched(topic, max_bytes=-1))


def refused(run: Run) -> None:
    """Topics and partitions that are not there, by name and by id."""
    topic = run.topic("log")
    topic_id = run.topic_id(topic)
    client = run.connect()
    for what, name in {"unknown": run.name("nobody"), "illegal": "a b", "empty": ""}.items():
        run.note(f"an {what} name")
        client.call(Api.FETCH, until(BY_ID - 1), **fetched(name))
    for partition in (1, -1, 10**6):
        run.note(f"partition {partition}")
        client.call(Api.FETCH, until(BY_ID - 1), **fetched(topic, partition=partition))
        client.call(Api.FETCH, since(BY_ID), **fetched(topic_id, partition=partition))
    run.note("an id of nobody")
    client.call(Api.FETCH, since(BY_ID), **fetched(NOBODYS_ID))
    run.note("a topic twice, a partition twice")
    request = fetched(topic)
    request["topics"] *= 2
    client.call(Api.FETCH, 11, **request)
    request = fetched(topic)
    request["topics"][0]["partitions"] *= 2
    client.call(Api.FETCH, 11, **request)
    run.note("nothing")
    client.call(Api.FETCH, ALL, topics=[], max_wait_ms=0, min_bytes=0, session_epoch=-1)


def epochs(run: Run) -> None:
    """The client's idea of the leader epoch, and of the epoch that it read last."""
    topic = run.topic("log")
    topic_id = run.topic_id(topic)
    _fill(run, topic)
    client = run.connect()
    for epoch in (-1, 0, 1, 7):
        run.note(f"current leader epoch {epoch}")
        how = {"current_leader_epoch": epoch}
        client.call(Api.FETCH, range(9, BY_ID), **fetched(topic, 3, **how))
        client.call(Api.FETCH, since(BY_ID), **fetched(topic_id, 3, **how))
    for last, offset in ((0, 3), (0, 9), (0, 10), (1, 3), (7, 9), (-1, 3)):
        run.note(f"last fetched epoch {last} at offset {offset}")
        how = {"last_fetched_epoch": last, "current_leader_epoch": 0}
        client.call(Api.FETCH, 12, **fetched(topic, offset, **how))
        client.call(Api.FETCH, since(BY_ID), **fetched(topic_id, offset, **how))


def waiting(run: Run) -> None:
    """Until min_bytes are there or max_wait is over; an error does not wait."""
    topic = run.topic("log")
    client, producer = run.connect(), run.connect("producer")
    run.note("nothing comes")
    client.timed(WAITED, Api.FETCH, 11, **fetched(topic, max_wait_ms=SHORT_MS, min_bytes=1))
    how = {"max_wait_ms": LONG_MS, "min_bytes": 1}
    run.note("an unknown partition")
    client.timed(AT_ONCE, Api.FETCH, 11, **fetched(topic, partition=5, **how))
    run.note("a position that is not there")
    client.timed(AT_ONCE, Api.FETCH, 11, **fetched(topic, 99, **how))
    run.note("something comes")
    sent = client.send(Api.FETCH, 11, **fetched(topic, max_wait_ms=LONG_MS, min_bytes=1))
    client.silent()
    producer.call(Api.PRODUCE, 9, **produced(topic, records(run)))
    sent.answer()
    run.note("something, but not enough")
    sent = client.send(Api.FETCH, 11, **fetched(topic, max_wait_ms=LONG_MS, min_bytes=150))
    client.silent()
    producer.call(Api.PRODUCE, 9, **produced(topic, records(run)))
    sent.answer()
    run.note("enough is there")
    client.timed(AT_ONCE, Api.FETCH, 11, **fetched(topic, max_wait_ms=LONG_MS, min_bytes=150))
    run.note("more than a partition may give")
    how = {"max_wait_ms": SHORT_MS, "min_bytes": 150, "partition_max_bytes": 10}
    client.timed(WAITED, Api.FETCH, 11, **fetched(topic, **how))
    run.note("no minimum")
    client.timed(AT_ONCE, Api.FETCH, 11, **fetched(topic, 2, max_wait_ms=LONG_MS, min_bytes=0))


def followers(run: Run) -> None:
    """Who says that it is a replica must be one."""
    topic = run.topic("log")
    _fill(run, topic, 1)
    client = run.connect()
    for replica in (1, 2, 77, -2, -3):
        run.note(f"replica {replica}")
        client.call(Api.FETCH, 11, **fetched(topic, replica_id=replica))
    client.call(
        Api.FETCH,
        since(15),
        **fetched(run.topic_id(topic), replica_state={"replica_id": 77, "replica_epoch": 5}),
    )
    run.note("another cluster")
    client.call(Api.FETCH, 12, **fetched(topic, cluster_id="another"))


def segments(run: Run) -> None:
    """Reads end with a segment, and begin in any of them."""
    topic = run.topic("long", config={"segment.bytes": str(1 << 20)})
    client = run.connect()
    for number in range(5):
        batch = records(run, [bytes([number]) * 300_000], at_ms=number * 1000)
        client.call(Api.PRODUCE, 9, **produced(topic, batch))
    for offset in (0, 2, 3, 4, 5):
        for limit in (1, 300_000, 700_000, NO_LIMIT):
            run.note(f"{limit} bytes from offset {offset}")
            client.call(Api.FETCH, 11, **fetched(topic, offset, partition_max_bytes=limit))
    for at_ms in (0, 500, 2000, 3500, 4000, 4001):
        client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, run.start_ms + at_ms))
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, -3))
    run.note("a segment and a bit are deleted")
    asked = [{"name": topic, "partitions": [{"partition_index": 0, "offset": 4}]}]
    client.call(Api.DELETE_RECORDS, 2, topics=asked, timeout_ms=10_000)
    for offset in (3, 4):
        client.call(Api.FETCH, 11, **fetched(topic, offset))
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, run.start_ms))
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, -2))


def topic_deleted_meanwhile(run: Run) -> None:
    """A fetch that waits is told of it at once."""
    topic = run.topic("gone")
    topic_id = run.topic_id(topic)
    client, admin = run.connect(), run.connect("admin")
    sent = client.send(Api.FETCH, 11, **fetched(topic, max_wait_ms=LONG_MS, min_bytes=1))
    client.silent()
    admin.call(
        Api.DELETE_TOPICS, 6, topics=[{"name": None, "topic_id": topic_id}], timeout_ms=10_000
    )
    sent.answer()
