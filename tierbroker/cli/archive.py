"""`tierbroker archive`: read what is in an object store with no broker running.

The module parses; the work is `cli.archive_cat` and `cli.archive_ls`.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import click

from tierbroker.base.clock import SystemClock
from tierbroker.cli.lazy_group import LazyCommand, LazyGroup
from tierbroker.cli.options import json_option, parse_key_value, parse_with, progress_option
from tierbroker.cli.positions import Anchor, Position, parse_position
from tierbroker.cli.separator import parse_separator

F = TypeVar("F", bound=Any)

_POSITION = parse_with(lambda text: parse_position(text, SystemClock()))


def store_settings_option(command: F) -> F:
    """--set KEY=VALUE: how the store is reached."""
    option = click.option(
        "--set",
        "sets",
        multiple=True,
        callback=parse_with(parse_key_value),
        metavar="KEY=VALUE",
        help="A setting by its name, e.g. cold.s3.endpoint or cold.s3.profile; repeatable.",
    )
    return option(command)


@dataclass(frozen=True, slots=True)
class CatOptions:
    """What one run of `archive cat` was asked to do."""

    url: str
    settings: dict[str, str]
    topic: str
    partition: int | None
    start: Position
    stop: Position
    limit: int | None
    uncommitted: bool
    as_json: bool
    key_separator: bytes | None
    show_progress: bool


@click.command("cat")
@click.argument("url")
@click.argument("topic")
@click.option("-p", "--partition", type=click.IntRange(min=0), help="Read this partition only.")
@click.option(
    "--from",
    "start",
    callback=_POSITION,
    metavar="POSITION",
    default="start",
    show_default=True,
    help="Where to start: start, OFFSET, -COUNT (so many before the end), or @TIME "
    "(ISO 8601, milliseconds since 1970, or ago as in @-90m).",
)
@click.option(
    "--to",
    "stop",
    callback=_POSITION,
    metavar="POSITION",
    default="end",
    show_default=True,
    help="Where to stop, written in the same way: before the record that is there.",
)
@click.option(
    "-n", "--limit", "--max", "limit", type=click.IntRange(min=1),
    help="Stop after so many records.",
)  # fmt: skip
@click.option(
    "--uncommitted", is_flag=True, help="Also write records of transactions that were aborted."
)
@click.option(
    "--key-separator",
    callback=parse_with(parse_separator),
    metavar="SEP",
    help=r"Write key, SEP and value; \t is a tab.",
)
@store_settings_option
@json_option
@progress_option
def cat(
    *,
    url: str,
    topic: str,
    partition: int | None,
    start: Position,
    stop: Position,
    limit: int | None,
    uncommitted: bool,
    key_separator: bytes | None,
    sets: tuple[tuple[str, str], ...],
    as_json: bool,
    no_progress: bool,
) -> None:
    """Write the records of TOPIC that are in the object store at URL, with no broker running.

    Reads what the store's latest checkpoint names, one partition after the other, and writes as
    `tierbroker consume` does: each value as it is, and a newline. What a broker has not uploaded
    yet is not in there. Nothing in the store is changed; keys to read it are enough.

    \b
    With --json each record is one object:
      topic, partition, offset, timestamp (milliseconds since 1970), key, value, and
      headers, a list of {"key", "value"}, if there are any
    A key or value that is not UTF-8 text is in key_base64 or value_base64 instead.

    \b
    Examples:
      tierbroker archive cat s3://bucket/prefix orders
      tierbroker archive cat s3://bucket/prefix orders --from @2026-01-31 --to @2026-02-01 --json
      tierbroker archive cat file:///mnt/cold orders -p 0 --from 1000000 -n 10
    """
    if as_json and key_separator is not None:
        raise click.UsageError("--json and --key-separator exclude each other.")
    if start.anchor is Anchor.END:
        raise click.UsageError("--from end leaves nothing to read: an archive does not grow.")
    from tierbroker.cli.archive_cat import write_records

    write_records(
        CatOptions(
            url,
            dict(sets),
            topic,
            partition,
            start,
            stop,
            limit,
            uncommitted,
            as_json,
            key_separator,
            not no_progress,
        )
    )


@click.command("ls")
@click.argument("url")
@click.argument("topic", required=False)
@store_settings_option
@json_option
def ls(url: str, topic: str | None, sets: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """List the partitions in the object store at URL: offsets, times and bytes.

    As of the store's latest checkpoint. NOT UPLOADED is how many offsets the broker had then that
    were on its own disk alone. Nothing in the store is changed.

    \b
    Examples:
      tierbroker archive ls s3://bucket/prefix
      tierbroker archive ls file:///mnt/cold orders --json
    """
    from tierbroker.cli.archive_ls import list_partitions

    list_partitions(url, topic, dict(sets), as_json=as_json)


@click.group(
    cls=LazyGroup,
    commands_table={
        "cat": LazyCommand("tierbroker.cli.archive", "cat", "Write the records of a topic."),
        "ls": LazyCommand("tierbroker.cli.archive", "ls", "List what is there."),
    },
)
def archive() -> None:
    """Read the cold tier of a cluster from its object store, with no broker running.

    \b
    Examples:
      tierbroker archive ls s3://bucket/prefix
      tierbroker archive cat s3://bucket/prefix orders --json
    """
