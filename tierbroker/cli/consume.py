"""`tierbroker consume`: read a topic by assignment, or as a member of a consumer group.

The module parses; reading is `cli.consume_run` or, in a group, `cli.consume_group`, loaded when
there is something to read.
"""

from dataclasses import dataclass

import click

from tierbroker.base.clock import SystemClock
from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.options import bootstrap_option, json_option, parse_with, progress_option
from tierbroker.cli.positions import Anchor, Position, parse_position
from tierbroker.cli.separator import parse_separator


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What one run of `consume` was asked to do."""

    topic: str
    bootstrap: Bootstrap
    position: Position
    stop_at_end: bool
    limit: int | None
    partition: int | None
    as_json: bool
    key_separator: bytes | None
    show_progress: bool
    group: str | None


@click.command()
@click.argument("topic")
@click.option(
    "--from",
    "position",
    callback=parse_with(lambda text: parse_position(text, SystemClock())),
    metavar="POSITION",
    default="end",
    show_default=True,
    help="Where to start: start, end, OFFSET, -COUNT (so many before the end), or @TIME "
    "(ISO 8601, milliseconds since 1970, or ago as in @-90m).",
)
@click.option(
    "--exit",
    "stop_at_end",
    is_flag=True,
    help="Stop at what is the end of the topic now, instead of waiting for more.",
)
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("-p", "--partition", type=click.IntRange(min=0), help="Read this partition only.")
@click.option(
    "-g",
    "--group",
    metavar="NAME",
    help="Read as a member of this consumer group, from where it has committed; --from start or "
    "end is for partitions without a commit.",
)
@click.option(
    "--key-separator",
    callback=parse_with(parse_separator),
    metavar="SEP",
    help=r"Write key, SEP and value; \t is a tab.",
)
@json_option
@progress_option
@bootstrap_option
def consume(
    *,
    topic: str,
    position: Position,
    stop_at_end: bool,
    limit: int | None,
    partition: int | None,
    group: str | None,
    key_separator: bytes | None,
    as_json: bool,
    no_progress: bool,
    bootstrap: Bootstrap,
) -> int:
    """Write the records of TOPIC to standard output: each value as it is, and a newline.

    Reads all partitions, in no consumer group, and waits for new records until Ctrl-C unless
    --exit or -n says otherwise. Records of one partition come in order.

    With --group the members of the group share the partitions, and what was written is committed
    every five seconds and at the end: who comes next goes on from there.

    \b
    With --json each record is one object:
      topic, partition, offset, timestamp (milliseconds since 1970), key, value, and
      headers, a list of {"key", "value"}, if there are any
    A key or value that is not UTF-8 text is in key_base64 or value_base64 instead.

    \b
    Examples:
      tierbroker consume hello --from start --exit
      tierbroker consume hello --from @-15m --json
      tierbroker consume hello --from -10 --exit --partition 0
      tierbroker consume hello --group billing --from start
    """
    if as_json and key_separator is not None:
        raise click.UsageError("--json and --key-separator exclude each other.")
    if group is not None:
        _check_group(group, partition, position)
    options = ConsumeOptions(
        topic,
        bootstrap,
        position,
        stop_at_end,
        limit,
        partition,
        as_json,
        key_separator,
        not no_progress,
        group,
    )
    if group is not None:
        from tierbroker.cli.consume_group import read_in_group

        return read_in_group(options, group)
    from tierbroker.cli.consume_run import read

    return read(options)


def _check_group(group: str, partition: int | None, position: Position) -> None:
    """Raises UsageError for what cannot go with --group."""
    if not group:
        raise click.UsageError("--group needs a name that is not empty.")
    if partition is not None:
        raise click.UsageError(
            "--group and --partition exclude each other: the group shares out the partitions."
        )
    if position.anchor not in (Anchor.START, Anchor.END):
        raise click.UsageError(
            "With --group, --from is start or end: it is only for partitions that the group has "
            "not committed."
        )
