"""ListOffsets, OffsetForLeaderEpoch and DeleteRecords: where things are in a log."""

from typing import Any

from integration.differential.script import ALL, Run, since
from integration.scenarios.requests import fetched, offsets_at, produced, records
from tierbroker.records.compression import Codec
from tierbroker.wire.api_keys import ApiKey as Api

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL = -1, -2, -3, -4
LATEST_TIERED, EARLIEST_PENDING = -5, -6
NO_EPOCH = -1


def _fill(run: Run, topic: str) -> None:
    """Offsets 0 to 8; times rise, but for the batch in the middle."""
    client = run.connect("producer")
    for at_ms, codec in ((0, Codec.NONE), (5000, Codec.LZ4), (1000, Codec.NONE)):
        batch = records(run, [b"1", b"2", b"3"], at_ms=at_ms, step_ms=10, codec=codec)
        client.call(Api.PRODUCE, 9, **produced(topic, batch))


def by_time(run: Run) -> None:
    """The first record at or after a time, also within a compressed batch."""
    topic = run.topic("times")
    client = run.connect()
    run.note("of an empty log")
    client.call(Api.LIST_OFFSETS, ALL, **offsets_at(topic, run.start_ms))
    _fill(run, topic)
    for at_ms in (-1000, 0, 5, 10, 20, 21, 1000, 4999, 5000, 5005, 5020, 5021):
        run.note(f"time {at_ms}")
        client.call(Api.LIST_OFFSETS, [1, 7, 11], **offsets_at(topic, run.start_ms + at_ms))
    run.note("time 0")
    client.call(Api.LIST_OFFSETS, ALL, **offsets_at(topic, 0))


def special_times(run: Run) -> None:
    """Latest, earliest, the largest timestamp, and those of tiers."""
    empty, topic = run.topic("empty"), run.topic("times")
    _fill(run, topic)
    client = run.connect()
    for name in (empty, topic):
        client.call(Api.LIST_OFFSETS, ALL, **offsets_at(name, LATEST))
        client.call(Api.LIST_OFFSETS, ALL, **offsets_at(name, EARLIEST))
        client.call(Api.LIST_OFFSETS, since(7), **offsets_at(name, MAX_TIMESTAMP))
        client.call(Api.LIST_OFFSETS, since(8), **offsets_at(name, EARLIEST_LOCAL))
        client.call(Api.LIST_OFFSETS, since(9), **offsets_at(name, LATEST_TIERED))
        client.call(Api.LIST_OFFSETS, since(11), **offsets_at(name, EARLIEST_PENDING))
    run.note("read committed")
    client.call(Api.LIST_OFFSETS, since(2), **offsets_at(topic, LATEST, isolation_level=1))


def special_times_too_early(run: Run) -> None:
    """A special time before its version, and one that nobody knows."""
    topic = run.topic("times")
    _fill(run, topic)
    client = run.connect()
    for time, versions in (
        (MAX_TIMESTAMP, range(1, 7)),
        (EARLIEST_LOCAL, range(1, 8)),
        (LATEST_TIERED, range(1, 9)),
        (EARLIEST_PENDING, range(1, 11)),
        (-7, ALL),
    ):
        run.note(f"time {time}")
        client.call(Api.LIST_OFFSETS, versions, **offsets_at(topic, time))


def list_refused(run: Run) -> None:
    """Unknown topics and partitions, doubled ones, epochs of the leader."""
    topic = run.topic("times")
    client = run.connect()
    run.note("a topic that is not there")
    client.call(Api.LIST_OFFSETS, ALL, **offsets_at(run.name("nobody"), LATEST))
    run.note("an illegal name")
    client.call(Api.LIST_OFFSETS, ALL, **offsets_at("a b", LATEST))
    for partition in (1, -1):
        run.note(f"partition {partition}")
        client.call(Api.LIST_OFFSETS, ALL, **offsets_at(topic, LATEST, partition=partition))
    run.note("the same partition twice")
    client.call(Api.LIST_OFFSETS, ALL, **offsets_at(topic, LATEST, EARLIEST))
    for epoch in (0, 1):
        run.note(f"leader epoch {epoch}")
        request = offsets_at(topic, LATEST)
        request["topics"][0]["partitions"][0]["current_leader_epoch"] = epoch
        client.call(Api.LIST_OFFSETS, since(4), **request)
    run.note("a replica")
    for replica in (1, 77, -2, -3):
        client.call(
            Api.LIST_OFFSETS, [1, 7, 11], **{**offsets_at(topic, LATEST), "replica_id": replica}
        )
    run.note("nothing")
    client.call(Api.LIST_OFFSETS, ALL, replica_id=-1, topics=[])


def ends_of_epochs(run: Run) -> None:
    """Where an epoch of the leader ends."""
    topic = run.topic("epochs")
    client = run.connect()

    def ask(name: str, epoch: int, current: int = NO_EPOCH, partition: int = 0) -> None:
        asked = {"partition": partition, "leader_epoch": epoch, "current_leader_epoch": current}
        client.call(
            Api.OFFSET_FOR_LEADER_EPOCH,
            ALL,
            topics=[{"topic": name, "partitions": [asked]}],
        )

    run.note("an empty log")
    ask(topic, 0)
    ask(topic, 5)
    _fill(run, topic)
    for epoch in (-1, 0, 1, 5, -2):
        run.note(f"epoch {epoch}")
        ask(topic, epoch)
    for current in (0, 1):
        run.note(f"the client knows leader epoch {current}")
        ask(topic, 0, current)
    run.note("a topic that is not there")
    ask(run.name("nobody"), 0)
    run.note("a partition that is not there")
    ask(topic, 0, partition=3)
    run.note("nothing")
    client.call(Api.OFFSET_FOR_LEADER_EPOCH, ALL, topics=[])


def records_deleted(run: Run) -> None:
    """The log start moves up to an offset or to the end, never back, never beyond."""
    topic, compacted = (
        run.topic("short"),
        run.topic("compact", config={"cleanup.policy": "compact"}),
    )
    both = run.topic("both", config={"cleanup.policy": "compact,delete"})
    for name in (topic, compacted, both):
        _fill(run, name)
    client = run.connect()

    def delete(name: str, offset: int, versions: Any = ALL, partition: int = 0) -> None:
        asked = [{"partition_index": partition, "offset": offset}]
        client.call(
            Api.DELETE_RECORDS,
            versions,
            topics=[{"name": name, "partitions": asked}],
            timeout_ms=10_000,
        )

    for offset in (0, 4, 2, 4, 10, 10**12, -2, 9):
        run.note(f"up to {offset}")
        delete(topic, offset)
        client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, EARLIEST))
    run.note("below the start")
    client.call(Api.FETCH, 11, **fetched(topic, 9))
    _fill(run, topic)
    run.note("up to the end")
    delete(topic, -1)
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, run.start_ms))
    client.call(Api.LIST_OFFSETS, 7, **offsets_at(topic, MAX_TIMESTAMP))
    run.note("of a compacted topic")
    delete(compacted, 3)
    run.note("of one that is compacted and deleted from")
    delete(both, 3)
    run.note("a topic that is not there")
    delete(run.name("nobody"), 0)
    run.note("a partition that is not there")
    delete(topic, 0, partition=4)
    run.note("nothing")
    client.call(Api.DELETE_RECORDS, ALL, topics=[], timeout_ms=1000)
