"""What `tierbroker tier status` does: asks each broker for /v1/tier and prints it."""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.broker_http import find_brokers
from tierbroker.cli.counting import counted, verb
from tierbroker.cli.output import Cell, Column, print_json, print_rows
from tierbroker.cli.sizes import size_text, span_text
from tierbroker.cli.times import utc_text

_SIZES = (
    Column("hot_bytes", "HOT", numeric=True),
    Column("cold_bytes", "COLD", numeric=True),
    Column("lag_bytes", "LAG", numeric=True),
    Column("lag_segments", "SEGMENTS", numeric=True),
    Column("lag_ms", "WAITS", numeric=True),
)
_REASON = Column("waiting", "FOR")
TOPIC_COLUMNS = (
    Column("topic", "TOPIC"),
    Column("partitions", "PARTITIONS", numeric=True),
    *_SIZES,
    Column("requests", "REQUESTS", numeric=True),
    _REASON,
)
PARTITION_COLUMNS = (Column("partition", "PARTITION", numeric=True), *_SIZES, _REASON)
_SHOWN: Mapping[str, Callable[[int], str]] = {
    "hot_bytes": size_text,
    "cold_bytes": size_text,
    "lag_bytes": size_text,
    "lag_ms": span_text,
}


def run_status(bootstrap: Bootstrap, topic: str | None, *, as_json: bool) -> None:
    """Raises CommandFailedError, UnreachableError."""
    columns = TOPIC_COLUMNS if topic is None else PARTITION_COLUMNS
    rows: list[tuple[Cell, ...]] = []
    for broker in find_brokers(bootstrap):
        told = broker.tier(topic)
        entries = told["topics"] if topic is None else told["partitions"]
        if as_json:
            print_json({key: told[key] for key in told if key not in ("topics", "partitions")})
            for entry in entries:
                print_json(entry if topic is None else {"topic": topic, **entry})
            continue
        for line in summary(told):
            click.echo(line, err=True)
        rows += [_row(columns, entry, for_people=sys.stdout.isatty()) for entry in entries]
    if not as_json:
        print_rows(columns, rows, as_json=False)


def summary(told: Mapping[str, Any]) -> Iterator[str]:
    """The state of the store in a few lines."""
    store = told["store"]
    if store is None:
        yield "This broker has no cold tier. Give it one with: tierbroker dev --cold URL"
        return
    yield f"Store       {store['url']}: {store_state(store)}"
    checkpoint = told["checkpoint"]
    if checkpoint is None or "age_ms" not in checkpoint:
        yield "Checkpoint  none yet: nothing leaves this disk before there is one"
    else:
        yield f"Checkpoint  {span_text(checkpoint['age_ms'])} ago"
    if checkpoint is not None and checkpoint["failure"] is not None:
        yield f"            the latest attempt failed: {checkpoint['failure']}"
    asked = store["requests"]
    counts = ", ".join(f"{count} {name.upper()}" for name, count in asked.items())
    yield (
        f"Requests    {counts}; {store['failed_requests']} failed; "
        f"{size_text(store['bytes_uploaded'])} up, {size_text(store['bytes_downloaded'])} down, "
        "since the broker's start"
    )
    if told["garbage_objects"]:
        count = told["garbage_objects"]
        yield f"Garbage     {counted(count, 'object')} {verb(count, 'waits', 'wait')} to be deleted"
    for each in told["offloading"]:
        evict = " and off this disk" if each["evict"] else ""
        yield f"Offloading  {each['topic']}{evict}, since {utc_text(each['since_ms'])}"


def store_state(store: Mapping[str, Any]) -> str:
    """Whether it answers, and what it said last where it does not."""
    if store["state"] == "refused":
        return f"not used any more: {store['refusal']}"
    if store["state"] == "down":
        return f"down since {utc_text(store['down_since_ms'])}: {store['last_error']}"
    if store["last_error"] is not None:
        return f"{store['state']}; failed at {utc_text(store['last_error_at_ms'])}: " + str(
            store["last_error"]
        )
    return str(store["state"])


def _row(
    columns: tuple[Column, ...], entry: Mapping[str, Any], *, for_people: bool
) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for column in columns:
        value = entry[column.key]
        if column.key == "waiting":
            value = _reason(value, with_partition="topic" in entry)
        elif column.key == "requests":
            value = sum(value.values())
        elif for_people and column.key in _SHOWN:
            value = _SHOWN[column.key](value)
        cells.append(value)
    return tuple(cells)


def _reason(waiting: Mapping[str, Any] | None, *, with_partition: bool) -> str | None:
    if waiting is None:
        return None
    where = f"partition {waiting['partition']} " if with_partition else ""
    offset = waiting["base_offset"]
    return f"{where}{'' if offset is None else f'at {offset}'}: {waiting['reason']}".lstrip(": ")
