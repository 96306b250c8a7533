"""Fetch sessions (KIP-227): made, continued, changed, ended, and every epoch that is wrong."""

from typing import Any

from integration.differential.messages import Id
from integration.differential.script import Connection, Run, between, since
from integration.scenarios.requests import BY_ID, NOBODYS_ID, fetched, produced, records
from tierbroker.wire.api_keys import ApiKey as Api

MADE, NONE = 0, -1
NOTHING: dict[str, Any] = {"topics": [], "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 24}


def _append(run: Run, client: Connection, topic: str, *values: bytes | None) -> None:
    batches = [None if value is None else records(run, [value]) for value in values]
    data = [{"index": n, "records": b} for n, b in enumerate(batches) if b is not None]
    request = {**produced(topic), "topic_data": [{"name": topic, "partition_data": data}]}
    client.call(Api.PRODUCE, 9, **request)


def _whole(topic: str | Id, partitions: int, **how: Any) -> dict[str, Any]:
    request = fetched(topic, **how)
    (asked,) = request["topics"]
    asked["partitions"] = [{**asked["partitions"][0], "partition": n} for n in range(partitions)]
    return request


def continued(run: Run) -> None:
    """A session tells only what is new; positions move when the client says so."""
    topic = run.topic("session", partitions=3)
    topic_id = run.topic_id(topic)
    client, producer = run.connect(), run.connect("producer")
    for version, name in ((7, topic), (11, topic), (12, topic), (13, topic_id), (16, topic_id)):
        made = client.call(Api.FETCH, version, **_whole(name, 3, session_epoch=MADE))
        ids = {"session_id": made.session_id}
        run.note("nothing new")
        client.call(Api.FETCH, version, **NOTHING, **ids, session_epoch=1)
        _append(run, producer, topic, None, b"a", None)
        run.note("one partition has more")
        client.call(Api.FETCH, version, **NOTHING, **ids, session_epoch=2)
        run.note("not moved: told again")
        client.call(Api.FETCH, version, **NOTHING, **ids, session_epoch=3)
        run.note("moved")
        request = fetched(name, 1, partition=1, **ids, session_epoch=4)
        client.call(Api.FETCH, version, **request)
        run.note("ended")
        client.call(Api.FETCH, version, **NOTHING, **ids, session_epoch=NONE)
        run.note("it is no more")
        client.call(Api.FETCH, version, **NOTHING, **ids, session_epoch=5)


def wrong_epochs(run: Run) -> None:
    """A session that is not there, an epoch that is not the next one."""
    topic = run.topic("session")
    client = run.connect()
    run.note("no session")
    client.call(Api.FETCH, between(7, 12), **NOTHING, session_id=0, session_epoch=1)
    run.note("a session that nobody has")
    client.call(Api.FETCH, between(7, 18), **NOTHING, session_id=12345, session_epoch=1)
    made = client.call(Api.FETCH, 11, **fetched(topic, session_epoch=MADE))
    ids = {"session_id": made.session_id}
    for epoch in (2, 5, -2):
        run.note(f"epoch {epoch} instead of 1")
        client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=epoch)
    run.note("the right one")
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=1)
    run.note("the same again")
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=1)
    run.note("another session in place of this one")
    client.call(Api.FETCH, 11, **fetched(topic, **ids, session_epoch=MADE))
    run.note("the first one is no more")
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=2)
    run.note("ended without having been")
    client.call(Api.FETCH, 11, **NOTHING, session_id=12345, session_epoch=NONE)
    run.note("a whole fetch outside of sessions")
    client.call(Api.FETCH, 11, **fetched(topic, session_id=0, session_epoch=NONE))


def partitions_come_and_go(run: Run) -> None:
    """Added by naming them, dropped by forgetting them; an empty session is none."""
    topic, other = run.topic("session", partitions=2), run.topic("other")
    client, producer = run.connect(), run.connect("producer")
    _append(run, producer, topic, b"a", b"b")
    _append(run, producer, other, b"c")
    made = client.call(Api.FETCH, 11, **fetched(topic, session_epoch=MADE))
    ids = {"session_id": made.session_id}
    run.note("one more")
    client.call(Api.FETCH, 11, **fetched(other, **ids, session_epoch=1))
    run.note("all that the session holds")
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=2)
    run.note("one less")
    gone = [{"topic": topic, "partitions": [0]}]
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=3, forgotten_topics_data=gone)
    run.note("forgotten twice, and what was never there")
    gone += [{"topic": run.name("nobody"), "partitions": [0, 7]}]
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=4, forgotten_topics_data=gone)
    run.note("the last one")
    gone = [{"topic": other, "partitions": [0]}]
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=5, forgotten_topics_data=gone)
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=6)
    run.note("a session of nothing")
    client.call(Api.FETCH, 11, **NOTHING, session_epoch=MADE)


def errors_in_a_session(run: Run) -> None:
    """An error is told again and again, and does not end the session."""
    topic = run.topic("session")
    client = run.connect()
    made = client.call(Api.FETCH, 11, **_whole(topic, 2, session_epoch=MADE))
    ids = {"session_id": made.session_id}
    for epoch in (1, 2):
        client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=epoch)
    run.note("a position out of range, then a good one")
    client.call(Api.FETCH, 11, **fetched(topic, 99, **ids, session_epoch=3))
    client.call(Api.FETCH, 11, **NOTHING, **ids, session_epoch=4)
    client.call(Api.FETCH, 11, **fetched(topic, 0, **ids, session_epoch=5))
    run.note("by an id of nobody")
    made = client.call(Api.FETCH, since(BY_ID), **fetched(NOBODYS_ID, session_epoch=MADE))
    ids = {"session_id": made.session_id}
    client.call(Api.FETCH, 18, **NOTHING, **ids, session_epoch=1)


def names_and_ids(run: Run) -> None:
    """A session keeps to names or ids; a topic that is made anew is another one."""
    topic = run.topic("session")
    topic_id = run.topic_id(topic)
    client = run.connect()
    made = client.call(Api.FETCH, 12, **fetched(topic, session_epoch=MADE))
    run.note("by id in a session of names")
    client.call(Api.FETCH, 13, **fetched(topic_id, session_id=made.session_id, session_epoch=1))
    made = client.call(Api.FETCH, 13, **fetched(topic_id, session_epoch=MADE))
    run.note("by name in a session of ids")
    client.call(Api.FETCH, 12, **fetched(topic, session_id=made.session_id, session_epoch=1))
    made = client.call(Api.FETCH, 13, **fetched(topic_id, session_epoch=MADE))
    ids = {"session_id": made.session_id}
    client.call(
        Api.DELETE_TOPICS, 6, topics=[{"name": None, "topic_id": topic_id}], timeout_ms=10_000
    )
    run.catch_up()
    run.note("the topic is gone")
    client.call(Api.FETCH, 13, **NOTHING, **ids, session_epoch=1)
    new_id = run.topic_id(run.topic("session"))
    run.note("another one of the same name")
    client.call(Api.FETCH, 13, **fetched(new_id, **ids, session_epoch=2))
    client.call(Api.FETCH, 13, **NOTHING, **ids, session_epoch=3)


def each_in_its_turn(run: Run) -> None:
    """Where an answer has no room for all, the partitions that were served come last next time."""
    topic = run.topic("session", partitions=4)
    client, producer = run.connect(), run.connect("producer")
    big = b"x" * 1000
    _append(run, producer, topic, big, big, big, None)
    _append(run, producer, topic, big, big, big, None)
    how = {"max_bytes": 1500, "partition_max_bytes": 1200}
    made = client.call(Api.FETCH, 11, **_whole(topic, 4, session_epoch=MADE, **how))
    asked = {**NOTHING, "max_bytes": 1500, "session_id": made.session_id}
    for epoch in range(1, 6):
        client.call(Api.FETCH, 11, **asked, session_epoch=epoch)
    run.note("one of them has been read")
    moved = fetched(topic, 1, session_id=made.session_id, session_epoch=6, **how)
    client.call(Api.FETCH, 11, **moved)
    client.call(Api.FETCH, 11, **asked, session_epoch=7)


def waiting_in_a_session(run: Run) -> None:
    """What ends the wait: news of any of its partitions."""
    topic = run.topic("session", partitions=2)
    client, producer = run.connect(), run.connect("producer")
    made = client.call(Api.FETCH, 11, **_whole(topic, 2, session_epoch=MADE))
    asked = {**NOTHING, "max_wait_ms": 60_000, "min_bytes": 1, "session_id": made.session_id}
    sent = client.send(Api.FETCH, 11, **asked, session_epoch=1)
    client.silent()
    _append(run, producer, topic, None, b"a")
    sent.answer()
    run.note("it has not moved, so there is something at once")
    client.call(Api.FETCH, 11, **asked, session_epoch=2)
