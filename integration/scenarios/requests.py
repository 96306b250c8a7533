"""The bodies that scripts send again and again, with one topic and one partition each."""

from collections.abc import Sequence
from typing import Any

from integration.differential.messages import Id
from integration.differential.script import Run
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

NOBODYS_ID = Id(bytes(range(16)))
NULL_ID = Id(bytes(16))
BY_ID = 13
"""Fetch names topics by id from here on."""


def records(
    run: Run,
    values: Sequence[bytes | None] = (b"value",),
    *,
    key: bytes | None = b"key",
    at_ms: int = 0,
    step_ms: int = 1,
    **how: Any,
) -> bytes:
    """A sound batch: the timestamps count from the start of the run; `how` is `build_batch`'s."""
    first = run.start_ms + at_ms
    return build_batch(
        [Record(0, first + n * step_ms, key, value, ()) for n, value in enumerate(values)], **how
    )


def produced(topic: str, *batches: bytes | None, acks: int = -1, **rest: Any) -> dict[str, Any]:
    """A Produce request: one batch for each partition from 0 on."""
    data = [{"index": number, "records": batch} for number, batch in enumerate(batches)]
    return {
        "acks": acks,
        "timeout_ms": 10_000,
        "topic_data": [{"name": topic, "partition_data": data}],
        **rest,
    }


def fetched(topic: str | Id, offset: int = 0, *, partition: int = 0, **rest: Any) -> dict[str, Any]:
    """A Fetch request outside of a session; `partition_*` and epochs go to the partition."""
    of_partition = {
        name: rest.pop(name)
        for name in ("current_leader_epoch", "last_fetched_epoch", "partition_max_bytes")
        if name in rest
    }
    asked = {
        "partition": partition,
        "fetch_offset": offset,
        "partition_max_bytes": 1 << 20,
        **of_partition,
    }
    name = {"topic": topic} if isinstance(topic, str) else {"topic_id": topic}
    how = {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 24, "session_epoch": -1, **rest}
    return {"topics": [{**name, "partitions": [asked]}], **how}


def offsets_at(topic: str, *timestamps: int, partition: int = 0, **rest: Any) -> dict[str, Any]:
    """A ListOffsets request for one timestamp (Kafka answers one per partition)."""
    asked = [{"partition_index": partition, "timestamp": timestamp} for timestamp in timestamps]
    return {"replica_id": -1, "topics": [{"name": topic, "partitions": asked}], **rest}
