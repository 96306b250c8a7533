"""`tierbroker produce`: values from the command line, or the lines of standard input.

The module parses and reads; sending is `cli.produce_run`, loaded when there is something to send.
"""

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import click

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.options import (
    bootstrap_option,
    json_option,
    parse_key_value,
    parse_with,
    progress_option,
)
from tierbroker.cli.separator import parse_separator

Pair = tuple[bytes | None, bytes]
"""Key and value of a record to send."""


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """What one run of `produce` was asked to do."""

    topic: str
    bootstrap: Bootstrap
    codec: str
    acks: str
    partition: int | None
    headers: tuple[tuple[str, bytes], ...]
    as_json: bool
    show_progress: bool
    bulk: bool
    """The input is a stream: order and "exactly once" matter more than the first half second."""


@dataclass(slots=True)
class LineInput:
    """Lines of a binary stream as pairs, counting the bytes that were read."""

    stream: BinaryIO
    key: bytes | None
    separator: bytes | None
    total_bytes: int | None
    """Size of the input if it is a file."""
    read_bytes: int = 0

    def __iter__(self) -> Iterator[Pair]:
        key, separator = self.key, self.separator
        for line in self.stream:
            self.read_bytes += len(line)
            value = line[:-1] if line.endswith(b"\n") else line
            yield (key, value) if separator is None else split_key(value, separator)


def split_key(line: bytes, separator: bytes) -> Pair:
    """Key and value around the first separator; a line without one is a value without key."""
    key, found, value = line.partition(separator)
    return (key, value) if found else (None, line)


def file_size(stream: BinaryIO) -> int | None:
    """Size of the regular file behind the stream in bytes; None for pipes and terminals."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@click.command()
@click.argument("topic")
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@click.option("-k", "--key", help="Key of every record.")
@click.option(
    "--key-separator",
    callback=parse_with(parse_separator),
    metavar="SEP",
    help=r"Key and value of each input are around the first SEP; \t is a tab.",
)
@click.option(
    "--codec",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    default="none",
    show_default=True,
    help="Compression of the batches.",
)
@click.option(
    "--acks",
    type=click.Choice(["all", "1", "0"]),
    default="all",
    show_default=True,
    help="Acknowledgement to wait for.",
)
@click.option(
    "-p", "--partition", type=click.IntRange(min=0), help="Partition; by the key if not given."
)
@click.option(
    "-H",
    "--header",
    "headers",
    callback=parse_with(parse_key_value),
    metavar="KEY=VALUE",
    multiple=True,
    help="Header; repeatable.",
)
@json_option
@progress_option
@bootstrap_option
def produce(
    *,
    topic: str,
    values: tuple[str, ...],
    key: str | None,
    key_separator: bytes | None,
    codec: str,
    acks: str,
    partition: int | None,
    headers: tuple[tuple[str, str], ...],
    as_json: bool,
    no_progress: bool,
    bootstrap: Bootstrap,
) -> int:
    """Send VALUEs to TOPIC, or each line of standard input.

    A topic that does not exist is made by the broker if it allows that (auto.create.topics.enable).
    Lines end at a newline byte, which is not sent; all other bytes are, as they are. Prints for
    each partition how many records it got and their offsets. If a record is refused, the others
    are still sent, and the exit code is 1.

    \b
    Examples:
      tierbroker produce hello "first message" "second message"
      tierbroker produce hello --codec zstd < access.log
      printf 'k1\\tv1\\nk2\\tv2\\n' | tierbroker produce hello --key-separator '\\t'
    """
    if key is not None and key_separator is not None:
        raise click.UsageError("--key and --key-separator exclude each other.")
    options = ProduceOptions(
        topic,
        bootstrap,
        codec,
        acks,
        partition,
        tuple((name, os.fsencode(value)) for name, value in headers),
        as_json,
        not no_progress,
        bulk=not values,
    )
    fixed_key = os.fsencode(key) if key is not None else None
    from tierbroker.cli.produce_run import send

    if values:
        encoded = (os.fsencode(value) for value in values)
        if key_separator is None:
            return send(options, ((fixed_key, value) for value in encoded))
        return send(options, (split_key(value, key_separator) for value in encoded))
    stream = sys.stdin.buffer
    if stream.isatty():
        click.echo("Each line becomes a record; Ctrl-D ends.", err=True)
    return send(options, LineInput(stream, fixed_key, key_separator, file_size(stream)))
